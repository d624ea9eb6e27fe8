"""`csv:FILE`: images that a table names, or the lists that come with a published set."""
