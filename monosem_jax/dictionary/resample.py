"""The paper's neuron resampling, inside the compiled chunk.

Dead features become candidates for inputs that the dictionary explains badly.
Chosen where the paper is silent: inputs are drawn without replacement (two dead
features on one input would stay the same feature), and see `Resampling` for the
loss that is squared and what the new decoder row is made of.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import place
from monosem_jax.dictionary.sae import SAE, unit_rows
from monosem_jax.dictionary.state import DictionaryState


def draw(key: jax.Array, loss_R: jax.Array, n: int) -> jax.Array:
  """Draws n distinct rows with p proportional to loss squared: pick_n.

  The Gumbel top-k trick: the n largest of log p + Gumbel noise are a sample
  without replacement. O(R), and the same on any number of devices.
  """
  log_p_R = 2 * jnp.log(loss_R)
  noise_R = jax.random.gumbel(key, loss_R.shape, loss_R.dtype)
  return jax.lax.top_k(log_p_R + noise_R, n)[1]


def on_inputs(
  c: settings.Resampling, sae: SAE, dead_F: jax.Array, x_FA: jax.Array
) -> SAE:
  """One feature on each input x_FA, by the paper.

  Decoder row: the input at norm 1. Encoder column: the same at `encoder_scale`
  times the mean encoder norm of the living. Encoder bias: 0.
  """
  if c.subtract == 'decoder_bias':
    x_FA = x_FA - sae.b_dec_A
  row_FA = unit_rows(x_FA)
  norm_F = jnp.linalg.norm(sae.W_enc_AF, axis=0)
  alive_F = ~dead_F
  # If all features are dead, average over all of them.
  mean_F = jnp.where(alive_F.any(), alive_F, True)
  mean = jnp.sum(norm_F, where=mean_F) / jnp.sum(mean_F, dtype=norm_F.dtype)
  return SAE(
    W_enc_AF=c.encoder_scale * mean * row_FA.T,
    b_enc_F=jnp.zeros_like(sae.b_enc_F),
    W_dec_FA=row_FA,
    b_dec_A=sae.b_dec_A,
  )


def replace(sae: SAE, new: SAE, dead_F: jax.Array) -> SAE:
  """Puts new features in the place of the dead; the living keep every bit."""
  return dataclasses.replace(
    sae,
    W_enc_AF=jnp.where(dead_F, new.W_enc_AF, sae.W_enc_AF),
    b_enc_F=jnp.where(dead_F, new.b_enc_F, sae.b_enc_F),
    W_dec_FA=jnp.where(dead_F[:, None], new.W_dec_FA, sae.W_dec_FA),
  )


def forget(
  tx: optax.GradientTransformation, opt_state: optax.OptState, dead_F: jax.Array
) -> optax.OptState:
  """Zeroes Adam's moments of exactly the entries that `replace` writes."""
  of_dead = SAE(
    W_enc_AF=dead_F,
    b_enc_F=dead_F,
    W_dec_FA=dead_F[:, None],
    b_dec_A=jnp.zeros((), bool),
  )
  return optax.tree.map_params(
    tx,
    lambda moment, dead: jnp.where(dead, jnp.zeros_like(moment), moment),
    opt_state,
    of_dead,
  )


def resample(
  c: settings.Dictionary,
  tx: optax.GradientTransformation,
  state: DictionaryState,
  loss_R: jax.Array,
  pick: Callable[[jax.Array], jax.Array],
  x_MNA: jax.Array,
  key: jax.Array,
  dot: Dot,
) -> tuple[DictionaryState, jax.Array]:
  """Re-draws the dead features of a dictionary.

  Args:
    c: settings.
    tx: the optimizer of `state.opt_state`.
    state: of the dictionary's training.
    loss_R: the loss of the candidate rows, R at least F.
    pick: gathers candidate rows by number, as x_FA, in the dictionary's scale.
    x_MNA: a batch of rows, in that scale, which tells how often a new feature
      fires.
    key: of the draw.
    dot: the matrix product.

  Returns:
    The state, with counters of dead features reset, and their number.
  """
  dead_F = state.silent_F >= c.resampling.window
  pick_F = draw(key, loss_R, dead_F.size)
  # The d-th dead feature takes the d-th input drawn.
  x_FA = pick(pick_F[jnp.cumsum(dead_F) - 1])
  sae = state.sae
  if c.resampling.placement == 'residual':
    residual_FA = place.residuals(sae, x_FA, x_MNA.shape[1], dot)
    new = place.on_residuals(sae.b_dec_A, residual_FA, x_MNA, c.fires_on, dot)
  else:
    new = on_inputs(c.resampling, sae, dead_F, x_FA)
  state = dataclasses.replace(
    state,
    sae=replace(sae, new, dead_F),
    opt_state=forget(tx, state.opt_state, dead_F),
    silent_F=jnp.where(dead_F, 0, state.silent_F),
  )
  return state, dead_F.sum(dtype=jnp.int32)
