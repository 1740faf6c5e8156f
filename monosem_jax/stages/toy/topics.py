"""A transformer on planted features: with a penalty, and with a dictionary.

Both methods try equally many penalties. One rule chooses the penalty of each on
separate text (`analysis.topics.choose`). The numbers state both budgets.

Results at the default sizes: a stronger penalty makes fewer units fire, and
they are purer. About half of that purity is due to rare firing alone. Neurons
become monosemantic only at penalties where most tokens activate no neuron, and
where the loss is nearly that without an MLP. At the chosen penalties, features
are purer than neurons (0.89 and 0.52) and leave fewer tokens silent (0% and
29%), at a higher loss (0.83 and 0.69 nats). Compared with randomly assigned
units, both gain equally: 0.26 (0.23 to 0.29) and 0.25 (0.22 to 0.27); mean and
range of 3 seeds.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import intervals, topics
from monosem_jax.config import settings
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.dictionary.sae import SAE, rows_of
from monosem_jax.run.files import write_arrays, write_file, write_tensors
from monosem_jax.stages.toy import models, topics_told
from monosem_jax.transformer.model import Transformer, next_token_loss
from monosem_jax.transformer.weights import tensors


@dataclasses.dataclass(frozen=True, eq=False)
class _Experiment:
  """Both methods at all their penalties, from one seed.

  Attributes:
    transformers: one per penalty.
    dictionaries: one per penalty, of the first transformer.
    table: a row per transformer and per dictionary.
    best: the chosen row of each method; None if no row qualifies.
    arrays: the measured arrays.
  """

  transformers: list[Transformer]
  dictionaries: list[SAE]
  table: list[dict[str, Any]]
  best: dict[str, int | None]
  arrays: dict[str, np.ndarray]


def make(
  c: settings.Topics,
  seed: int,
  out: pathlib.Path,
  advance: Callable[[], Any],
) -> tuple[dict[str, Any], str]:
  """Trains a transformer at each penalty, and dictionaries on the first one.

  This is repeated for several seeds, each with its own language. Files and
  pictures are those of the first seed.
  """
  first, *more = (_experiment(c, seed + n, advance) for n in range(c.seeds))
  for i, lm in enumerate(first.transformers):
    write_tensors(out / f'transformer_{i}.safetensors', tensors(lm))
  for i, sae in enumerate(first.dictionaries):
    write_tensors(out / f'dictionary_{i}.safetensors', dataclasses.asdict(sae))
  write_arrays(out / 'arrays.npz', first.arrays)
  topics_told.draw(c, first.table, out)
  write_file(out / 'table.md', topics_told.written(first.table).encode())
  numbers = {
    'topics': c.topics,
    'words': c.words,
    'neurons': c.d_mlp,
    'tokens': int(topics.pairs(c, first.arrays['tokens_BT']).size),
    'entropy': topics.entropy(c),
    'table': first.table,
    'seeds': _over_seeds([first, *more]),
    'budgets': _budgets(c, first.transformers[0], first.dictionaries[0]),
  }
  return numbers, topics_told.said(c, first.best, numbers)


def _experiment(
  c: settings.Topics, seed: int, advance: Callable[[], Any]
) -> _Experiment:
  next_KM = topics.successors(c, seed)
  # Each purpose has its own random stream; all transformers share one.
  training, held_out, rows, choice = (
    functools.partial(np.random.default_rng, [seed, i]) for i in (2, 3, 4, 5)
  )
  tokens_BT = topics.draw(c, next_KM, c.eval_contexts, held_out())
  arrays = {'next_KM': next_KM, 'tokens_BT': tokens_BT}
  transformers = []
  for penalty in c.penalties:
    lm = models.transformer(c, next_KM, penalty, seed, training())
    transformers.append(lm)
    advance()
  saes = models.dictionaries(c, next_KM, transformers[0], seed, rows())
  advance()
  made: list[tuple[dict[str, Any], Transformer, SAE | None]] = [
    ({'of': 'neurons', 'penalty': penalty}, lm, None)
    for penalty, lm in zip(c.penalties, transformers, strict=True)
  ] + [
    ({'of': 'dictionary', 'penalty': l1}, transformers[0], sae)
    for l1, sae in zip(c.l1s, saes, strict=True)
  ]
  choosing_BT = topics.draw(c, next_KM, c.eval_contexts, choice())
  table: list[dict[str, Any]] = []
  chosen: list[dict[str, Any]] = []
  for own, lm, sae in made:
    chosen.append(_measure(c, next_KM, lm, sae, choosing_BT, seed))
    found = _measure(c, next_KM, lm, sae, tokens_BT, seed)
    arrays |= {f'{k}_{len(table)}': found.pop(k) for k in _ARRAYS}
    table.append(own | found)
  for rows_ in (table, chosen):
    for row in rows_:
      row['kept'] = topics.kept(c, row['loss'], rows_[0]['loss'])
  first_of = {'neurons': 0, 'dictionary': len(c.penalties)}
  best: dict[str, int | None] = {}
  for kind, start in first_of.items():
    at = topics.choose(c, chosen[start:][: len(c.penalties)])
    best[kind] = None if at is None else start + at
  for i, row in enumerate(table):
    row['chosen'] = i in best.values()
    row |= {f'{k}_where_chosen': chosen[i][k] for k in ('purity_lead', 'kept')}
  return _Experiment(transformers, saes, table, best, arrays)


def _over_seeds(experiments: list[_Experiment]) -> dict[str, Any]:
  """Returns the chosen rows' numbers by seed; None if no row was chosen."""
  keys = (
    'penalty',
    'live',
    *(key for key, *_ in topics_told.COLUMNS if key != 'live'),
  )
  return {
    'n': len(experiments),
    **{
      kind: {
        key: [
          None if at is None else x.table[at][key]
          for x in experiments
          for at in [x.best[kind]]
        ]
        for key in keys
      }
      for kind in ('neurons', 'dictionary')
    },
  }


