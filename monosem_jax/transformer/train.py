"""Trains the transformer, several steps per compiled call."""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import nnx

from monosem_jax.config import settings
from monosem_jax.device.mesh import SPECS, constrain, micro_batches
from monosem_jax.transformer.model import Transformer, next_token_loss


@flax.struct.dataclass
class TrainState:
  """Everything that a training step changes.

  Attributes:
    step: number of steps done.
    model: the transformer.
    opt_state: state of the optimizer.
  """

  step: jax.Array
  model: Transformer
  opt_state: optax.OptState


def learning_rate(c: settings.Transformer) -> optax.Schedule:
  """Linear warm-up to `lr`, then a cosine down to `lr * lr_final`."""
  return optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=c.lr,
    warmup_steps=c.warmup_steps,
    decay_steps=max(c.steps, c.warmup_steps + 1),
    end_value=c.lr * c.lr_final,
  )


def optimizer(c: settings.Transformer) -> optax.GradientTransformation:
  """Clips the gradient's norm, then applies AdamW; only matrices decay."""
  return optax.chain(
    optax.clip_by_global_norm(c.clip_norm),
    optax.adamw(
      learning_rate(c),
      b1=c.beta1,
      b2=c.beta2,
      weight_decay=c.weight_decay,
      mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
    ),
  )


def init(
  c: settings.Transformer, *, vocab_size: int, context: int, separator: int
) -> TrainState:
  """Returns the initial state; under jit, it is created on its devices."""
  model = Transformer(
    c,
    vocab_size=vocab_size,
    context=context,
    separator=separator,
    rngs=nnx.Rngs(c.seed),
  )
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    model=model,
    opt_state=optimizer(c).init(model),
  )


def mean_loss(model: Transformer, tokens_BT: jax.Array) -> jax.Array:
  """Mean next-token loss in nats."""
  logits_BTV, _ = model(tokens_BT)
  return next_token_loss(logits_BTV, tokens_BT).mean()


def loss_and_penalty(
  model: Transformer, tokens_BT: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the mean next-token loss, and the penalty on the MLP's activations.

  The penalty is the mean over tokens of the sum over neurons of
  |activation| * norm of the neuron's output row / std of the stream before the
  final norm. Without the row norms, activations would shrink while rows grow;
  without the std, both would shrink with the stream, which norms undo.
  """
  x_BTD, acts_BTA = model.residual(tokens_BT)
  loss = next_token_loss(model.unembed(x_BTD), tokens_BT).mean()
  W_out_AD = model.blocks[model.site[1]].mlp.W_out_AD[...]
  # The epsilon gives rows of zeros a gradient.
  norm_A = jnp.sqrt(jnp.square(W_out_AD).sum(1) + 1e-12)
  added_BT = (jnp.abs(acts_BTA) * norm_A).sum(-1)
  return loss, (added_BT * jax.lax.rsqrt(x_BTD.var(-1) + 1e-12)).mean()


def make_chunk(c: settings.Transformer) -> Callable:
  """Compiles `chunk(state, tokens_SBT) -> (state, stats_S)`: S steps in one.

  The state is donated. stats holds arrays over the S steps: `loss` (nats per
  token), `grad_norm` and `lr`, float32; `finite`, bool; and, if the settings
  have a penalty, `activation_penalty`, see `loss_and_penalty`.
  """
  tx, schedule = optimizer(c), learning_rate(c)
  micro = c.batch_size // (c.micro_batch or c.batch_size)
  # Names of the objective's parts, if it is a sum.
  names = ('loss', 'activation_penalty') if c.activation_penalty else ()

  def objective(model, tokens_BT):
    if not c.activation_penalty:
      return mean_loss(model, tokens_BT), {}
    loss, penalty = loss_and_penalty(model, tokens_BT)
    parts = {'loss': loss, 'activation_penalty': penalty}
    return loss + c.activation_penalty * penalty, parts

  def objective_and_grads(model, tokens_BT):
    grad = jax.value_and_grad(objective, has_aux=True)

    # Micro-batches keep the logits in cache on a CPU (2x there), and bound
    # their memory everywhere.
    def add(total, tokens_bT):
      return jax.tree.map(jnp.add, total, grad(model, tokens_bT)), None

    nothing = jnp.zeros(()), dict.fromkeys(names, jnp.zeros(()))
    zero = jax.tree.map(jnp.zeros_like, (nothing, model))
    total, _ = jax.lax.scan(add, zero, micro_batches(tokens_BT, micro))
    return jax.tree.map(lambda x: x / micro, total)

  def step(state, tokens_BT):
    (loss, parts), grads = objective_and_grads(
      state.model, constrain(tokens_BT, SPECS.tokens_BT)
    )
    grad_norm = optax.tree.norm(grads)
    with jax.numpy_dtype_promotion('standard'):  # optax mixes its counters in
      updates, opt_state = tx.update(grads, state.opt_state, state.model)
      lr = schedule(state.step)
    stats = {
      'loss': loss,
      'grad_norm': grad_norm,
      'lr': jnp.asarray(lr, jnp.float32),
      'finite': jnp.isfinite(loss) & jnp.isfinite(grad_norm),
    } | parts
    state = TrainState(
      step=state.step + 1,
      model=optax.apply_updates(state.model, updates),
      opt_state=opt_state,
    )
    return state, stats

  @jax.jit(donate_argnums=0)
  def chunk(state: TrainState, tokens_SBT: jax.Array):
    return jax.lax.scan(step, state, tokens_SBT)

  return chunk


@jax.jit
def total_loss(model: Transformer, tokens_BT: jax.Array) -> jax.Array:
  """Sum of the next-token losses of a batch, in nats."""
  logits_BTV, _ = model(tokens_BT)
  return next_token_loss(logits_BTV, tokens_BT).sum()


def patched_loss(
  model: Transformer,
  tokens_BT: jax.Array,
  patch: Callable[[jax.Array], jax.Array] | None,
) -> tuple[jax.Array, jax.Array]:
  """Sum of the losses with patched activations, and the site's activations."""
  logits_BTV, acts_BTA = model(tokens_BT, patch)
  return next_token_loss(logits_BTV, tokens_BT).sum(), acts_BTA
