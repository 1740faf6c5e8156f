"""Formats of other programs: SAELens, Anthropic, Neuronpedia."""
