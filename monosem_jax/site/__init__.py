"""The page that shows every feature: files, and a server for them."""
