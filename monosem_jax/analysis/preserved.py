"""How much of a transformer's loss survives reconstructing its activations.

This is the paper's loss recovered. The paper calls its baseline, zero ablation,
a poor one; a second baseline here replaces each activation by the mean over the
corpus. All figures are also given for each subset of the corpus, and with
intervals over groups of documents.
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

  A batch is (tokens_BT, subset_BT, group_BT), with the index of each token's
  subset and of its document's group. Statistics of an activation count for the
  subset and group of its own token; losses count for those of the predicted
  token.

  Args:
    reconstruct: `reconstruct(dictionary, x_NA, dot) -> (f_NF, recon_NA)`.
    dot: the matrix product.
    subsets: K, the number of subsets.
    groups: G, the number of groups.

  Returns:
    A step that adds up, see `features.moments.adding`:
    [K, G] of the numbers of `tokens` and of `predicted` tokens, of the losses
    `clean`, `zero` and `mean`, and of `x_squared`;
    sums of activations by subset, x_KA, and by group, x_GA;
    and for each dictionary [K, G] of `loss`, `kl`, `squared_error`, `active`
    and `l1_norm`.
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
      # By subset and by group, since both at once would be K x G x A numbers.
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
  """Computes the figures over all tokens and over each subset from the sums.

  `loss_recovered` is (zero - loss) / (zero - clean), and `loss_recovered_mean`
  has the loss of mean ablation in place of zero. `kl` is KL(clean || with the
  dictionary). `explained_variance` is about the mean of these tokens.

  Args:
    total: sums on the host.
    names: names of the subsets.
    interval: `interval(sums, statistic)`, see `intervals.over_groups`.

  Returns:
    The figures of each dictionary. Figures that cannot be computed are None, as
    without predicted tokens or if all tokens are alike.
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

  All are measured on the same tokens, so their difference varies far less over
  documents than each of them.

  Args:
    total, interval: as for `numbers`.
    main: name of the dictionary.

  Returns:
    For each other dictionary, the loss recovered of `main` minus its own. It is
    None if zero ablation does not increase the loss.
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
  'loss in 10% of the resamples or more'
)
# Sums that all dictionaries of a model share.
_CELLS = ('tokens', 'predicted', 'clean', 'zero', 'mean', 'x_squared')


def _recovered(s: Mapping, ablation: str) -> tuple[float | None, str]:
  if not s['predicted']:
    return None, 'the sample has no predicted token'
  ablated, clean, own = (
    s[key] / s['predicted'] for key in (ablation, 'clean', 'loss')
  )
  return evaluate.recovered(ablated, clean, own, ablation)


def _explained(s: Mapping) -> float | None:
  variance = s['x_squared'] - np.square(s['x_A']).sum() / s['tokens']
  # A variance below rounding error means that all tokens are alike.
  if not variance > 1e-6 * s['x_squared']:
    return None
  return float(1 - s['squared_error'] / variance)


def _ratio(s: Mapping, part: str, whole: str) -> float | None:
  return float(s[part] / s[whole]) if s[whole] else None


# The figures that have intervals, as functions of sums over groups or subsets.
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
