"""Settings: config files, overrides, names, and what is refused."""
