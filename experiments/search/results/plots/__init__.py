"""Pictures of a search: parameters, folds and winners."""
