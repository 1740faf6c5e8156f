"""What is left of a transformer that sees its activations through a dictionary.

As the paper's loss recovered, with a second baseline beside the zero ablation
that it calls a poor one: the mean over the corpus in place of each activation.
All of it for every subset of the corpus, too.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.dictionary.sae import decode, encode
from monosem_jax.features.moments import adding
from monosem_jax.precision import Dot


def make_step(dot: Dot, subsets: int) -> Callable:
  """Compiles `step(sums, (lm, mean_A, dictionaries), batch) -> sums`.

  A batch is (tokens_BT, subset_BT), the number of each token's subset. What
  follows from the activation of a token counts for its own subset, what is lost
  in the prediction of a token for that of the token predicted.

  Returns:
    See `features.moments.adding`; by subset, sums [K] of `tokens` and
    `predicted` (how many), of the losses `clean`, `zero` and `mean`, x_KA and
    x_squared; and for each dictionary of `loss`, `kl`, `squared_error`,
    `active` and `l1_norm`.
  """

  def of(args, batch):
    lm, mean_A, dictionaries = args
    tokens_BT, subset_BT = batch
    next_BT = tokens_BT[:, 1:]
    own_N, next_N = subset_BT.reshape(-1), subset_BT[:, 1:].reshape(-1)

    def by(subset_N, value_N):
      value_N = value_N.reshape(subset_N.size, *value_N.shape[2:])
      return jax.ops.segment_sum(value_N, subset_N, subsets)

    def log_p(patch):
      logits_BTV, acts_BTA = lm(tokens_BT, patch)
      return jax.nn.log_softmax(logits_BTV[:, :-1]), acts_BTA

    def loss(log_p_BTV):
      own_BT1 = jnp.take_along_axis(log_p_BTV, next_BT[..., None], -1)
      return -own_BT1[..., 0]

    clean_BTV, acts_BTA = log_p(None)
    to_mean = lambda x: jnp.broadcast_to(mean_A.astype(x.dtype), x.shape)
    x_BTA = acts_BTA.astype(mean_A.dtype)
    ones = jnp.ones(tokens_BT.shape, x_BTA.dtype)
    total = {
      'tokens': by(own_N, ones),
      'predicted': by(next_N, ones[:, 1:]),
      'clean': by(next_N, loss(clean_BTV)),
      'zero': by(next_N, loss(log_p(jnp.zeros_like)[0])),
      'mean': by(next_N, loss(log_p(to_mean)[0])),
      'x_KA': by(own_N, x_BTA),
      'x_squared': by(own_N, jnp.square(x_BTA).sum(-1)),
      'dictionaries': {},
    }
    for name, sae in dictionaries.items():
      f_NF = encode(sae, x_BTA.reshape(own_N.size, -1), dot)
      recon_BTA = decode(sae, f_NF, dot).reshape(x_BTA.shape)
      as_read = recon_BTA.astype(acts_BTA.dtype)
      log_p_BTV, _ = log_p(lambda _, as_read=as_read: as_read)
      kl_BT = (jnp.exp(clean_BTV) * (clean_BTV - log_p_BTV)).sum(-1)
      total['dictionaries'][name] = {
        'loss': by(next_N, loss(log_p_BTV)),
        'kl': by(next_N, kl_BT),
        'squared_error': by(own_N, jnp.square(recon_BTA - x_BTA).sum(-1)),
        'active': by(own_N, (f_NF > 0).sum(1).reshape(subset_BT.shape)),
        'l1_norm': by(own_N, f_NF.sum(1).reshape(subset_BT.shape)),
      }
    return total

  return adding(of)


def numbers(total, names: list[str]) -> dict[str, dict]:
  """What the sums of a stream say, of all tokens and of each subset.

  Args:
    total: sums on the host.
    names: of the subsets.

  Returns:
    By dictionary: `loss_recovered` = (zero - loss) / (zero - clean), and
    `loss_recovered_mean` with the mean in place of zero; `kl`, of the clean
    predictions from those with the dictionary, nats; `explained_variance`,
    about the mean of the tokens looked at; `l0`; `l1_norm`; the losses, nats
    per token; `tokens`; and `subsets`, the same by name. None where nothing
    can be divided by: a subset without tokens, a loss that ablation leaves as
    it is.
  """
  found = {}
  for name in total['dictionaries']:
    whole = jax.tree.map(lambda x_K: x_K.sum(0, keepdims=True), total)
    found[name] = _of_subset(whole, name, 0)
    found[name]['subsets'] = {
      subset: _of_subset(total, name, k)
      for k, subset in enumerate(names)
      if total['tokens'][k]
    }
  return found


def _of_subset(total: Mapping, name: str, k: int) -> dict[str, float | None]:
  own = {key: x_K[k] for key, x_K in total['dictionaries'][name].items()}
  tokens, predicted = total['tokens'][k], total['predicted'][k]
  losses = {
    key: _ratio(x, predicted)
    for key, x in (
      *((key, total[key][k]) for key in ('clean', 'zero', 'mean')),
      ('reconstructed', own['loss']),
    )
  }
  variance = total['x_squared'][k] - np.square(total['x_KA'][k]).sum() / tokens
  # Below rounding it is that of tokens that are all alike.
  variance = variance if variance > 1e-6 * total['x_squared'][k] else 0
  unexplained = _ratio(own['squared_error'], variance)

  def recovered(baseline: str) -> float | None:
    if not predicted:
      return None
    worst = losses[baseline]
    return _ratio(worst - losses['reconstructed'], worst - losses['clean'])

  return {
    'tokens': int(tokens),
    'loss_recovered': recovered('zero'),
    'loss_recovered_mean': recovered('mean'),
    'kl': _ratio(own['kl'], predicted),
    'explained_variance': None if unexplained is None else 1 - unexplained,
    'l0': _ratio(own['active'], tokens),
    'l1_norm': _ratio(own['l1_norm'], tokens),
    **{f'loss_{key}': x for key, x in losses.items()},
  }


def _ratio(part: float, whole: float) -> float | None:
  return float(part / whole) if whole else None
