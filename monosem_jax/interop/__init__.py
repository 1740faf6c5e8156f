"""Formats of others: SAELens, Anthropic, Neuronpedia."""
