"""What a search came to: for people, as JSON and in pictures."""
