"""Sets that are given out as arrays of equal images."""
