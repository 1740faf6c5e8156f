"""The page alive: a server for its own scripts, on this machine alone."""
