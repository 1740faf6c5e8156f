"""What the analyses of the made-up features leave, as far as pages read it."""

import dataclasses
import functools
import json
import pathlib
import types
import typing
from typing import Any

import numpy as np
from made_up import (
  FEATURES,
  HOSTILE,
  SUBSETS,
  TOKENS,
  T,
  V,
)

from monosem_jax.analysis.results import arrays
from monosem_jax.analysis.results.automata import (
  Automata,
  FamilyCount,
  Followed,
  Named,
)
from monosem_jax.analysis.results.features import ExampleTexts, Text
from monosem_jax.analysis.results.geometry import Geometry
from monosem_jax.analysis.results.numbers import to_json
from monosem_jax.analysis.results.splitting import Splitting, Step, Summary
from monosem_jax.analysis.results.universality import (
  Comparison,
  Listed,
  Universality,
)

# What lies in the folder of an analysis, or in one file of it.
_KINDS = {
  'texts/texts': arrays.Texts,
  'texts': arrays.ActiveFeatures,
  'geometry': arrays.Layout,
  'splitting': arrays.Splits,
  'universality/twins': arrays.Twins,
  'universality/pairs': arrays.Pairs,
  'automata': arrays.Successors,
}


def leave(root: pathlib.Path, name: str, **columns: Any) -> None:
  """Writes the arrays of an analysis; those that are not given are empty."""
  columns = {k: np.asarray(x) for k, x in columns.items()}
  kind = _KINDS.get(name) or _KINDS[name.partition('/')[0]]
  fields = dataclasses.fields(kind)
  assert set(columns) <= {f.name for f in fields}
  empty = {
    f.name: np.zeros(0)
    for f in fields
    if f.default is dataclasses.MISSING and f.name not in columns
  }
  kind(**columns, **empty).save(root / f'{name}.npz')


def blank(kind: type, **fields: Any) -> Any:
  """Numbers of an analysis, of which some are given; the others are empty."""
  hints = typing.get_type_hints(kind)
  assert set(fields) <= set(hints)
  return kind(**{k: _empty(hint) for k, hint in hints.items()} | fields)


def _empty(hint: Any) -> Any:
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    members = typing.get_args(hint)
    return None if types.NoneType in members else _empty(members[0])
  if dataclasses.is_dataclass(hint):
    return blank(hint)
  if typing.get_origin(hint) is tuple:
    return tuple(map(_empty, typing.get_args(hint)))
  return (typing.get_origin(hint) or hint)()


