"""A page of made-up features: hostile tokens, and something in every view."""

import dataclasses
import functools
import json
import pathlib
from typing import Any

import numpy as np
from made_up import (
  CONTEXTS,
  FEATURES,
  HOSTILE,
  SUBSETS,
  TOKENS,
  VOCABULARY,
  T,
  V,
  contexts,
  effects,
  span,
  table,
)

from monosem_jax.analysis import results
from monosem_jax.analysis.results import BestNeurons
from monosem_jax.config import names
from monosem_jax.features.featureset import FeatureSet
from monosem_jax.features.table import FeatureTable
from monosem_jax.site import export, links as _links, pack, views
from monosem_jax.site.exhibit import Exhibit

REPORT = {
  'models': {'A': {'val_loss': 3.5, 'tokens': 1_000_000, 'perplexity': 33.1}},
  'dictionaries': {'A/1': {'l0': 1.5, 'loss_recovered': 0.9, 'silent': 1}},
}
# What lies in the folder of an analysis, or in one file of it.
_KINDS = {
  'texts/texts': results.Texts,
  'texts': results.ActiveFeatures,
  'geometry': results.Layout,
  'splitting': results.Splits,
  'universality/twins': results.Twins,
  'universality/pairs': results.Pairs,
  'automata': results.Successors,
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


def analysis(root: pathlib.Path, keys: list[str]) -> pathlib.Path:
  """What the analyses leave, as far as the page reads it."""
  rng = np.random.default_rng(2)
  F = FEATURES

  arrays = functools.partial(leave, root)

  def numbers(name: str, value: Any) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / 'numbers.json').write_text(json.dumps(value))

  X, L = 3, 4
  text = {'origin': '/home/me/secret.txt', 'offset': 0, 'whole': True}
  numbers(
    'texts',
    {
      'texts': [
        {**text, 'context': x, 'subset': SUBSETS[x], 'document': x}
        for x in range(X)
      ]
    },
  )
  arrays('texts/texts', tokens_XT=rng.integers(0, V, (X, T)))
  for key in keys:
    feature_XTL = rng.integers(-1, F, (X, T, L))
    feature_XTL[..., 1:][feature_XTL[..., :1].repeat(L - 1, -1) < 0] = -1
    arrays(
      f'texts/{key}',
      loss_XT=rng.random((X, T)).astype(np.float32) * 5,
      feature_XTL=feature_XTL,
      activation_XTL=np.sort(rng.random((X, T, L)), -1)[..., ::-1],
      attribution_XTL=rng.normal(size=(X, T, L)),
      active_XT=(feature_XTL >= 0).sum(-1),
    )
    index = [rng.integers(0, F, (F, 5)).astype(np.int32) for _ in keys]
    cosine = [np.sort(rng.random((F, 5)))[:, ::-1] for _ in keys]
    results.Neighbours(
      {
        other: results.Nearest(*both)
        for other, *both in zip(keys, index, cosine, strict=True)
      }
    ).save(root / f'neighbours/{key}.npz')
  small, large = keys[:2]
  M = 300
  arrays(
    f'splitting/{small}_{large}',
    source_M=rng.integers(0, F, M),
    target_M=rng.integers(0, F, M),
    similarity_M=rng.uniform(0.4, 1, M).astype(np.float32),
  )
  run = lambda key: f'{key[:-1]}/{key[-1]}'
  step = dict(splits=3, one_to_one=2, merges=4, without=5, new=6)
  numbers(
    'splitting',
    {
      'dictionaries': [run(small), run(large)],
      'threshold': 0.4,
      'tokens': TOKENS,
      'steps': [{'from': run(small), 'to': run(large), **step}],
      'components': 9,
      'largest': [20, 3],
    },
  )
  arrays(
    'geometry/small',
    position_F2=rng.normal(size=(2 * F, 2)).astype(np.float32),
    dictionary_F=np.repeat([0, 1], F),
    feature_F=np.tile(np.arange(F), 2),
    cluster_F=rng.integers(-1, 9, 2 * F),
    order_F=rng.permutation(2 * F),
  )
  numbers('geometry', {'layouts': {'small': [run(small), run(large)]}})
  if len(keys) > 2:
    arrays(
      'universality/twins',
      match_F=rng.integers(-1, F, F),
      r_F=rng.random(F),
      back_match_F=rng.integers(-1, F, F),
      back_r_F=rng.random(F),
    )
    arrays(
      'universality/pairs',
      feature_M=np.arange(F),
      match_M=rng.integers(0, F, F),
      activation_M=rng.random(F),
      logits_M=rng.random(F) - 0.3,
      attribution_M=rng.random(F),
    )
    pair = {'median': 0.7, 'count': F, 'paper': 0.72}
    pair |= {'of': run(small), 'with': run(keys[2])}
    numbers('universality', {'pairs': {'features': pair}, 'tokens': TOKENS})
  arrays(
    'automata/edges',
    source_M=rng.integers(0, F, M),
    target_M=rng.integers(0, F, M),
    gain_M=rng.uniform(0, 0.9, M),
  )
  node = lambda i: {
    'feature': f'{run(small)}/{i}',
    'fires_on': [HOSTILE[i]],
    'predicts': [HOSTILE[i + 1]],
  }
  effect = lambda i, j: {
    'from': f'{run(small)}/{i}',
    'to': f'{run(small)}/{j}',
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
  follow = {'edges': 99, 'seen': 90, 'rising': 70, 'median_rise': 0.2}
  follow |= {'median_observed': 0.25, 'median_base': 0.015}
  chance = {'null_mean': 2.5, 'null_sd': 1.1, 'null_min': 1, 'null_max': 4}
  chance |= {k.replace('null', 'within'): x + 1 for k, x in chance.items()}
  chance['surviving_within'] = 0
  numbers(
    'automata',
    {
      'edges': M,
      'edges_above_threshold': 99,
      **{'threshold': 0.1, 'complete_above': 0.1, 'q': 0.05},
      **{'live': F - 1, 'permutations': 20},
      'count': counts,
      'surviving': counts | {'two-cycle': 1, 'cycle': 1},
      'surviving_within': counts | {'two-cycle': 0, 'cycle': 0},
      'ordered': counts | {'two-cycle': 0, 'cycle': 1},
      'null': [
        {'kind': 'two-cycle', 'features': 2, 'found': 5, 'surviving': 1}
        | chance,
        {'kind': 'cycle', 'features': 3, 'found': 9, 'surviving': 1} | chance,
        {'kind': 'chain', 'features': 0, 'found': 0, 'surviving': 0} | chance,
      ],
      'transitions': {'predicted': follow, 'permuted': follow | {'rising': 3}},
      'tokens': TOKENS,
      **{'held_out_tokens': 500, 'held_out_groups': 9},
      'machines': [machine('two-cycle', [0, 1]), machine('cycle', [2, 4, 5])],
      'named': [
        {
          'name': 'ALL_CAPS_SNAKE',
          'states': ['capitals', 'underscore'],
          'candidates': [2, 0],
          'machine': None,
          'survives': False,
          'not_found': 'no live feature fires on: <img src=x onerror=alert(5)>',
        }
      ],
    },
  )
  return root


def rows(key: str) -> np.ndarray:
  """Decoder rows, rows_FA."""
  rng = np.random.default_rng(len(key) + ord(key[-1]))
  return rng.normal(size=(FEATURES, 16)).astype(np.float32)


def exhibit(
  key: str,
  t: FeatureTable,
  *,
  links: _links.Links | None = None,
  whole: bool = False,
  labels: dict[int, list[dict]] | None = None,
) -> Exhibit:
  """A set of features; `whole`: analysed, too."""
  rng = np.random.default_rng(3)
  at_FE = span(t.example_context_FE, t.example_position_FE)
  exhibit = Exhibit(
    features=FeatureSet(names.parse(key), t, rows(key)),
    document_FE=contexts().document_S[at_FE],
    subset_FE=contexts().subset_S[at_FE],
    links=links or _links.none(FEATURES),
    numbers=REPORT['dictionaries'].get(t.meta['run']),
    labels=labels or {},
  )
  if not whole:
    return exhibit
  return dataclasses.replace(
    exhibit,
    effects=effects(t),
    residual_CT=rng.normal(size=(CONTEXTS, T)).astype(np.float16),
    neurons=BestNeurons(
      neuron_F3=rng.integers(0, 16, (FEATURES, 3)),
      neuron_r_F3=rng.random((FEATURES, 3)),
      neuron_cosine_F3=rng.random((FEATURES, 3)),
    ),
  )


def packed(page: pathlib.Path, name: str) -> tuple:
  """Build, meta and columns of a pack of a page."""
  script = (page / f'data/{name}.js').read_bytes()
  return pack.unpack(pack.unscript(name, script))


def write(
  directory: pathlib.Path,
  keys: tuple[str, ...] = ('A1',),
  scratch: pathlib.Path | None = None,
  labels: dict[int, list[dict]] | None = None,
  build: str = '0123456789abcdef',
) -> None:
  """Writes the page; with a `scratch` folder, all its views, too."""
  found, packs = {}, {}
  if scratch is not None:
    features = {key: FEATURES for key in keys}
    folder = analysis(scratch, list(keys))
    match = (keys[0], keys[2]) if len(keys) > 2 else None
    found = _links.read(folder.joinpath, features, match)
    packs = views.packs(folder.joinpath, keys)
  tables = {
    key: table(f'{key[:-1]}/{key[-1]}', n) for n, key in enumerate(keys)
  }
  where = contexts()
  export.write(
    directory,
    build=build,
    run={
      'version': '0',
      'main': keys[0],
      'match': keys[2] if len(keys) > 2 else None,
      'context': T,
      'separator': 0,
      'subsets': SUBSETS,
      'report': REPORT,
      'scores': None,
      'provenance': {
        'config': {'text': {'source': '<b>text</b>'}},
        'store': {
          'sha256': '0' * 64,
          'splits': {
            'train': {'documents': 9, 'tokens': 9_900, 'contexts': 99}
          },
          'subsets': {name: {'train': {'documents': 3}} for name in SUBSETS},
          'skipped': {'short': 2},
          'tokenizer': {'vocab_size': V, 'sha256': '1' * 64},
        },
        'weights': {'models/A/model.safetensors': '2' * 64},
      },
    },
    exhibits=[
      exhibit(
        key,
        t,
        links=found.get(key),
        whole=scratch is not None,
        labels=labels,
      )
      for key, t in tables.items()
    ],
    contexts=where,
    vocabulary=VOCABULARY,
    views={name: pack for name, pack in packs.items() if pack is not None},
    pictures={},
  )
