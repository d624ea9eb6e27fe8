"""Pictures of a comparison: a file a figure."""
