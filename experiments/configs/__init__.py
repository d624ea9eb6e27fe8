"""Ready configurations, installed with the package."""
