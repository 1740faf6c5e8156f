"""Settings of what is trained, and of how a run saves."""

import dataclasses

from monosem_jax.config.settings.fields import free


@dataclasses.dataclass(frozen=True)
class Transformer:
  """The language model and its training.

  The paper publishes the widths, the layer, ReLU, Adam and the token count. Our
  choices where it is silent: 4 heads, learned positions added to the residual
  stream, attention before MLP, biases everywhere but in the unembedding, which
  is not tied to the embedding.
  """

  n_layers: int = 1
  d_model: int = 128
  d_mlp: int = 512
  n_heads: int = 4
  activation: str = 'relu'  # relu | gelu
  # What a dictionary decomposes: `mlp` (after the non-linearity) or `resid`
  # (the residual stream after a layer), of which layer.
  site: str = 'mlp'
  site_layer: int = 0
  attend_across_documents: bool = False
  # The name of another model: this one is not trained, but is that one with the
  # entries of each weight matrix shuffled (by `seed`), the paper's control.
  shuffle_of: str = ''
  # Seed of the weights and of the order of the training contexts.
  seed: int = 0
  data_seed: int = 0
  steps: int = free(1_000)
  # Contexts of a step, and of one pass inside it (0: all of them at once).
  batch_size: int = 64
  micro_batch: int = 0
  # Linear warm-up to `lr`, then a cosine to `lr * lr_final` at `steps`.
  lr: float = 1e-3
  lr_final: float = 0.1
  warmup_steps: int = 100
  beta1: float = 0.9
  beta2: float = 0.95
  weight_decay: float = 0.1
  clip_norm: float = 1.0
  # Weight in the loss of a penalty that makes the MLP's activations sparse, see
  # `transformer.train.loss_and_penalty`. The paper's has none.
  activation_penalty: float = 0.0
  # Steps of one dispatch, one chunk of the loop.
  steps_per_chunk: int = 10
  # auto: bfloat16 matrix products on accelerators, float32 on CPU. Weights and
  # moments are float32 always.
  precision: str = 'auto'
  # Held-out contexts of the final evaluation, at most.
  eval_contexts: int = free(512)


@dataclasses.dataclass(frozen=True)
class Stream:
  """How tokens become shuffled activation rows, and how many."""

  # C: contexts of a chunk.
  contexts_per_chunk: int = 4_096
  # P: positions sampled from each context, without replacement. Epoch e takes
  # the e-th slice of one fixed permutation of positions per context.
  positions_per_context: int = 250
  # G: rows are shuffled inside each of G groups of contexts; a multiple of the
  # `data` axis. Part of the result, so that the mesh is not.
  shuffle_groups: int = 8
  # U: micro-batches of the forward pass over a chunk.
  micro_batches: int = 16
  # N: rows of a training batch, and how many of them are encoded at once (0:
  # all). Fewer bound the memory of f_NF and keep it in a CPU's cache.
  batch_size: int = 8_192
  micro_batch: int = 0
  # Training steps of every dictionary on this stream.
  steps: int = free(1_000_000)
  seed: int = 0
  # Dictionaries of equal shape are trained on a chunk one after another (map),
  # or each step is taken by all of them at once (vmap: fuller devices, the
  # memory of a step times their number).
  stack: str = 'map'
  # As for the transformer; activations are held in this dtype too.
  precision: str = 'auto'


@dataclasses.dataclass(frozen=True)
class Resampling:
  """Neuron resampling, with the paper's numbers."""

  # Steps after which dead features are re-drawn; empty: never.
  steps: tuple[int, ...] = (25_000, 50_000, 75_000, 100_000)
  # Steps without firing after which a feature counts as dead.
  window: int = 12_500
  # Inputs whose loss is measured; whole batches of the chunk.
  candidates: int = 819_200
  # Our choice where the paper is silent: the loss that is squared is the whole
  # loss, L1 term included (`total`), or the reconstruction error alone (`mse`).
  loss: str = 'total'
  # Our choice where the paper is silent: the new decoder row is the input
  # itself (`none`), or the input minus the decoder bias (`decoder_bias`). Of
  # the placement `paper`.
  subtract: str = 'none'
  # How a dead feature is put on its input: paper | residual, see
  # `dictionary.place`.
  placement: str = 'paper'
  # Of `paper`: norm of the new encoder column, in mean norms of living
  # features.
  encoder_scale: float = 0.2


@dataclasses.dataclass(frozen=True)
class Dictionary:
  """A sparse autoencoder and its training.

  Loss of the recipe `paper`: mean over the batch of [mean over the A elements
  of the squared error + l1 * sum over the F features of f]; the others' stand
  in `dictionary.recipes`. `l1` therefore scales with the activations: doubling
  them asks for twice the `l1` at the same sparsity.
  """

  # F.
  features: int = 4_096
  # A module of `dictionary.recipes`: paper (2023), april (2024: decoder norms
  # are free, nothing is resampled).
  recipe: str = 'paper'
  # What training starts from, see `recipes.paper.init`: paper | tied | data.
  init: str = 'paper'
  # Share of inputs that a feature fires on at first, of `init='data'` and
  # `resampling.placement='residual'`.
  fires_on: float = 0.005
  l1: float = 0.004
  # Wanted mean number of active features. 0: use `l1`; otherwise trial
  # runs before step 0 fix the coefficient, and `l1` is only where it starts.
  l1_target_l0: float = 0.0
  # Steps of a trial, and its learning rate in multiples of `lr`.
  calibration_steps: int = 200
  calibration_lr: float = 3.0
  # Rows of the sample whose geometric median the decoder bias starts at.
  median_rows: int = 16_384
  # none: activations as they are (the paper). unit: times one constant so that
  # E||x|| = sqrt(A), and `l1` refers to those; folded into the exported
  # weights.
  normalize: str = 'none'
  # Unpublished in the paper.
  lr: float = 1e-4
  beta1: float = 0.9
  beta2: float = 0.999
  # Shares of the training: l1 rises linearly from 0 over its first, the
  # learning rate falls linearly to 0 over its last. More steps stretch them.
  l1_warmup: float = 0.0
  lr_decay: float = 0.0
  # The gradient's L2 norm is brought down to this; 0: it is left as it is.
  clip_norm: float = 0.0
  # Of `april`: the norm of decoder rows as initialised.
  decoder_norm: float = 0.1
  seed: int = 0
  # The gradient from the active features alone, the same up to rounding:
  # always | never | auto, where it was measured to be faster; and K, the active
  # features of a row there is room for (a micro-batch with more in one of its
  # rows is computed densely, and counted).
  sparse: str = 'auto'
  sparse_active: int = 256
  resampling: Resampling = Resampling()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """How often a run saves; a kill costs at most this much work."""

  every_chunks: int = free(10)
  keep: int = free(2)
