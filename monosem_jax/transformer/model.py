"""The transformer: maps tokens to logits and the activations to decompose."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot, compute_dtype

_ACTIVATIONS = {'relu': jax.nn.relu, 'gelu': jax.nn.gelu}


def _normal(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> nnx.Param:
  return nnx.Param(std * jax.random.normal(rngs.params(), shape))


class LayerNorm(nnx.Module):
  """x minus its mean, over its standard deviation, times w plus b."""

  def __init__(self, width: int):
    self.w_D = nnx.Param(jnp.ones(width))
    self.b_D = nnx.Param(jnp.zeros(width))

  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    x_BTD = x_BTD - x_BTD.mean(-1, keepdims=True)
    var = jnp.square(x_BTD).mean(-1, keepdims=True)
    return x_BTD * jax.lax.rsqrt(var + 1e-5) * self.w_D[...] + self.b_D[...]


class Attention(nnx.Module):
  """Causal self-attention, by default within a document."""

  def __init__(self, c: settings.Transformer, rngs: nnx.Rngs, dot: Dot):
    d, h = c.d_model, c.n_heads
    k = d // h
    self.W_Q_DHK = _normal(rngs, (d, h, k), d**-0.5)
    self.W_K_DHK = _normal(rngs, (d, h, k), d**-0.5)
    self.W_V_DHK = _normal(rngs, (d, h, k), d**-0.5)
    self.W_O_HKD = _normal(rngs, (h, k, d), (2 * c.n_layers * d) ** -0.5)
    self.b_O_D = nnx.Param(jnp.zeros(d))
    self.dot = dot

  def __call__(self, x_BTD: jax.Array, mask_B1TT: jax.Array) -> jax.Array:
    dot = self.dot
    q_BTHK, k_BTHK, v_BTHK = (
      dot('btd,dhk->bthk', x_BTD, W[...])
      for W in (self.W_Q_DHK, self.W_K_DHK, self.W_V_DHK)
    )
    scores_BHTT = dot('bthk,bshk->bhts', q_BTHK, k_BTHK)
    scores_BHTT = scores_BHTT * q_BTHK.shape[-1] ** -0.5
    p_BHTT = jax.nn.softmax(jnp.where(mask_B1TT, scores_BHTT, -jnp.inf))
    z_BTHK = dot('bhts,bshk->bthk', p_BHTT, v_BTHK)
    return dot('bthk,hkd->btd', z_BTHK, self.W_O_HKD[...]) + self.b_O_D[...]


class MLP(nnx.Module):
  """Two matrices with a non-linearity between, whose output is decomposed."""

  def __init__(self, c: settings.Transformer, rngs: nnx.Rngs, dot: Dot):
    d, a = c.d_model, c.d_mlp
    self.W_in_DA = _normal(rngs, (d, a), d**-0.5)
    self.b_in_A = nnx.Param(jnp.zeros(a))
    self.W_out_AD = _normal(rngs, (a, d), (2 * c.n_layers * a) ** -0.5)
    self.b_out_D = nnx.Param(jnp.zeros(d))
    self.dot = dot
    self.act = _ACTIVATIONS[c.activation]

  def hidden(self, x_BTD: jax.Array) -> jax.Array:
    pre_BTA = self.dot('btd,da->bta', x_BTD, self.W_in_DA[...])
    return self.act(pre_BTA + self.b_in_A[...])

  def out(self, acts_BTA: jax.Array) -> jax.Array:
    out_BTD = self.dot('bta,ad->btd', acts_BTA, self.W_out_AD[...])
    return out_BTD + self.b_out_D[...]


class Block(nnx.Module):
  """Attention, then MLP, each after a layer norm and added to the residual."""

  def __init__(self, c: settings.Transformer, rngs: nnx.Rngs, dot: Dot):
    self.ln1 = LayerNorm(c.d_model)
    self.attn = Attention(c, rngs, dot)
    self.ln2 = LayerNorm(c.d_model)
    self.mlp = MLP(c, rngs, dot)


class Transformer(nnx.Module):
  """A decoder-only transformer.

  `precision` of the settings is the dtype of matrix products; weights, norms,
  residual stream and logits are float32.
  """

  def __init__(
    self,
    c: settings.Transformer,
    *,
    vocab_size: int,
    context: int,
    separator: int,
    rngs: nnx.Rngs,
  ):
    dot = Dot(compute_dtype(c.precision))
    self.W_E_VD = _normal(rngs, (vocab_size, c.d_model), 0.02)
    self.W_pos_TD = _normal(rngs, (context, c.d_model), 0.02)
    self.blocks = nnx.List([Block(c, rngs, dot) for _ in range(c.n_layers)])
    self.ln_f = LayerNorm(c.d_model)
    self.W_U_DV = _normal(rngs, (c.d_model, vocab_size), c.d_model**-0.5)
    self.dot = dot
    self.separator = separator
    self.site = (c.site, c.site_layer)
    self.attend_across_documents = c.attend_across_documents

  def __call__(
    self,
    tokens_BT: jax.Array,
    patch: Callable[[jax.Array], jax.Array] | None = None,
  ) -> tuple[jax.Array, jax.Array]:
    """Runs the whole pass.

    Args:
      tokens_BT: int32 token ids, T at most the context length.
      patch: maps the activations of the decomposition site to those that the
        rest of the pass uses.

    Returns:
      logits_BTV, float32, and the site's activations acts_BTA before the patch.
    """
    x_BTD, acts_BTA = self.residual(tokens_BT, patch)
    return self.unembed(x_BTD), acts_BTA

  def residual(
    self,
    tokens_BT: jax.Array,
    patch: Callable[[jax.Array], jax.Array] | None = None,
  ) -> tuple[jax.Array, jax.Array]:
    """Runs the pass up to the final norm; returns x_BTD and acts_BTA."""
    x_BTD = self.W_E_VD[...][tokens_BT] + self.W_pos_TD[: tokens_BT.shape[1]]
    mask_B1TT = self._mask(tokens_BT)
    acts_BTA: jax.Array | None = None
    for layer, block in enumerate(self.blocks):
      x_BTD = x_BTD + block.attn(block.ln1(x_BTD), mask_B1TT)
      hidden_BTA = block.mlp.hidden(block.ln2(x_BTD))
      if self.site == ('mlp', layer):
        acts_BTA = hidden_BTA
        hidden_BTA = patch(hidden_BTA) if patch else hidden_BTA
      x_BTD = x_BTD + block.mlp.out(hidden_BTA)
      if self.site == ('resid', layer):
        acts_BTA = x_BTD
        x_BTD = patch(x_BTD) if patch else x_BTD
    assert acts_BTA is not None, 'the settings name no layer of the model'
    return x_BTD, acts_BTA

  def unembed(self, x_BTD: jax.Array) -> jax.Array:
    """Applies the final norm and W_U to the residual stream."""
    return self.dot('btd,dv->btv', self.ln_f(x_BTD), self.W_U_DV[...])

  @property
  def site_is_last(self) -> bool:
    """Whether no attention follows the site."""
    return self.site[1] == len(self.blocks) - 1

  def into_stream(self, rows_FA: jax.Array) -> jax.Array:
    """Maps directions at the site to the residual stream: rows_FD."""
    kind, layer = self.site
    if kind == 'resid':
      return rows_FA
    return self.dot('fa,ad->fd', rows_FA, self.blocks[layer].mlp.W_out_AD[...])

  def logit_weights(self, rows_FA: jax.Array) -> jax.Array:
    """Returns directions' effect on the logits by the direct path: v_FV.

    It is rows W_out, minus the mean over the stream, times the final norm's
    gain, times W_U, as in the paper. The norm's division by the standard
    deviation is left out, since it scales all logits of a token alike. Layers
    after the site are skipped.
    """
    return self.dot('fd,dv->fv', self.read_out(rows_FA), self.W_U_DV[...])

  def read_out(self, rows_FA: jax.Array) -> jax.Array:
    """Maps directions at the site to the input of W_U: rows_FD."""
    rows_FD = self.into_stream(rows_FA)
    rows_FD = rows_FD - rows_FD.mean(-1, keepdims=True)
    return rows_FD * self.ln_f.w_D[...]

  def _mask(self, tokens_BT: jax.Array) -> jax.Array:
    T = tokens_BT.shape[1]
    causal_TT = jnp.tril(jnp.ones((T, T), bool))
    if self.attend_across_documents:
      return causal_TT[None, None]
    # A separator opens the document after it, whose tokens may attend to it.
    document_BT = jnp.cumsum(tokens_BT == self.separator, axis=1)
    same_BTT = document_BT[:, :, None] == document_BT[:, None, :]
    return (causal_TT & same_BTT)[:, None]


def next_token_loss(logits_BTV: jax.Array, tokens_BT: jax.Array) -> jax.Array:
  """Returns the loss of each token except the first, in nats: [B, T - 1].

  The losses of all positions are computed and the last is dropped, since
  slicing the logits first would copy them.
  """
  return _cross_entropy(logits_BTV, jnp.roll(tokens_BT, -1, axis=1))[:, :-1]


@jax.custom_vjp
def _cross_entropy(logits_BTV: jax.Array, tokens_BT: jax.Array) -> jax.Array:
  """Returns -log p of a token at each position, with a custom gradient.

  The gradient takes one pass over the logits; jax's gradient of the look-up
  would write zeros and scatter into them.
  """
  return _cross_entropy_fwd(logits_BTV, tokens_BT)[0]


def _cross_entropy_fwd(logits_BTV, tokens_BT):
  log_sum_BT1 = jax.nn.logsumexp(logits_BTV, axis=-1, keepdims=True)
  own_BT1 = jnp.take_along_axis(logits_BTV, tokens_BT[..., None], axis=-1)
  loss_BT = (log_sum_BT1 - own_BT1)[..., 0]
  return loss_BT, (logits_BTV, log_sum_BT1, tokens_BT)


def _cross_entropy_bwd(kept, g_BT):
  logits_BTV, log_sum_BT1, tokens_BT = kept
  g_BT1 = g_BT[..., None]
  all_BTV = g_BT1 * jnp.exp(logits_BTV - log_sum_BT1)
  own_BTV = tokens_BT[..., None] == jnp.arange(logits_BTV.shape[-1])
  return jnp.where(own_BTV, all_BTV - g_BT1, all_BTV), None


_cross_entropy.defvjp(_cross_entropy_fwd, _cross_entropy_bwd)
