"""A local server that lets the page probe and steer the models."""
