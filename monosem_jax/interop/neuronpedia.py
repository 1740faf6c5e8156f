"""Writes features as the files of Neuronpedia's bulk import.

  {model}/{source}/release.jsonl  model.jsonl  sourceset.jsonl  source.jsonl
  {model}/{source}/features/batch-0.jsonl.gz     256 features per file
  {model}/{source}/activations/batch-0.jsonl.gz  their examples

Names and types are those of Neuronpedia's database and of SAEDashboard's
export. The same features give the same bytes: ids are hashes of the content,
and archives have no timestamps.

Two fields are easy to mistake. `lossValues` is what a feature adds to a token's
loss, drawn in red above 0 and in blue below, so it is minus the effect of
ablation. `correlated_neurons_l1` is the cosine of activations despite its name,
as in SAEDashboard.
"""

import contextlib
import gzip
import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from monosem_jax.interop.feature import (
  Example,
  Feature,
  Group,
  digits,
  encode,
  naming,
)
from monosem_jax.interop.neuronpedia_source import CREATOR, Source, heads

# Number of features per file.
BATCH = 256


def write(
  directory: pathlib.Path,
  s: Source,
  features: Iterable[Feature],
  vocabulary: list[str],
) -> None:
  """Writes all files, holding one feature in memory at a time.

  Args:
    directory: the folder in which a folder named after the model is created.
    s: the source.
    features: the features, in ascending order.
    vocabulary: the tokens as strings.

  Raises:
    ValueError: a number is not finite.
  """
  out = directory / s.model / s.id
  for folder in ('features', 'activations'):
    (out / folder).mkdir(parents=True)
  for name, row in heads(s).items():
    (out / f'{name}.jsonl').write_bytes(encode(row) + b'\n')
  with contextlib.ExitStack() as opened:
    for k, f in enumerate(features):
      if k % BATCH == 0:
        opened.close()
        name = f'batch-{k // BATCH}.jsonl.gz'
        about = opened.enter_context(_gzip(out / 'features' / name))
        acts = opened.enter_context(_gzip(out / 'activations' / name))
      with naming(f):
        about.write(encode(feature(s, f, vocabulary)) + b'\n')
        for row in activations(s, f, vocabulary):
          acts.write(encode(row) + b'\n')


@contextlib.contextmanager
def _gzip(path: pathlib.Path) -> Iterator[gzip.GzipFile]:
  """Opens a new archive without a file name or timestamp."""
  with (
    path.open('wb') as file,
    gzip.GzipFile('', 'wb', 6, file, mtime=0) as packed,
  ):
    yield packed


def feature(s: Source, f: Feature, vocabulary: list[str]) -> dict[str, Any]:
  """The row of a feature, which may have a density of 0."""
  aligned, share = f.aligned()
  return {
    'modelId': s.model,
    'layer': s.id,
    'index': str(f.index),
    'sourceSetName': s.source_set,
    'creatorId': CREATOR,
    'createdAt': s.created,
    'maxActApprox': digits(f.max),
    'hasVector': True,
    'vector': digits(f.row_A),
    'vectorLabel': None,
    'vectorDefaultSteerStrength': digits(f.max),
    'hookName': s.hook,
    'topkCosSimIndices': [],
    'topkCosSimValues': [],
    'neuron_alignment_indices': aligned.tolist(),
    'neuron_alignment_values': digits(f.row_A[aligned]),
    'neuron_alignment_l1': digits(share),
    'correlated_neurons_indices': f.neurons_n.tolist(),
    'correlated_neurons_pearson': digits(f.neurons_r_n),
    'correlated_neurons_l1': digits(f.neurons_cosine_n),
    'correlated_features_indices': [],
    'correlated_features_pearson': [],
    'correlated_features_l1': [],
    'neg_str': [vocabulary[i] for i in f.lowered_ids_L],
    'neg_values': digits(f.lowered_L),
    'pos_str': [vocabulary[i] for i in f.raised_ids_L],
    'pos_values': digits(f.raised_L),
    'frac_nonzero': digits(f.density),
    'freq_hist_data_bar_heights': f.histogram_H.tolist(),
    'freq_hist_data_bar_values': _centres(f.histogram_H, 0, f.sample_max),
    'logits_hist_data_bar_heights': f.logit_histogram_H.tolist(),
    'logits_hist_data_bar_values': _centres(
      f.logit_histogram_H, *f.logit_range_2
    ),
    'decoder_weights_dist': [],
  }


def activations(
  s: Source, f: Feature, vocabulary: list[str]
) -> Iterator[dict[str, Any]]:
  """The rows of a feature's examples, group by group."""
  k = 0
  for group in f.groups:
    low, high, contains = _bin(f, group)
    for e in group.examples:
      row = _activation(s, f, e, vocabulary) | {
        'binMin': digits(low),
        'binMax': digits(high),
        'binContains': digits(contains),
      }
      # The counter keeps ids apart: two silent examples may be the same token.
      digest = hashlib.sha256(encode([k, row])).hexdigest()
      yield {'id': f'c{digest[:24]}', **row, 'createdAt': s.created}
      k += 1


def _activation(
  s: Source, f: Feature, e: Example, vocabulary: list[str]
) -> dict[str, Any]:
  values = digits(e.acts_W)
  largest = max(values)
  return {
    'modelId': s.model,
    'layer': s.id,
    'index': str(f.index),
    'creatorId': CREATOR,
    'tokens': [vocabulary[i] for i in e.tokens_W],
    'values': values,
    'maxValue': largest,
    'maxValueTokenIndex': values.index(largest),
    'minValue': min(values),
    'qualifyingTokenIndex': e.own,
    'dataSource': s.dataset,
    'dataIndex': str(e.datapoint),
    'lossValues': digits(-e.effects.loss_W) if e.effects else [],
    'logitContributions': None,
    'dfaValues': [],
    'dfaTargetIndex': None,
    'dfaMaxValue': None,
  }


def _bin(f: Feature, group: Group) -> tuple[float, float, float]:
  """The range of activations of a group, and the share of tokens in it.

  As in SAEDashboard, the top group has -1 for the lower end and for the share.
  An interval extends halfway to its neighbours.
  """
  if group.level is None:
    if group.examples and group.examples[0].act > 0:
      return -1, f.max, -1
    return 0, 0, 1 - f.density
  low, high = max(group.level - 0.05, 0), min(group.level + 0.05, 1)
  H, sampled = len(f.histogram_H), max(int(f.histogram_H.sum()), 1)
  # With 40 bins, both ends are edges of bins.
  inside = f.histogram_H[round(low * H) : round(high * H)].sum()
  share = f.density * float(inside) / sampled
  return low * f.sample_max, high * f.sample_max, share


def _centres(histogram_H: np.ndarray, low: float, high: float) -> list[float]:
  edges = np.linspace(low, high, len(histogram_H) + 1)
  return digits((edges[:-1] + edges[1:]) / 2)
