"""What experiments take on the disk, and how they are removed."""
