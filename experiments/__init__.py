"""Where it all meets: configuration, training, sweeps, tracking, comparison, command line."""