# The measurements that are arrays.
_ARRAYS = (
  *('live_J', 'purity_J', 'shuffled_J', 'pairs_J', 'acts_PJ', 'effect_J'),
)


def _budgets(c: settings.Topics, lm: Transformer, sae: SAE) -> dict[str, dict]:
  """Returns the budget of each method."""
  size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  read = c.steps * c.batch_size * c.context
  steps = models.BATCHES * c.chunks
  chosen_by = (
    'purity above that of units dealt out at random, medians over live units, '
    f'of those that keep {c.kept:.0%} of what the transformer without a '
    f'penalty has learned; on {c.eval_contexts:,} contexts of their own'
  )
  return {
    'neurons': {
      'units': c.d_mlp,
      'parameters': size(tensors(lm)),
      'steps': c.steps,
      'tokens': read,
      'penalties': list(c.penalties),
      'chosen_by': chosen_by,
    },
    'dictionary': {
      'units': c.features,
      'parameters': size(dataclasses.asdict(sae)),
      'steps': steps,
      'tokens': steps * c.dictionary_contexts * c.context,
      'tokens_of_its_transformer': read,
      'penalties': list(c.l1s),
      'chosen_by': chosen_by,
    },
  }


@jax.jit
def _look(
  lm: Transformer, sae: SAE | None, tokens_BT: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """What the units do: acts_NJ, effect_J (see `topics.measure`), the loss.

  The units are the neurons, or the features of a dictionary, whose
  reconstruction then stands in for the neurons. Tokens and losses are those of
  words that another follows.
  """
  x_BTD, acts_BTA = lm.residual(tokens_BT)
  x_NA = rows_of(acts_BTA[:, 1:-1])
  patch = None
  acts_NJ, rows_JA = x_NA, jnp.eye(x_NA.shape[1])
  if sae is not None:
    patch = lambda acts: sae_lib.decode(
      sae, sae_lib.encode(sae, rows_of(acts), lm.dot), lm.dot
    ).reshape(acts.shape)
    acts_NJ, rows_JA = sae_lib.encode(sae, x_NA, lm.dot), sae.W_dec_FA
  logits_BTV, _ = lm(tokens_BT, patch)
  weights_JV = lm.logit_weights(rows_JA)
  weights_JV = weights_JV - weights_JV.mean(1, keepdims=True)
  effect_J = jnp.abs(weights_JV).max(1) / x_BTD[:, 1:-1].std(-1).mean()
  return acts_NJ, effect_J, next_token_loss(logits_BTV, tokens_BT)[:, 1:].mean()


def _measure(
  c: settings.Topics,
  next_KM: np.ndarray,
  lm: Transformer,
  sae: SAE | None,
  tokens_BT: np.ndarray,
  seed: int,
) -> dict[str, Any]:
  """Returns a row of the table, and its arrays."""
  acts_NJ, effect_J, loss = jax.device_get(_look(lm, sae, tokens_BT))
  pair_N = topics.pairs(c, tokens_BT).ravel()
  found = topics.measure(next_KM, pair_N, acts_NJ, effect_J, seed)
  live_J = found['live_J']

  def middle(x_J: np.ndarray) -> float | None:
    return float(np.median(x_J[live_J])) if live_J.any() else None

  lead_J = found['purity_J'] - found['shuffled_J']
  return found | {
    'effect_J': effect_J,
    'loss': float(loss),
    'active': float(found['active']),
    'silent': float(found['silent']),
    'live': int(live_J.sum()),
    'purity': middle(found['purity_J']),
    'purity_interval': intervals.of(found['purity_J']),
    'purity_shuffled': middle(found['shuffled_J']),
    'purity_lead': middle(lead_J),
    'purity_lead_interval': intervals.of(lead_J),
    'pairs': middle(found['pairs_J']),
  }
