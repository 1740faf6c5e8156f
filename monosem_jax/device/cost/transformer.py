"""The cost of training the transformer, and of a forward pass to the site."""

from monosem_jax.config import settings
from monosem_jax.device.cost import F32, Devices


def parameters(c: settings.Transformer, V: int, T: int) -> int:
  """Returns the number of weights, for a vocabulary of V and contexts of T."""
  D, A = c.d_model, c.d_mlp
  block = 4 * D * D + D + 2 * D * A + A + D + 4 * D
  return 2 * V * D + T * D + c.n_layers * block + 2 * D


def flops(c: settings.Transformer, V: int, T: int) -> int:
  """Returns the FLOPs per token of a forward pass to the logits.

  Each layer takes 8 D^2 for the four projections of attention, 4 T D for scores
  and mixing (all T x T are computed, masked ones too) and 4 D A for the MLP.
  The logits take 2 D V. Table lookups count as 0.
  """
  D, A = c.d_model, c.d_mlp
  return c.n_layers * (8 * D * D + 4 * T * D + 4 * D * A) + 2 * D * V


def site_flops(c: settings.Transformer, T: int) -> int:
  """Returns the FLOPs per token of a forward pass that ends at the site."""
  D, A = c.d_model, c.d_mlp
  attention, half_mlp = 8 * D * D + 4 * T * D, 2 * D * A
  layers = (c.site_layer + 1) * (attention + 2 * half_mlp)
  return layers - half_mlp if c.site == 'mlp' else layers


def step_flops(
  c: settings.Transformer, V: int, T: int, devices: Devices
) -> float:
  """Returns the FLOPs of a training step on each device.

  The backward pass costs twice the forward pass, so a token costs 3 x `flops`.
  """
  return 3 * flops(c, V, T) * c.batch_size * T / devices.count


def memory(
  c: settings.Transformer, V: int, T: int, devices: Devices
) -> dict[str, float]:
  """Returns the bytes a device must hold while it trains the transformer.

  Weights, moments and gradients (the sum and a micro-batch's) are replicated; a
  micro-batch is spread. A micro-batch holds its logits in four forms (raw,
  minus their maximum, exponentiated, gradient). For the backward pass each
  layer holds the attention scores three times, the hidden activations twice,
  and fourteen arrays of the residual stream's width.
  """
  P = parameters(c, V, T)
  tokens = (c.micro_batch or c.batch_size) * T / devices.count
  layer = 3 * c.n_heads * T + 2 * c.d_mlp + 14 * c.d_model
  return {
    'weights': F32 * P,
    'moments': 2 * F32 * P,
    'gradients': 2 * F32 * P,
    'logits': 4 * F32 * tokens * V,
    'layers': F32 * tokens * c.n_layers * layer,
    'tokens': 4 * c.steps_per_chunk * c.batch_size * T / devices.count,
  }
