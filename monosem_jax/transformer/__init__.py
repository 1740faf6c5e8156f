"""The transformer: model, training, sampling, weights."""
