"""Hyperparameter search: candidates, folds, the drive over workers, its report."""
