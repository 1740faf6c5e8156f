"""What is left of a transformer that sees its activations through a dictionary.

As the paper's loss recovered, with a second baseline beside the zero ablation
that it calls a poor one: the mean over the corpus in place of each activation.
All of it for every subset of the corpus, too, and with intervals over groups of
documents.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis.results.preserved import Figures, Margin, Measured
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import evaluate
from monosem_jax.features.moments import adding


def make_step(
  reconstruct: Callable, dot: Dot, subsets: int, groups: int
) -> Callable:
  """Compiles `step(sums, (lm, mean_A, dictionaries), batch) -> sums`.

  A batch is (tokens_BT, subset_BT, group_BT), the numbers of each token's
  subset and of its document's group. What follows from the activation of a
  token counts for its own subset and group, what is lost in the prediction of a
  token for those of the token predicted.

  Args:
    reconstruct: `reconstruct(dictionary, x_NA, dot) -> (f_NF, recon_NA)`.
    dot: the matrix product.
    subsets: how many, K.
    groups: how many, G.

  Returns:
    See `features.moments.adding`; sums [K, G] of `tokens` and `predicted` (how
    many), of the losses `clean`, `zero` and `mean`, and of x_squared; x_KA and
    x_GA; and for each dictionary [K, G] of `loss`, `kl`, `squared_error`,
    `active` and `l1_norm`.
  """

  def of(args, batch):
    lm, mean_A, dictionaries = args
    tokens_BT, subset_BT, group_BT = batch
    next_BT = tokens_BT[:, 1:]
    cell_BT = subset_BT * groups + group_BT

    def by_own(value_N):
      found = jax.ops.segment_sum(
        value_N.reshape(-1), cell_BT.reshape(-1), subsets * groups
      )
      return found.reshape(subsets, groups)

    def by_next(value_BT):
      found = jax.ops.segment_sum(
        value_BT.reshape(-1), cell_BT[:, 1:].reshape(-1), subsets * groups
      )
      return found.reshape(subsets, groups)

    def log_p(patch):
      logits_BTV, acts_BTA = lm(tokens_BT, patch)
      return jax.nn.log_softmax(logits_BTV[:, :-1]), acts_BTA

    def loss(log_p_BTV):
      own_BT1 = jnp.take_along_axis(log_p_BTV, next_BT[..., None], -1)
      return -own_BT1[..., 0]

    clean_BTV, acts_BTA = log_p(None)
    to_mean = lambda x: jnp.broadcast_to(mean_A.astype(x.dtype), x.shape)
    x_NA = acts_BTA.astype(mean_A.dtype).reshape(-1, mean_A.size)
    ones_BT = jnp.ones(tokens_BT.shape, x_NA.dtype)
    total = {
      'tokens': by_own(ones_BT),
      'predicted': by_next(ones_BT[:, 1:]),
      'clean': by_next(loss(clean_BTV)),
      'zero': by_next(loss(log_p(jnp.zeros_like)[0])),
      'mean': by_next(loss(log_p(to_mean)[0])),
      'x_squared': by_own(jnp.square(x_NA).sum(-1)),
      # Not of every pair of the two: that would be K x G x A numbers.
      'x_KA': jax.ops.segment_sum(x_NA, subset_BT.reshape(-1), subsets),
      'x_GA': jax.ops.segment_sum(x_NA, group_BT.reshape(-1), groups),
      'dictionaries': {},
    }
    for name, dictionary in dictionaries.items():
      f_NF, recon_NA = reconstruct(dictionary, x_NA, dot)
      as_read = recon_NA.reshape(acts_BTA.shape).astype(acts_BTA.dtype)
      log_p_BTV, _ = log_p(lambda _, as_read=as_read: as_read)
      kl_BT = (jnp.exp(clean_BTV) * (clean_BTV - log_p_BTV)).sum(-1)
      total['dictionaries'][name] = {
        'loss': by_next(loss(log_p_BTV)),
        'kl': by_next(kl_BT),
        'squared_error': by_own(jnp.square(recon_NA - x_NA).sum(-1)),
        'active': by_own((f_NF != 0).sum(1)),
        'l1_norm': by_own(jnp.abs(f_NF).sum(1)),
      }
    return total

  return adding(of)


def numbers(
  total: Mapping, names: list[str], interval: Callable
) -> dict[str, Measured]:
  """What the sums of a stream say, of all tokens and of each subset.

  Args:
    total: sums on the host.
    names: of the subsets.
    interval: `interval(sums, statistic)`, see `intervals.over_groups`.

  Returns:
    By dictionary: `loss_recovered` = (zero - loss) / (zero - clean), and
    `loss_recovered_mean` with the mean in place of zero; `kl`, of the clean
    predictions from those with the dictionary, nats; `explained_variance`,
    about the mean of the tokens looked at; `l0`; `l1_norm`, the mean of the
    sum of |f|; the losses, nats per token; `tokens`; `groups`, how many groups
    of documents they are of. Beside the first five, `<name>_interval`: the
    ends [low, high] of the interval over these. And `subsets`, the same by name
    without intervals.

    None where there is no such figure: a subset without tokens, tokens that are
    all alike. Beside loss recovered `<name>_reason` says why it is None, or its
    interval; otherwise ''.
  """
  found = {}
  cells = {key: total[key] for key in _CELLS}
  there_G = total['tokens'].sum(0) > 0
  for name, own in total['dictionaries'].items():
    mine = cells | own
    groups = {key: x_KG.sum(0)[there_G] for key, x_KG in mine.items()}
    groups['x_A'] = total['x_GA'][there_G]
    subsets = {key: x_KG.sum(1) for key, x_KG in mine.items()}
    subsets['x_A'] = total['x_KA']
    whole = _numbers({key: x.sum(0) for key, x in groups.items()})
    ends = {key: interval(groups, figure) for key, figure in _FIGURES.items()}
    lacking: dict[str, Any] = {
      reason: getattr(whole, reason) or _NO_INTERVAL
      for key, reason in (
        ('loss_recovered', 'loss_recovered_reason'),
        ('loss_recovered_mean', 'loss_recovered_mean_reason'),
      )
      if ends[key] is None
    }
    found[name] = Measured(
      whole=dataclasses.replace(whole, **lacking),
      **{f'{key}_interval': own for key, own in ends.items()},
      groups=int(there_G.sum()),
      subsets={
        subset: _numbers({key: x[k] for key, x in subsets.items()})
        for k, subset in enumerate(names)
        if total['tokens'][k].sum()
      },
    )
  return found


def margins(total: Mapping, main: str, interval: Callable) -> dict[str, Margin]:
  """How much more of the loss one dictionary recovers than the others do.

  All are measured on the same tokens: a difference varies far less over
  documents than what it is the difference of.

  Args:
    total, interval: see `numbers`.
    main: the one.

  Returns:
    By each of the others: `margin`, the loss recovered of `main` minus its own,
    and `margin_interval`. None where zero ablation does not raise the loss.
  """
  kept = {key: total[key].sum(0) for key in ('tokens', 'zero', 'clean')}
  own = {name: x['loss'].sum(0) for name, x in total['dictionaries'].items()}
  there_G = kept.pop('tokens') > 0

  def margin(s: Mapping) -> float | None:
    harm = s['zero'] - s['clean']
    return float((s['loss'] - s['main']) / harm) if harm > 0 else None

  found = {}
  for name in own.keys() - {main}:
    sums = kept | {'loss': own[name], 'main': own[main]}
    groups = {key: x_G[there_G] for key, x_G in sums.items()}
    found[name] = Margin(
      margin({key: x.sum() for key, x in groups.items()}),
      interval(groups, margin),
    )
  return found


_NO_INTERVAL = (
  'no interval: too few groups of documents, or ablation does not raise the '
  'loss in one resample of ten or more'
)
# The sums that all dictionaries of a model share.
_CELLS = ('tokens', 'predicted', 'clean', 'zero', 'mean', 'x_squared')


def _recovered(s: Mapping, ablation: str) -> tuple[float | None, str]:
  if not s['predicted']:
    return None, 'no token is predicted'
  ablated, clean, own = (
    s[key] / s['predicted'] for key in (ablation, 'clean', 'loss')
  )
  return evaluate.recovered(ablated, clean, own, ablation)


def _explained(s: Mapping) -> float | None:
  variance = s['x_squared'] - np.square(s['x_A']).sum() / s['tokens']
  # Below rounding it is that of tokens that are all alike.
  if not variance > 1e-6 * s['x_squared']:
    return None
  return float(1 - s['squared_error'] / variance)


def _ratio(s: Mapping, part: str, whole: str) -> float | None:
  return float(s[part] / s[whole]) if s[whole] else None


# Of sums over groups or subsets, the figures that have intervals.
_FIGURES = {
  'loss_recovered': lambda s: _recovered(s, 'zero')[0],
  'loss_recovered_mean': lambda s: _recovered(s, 'mean')[0],
  'kl': lambda s: _ratio(s, 'kl', 'predicted'),
  'explained_variance': _explained,
  'l0': lambda s: _ratio(s, 'active', 'tokens'),
}


def _numbers(s: Mapping) -> Figures:
  return Figures(
    tokens=int(s['tokens']),
    **{key: figure(s) for key, figure in _FIGURES.items()},
    loss_recovered_reason=_recovered(s, 'zero')[1],
    loss_recovered_mean_reason=_recovered(s, 'mean')[1],
    l1_norm=_ratio(s, 'l1_norm', 'tokens'),
    loss_clean=_ratio(s, 'clean', 'predicted'),
    loss_zero=_ratio(s, 'zero', 'predicted'),
    loss_mean=_ratio(s, 'mean', 'predicted'),
    loss_reconstructed=_ratio(s, 'loss', 'predicted'),
  )
