"""Ready configurations, installed with the package; settings themselves are in `config/`."""
