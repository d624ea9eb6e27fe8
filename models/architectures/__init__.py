"""One file a published network or family, and the blocks and branches that they share."""
