"""What is known of every feature of a dictionary, put together one by one."""

import dataclasses
import datetime

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.features.table import META, FeatureTable
from monosem_jax.interop.feature import Effects, Example, Feature, Group
from monosem_jax.interop.neuronpedia_source import Source
from monosem_jax.run.files import read_json, read_tensors, sha256
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import features, tables
from monosem_jax.stages.export.results import read, why_not
from monosem_jax.text.manifest import MANIFEST

# As `interop.saelens` names it, which needs jax.
_CONFIG = 'cfg.json'


@dataclasses.dataclass(frozen=True)
class Records:
  """The features of a dictionary or a control.

  Attributes:
    name: as files have it: A1.
    is_neurons: whether it is the control that leaves nothing unexplained.
    table: the feature table.
    rows_FA: the decoder.
    context: T, tokens of a context of the store.
    ablation: the arrays of `stages.analysis.ablation`; None without them.
    residual: what it says of contexts: `context_C`, and `residual_CT` by the
      token whose loss it is; None without it.
    neurons: `neuron_F3`, `neuron_r_F3` and `neuron_cosine_F3` of the analysis
      of neurons; None without them.
  """

  name: str
  is_neurons: bool
  table: FeatureTable
  rows_FA: np.ndarray
  context: int
  ablation: dict[str, np.ndarray] | None
  residual: dict[str, np.ndarray] | None
  neurons: dict[str, np.ndarray] | None

  @classmethod
  def load(cls, w: Workdir, name: str, strict: bool) -> 'Records':
    """Reads what there is.

    Args:
      w: the work directory.
      name: of the dictionary or control.
      strict: whether ablations and residuals must be there.

    Raises:
      UserError: something is missing, or of another dictionary than is there.
    """
    table = tables.load(w, name)
    model, manifest = table.meta['model'], read_json(w.store / MANIFEST)
    made = features.table(w, name, model)
    inputs = made.inputs.keys() | features.output(w, name).keys()

    def arrays(analysis: str, end: str, needed: bool) -> dict | None:
      why = why_not(w, analysis, f'{name}{end}', inputs)
      if why is None:
        return read(w.analysis(analysis) / f'{name}{end}')
      if needed:
        raise UserError(f'export: {why}')
      w.log(f'export: left out: {why}')
      return None

    is_neurons = name == f'{model}_neurons'
    neurons = None if is_neurons else arrays('neurons', '.npz', False)
    residual = None
    if strict and not is_neurons:
      residual = arrays('ablation', '_residual.npz', True)
    return cls(
      name=name,
      is_neurons=is_neurons,
      table=table,
      rows_FA=read_tensors(w.dictionary_weights(name))['W_dec'],
      context=manifest['context'],
      ablation=arrays('ablation', '.npz', strict),
      residual=residual,
      # Without neurons among the controls they are not there.
      neurons=neurons if neurons and 'neuron_F3' in neurons else None,
    )

  @property
  def run(self) -> str:
    """The paper's name of it: A/1."""
    return self.table.meta['run']

  @property
  def count(self) -> int:
    """F, how many features there are."""
    return len(self.table.fired_F)

  def feature(self, i: int) -> Feature:
    """All that is known of feature `i`."""
    t, n = self.table, self.neurons
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
      row_A=self.rows_FA[i],
      neurons_n=n['neuron_F3'][i] if n else np.zeros(0, np.int64),
      neurons_r_n=n['neuron_r_F3'][i] if n else np.zeros(0),
      neurons_cosine_n=n['neuron_cosine_F3'][i] if n else np.zeros(0),
      groups=tuple(self._groups(i)),
    )

  def source(self, w: Workdir) -> Source:
    """Where this dictionary stands among Neuronpedia's."""
    meta, model = self.table.meta, self.table.meta['model']
    c = w.config.models[model]
    weights = sha256(w.weights(model))[:8]
    of_run = self.run.replace('/', '').lower()
    own = w.dictionary(self.name)
    written = (w.features(self.name) / META).stat().st_mtime
    when = datetime.datetime.fromtimestamp(int(written), datetime.UTC)
    id_of_model = f'monosem-{model.lower()}-{weights}'
    return Source(
      model=id_of_model,
      layers=c.n_layers,
      width=c.d_model,
      neurons=c.d_mlp,
      source_set=f'{c.site}-{of_run}',
      layer=c.site_layer,
      hook=read_json(own / _CONFIG)['metadata'].get('hook_name'),
      release=f'{id_of_model}-{of_run}',
      description=(
        f'{self.run}: {self.count:,} features, described by '
        f'{meta["tokens"]:,} tokens'
      ),
      saelens=(own / _CONFIG).read_text('utf-8'),
      dataset=f'token store {meta["manifest"][:16]}, {meta["split"]}',
      contexts=meta['tokens'] // self.context,
      context=self.context,
      created=when.strftime('%Y-%m-%dT%H:%M:%S.000Z'),
    )

  def _groups(self, i: int) -> list[Group]:
    groups = self.table.meta['groups']
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
        if self.table.example_stop_FE[i, e] > 0
      ]
      examples.sort(key=lambda e: -e.act)
      found.append(Group(g['name'], level, tuple(examples)))
    return found

  def _example(self, i: int, e: int) -> Example:
    t = self.table
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
    """The ablation effects on a window's tokens; None where none were kept."""
    if self.ablation is None:
      return None
    a, (_, E, W) = self.ablation, self.table.example_tokens_FEW.shape
    begin = (i * E + e) * W
    rows = slice(*np.searchsorted(a['at_M'], (begin + start, begin + stop)))
    at_m = a['at_M'][rows] - (begin + start)
    # As the largest of nothing but zeros are found.
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
    if self.is_neurons:
      # They leave nothing unexplained.
      return np.zeros(stop - first)
    if self.residual is None:
      return None
    context_C = self.residual['context_C']
    c = int(np.searchsorted(context_C, context))
    if c == len(context_C) or context_C[c] != context:
      raise ValueError(f'residuals lack context {context}')
    residual_T = self.residual['residual_CT'][c].copy()
    residual_T[0] = 0  # which nothing predicts
    return residual_T[first:stop]
