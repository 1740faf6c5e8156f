"""A page of made-up features: hostile tokens, and something in every view."""

import dataclasses
import pathlib

import analysed
import numpy as np
from made_up import (
  CONTEXTS,
  FEATURES,
  SUBSETS,
  VOCABULARY,
  T,
  V,
  contexts,
  effects,
  span,
  table,
)

from monosem_jax.analysis.results.arrays import BestNeurons
from monosem_jax.config import names
from monosem_jax.features.featureset import FeatureSet
from monosem_jax.features.table import FeatureTable
from monosem_jax.site import export, links as _links, pack, views
from monosem_jax.site.exhibit import Exhibit

REPORT = {
  'models': {'A': {'val_loss': 3.5, 'tokens': 1_000_000, 'perplexity': 33.1}},
  'dictionaries': {'A/1': {'l0': 1.5, 'loss_recovered': 0.9, 'silent': 1}},
}


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
    folder = analysed.analysis(scratch, list(keys))
    match = keys[2] if len(keys) > 2 else None
    found = _links.read(folder.joinpath, features, keys[0], match)
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
