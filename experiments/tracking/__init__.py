"""What is remembered: the journal on disk, the MLflow store, and the delivery between them."""
