"""Where images come from: a file a source, and `open.py` from a spec to its source."""
