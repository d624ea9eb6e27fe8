"""Rows of runs side by side: grouping, costs, significance, the table."""
