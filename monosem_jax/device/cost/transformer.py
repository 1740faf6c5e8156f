"""The cost of training the transformer, and of its pass up to the site."""

from monosem_jax.config import settings
from monosem_jax.device.cost import F32, Devices


def parameters(c: settings.Transformer, V: int, T: int) -> int:
  """Weights of a transformer with a vocabulary of V and contexts of T."""
  D, A = c.d_model, c.d_mlp
  block = 4 * D * D + D + 2 * D * A + A + D + 4 * D
  return 2 * V * D + T * D + c.n_layers * block + 2 * D


def flops(c: settings.Transformer, V: int, T: int) -> int:
  """FLOPs of a forward pass over one token, to the logits.

  Per layer 8 D^2 for the four projections of attention, 4 T D for scores and
  mixing (all T x T of them are computed, masked ones too) and 4 D A for the
  MLP; 2 D V for the logits. A lookup in a table is none.
  """
  D, A = c.d_model, c.d_mlp
  return c.n_layers * (8 * D * D + 4 * T * D + 4 * D * A) + 2 * D * V


def site_flops(c: settings.Transformer, T: int) -> int:
  """FLOPs of a forward pass over one token that ends at the site."""
  D, A = c.d_model, c.d_mlp
  attention, half_mlp = 8 * D * D + 4 * T * D, 2 * D * A
  layers = (c.site_layer + 1) * (attention + 2 * half_mlp)
  return layers - half_mlp if c.site == 'mlp' else layers


def step_flops(
  c: settings.Transformer, V: int, T: int, devices: Devices
) -> float:
  """FLOPs of a training step on each device.

  The backward pass costs twice the forward pass, so a token costs 3 times
  `flops`.
  """
  return 3 * flops(c, V, T) * c.batch_size * T / devices.count


def memory(
  c: settings.Transformer, V: int, T: int, devices: Devices
) -> dict[str, float]:
  """Bytes a device must hold while it trains the transformer.

  Weights, moments and gradients (the sum and a micro-batch's) are whole on
  every device; a micro-batch is spread. Of it are held the logits in four forms
  (as they come out, less their maximum, the exponential of that, their
  gradient), and per layer what the backward pass wants: the attention scores in
  three forms, the hidden activations in two, and the residual stream's width
  fourteen times.
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
