"""What is handed to a reader: the files of `compare`, the report page, MLflow's pages."""
