"""Who proposes what to try next."""
