"""`hf:`: data sets of the Hugging Face hub on disk, by pyarrow alone."""
