"""MLflow's pages on a store: served, their views set, their pictures taken."""
