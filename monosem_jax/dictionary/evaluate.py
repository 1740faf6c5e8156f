"""Evaluates dictionaries on held-out text: reconstruction and loss."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.mesh import SPECS, constrain, f_spec, tokens_spec
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, decode, encode, rows_of


def make_sums(
  patched_loss: Callable[..., tuple[jax.Array, jax.Array]], dot: Dot
) -> Callable[[Any, Mapping[str, SAE], jax.Array], dict[str, Any]]:
  """Compiles `sums(lm, dictionaries, tokens_BT)`: one batch's contributions.

  Args:
    patched_loss: `patched_loss(lm, tokens_BT, patch) -> (loss, acts_BTA)`, the
      summed next-token loss with the activations patched.
    dot: the matrix product.

  Returns:
    A function that returns a dict of sums over the batch: shared sums, and each
    dictionary's own sums under its name.
  """

  @jax.jit
  def sums(
    lm: Any, dictionaries: Mapping[str, SAE], tokens_BT: jax.Array
  ) -> dict[str, Any]:
    tokens_BT = constrain(tokens_BT, tokens_spec(len(tokens_BT)))
    clean, acts_BTA = patched_loss(lm, tokens_BT, None)
    zeroed, _ = patched_loss(lm, tokens_BT, jnp.zeros_like)
    x_NA = rows_of(acts_BTA)
    x_NA = x_NA.astype(jnp.result_type(x_NA, jnp.float32))
    total: dict[str, Any] = {
      'clean': clean,
      'zeroed': zeroed,
      'x_A': x_NA.sum(0),
      'x_squared': jnp.square(x_NA).sum(),
    }
    for name, sae in dictionaries.items():

      def reconstruct(acts_BTA: jax.Array, sae: SAE = sae) -> jax.Array:
        x_NA = rows_of(acts_BTA)
        f_NF = constrain(encode(sae, x_NA, dot), f_spec(len(x_NA)))
        return decode(sae, f_NF, dot).reshape(acts_BTA.shape)

      f_NF = constrain(encode(sae, x_NA, dot), f_spec(len(x_NA)))
      error_NA = decode(sae, f_NF, dot) - x_NA
      total[name] = {
        'reconstructed': patched_loss(lm, tokens_BT, reconstruct)[0],
        'squared_error': jnp.square(error_NA).sum(),
        'l1_norm': f_NF.sum(),
        'fired_F': (f_NF > 0).sum(0, dtype=jnp.int32),
      }
    whole: dict[str, Any] = jax.tree.map(
      lambda x: constrain(x, SPECS.replicated), total
    )
    return whole

  return sums


def recovered(
  ablated: float, clean: float, reconstructed: float, ablation: str
) -> tuple[float | None, str]:
  """Returns the paper's loss recovered, (ablated - recon.) / (ablated - clean).

  It is a share of the loss that ablation adds. If ablation does not add loss,
  as can happen in a transformer with shuffled weights, the quotient would
  reward a reconstruction for doing harm, so the share is None.

  Args:
    ablated: loss with the activations ablated, nats.
    clean: loss of the unchanged transformer, nats.
    reconstructed: loss with the dictionary's reconstruction, nats.
    ablation: name of the ablation: zero, mean.

  Returns:
    The share and '', or None and the reason.
  """
  if not ablated > clean:
    return None, (
      f'{ablation} ablation does not raise the loss: {ablated:.4f} nats with '
      f'it, {clean:.4f} without'
    )
  return float((ablated - reconstructed) / (ablated - clean)), ''


def evaluate(
  sums: Callable[..., dict[str, Any]],
  lm: Any,
  dictionaries: Mapping[str, SAE],
  batches: Iterable[np.ndarray],
) -> dict[str, dict[str, Any]]:
  """Measures dictionaries of one model over batches of held-out contexts.

  Returns:
    For each dictionary, the numbers of report.json that do not depend on its
    training. Losses are nats per predicted token. `loss_recovered` and
    `loss_recovered_reason` come from `recovered`; `explained_variance` is about
    the mean; `mse` is the mean over tokens and elements; `silent` counts the
    features that never fired on this sample (`features.census` classifies
    features on more tokens). `fired_F` is an array of the number of tokens that
    each feature fired on.
  """
  total: Any = None
  tokens = predicted = 0
  for tokens_BT in batches:
    part = jax.tree.map(
      lambda x: np.asarray(x, np.float64), sums(lm, dictionaries, tokens_BT)
    )
    total = part if total is None else jax.tree.map(np.add, total, part)
    tokens += tokens_BT.size
    predicted += tokens_BT.shape[0] * (tokens_BT.shape[1] - 1)
  variance = total['x_squared'] - (total['x_A'] ** 2).sum() / tokens
  clean, zero = total['clean'] / predicted, total['zeroed'] / predicted
  results = {}
  for name, sae in dictionaries.items():
    own = total[name]
    reconstructed = own['reconstructed'] / predicted
    width = sae.b_dec_A.size
    share, why = recovered(zero, clean, reconstructed, 'zero')
    results[name] = {
      'l0': own['fired_F'].sum() / tokens,
      'l1_norm': own['l1_norm'] / tokens,
      'mse': own['squared_error'] / tokens / width,
      'explained_variance': 1 - own['squared_error'] / variance,
      'loss_clean': clean,
      'loss_zero_ablated': zero,
      'loss_reconstructed': reconstructed,
      'loss_recovered': share,
      'loss_recovered_reason': why,
      'sample_tokens': tokens,
      'silent': int((own['fired_F'] == 0).sum()),
    }
    results[name] = {
      k: float(v) if isinstance(v, np.floating) else v
      for k, v in results[name].items()
    } | {'fired_F': own['fired_F'].astype(np.int64)}
  return results
