"""The page that shows every feature: static files, and a server for them."""
