"""How settings are chosen. Never sees an image, a network or MLflow."""