def analysis(root: pathlib.Path, keys: list[str]) -> pathlib.Path:
  """What the analyses leave, as far as the page reads it."""
  rng = np.random.default_rng(2)
  F = FEATURES
  put = functools.partial(leave, root)
  X, L = 3, 4
  text = functools.partial(
    Text, origin='/home/me/secret.txt', offset=0, whole=True
  )
  blank(
    ExampleTexts,
    texts=[text(context=x, subset=SUBSETS[x], document=x) for x in range(X)],
  ).save(root / 'texts')
  put('texts/texts', tokens_XT=rng.integers(0, V, (X, T)))
  for key in keys:
    feature_XTL = rng.integers(-1, F, (X, T, L))
    feature_XTL[..., 1:][feature_XTL[..., :1].repeat(L - 1, -1) < 0] = -1
    put(
      f'texts/{key}',
      loss_XT=rng.random((X, T)).astype(np.float32) * 5,
      feature_XTL=feature_XTL,
      activation_XTL=np.sort(rng.random((X, T, L)), -1)[..., ::-1],
      attribution_XTL=rng.normal(size=(X, T, L)),
      active_XT=(feature_XTL >= 0).sum(-1),
    )
    index = [rng.integers(0, F, (F, 5)).astype(np.int32) for _ in keys]
    cosine = [np.sort(rng.random((F, 5)))[:, ::-1] for _ in keys]
    arrays.Neighbours(
      {
        other: arrays.Nearest(*both)
        for other, *both in zip(keys, index, cosine, strict=True)
      }
    ).save(root / f'neighbours/{key}.npz')
  small, large = keys[:2]
  M = 300
  put(
    f'splitting/{small}_{large}',
    source_M=rng.integers(0, F, M),
    target_M=rng.integers(0, F, M),
    similarity_M=rng.uniform(0.4, 1, M).astype(np.float32),
  )
  name = lambda key: f'{key[:-1]}/{key[-1]}'
  step = Summary(splits=3, one_to_one=2, merges=4, without=5, new=6)
  blank(
    Splitting,
    dictionaries=[name(small), name(large)],
    threshold=0.4,
    tokens=TOKENS,
    steps=[Step(name(small), name(large), step)],
    components=9,
    largest=[20, 3],
  ).save(root / 'splitting')
  put(
    'geometry/small',
    position_F2=rng.normal(size=(2 * F, 2)).astype(np.float32),
    dictionary_F=np.repeat([0, 1], F),
    feature_F=np.tile(np.arange(F), 2),
    cluster_F=rng.integers(-1, 9, 2 * F),
    order_F=rng.permutation(2 * F),
  )
  layouts = {'small': [name(small), name(large)]}
  blank(Geometry, layouts=layouts).save(root / 'geometry')
  if len(keys) > 2:
    put(
      'universality/twins',
      match_F=rng.integers(-1, F, F),
      r_F=rng.random(F),
      back_match_F=rng.integers(-1, F, F),
      back_r_F=rng.random(F),
    )
    put(
      'universality/pairs',
      feature_M=np.arange(F),
      match_M=rng.integers(0, F, F),
      activation_M=rng.random(F),
      logits_M=rng.random(F) - 0.3,
      attribution_M=rng.random(F),
    )
    pair = blank(
      Comparison,
      **{'name': name(small), 'other': name(keys[2])},
      **{'median': 0.7, 'count': F, 'paper': 0.72},
      listed=blank(Listed),
    )
    blank(Universality, pairs={'features': pair}, tokens=TOKENS).save(
      root / 'universality'
    )
  put(
    'automata/edges',
    source_M=rng.integers(0, F, M),
    target_M=rng.integers(0, F, M),
    gain_M=rng.uniform(0, 0.9, M),
  )
  node = lambda i: {
    'feature': f'{name(small)}/{i}',
    'fires_on': [HOSTILE[i]],
    'predicts': [HOSTILE[i + 1]],
  }
  effect = lambda i, j: {
    'from': f'{name(small)}/{i}',
    'to': f'{name(small)}/{j}',
    **{'fired': 90, 'observed': 0.4, 'observed_interval': [0.3, 0.5]},
    **{'base': 0.012, 'rise': 0.388, 'rise_interval': None, 'reverse': 0.1},
    **{'stays': None, 'asymmetry': 0.6, 'asymmetry_interval': [0.5, 0.7]},
    **{'p_rank': 0.01, 'pinned': 0.3, 'pinned_se': 0.1},
    **{'ablated': -0.2, 'ablated_se': None, 'contexts': [4, 4]},
  }
  machine = lambda kind, nodes: {
    'kind': kind,
    'about': SUBSETS[1],
    'nodes': [node(i) for i in nodes],
    'predicted': [0.5] * len(nodes),
    **{'p': 1e-6, 'q': 0.012, 'expected': 0.25, 'q_within': 0.3},
    **{'ordered': kind == 'cycle', 'asymmetry': 0.6},
    'measured': [
      effect(i, j) for i, j in zip(nodes, nodes[1:] + nodes[:1], strict=True)
    ],
    'excerpt': {
      **{'length': 3, 'whole': True, 'subset': SUBSETS[1]},
      'text': '<img src=x onerror=alert(4)>',
      'tokens': HOSTILE[:5],
      'nodes': [-1, 0, 1, 0, -1],
    }
    if kind == 'cycle'
    else None,
    'text': {
      'text': '<img src=x onerror=alert(3)>',
      'tokens': HOSTILE[:4],
      'nodes': [0, 1, -1, 0],
      **{'on_machine': 0.75, 'on_machine_se': 0.1},
      **{'unpinned': 0.125, 'unpinned_se': None, 'walks': 8},
    },
  }
  counts = {'self-loop': 0, 'two-cycle': 5, 'cycle': 9, 'chain': 0, 'clique': 0}
  follow = Followed(99, 90, 70, 0.25, 0.015, 0.2)
  chance = {'null_mean': 2.5, 'null_sd': 1.1, 'null_min': 1, 'null_max': 4}
  chance |= {k.replace('null', 'within'): x + 1 for k, x in chance.items()}
  family = lambda kind, features, found, surviving: FamilyCount(
    *(kind, features, found),
    **chance,
    surviving=surviving,
    surviving_within=0,
  )
  automata = blank(
    Automata,
    edges=M,
    edges_above_threshold=99,
    **{'threshold': 0.1, 'complete_above': 0.1, 'q': 0.05},
    **{'live': F - 1, 'permutations': 20},
    count=counts,
    surviving=counts | {'two-cycle': 1, 'cycle': 1},
    surviving_within=counts | {'two-cycle': 0, 'cycle': 0},
    ordered=counts | {'two-cycle': 0, 'cycle': 1},
    null=[
      family('two-cycle', 2, 5, 1),
      family('cycle', 3, 9, 1),
      family('chain', 0, 0, 0),
    ],
    transitions={
      'predicted': follow,
      'permuted': dataclasses.replace(follow, rising=3),
    },
    tokens=TOKENS,
    **{'held_out_tokens': 500, 'held_out_groups': 9},
    machines=[machine('two-cycle', [0, 1]), machine('cycle', [2, 4, 5])],
    named=[
      Named(
        name='ALL_CAPS_SNAKE',
        states=['capitals', 'underscore'],
        candidates=[2, 0],
        machine=None,
        survives=False,
        not_found='no live feature fires on: <img src=x onerror=alert(5)>',
      )
    ],
  )
  # Not `save`: half of a surrogate pair is no UTF-8, but for its escape.
  told = json.dumps(to_json(automata))
  (root / 'automata' / 'numbers.json').write_text(told)
  return root
