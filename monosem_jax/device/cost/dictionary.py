"""The cost of a chunk, with all dictionaries of a model on one stream."""

import dataclasses

from monosem_jax.config import settings
from monosem_jax.device.cost import F32, Devices, transformer


@dataclasses.dataclass(frozen=True)
class Sweep:
  """The settings and sizes that the cost of a stream's chunk depends on.

  Attributes:
    stream: settings of the stream.
    model: settings of the transformer.
    V: vocabulary size of the transformer.
    T: tokens per context.
    A: width of the activations.
    stacks: settings of the dictionaries, grouped by stack. `sparse='always'`
      takes the sparse path, everything else the dense one; the caller resolves
      `auto` by the backend first.
    converted: recipes whose weights a step converts to the standard form.
    devices: the mesh.
    item: bytes per number of matrix products and stored activations.
  """

  stream: settings.Stream
  model: settings.Transformer
  V: int
  T: int
  A: int
  stacks: tuple[tuple[settings.Dictionary, ...], ...]
  converted: frozenset[str]
  devices: Devices
  item: int

  @property
  def rows(self) -> int:
    """R: activations per chunk."""
    c = self.stream
    return c.contexts_per_chunk * c.positions_per_context

  @property
  def steps(self) -> int:
    """S: training steps per chunk."""
    return self.rows // self.stream.batch_size


def parameters(A: int, F: int) -> int:
  """Returns the number of weights for F features of activations of width A."""
  return 2 * A * F + F + A


def flops(d: settings.Dictionary, A: int) -> int:
  """Returns the FLOPs of a training step per row.

  Dense: 10 A F for five products of A x F: encode, decode, and the gradients of
  decoder, features and encoder. A sixth product, the gradient of the rows,
  would only serve the decoder bias that is subtracted before the encoder;
  `sae.encode` subtracts it after the product and avoids the sixth. Sparse:
  2 A F to encode, and 8 A K for the other four over K active features.
  """
  rest = d.sparse_active if d.sparse == 'always' else d.features
  return 2 * A * d.features + 8 * A * min(rest, d.features)


def chunk_flops(s: Sweep) -> float:
  """Returns the FLOPs of a chunk per device: the forward pass and all steps.

  Resampling is left out, since most chunks do not resample.
  """
  tokens = s.stream.contexts_per_chunk * s.T / s.devices.count
  rows = s.rows / s.devices.count
  step = sum(flops(d, s.A) for stack in s.stacks for d in stack)
  return transformer.site_flops(s.model, s.T) * tokens + step * rows


def state_memory(s: Sweep, d: settings.Dictionary) -> dict[str, float]:
  """Returns the bytes of a dictionary's state on a device."""
  features = d.features / s.devices.feature
  weights = F32 * (2 * s.A * features + features + s.A)
  return {
    'weights': weights,
    'moments': 2 * weights,
    'counters': 4 * features,
  }


def step_memory(s: Sweep, d: settings.Dictionary) -> dict[str, float]:
  """Returns the bytes that a dictionary's step holds besides its state.

  These are the gradient's sum and a micro-batch's gradient; the standard form,
  if weights are converted; and for a micro-batch the features, their gradient
  and one intermediate of that size.
  """
  rows = (s.stream.micro_batch or s.stream.batch_size) / s.devices.data
  weights = state_memory(s, d)['weights']
  return {
    'gradients': (3 if d.recipe in s.converted else 2) * weights,
    'features of a micro-batch': 3
    * F32
    * rows
    * d.features
    / s.devices.feature,
  }


def stream_memory(s: Sweep) -> dict[str, float]:
  """Returns the bytes that a chunk holds on a device besides dictionaries.

  Rows gathered over `feature` are held twice, since XLA changes their layout.
  """
  c, rows = s.stream, s.rows / s.devices.data
  tokens = c.contexts_per_chunk * s.T
  hidden = 2 * s.model.d_mlp + 3 * s.model.n_heads * s.T
  return {
    'transformer': F32 * transformer.parameters(s.model, s.V, s.T),
    'tokens': 4 * tokens / s.devices.data,
    'activations': s.item * s.A * rows * min(s.devices.feature, 2),
    'order': 4 * rows,
    'forward': F32 * tokens / s.devices.count / c.micro_batches * hidden,
  }


def chunk_memory(s: Sweep) -> float:
  """Returns the bytes that a device must hold for a chunk.

  The forward pass ends before the stacks train, one after another, so only the
  largest of their temporaries counts. Inside a stack, `map` copies the state of
  one dictionary at a time, and `vmap` steps all dictionaries at once.
  """
  shared = stream_memory(s)
  passing = [shared.pop('forward')]
  held = sum(shared.values())
  for stack in s.stacks:
    state = sum(state_memory(s, stack[0]).values())
    step = sum(step_memory(s, stack[0]).values())
    held += len(stack) * state
    if s.stream.stack == 'vmap':
      passing.append(len(stack) * step)
    else:
      passing.append(step + (state if len(stack) > 1 else 0))
  return held + max(passing)
