"""Reads what the pages show of a run from the results of its stages."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import monosem_jax
from monosem_jax.analysis.results.arrays import (
  AblationEffects,
  BestNeurons,
  Residuals,
)
from monosem_jax.config import settings
from monosem_jax.config.names import main_dictionary, match_dictionary
from monosem_jax.features import labels as hand
from monosem_jax.features.featureset import FeatureSet
from monosem_jax.run import Run, graph
from monosem_jax.run.files import read_json, sha256
from monosem_jax.run.stamp import NAME as STAMP
from monosem_jax.run.workdir import Workdir
from monosem_jax.site import links
from monosem_jax.site.exhibit import Contexts, Exhibit
from monosem_jax.stages.analysis import analysis, declared
from monosem_jax.text.store import TokenStore

# Settings that name paths on one machine; the page leaves them out.
_PLACES = {
  'text': ('paths', 'tfds_dir'),
  'tokenizer': ('path',),
  'runtime': ('compilation_cache',),
}


@dataclasses.dataclass(frozen=True)
class Shown:
  """The arguments that `site.export` and `site.single` share; see there."""

  build: str
  run: dict[str, Any]
  exhibits: list[Exhibit]
  contexts: Contexts
  vocabulary: list[str]


def folders(run: Run) -> links.Folders:
  """Returns a function from an analysis to its folder.

  Analyses older than their transformer, dictionary or feature table are left
  out, with a log line: their numbers describe other features.
  """
  stale = {n for n in declared() if graph.changed_inputs(analysis(run, n))}
  for name in declared():
    if name in stale:
      run.log(
        f'analysis/{name} is older than its inputs and is left out; '
        'run the analysis stage again'
      )
  absent = run.workdir.analysis('absent')
  return lambda name: absent if name in stale else run.workdir.analysis(name)


def read(
  run: Run,
  folder: links.Folders,
  sets: Mapping[str, FeatureSet],
  chosen: Mapping[str, Sequence[int]] | None = None,
) -> Shown:
  """Reads everything that the pages show of sets of features.

  Args:
    run: the run of the program.
    folder: returns the folder of an analysis.
    sets: the sets by key, the main dictionary first.
    chosen: by key, the features whose examples' contexts are read; None for all
      features.

  Raises:
    UserError: labels.json is broken, or a file is not whole.
  """
  w = run.workdir
  store = TokenStore.open(w.store)
  contexts = _contexts(run.config, store, sets, chosen)
  features = {key: s.count for key, s in sets.items()}
  main, match = main_dictionary(run.config), match_dictionary(run.config)
  found = links.read(folder, features, main, match)
  labels = hand.load(w.labels, {s.name: s.count for s in sets.values()})
  report = read_json(w.root / 'report.json')
  return Shown(
    build=_build(w, list(sets)),
    run=_about_run(run, store, report, labels),
    exhibits=[
      _exhibit(folder, store, s, contexts, found[key], report, labels)
      for key, s in sets.items()
    ],
    contexts=contexts,
    vocabulary=store.tokenizer.token_strings(),
  )


def _contexts(
  c: settings.Config,
  store: TokenStore,
  sets: Mapping[str, FeatureSet],
  chosen: Mapping[str, Sequence[int]] | None,
) -> Contexts:
  """Returns the contexts of the examples; the strongest examples come first."""
  split, T = c.features.split, store.context
  room = max(c.site.context_tokens // T, 1)
  of = dict.fromkeys(sets, slice(None)) if chosen is None else chosen
  tables = [(sets[key].table, i) for key, i in of.items()]
  found = [
    (t.example_context_FE[i], t.example_stop_FE[i] > 0) for t, i in tables
  ]
  examples = max(context_FE.shape[1] for context_FE, _ in found)
  number_C = np.zeros(0, np.int64)
  # Columns hold examples in the order of their groups: the top ones first.
  for column in range(examples):
    more = [
      context_FE[there_FE[:, column], column]
      for context_FE, there_FE in found
      if column < context_FE.shape[1]
    ]
    new = np.setdiff1d(np.concatenate(more), number_C)
    number_C = np.union1d(number_C, new[: room - number_C.size])
  index_C = store.stream_index(split, number_C)
  table = store.tables[split]
  first_C = table.document_of(index_C * T)
  last_C = table.document_of(index_C * T + T - 1)
  span_of_C1 = np.r_[0, np.cumsum(last_C - first_C + 1)]
  of_S = np.repeat(np.arange(number_C.size), last_C - first_C + 1)
  document_S = first_C[of_S] + np.arange(of_S.size) - span_of_C1[of_S]
  begin_S = table.start_J[document_S] - index_C[of_S] * T
  return Contexts(
    split=split,
    number_C=number_C,
    tokens_CT=store.tokens(split, number_C),
    span_of_C1=span_of_C1,
    position_S=np.maximum(begin_S, 0),
    document_S=document_S,
    subset_S=table.subset_D[document_S],
    offset_S=np.maximum(-begin_S, 0),
  )


def _exhibit(
  folder: links.Folders,
  store: TokenStore,
  s: FeatureSet,
  contexts: Contexts,
  found: links.Links,
  report: dict[str, Any],
  labels: dict[str, Any],
) -> Exhibit:
  ablation = folder('ablation')
  neurons = BestNeurons.load_if_known(folder('neurons') / f'{s.key}.npz')
  residuals = Residuals.load_if_there(ablation / f'{s.key}_residual.npz')
  table, split = s.table, s.table.meta['split']
  there_FE = table.example_stop_FE > 0
  document_FE = store.document_of(
    split,
    store.stream_index(split, np.where(there_FE, table.example_context_FE, 0)),
    table.example_position_FE,
  )
  return Exhibit(
    features=s,
    document_FE=document_FE,
    subset_FE=store.document_subset(split)[document_FE],
    links=found,
    numbers=report['dictionaries'].get(s.name),
    effects=AblationEffects.load_if_there(ablation / f'{s.key}.npz'),
    residual_CT=residuals.of(contexts.number_C) if residuals else None,
    neurons=neurons,
    labels=hand.of_set(labels, s.name),
  )


def _about_run(
  run: Run, store: TokenStore, report: dict, labels: dict
) -> dict[str, Any]:
  """Returns what the page's index says about the whole run."""
  w = run.workdir
  manifest = store.manifest
  return {
    'version': monosem_jax.__version__,
    'main': main_dictionary(run.config),
    'match': match_dictionary(run.config),
    'context': store.context,
    'separator': store.tokenizer.separator,
    'subsets': store.subset_names,
    'report': report,
    'scores': hand.scores(labels),
    'provenance': {
      'config': _settings(w),
      'store': {
        k: manifest[k]
        for k in ('sha256', 'splits', 'subsets', 'skipped', 'tokenizer')
      },
      'weights': {
        str(path.relative_to(w.root)): sha256(path)
        for path in sorted(w.root.glob('*/*/*.safetensors'))
      },
    },
  }


def _settings(w: Workdir) -> dict[str, Any]:
  """Returns the settings without paths on the machine of the run."""
  found = read_json(w.settings)
  for part, names in _PLACES.items():
    found[part] = {k: v for k, v in found[part].items() if k not in names}
  return found


def _build(w: Workdir, keys: list[str]) -> str:
  """Returns a hash of everything that the page is made from."""
  digest = hashlib.sha256(monosem_jax.__version__.encode())
  files = [w.features(key) / STAMP for key in keys]
  files += [w.root / 'report.json', w.labels, w.settings]
  files += sorted(w.analysis('').glob('*/numbers.json'))
  for path in files:
    if path.exists():
      digest.update(f'{path.relative_to(w.root)} {sha256(path)}\n'.encode())
  return digest.hexdigest()[:16]
