"""Dictionaries: the SAE, recipes, resampling, and the compiled chunk."""
