"""What would settle a difference: seeds, images, and where the variance comes from."""
