"""Commands that start fits and log them: train, sweep, ensemble, reproduce."""
