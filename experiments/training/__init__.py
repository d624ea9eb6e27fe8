"""The engine: batches, the update step, the epoch loop, snapshots and resuming, several devices."""
