"""approxrates."""
