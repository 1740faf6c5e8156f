"""Settings: config files, overrides, names, and checks."""
