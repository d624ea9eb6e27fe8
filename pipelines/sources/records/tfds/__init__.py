"""`tfds:`: classification sets of TensorFlow Datasets."""
