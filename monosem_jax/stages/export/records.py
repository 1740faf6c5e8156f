"""Collects everything known about each feature of a dictionary."""

import dataclasses
import datetime
import pathlib

import numpy as np

from monosem_jax.analysis.results.arrays import (
  AblationEffects,
  BestNeurons,
  Residuals,
)
from monosem_jax.config.errors import UserError
from monosem_jax.config.names import SetId
from monosem_jax.features.featureset import FeatureSet
from monosem_jax.features.table import META
from monosem_jax.interop.feature import Effects, Example, Feature, Group
from monosem_jax.interop.neuronpedia_source import Source
from monosem_jax.run import Run
from monosem_jax.run.files import read_json, sha256
from monosem_jax.stages import features, featuresets
from monosem_jax.stages.export.results import why_not
from monosem_jax.text.manifest import MANIFEST

# The name in `interop.saelens`, which this module avoids since it needs jax.
_CONFIG = 'cfg.json'


@dataclasses.dataclass(frozen=True)
class Records:
  """The features of a dictionary or a control.

  Attributes:
    features: the set.
    context: T, tokens of a context of the store.
    ablation: effects of ablations; None if not known.
    residual: losses without what the dictionary leaves unexplained; None if not
      known.
    neurons: neurons most correlated with each feature; None if not known.
  """

  features: FeatureSet
  context: int
  ablation: AblationEffects | None
  residual: Residuals | None
  neurons: BestNeurons | None

  @classmethod
  def load(cls, run: Run, set_id: SetId, strict: bool) -> 'Records':
    """Reads the records of a set of features.

    Args:
      run: the run of the program.
      set_id: the dictionary or control.
      strict: whether ablations and residuals are required.

    Raises:
      UserError: a result is missing or is not up to date.
    """
    w = run.workdir
    found, key = featuresets.load(run, set_id), set_id.key
    manifest = read_json(w.store / MANIFEST)
    made = features.table(run, key, set_id.model)
    inputs = made.inputs.keys() | features.output(w, key).keys()

    def path(analysis: str, end: str, needed: bool) -> pathlib.Path | None:
      why = why_not(run, analysis, f'{key}{end}', inputs)
      if why is None:
        return w.analysis(analysis) / f'{key}{end}'
      if needed:
        raise UserError(f'export: {why}')
      run.log(f'export: left out: {why}')
      return None

    neurons = residual = ablation = None
    if not set_id.is_neurons:
      if of_neurons := path('neurons', '.npz', False):
        neurons = BestNeurons.load_if_known(of_neurons)
      if strict and (of_rest := path('ablation', '_residual.npz', True)):
        residual = Residuals.load(of_rest)
    if of_effects := path('ablation', '.npz', strict):
      ablation = AblationEffects.load(of_effects)
    return cls(found, manifest['context'], ablation, residual, neurons)

  def feature(self, i: int) -> Feature:
    """Returns everything known about feature `i`."""
    t, n = self.features.table, self.neurons
    return Feature(
      index=i,
      density=float(t.fired_F[i]) / t.meta['tokens'],
      max=float(t.max_F[i]),
      sample_max=float(t.sample_max_F[i]),
      histogram_H=t.histogram_FH[i],
      raised_ids_L=t.logit_top_ids_FL[i],
      raised_L=t.logit_top_FL[i],
      lowered_ids_L=t.logit_bottom_ids_FL[i],
      lowered_L=t.logit_bottom_FL[i],
      logit_histogram_H=t.logit_histogram_FH[i],
      logit_range_2=t.logit_range_F2[i],
      row_A=self.features.rows_FA[i],
      neurons_n=n.neuron_F3[i] if n else np.zeros(0, np.int64),
      neurons_r_n=n.neuron_r_F3[i] if n else np.zeros(0),
      neurons_cosine_n=n.neuron_cosine_F3[i] if n else np.zeros(0),
      groups=tuple(self._groups(i)),
    )

  def source(self, run: Run) -> Source:
    """Returns this dictionary's entry among Neuronpedia's sources."""
    w = run.workdir
    meta, model = self.features.table.meta, self.features.model
    c = run.config.models[model]
    weights = sha256(w.weights(model))[:8]
    of_set = self.features.name.replace('/', '').lower()
    own = w.dictionary(self.features.key)
    written = (w.features(self.features.key) / META).stat().st_mtime
    when = datetime.datetime.fromtimestamp(int(written), datetime.UTC)
    id_of_model = f'monosem-{model.lower()}-{weights}'
    return Source(
      model=id_of_model,
      layers=c.n_layers,
      width=c.d_model,
      neurons=c.d_mlp,
      source_set=f'{c.site}-{of_set}',
      layer=c.site_layer,
      hook=read_json(own / _CONFIG)['metadata'].get('hook_name'),
      release=f'{id_of_model}-{of_set}',
      description=(
        f'{self.features.name}: {self.features.count:,} features, described by '
        f'{meta["tokens"]:,} tokens'
      ),
      saelens=(own / _CONFIG).read_text('utf-8'),
      dataset=f'token store {meta["manifest"][:16]}, {meta["split"]}',
      contexts=meta['tokens'] // self.context,
      context=self.context,
      created=when.strftime('%Y-%m-%dT%H:%M:%S.000Z'),
    )

  def _groups(self, i: int) -> list[Group]:
    groups = self.features.table.meta['groups']
    intervals = [g['name'] for g in groups if 'Interval' in g['name']]
    found = []
    for g in groups:
      level = None
      if g['name'] in intervals:
        level = 1 - intervals.index(g['name']) / (len(intervals) - 1)
      places = range(g['start'], g['start'] + g['count'])
      examples = [
        self._example(i, e)
        for e in places
        if self.features.table.example_stop_FE[i, e] > 0
      ]
      examples.sort(key=lambda e: -e.act)
      found.append(Group(g['name'], level, tuple(examples)))
    return found

  def _example(self, i: int, e: int) -> Example:
    t = self.features.table
    start, stop = int(t.example_start_FE[i, e]), int(t.example_stop_FE[i, e])
    own, position = t.meta['before'] - start, int(t.example_position_FE[i, e])
    context = int(t.example_context_FE[i, e])
    first = position - own
    return Example(
      tokens_W=t.example_tokens_FEW[i, e, start:stop],
      acts_W=t.example_acts_FEW[i, e, start:stop],
      own=own,
      datapoint=context * self.context + position,
      effects=self._effects(i, e, start, stop),
      residual_W=self._residual(context, first, first + stop - start),
    )

  def _effects(self, i: int, e: int, start: int, stop: int) -> Effects | None:
    """Returns the ablation effects on a window's tokens; None if not known."""
    if self.ablation is None:
      return None
    a, (_, E, W) = (
      self.ablation.columns(),
      self.features.table.example_tokens_FEW.shape,
    )
    begin = (i * E + e) * W
    rows = slice(*np.searchsorted(a['at_M'], (begin + start, begin + stop)))
    at_m = a['at_M'][rows] - (begin + start)
    # Tokens without effects get the ids that top-k gives for zeros alone.
    k = a['raised_ids_Mk'].shape[1]
    ids_Wk = np.tile(np.arange(k), (stop - start, 1))

    def spread(name: str, onto: np.ndarray) -> np.ndarray:
      onto[at_m] = a[name][rows]
      return onto

    zero_Wk = np.zeros(ids_Wk.shape)
    return Effects(
      loss_W=spread('loss_M', zero_Wk[:, 0].copy()),
      raised_ids_Wk=spread('raised_ids_Mk', ids_Wk.copy()),
      raised_Wk=spread('raised_Mk', zero_Wk.copy()),
      lowered_ids_Wk=spread('lowered_ids_Mk', ids_Wk.copy()),
      lowered_Wk=spread('lowered_Mk', zero_Wk.copy()),
    )

  def _residual(self, context: int, first: int, stop: int) -> np.ndarray | None:
    if self.features.is_neurons:
      # Neurons leave nothing unexplained.
      return np.zeros(stop - first)
    if self.residual is None:
      return None
    context_C = self.residual.context_C
    c = int(np.searchsorted(context_C, context))
    if c == len(context_C) or context_C[c] != context:
      raise ValueError(f'residuals lack context {context}')
    residual_T = self.residual.residual_CT[c].copy()
    residual_T[0] = 0  # no token predicts the first one
    return residual_T[first:stop]
