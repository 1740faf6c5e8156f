"""The page that shows every feature: static files, read without a server."""
