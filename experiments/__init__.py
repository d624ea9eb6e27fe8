"""Where it all meets: settings, fits, searches, tracking, comparison and the command line."""
