"""A transformer on planted features: with a penalty, and with a dictionary.

With the default sizes the stronger the penalty, the fewer neurons fire and the
purer they are, about half of which rare firing alone explains. They come to be
of one feature only where most tokens are left to no neuron and the loss
is nearly that without an MLP. The dictionary of the transformer without a
penalty is as pure at a small part of that cost, with no token silent.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax import settings
from monosem_jax.analysis import figures, topics
from monosem_jax.dictionary import (
  init as dictionary_init,
  sae as sae_lib,
  state as states,
  train as dictionary_train,
)
from monosem_jax.dictionary.sae import SAE
from monosem_jax.files import write_arrays, write_tensors
from monosem_jax.stages import programs
from monosem_jax.transformer import train
from monosem_jax.transformer.model import Transformer, next_token_loss
from monosem_jax.transformer.weights import tensors

# Batches of a chunk of the dictionary's training.
_BATCHES = 64


def make(
  c: settings.Topics,
  seed: int,
  out: pathlib.Path,
  advance: Callable[[], Any],
) -> tuple[dict[str, Any], str]:
  """Trains one transformer at each penalty, and a dictionary on the first."""
  next_KM = topics.successors(c, seed)
  # A stream of the language for each purpose; the transformers share theirs.
  training, held_out, rows = (
    functools.partial(np.random.default_rng, [seed, i]) for i in (2, 3, 4)
  )
  tokens_BT = topics.draw(c, next_KM, c.eval_contexts, held_out())
  arrays = {'next_KM': next_KM, 'tokens_BT': tokens_BT}
  table, first = [], None
  for penalty in c.penalties:
    lm = _transformer(c, next_KM, penalty, seed, training())
    first = first or lm
    write_tensors(out / f'transformer_{len(table)}.safetensors', tensors(lm))
    found = _measure(c, next_KM, lm, None, tokens_BT, seed)
    arrays |= {f'{k}_{len(table)}': found.pop(k) for k in _ARRAYS}
    table.append({'of': 'neurons', 'penalty': penalty} | found)
    advance()
  sae = _dictionary(c, next_KM, first, seed, rows())
  write_tensors(out / 'dictionary.safetensors', dataclasses.asdict(sae))
  found = _measure(c, next_KM, first, sae, tokens_BT, seed)
  arrays |= {f'{k}_dictionary': found.pop(k) for k in _ARRAYS}
  table.append({'of': 'dictionary', 'penalty': c.penalties[0]} | found)
  advance()
  write_arrays(out / 'arrays.npz', arrays)
  _draw(c, table, out)
  return (
    {
      'topics': c.topics,
      'words': c.words,
      'neurons': c.d_mlp,
      'tokens': int(topics.pairs(c, tokens_BT).size),
      'entropy': topics.entropy(c),
      'table': table,
    },
    '; '.join(
      f'{_name(row)}: loss {row["loss"]:.3f}, purity {_text(row["purity"])}, '
      f'{row["silent"]:.0%} of tokens silent'
      for row in table
    ),
  )


# Of what is measured, what is no single number.
_ARRAYS = (
  *('live_J', 'purity_J', 'shuffled_J', 'pairs_J', 'acts_PJ', 'effect_J'),
)


def _transformer(
  c: settings.Topics,
  next_KM: np.ndarray,
  penalty: float,
  seed: int,
  rng: np.random.Generator,
) -> Transformer:
  s = settings.Transformer(
    d_model=c.d_model,
    d_mlp=c.d_mlp,
    n_heads=1,
    seed=seed,
    steps=c.steps,
    batch_size=c.batch_size,
    lr=c.lr,
    warmup_steps=c.steps // 15,
    activation_penalty=penalty,
    precision='float32',
  )
  state = train.init(
    s, vocab_size=topics.vocab_size(c), context=c.context, separator=0
  )
  tokens_NT = topics.draw(c, next_KM, c.steps * c.batch_size, rng)
  tokens_SBT = tokens_NT.reshape(c.steps, c.batch_size, c.context)
  state, _ = train.make_chunk(s)(state, jnp.asarray(tokens_SBT))
  return state.model


def _dictionary(
  c: settings.Topics,
  next_KM: np.ndarray,
  lm: Transformer,
  seed: int,
  rng: np.random.Generator,
) -> SAE:
  """The paper's recipe, without resampling, on all positions."""
  stream = settings.Stream(
    contexts_per_chunk=_BATCHES * c.dictionary_contexts,
    positions_per_context=c.context,
    shuffle_groups=1,
    micro_batches=1,
    batch_size=c.dictionary_contexts * c.context,
    steps=_BATCHES * c.chunks,
    seed=seed,
    precision='float32',
  )
  d = settings.Dictionary(
    features=c.features,
    l1=c.l1,
    lr=c.dictionary_lr,
    seed=seed,
    resampling=settings.Resampling(steps=()),
  )

  def contexts():
    tokens_CT = topics.draw(c, next_KM, stream.contexts_per_chunk, rng)
    return jnp.asarray(tokens_CT)

  x_NA = programs.forward(lm, contexts()).reshape(-1, c.d_mlp)
  fresh = dictionary_init.start(
    d, states.init(d, c.d_mlp), x_NA[: d.median_rows]
  )
  state = states.StreamState.of(jnp.int32(0), {'d': d}, {'d': fresh})
  chunk = dictionary_train.make_chunk(stream, {'d': d}, programs.forward)
  zero_C = jnp.zeros(stream.contexts_per_chunk, jnp.int32)
  for _ in range(c.chunks):
    state, _ = chunk(state, lm, contexts(), zero_C, zero_C)
  return state.dictionaries['d'].sae


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
  x_NA = acts_BTA[:, 1:-1].reshape(-1, acts_BTA.shape[-1])
  patch = None
  acts_NJ, rows_JA = x_NA, jnp.eye(x_NA.shape[1])
  if sae is not None:
    patch = lambda acts: sae_lib.decode(
      sae, sae_lib.encode(sae, acts.reshape(-1, acts.shape[-1]), lm.dot), lm.dot
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
  """A row of the table, and its arrays."""
  acts_NJ, effect_J, loss = jax.device_get(_look(lm, sae, tokens_BT))
  pair_N = topics.pairs(c, tokens_BT).ravel()
  found = topics.measure(next_KM, pair_N, acts_NJ, effect_J, seed)
  live_J = found['live_J']

  def middle(name: str) -> float | None:
    return float(np.median(found[name][live_J])) if live_J.any() else None

  return found | {
    'effect_J': effect_J,
    'loss': float(loss),
    'active': float(found['active']),
    'silent': float(found['silent']),
    'live': int(live_J.sum()),
    'purity': middle('purity_J'),
    'purity_shuffled': middle('shuffled_J'),
    'pairs': middle('pairs_J'),
  }


def _name(row: dict[str, Any]) -> str:
  if row['of'] == 'dictionary':
    return 'dictionary'
  return f'penalty {row["penalty"]:g}' if row['penalty'] else 'no penalty'


def _text(share: float | None) -> str:
  return 'of no unit' if share is None else f'{share:.2f}'


def _draw(
  c: settings.Topics, table: list[dict[str, Any]], out: pathlib.Path
) -> None:
  tokens = c.eval_contexts * (c.context - 2)
  what = (
    f'A one-layer transformer of {c.d_mlp} neurons on {c.topics} topics x '
    f'{c.words} words, trained at each penalty, and a dictionary of '
    f'{c.features} features on the one without; on {tokens:,} tokens. '
  )
  number = lambda key: np.array(
    [np.nan if row[key] is None else row[key] for row in table]
  )
  names = [_name(row) for row in table]
  figures.bars(
    out / 'purity.png',
    names,
    {
      'purity': number('purity'),
      '... of units dealt out at random': number('purity_shuffled'),
      'tokens at which no unit fires': number('silent'),
    },
    what + "Purity: the share of a unit's activation that lies on one topic, "
    'word or successor, median over live units.',
    'units',
    'share',
  )
  figures.scatter(
    out / 'loss.png',
    {
      kind: (number('loss')[own], number('purity')[own])
      for kind, own in (
        ('neurons', slice(None, -1)),
        ('features of the dictionary', slice(-1, None)),
      )
    },
    what + f'Who knows the language loses {topics.entropy(c):.3f}.',
    'loss (nats per word)',
    'purity, median over live units',
    names={'neurons': names[:-1], 'features of the dictionary': names[-1:]},
  )
