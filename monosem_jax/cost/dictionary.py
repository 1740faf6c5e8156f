"""The cost of a chunk: all dictionaries of a model on one stream."""

import dataclasses

from monosem_jax import settings
from monosem_jax.cost import (
  F32,
  Devices,
  Phases,
  Work,
  all_gather,
  all_reduce,
  transformer,
)


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
    devices: the mesh.
    item: bytes of a number in a matrix product, and of a stored activation.
  """

  stream: settings.Stream
  model: settings.Transformer
  V: int
  T: int
  A: int
  stacks: tuple[tuple[settings.Dictionary, ...], ...]
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

  @property
  def micro_batches(self) -> int:
    """M: of a training batch."""
    c = self.stream
    return c.batch_size // (c.micro_batch or c.batch_size)


def parameters(A: int, F: int) -> int:
  """Weights of a dictionary of F features over activations of width A."""
  return 2 * A * F + F + A


def flops(d: settings.Dictionary, A: int) -> int:
  """FLOPs of a training step per row.

  Dense: 10 A F, five products of A x F: encode, decode, and the gradients of
  decoder, features and encoder. A sixth, the gradient of the rows, is wanted by
  nobody but the decoder bias that is taken off them before the encoder;
  `sae.encode` takes it off behind the product, and so is spared it. Sparse:
  2 A F to encode, and the other four over the K active features there is room
  for, 8 A K.
  """
  rest = d.sparse_active if d.sparse == 'always' else d.features
  return 2 * A * d.features + 8 * A * min(rest, d.features)


def step(s: Sweep, d: settings.Dictionary) -> Phases:
  """A training step of one dictionary.

  The reconstruction is summed over `feature` for every micro-batch, and the
  gradient over `data`: for every micro-batch, too, on the dense path (inside
  the loop that adds them up), once on the sparse one.
  """
  A, F, item, M = s.A, d.features, s.item, s.micro_batches
  rows = s.stream.batch_size / s.devices.data
  matrices = 2 * A * F / s.devices.feature
  P = matrices + F / s.devices.feature + A
  f = rows * F / s.devices.feature
  sparse = d.sparse == 'always'
  gradient_sums = 1 if sparse else M
  # Passes over both matrices. Paper: two over the decoder free its gradient of
  # the part along the rows, three give these their norm back. April: two make
  # the standard form, three bring its gradient back.
  recipe = 5 if d.recipe == 'april' else 2.5
  if sparse:
    # An entry: two rows of the decoder are read, two rows of gradients read
    # and written, and the same again of what the entries are added to.
    entries = rows * min(d.sparse_active, F)
    of_features = Work(traffic=f * 5 * F32 + entries * 10 * A * F32)
  else:
    # The result of encode is read, biased and written as an operand, and so is
    # its gradient, which is masked by the former.
    of_features = Work(traffic=f * 5 * item)
  return {
    # A row is gathered, scaled, and stays in float32 for the error.
    'gather': Work(traffic=rows * A * (item + F32)),
    'products': Work(
      flops=flops(d, A) * rows / s.devices.feature,
      # Of f: two results, as operands are written, and three operands. Of the
      # rows: themselves twice, their reconstruction, and its gradient twice.
      traffic=f * (F32 if sparse else 5 * item)
      + rows * A * (4 * item + F32)
      + M * matrices * (item / 2 if sparse else 1.5 * item + F32),
    ),
    'elementwise': of_features
    + Work(
      traffic=rows * A * 4 * F32 + (0 if sparse else M * 3 * F32 * P),
    ),
    'sums': Work(
      sent=all_reduce(F32 * A * rows, s.devices.feature)
      + gradient_sums
      * all_reduce(F32 * (P + F / s.devices.feature), s.devices.data)
    ),
    # Adam reads weights, gradient and two moments and writes three of them; a
    # clip reads the gradient once more.
    'optimizer': Work(
      traffic=F32 * (7 + bool(d.clip_norm)) * P + F32 * recipe * matrices
    ),
  }


def resampling(s: Sweep, d: settings.Dictionary) -> Work:
  """A resampling of one dictionary: the loss of the candidates, new features.

  Each device looks for the new features' inputs in its own rows; these are
  summed.
  """
  A, candidates = s.A, d.resampling.candidates
  rows = candidates / s.devices.data
  f = rows * d.features / s.devices.feature
  matrices = 2 * A * d.features / s.devices.feature
  work = Work(
    flops=4 * A * f,
    traffic=f * (3 * F32 + 2 * s.item) + 13 * F32 * matrices,
    sent=all_reduce(F32 * A * rows, s.devices.feature)
    + all_gather(F32 * candidates, s.devices.data)
    + all_reduce(F32 * A * d.features, s.devices.data),
  )
  if d.resampling.placement == 'paper':
    return work
  # The inputs are reconstructed, on all devices along `data` alike, and the new
  # encoder is tried on a batch, whose products are sorted.
  f = d.features * d.features / s.devices.feature
  tried = s.stream.batch_size * d.features / s.devices.feature
  return work + Work(
    flops=4 * A * f + 2 * A * tried / s.devices.data,
    traffic=(f + 4 * tried) * (3 * F32 + 2 * s.item),
    sent=all_reduce(F32 * A * d.features, s.devices.feature)
    + all_gather(F32 * tried, s.devices.data),
  )


def chunk(s: Sweep) -> Phases:
  """A chunk: the forward pass, the rows, and the steps of all dictionaries.

  Resamplings come on top, see `resampling`: most chunks have none.
  """
  c = s.stream
  tokens = c.contexts_per_chunk * s.T / s.devices.count
  rows = s.rows / s.devices.data
  products, elementwise = transformer.layer_traffic(s.model, s.T, s.item)
  layers = s.model.site_layer + 1
  # Positions and rows are put into a drawn order by sorting keys: some twenty
  # passes over these and what they bring along.
  sorted_keys = c.contexts_per_chunk * s.T / s.devices.data + rows
  phases = {
    'forward': Work(
      flops=transformer.site_flops(s.model, s.T) * tokens,
      traffic=layers * products * tokens,
    ),
    'forward, elementwise': Work(traffic=layers * elementwise * tokens),
    'shuffle': Work(
      traffic=3 * s.item * s.A * rows + 20 * 8 * sorted_keys,
      sent=all_gather(s.item * s.A * rows, s.devices.feature),
    ),
  }
  for d in (d for stack in s.stacks for d in stack):
    for name, work in step(s, d).items():
      phases[name] = phases.get(name, Work()) + work * s.steps
  return phases


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

  The gradient's sum and a micro-batch's, of `april` the standard form, too; of
  a micro-batch the features, their gradient, and one of the two in between.
  """
  rows = (s.stream.micro_batch or s.stream.batch_size) / s.devices.data
  weights = state_memory(s, d)['weights']
  return {
    'gradients': (3 if d.recipe == 'april' else 2) * weights,
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
