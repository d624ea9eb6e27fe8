"""`tfrecord:`: examples in TFRecord files, read in place."""
