"""Settings of the transformer, stream, dictionaries and checkpoints."""

import dataclasses

from monosem_jax.config.settings.fields import free


@dataclasses.dataclass(frozen=True)
class Transformer:
  """The language model and its training.

  The paper publishes the widths, the layer, ReLU, Adam and the token count. We
  choose the rest: 4 heads, learned positions added to the residual stream,
  attention before MLP, biases everywhere except in the unembedding, and an
  unembedding not tied to the embedding.
  """

  # Number of layers.
  n_layers: int = 1
  # D: width of the residual stream.
  d_model: int = 128
  # Neurons of an MLP.
  d_mlp: int = 512
  # Attention heads; they must divide `d_model`.
  n_heads: int = 4
  # Non-linearity of the MLP: relu | gelu.
  activation: str = 'relu'
  # Activations that a dictionary decomposes: `mlp` (after the non-linearity) or
  # `resid` (the residual stream after the layer).
  site: str = 'mlp'
  # Layer of the site, from 0.
  site_layer: int = 0
  # Whether attention crosses the separator between documents.
  attend_across_documents: bool = False
  # Name of a trained model. This model is then not trained: it is a copy of
  # that model with the entries of each weight matrix shuffled (by `seed`), the
  # paper's control. Empty: train this model.
  shuffle_of: str = ''
  # Seed of the weights.
  seed: int = 0
  # Seed of the order of the training contexts.
  data_seed: int = 0
  # Training steps.
  steps: int = free(1_000)
  # Contexts per step.
  batch_size: int = 64
  # Contexts per forward and backward pass inside a step; 0: the whole batch.
  micro_batch: int = 0
  # Peak learning rate, after a linear warm-up.
  lr: float = 1e-3
  # Final learning rate as a share of `lr`; the decay to it is a cosine.
  lr_final: float = 0.1
  # Steps of the warm-up.
  warmup_steps: int = 100
  # Adam's decay rate of the first moment.
  beta1: float = 0.9
  # Adam's decay rate of the second moment.
  beta2: float = 0.95
  # AdamW's weight decay.
  weight_decay: float = 0.1
  # Upper bound on the L2 norm of the gradient.
  clip_norm: float = 1.0
  # Weight of a loss term that makes the MLP's activations sparse, see
  # `transformer.train.loss_and_penalty`. The paper has no such term.
  activation_penalty: float = 0.0
  # Training steps per chunk, the unit that the host dispatches.
  steps_per_chunk: int = 10
  # dtype of matrix products: float32 | bfloat16 | auto (bfloat16 on
  # accelerators, float32 on CPU). Weights and moments are always float32.
  precision: str = 'auto'
  # Maximum number of held-out contexts in the final evaluation.
  eval_contexts: int = free(512)


@dataclasses.dataclass(frozen=True)
class Stream:
  """The stream of shuffled activation rows that dictionaries train on."""

  # C: contexts per chunk.
  contexts_per_chunk: int = 4_096
  # P: positions sampled from each context, without replacement. Epoch e takes
  # the e-th slice of one fixed permutation of positions per context.
  positions_per_context: int = 250
  # G: groups of contexts; rows are shuffled inside each group. It must be a
  # multiple of the `data` axis. Results depend on it, so that they do not
  # depend on the mesh.
  shuffle_groups: int = 8
  # U: micro-batches of the forward pass over a chunk.
  micro_batches: int = 16
  # N: rows of a training batch.
  batch_size: int = 8_192
  # Rows of a batch that are encoded at once; 0: all. Fewer rows bound the
  # memory of f_NF and keep it in a CPU's cache.
  micro_batch: int = 0
  # Training steps of every dictionary on this stream.
  steps: int = free(1_000_000)
  # Seed of the order of contexts, the sampled positions and the shuffle.
  seed: int = 0
  # How dictionaries of equal shape train on a chunk: `map` trains one after
  # another; `vmap` takes each step for all at once, which fills devices better
  # and multiplies a step's memory by their number.
  stack: str = 'map'
  # As `Transformer.precision`; activations are stored in this dtype as well.
  precision: str = 'auto'


