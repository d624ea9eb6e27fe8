"""Looking before running: data checks, previews, the zoo table, one network described."""
