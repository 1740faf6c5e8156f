"""The cost of a chunk: all dictionaries of a model on one stream."""

import dataclasses

from monosem_jax.config import settings
from monosem_jax.device.cost import F32, Devices, transformer


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Dictionaries trained on one stream, as far as their cost depends on it.

  Attributes:
    stream: settings of the stream.
    model: settings of the transformer.
    V: its vocabulary.
    T: tokens of a context.
    A: width of the activations.
    stacks: settings of the dictionaries, by the stacks they are trained in.
      Those whose `sparse` is `always` take the sparse path, all others the
      dense one; who knows the backend resolves `auto` first.
    converted: recipes whose weights a step converts to the standard form.
    devices: the mesh.
    item: bytes of a number in a matrix product, and of a stored activation.
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
    """R: activations of a chunk."""
    c = self.stream
    return c.contexts_per_chunk * c.positions_per_context

  @property
  def steps(self) -> int:
    """S: training steps of a chunk."""
    return self.rows // self.stream.batch_size


def parameters(A: int, F: int) -> int:
  """Weights of a dictionary of F features over activations of width A."""
  return 2 * A * F + F + A


def flops(d: settings.Dictionary, A: int) -> int:
  """FLOPs of a training step per row.

  Dense: 10 A F, five products of A x F: encode, decode, and the gradients of
  decoder, features and encoder. A sixth, the gradient of the rows, is wanted by
  nobody but the decoder bias that is taken off them before the encoder;
  `sae.encode` takes it off after the product, and so is spared it. Sparse:
  2 A F to encode, and the other four over the K active features there is room
  for, 8 A K.
  """
  rest = d.sparse_active if d.sparse == 'always' else d.features
  return 2 * A * d.features + 8 * A * min(rest, d.features)


def chunk_flops(s: Sweep) -> float:
  """FLOPs of a chunk on each device: the forward pass, and all steps.

  Resamplings come on top: most chunks have none.
  """
  tokens = s.stream.contexts_per_chunk * s.T / s.devices.count
  rows = s.rows / s.devices.count
  step = sum(flops(d, s.A) for stack in s.stacks for d in stack)
  return transformer.site_flops(s.model, s.T) * tokens + step * rows


def state_memory(s: Sweep, d: settings.Dictionary) -> dict[str, float]:
  """Bytes of a dictionary's state on a device."""
  features = d.features / s.devices.feature
  weights = F32 * (2 * s.A * features + features + s.A)
  return {
    'weights': weights,
    'moments': 2 * weights,
    'counters': 4 * features,
  }


def step_memory(s: Sweep, d: settings.Dictionary) -> dict[str, float]:
  """Bytes that a dictionary's step holds besides its state.

  The gradient's sum and a micro-batch's, and the standard form where weights
  are converted; of a micro-batch the features, their gradient, and one of the
  two in between.
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
  """Bytes that a chunk holds on a device besides its dictionaries.

  Rows that are gathered over `feature` are held twice: XLA lays them out anew.
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
  """Bytes a device must hold for a chunk, all in all.

  Stacks train one after the other, and the forward pass is over before the
  first of them: of what only one of these holds, the largest counts. Inside a
  stack, `map` takes a copy of the state of one dictionary at a time, and `vmap`
  steps with all at once.
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