@dataclasses.dataclass(frozen=True)
class Resampling:
  """Neuron resampling, with the paper's numbers."""

  # Steps after which dead features are resampled; empty: never.
  steps: tuple[int, ...] = (25_000, 50_000, 75_000, 100_000)
  # A feature is dead after this many steps without firing.
  window: int = 12_500
  # Inputs whose loss is measured, a whole number of batches of the chunk.
  candidates: int = 819_200
  # The loss that is squared: `total` includes the L1 term, `mse` is the
  # reconstruction error alone. Our choice; the paper is silent.
  loss: str = 'total'
  # The new decoder row under the placement `paper`: the input itself (`none`)
  # or the input minus the decoder bias (`decoder_bias`). Our choice; the paper
  # is silent.
  subtract: str = 'none'
  # How a dead feature is placed on its input: paper | residual, see
  # `dictionary.place`.
  placement: str = 'paper'
  # Norm of the new encoder column under the placement `paper`, relative to the
  # mean norm over living features.
  encoder_scale: float = 0.2


@dataclasses.dataclass(frozen=True)
class Dictionary:
  """A sparse autoencoder and its training.

  Loss of the recipe `paper`: mean over the batch of [mean over the A elements
  of the squared error + l1 * sum over the F features of f]. The other recipes'
  losses are in `dictionary.recipes`. `l1` therefore scales with the
  activations: doubling them needs twice the `l1` for the same sparsity.
  """

  # F: number of features.
  features: int = 4_096
  # The module of `dictionary.recipes`: paper (2023) or april (2024: decoder
  # norms are free, no feature is resampled).
  recipe: str = 'paper'
  # Initialisation: paper | tied | data, see `recipes.paper.init`.
  init: str = 'paper'
  # Share of inputs that a new feature fires on, under `init='data'` and
  # `resampling.placement='residual'`.
  fires_on: float = 0.005
  # L1 coefficient.
  l1: float = 0.004
  # Target for L0, the mean number of active features. Trial runs before step 0
  # then set the coefficient, starting from `l1`. 0: use `l1` as it is.
  l1_target_l0: float = 0.0
  # Steps of a trial run.
  calibration_steps: int = 200
  # Learning rate of a trial run, in multiples of `lr`.
  calibration_lr: float = 3.0
  # Rows of the sample whose geometric median initialises the decoder bias.
  median_rows: int = 16_384
  # Scale of the activations. `none`: unchanged (the paper). `unit`: multiplied
  # by one constant so that E||x|| = sqrt(A); `l1` refers to the scaled
  # activations, and exported weights include the constant.
  normalize: str = 'none'
  # Learning rate; the paper does not publish its own.
  lr: float = 1e-4
  # Adam's decay rate of the first moment.
  beta1: float = 0.9
  # Adam's decay rate of the second moment.
  beta2: float = 0.999
  # Share of the training, at its start, over which l1 rises linearly from 0. It
  # is relative, so that extending the training extends it.
  l1_warmup: float = 0.0
  # Share of the training, at its end, over which the learning rate falls
  # linearly to 0. It is relative, so that extending the training extends it.
  lr_decay: float = 0.0
  # Upper bound on the L2 norm of the gradient; 0: no bound.
  clip_norm: float = 0.0
  # Initial norm of decoder rows under the recipe `april`.
  decoder_norm: float = 0.1
  # Seed of the weights and of resampling.
  seed: int = 0
  # Whether the gradient is computed from the active features alone, the same up
  # to rounding: always | never | auto (where measurements found it faster).
  sparse: str = 'auto'
  # K: maximum number of active features per row on the sparse path. A
  # micro-batch with more in any row is computed densely, and counted.
  sparse_active: int = 256
  # Resampling of dead features.
  resampling: Resampling = Resampling()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """How often a run saves."""

  # Chunks between saves. A kill costs at most this much work.
  every_chunks: int = free(10)
  # Number of newest checkpoints that are kept.
  keep: int = free(2)
