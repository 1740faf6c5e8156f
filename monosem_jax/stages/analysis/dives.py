"""The deep dives: the best feature and the best neuron of each proxy.

The paper has four deep dives; here every proxy in the corpus gets a page. Both
are chosen on one half of the documents and reported on the other half. See
`analysis.labels`.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from monosem_jax.analysis import figures, labels, ranks
from monosem_jax.analysis.results.numbers import Interval
from monosem_jax.analysis.results.proxies import (
  Best,
  Companion,
  Dive,
  Overlap,
  Twin,
)
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.run.files import write_file
from monosem_jax.stages.analysis import bests, pages, versus
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  Unavailable,
  activations,
  part,
)
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.words import described


def make(
  inputs: AnalysisInputs,
  labelled: Labelled,
  best: dict[str, list[Best | None]],
  r_XY: Sequence[np.ndarray],
  sides: Sequence[versus.Side],
  out: pathlib.Path,
) -> dict[str, Dive]:
  """Writes a page with pictures for each proxy's feature and neuron.

  Args:
    inputs: the inputs of the analyses.
    labelled: the labels of the tokens.
    best: by the set's key, the best feature of each label.
    r_XY: correlations of the main dictionary's features with the labels, on
      both halves.
    sides: see `versus.of_label`.
    out: the folder of the pages.
  """
  main, names = inputs.main, labelled.proxy_names
  bests_of_main = dict(enumerate(best[main.key][: len(names)]))
  chosen = {k: b for k, b in bests_of_main.items() if b is not None}
  twins = _twins(inputs, {k: b.index for k, b in chosen.items()})
  found = {}
  for k, b in chosen.items():
    name, i = names[k], b.index
    overlaps = {}
    for s, _, told in sides:
      own = best[s.key][k]
      if own is not None and told is not None:
        overlaps[s.name] = _overlap(told, k, own.index)
    neuron = None
    if len(sides) > 1:
      neuron = best[sides[1][0].key][k]
    predicted_on, predicted = _predicted(labelled, k, main, i)
    dive = Dive(
      feature=f'{main.name}/{i}',
      r=b.reported,
      r_where_found=b.found,
      neuron=f'{main.model}/neurons/{neuron.index}' if neuron else None,
      neuron_r=neuron.reported if neuron else None,
      base_rate=overlaps[main.name].base_rate,
      density=float(main.table.density_F[i]),
      max=float(main.table.max_F[i]),
      words=described(inputs, main, i),
      predicted_on=predicted_on,
      predicted=predicted,
      coefficients=_coefficients(main, i),
      twin=twins.get(k),
      companions=_companions(inputs, [r[:, k] for r in r_XY], i),
      overlap=overlaps,
    )
    for of, overlap in overlaps.items():
      stem = name if of == main.name else f'{name}_neuron'
      _draw(name, overlap, out / stem)
    write_file(out / f'{name}.md', pages.dive(name, dive, inputs).encode())
    found[name] = dive
  return found


def _overlap(told: bests.Told, k: int, i: int) -> Overlap:
  """Returns where a proxy and a feature are both on, by activation interval."""
  one = told.of([(k, i)])
  whole, s = one.whole(), told.own
  rough = dataclasses.replace(
    whole,
    on_KB=_rough(whole.on_KB),
    off_KB=_rough(whole.off_KB),
    mass_on_KB=_rough(whole.mass_on_KB),
    mass_off_KB=_rough(whole.mass_off_KB),
  )
  share_KB, (mass_on_KB, mass_off_KB) = (
    labels.specificity(rough),
    labels.expected_value(rough),
  )

  def figure(
    of: Callable[[labels.Overlap[np.ndarray]], np.ndarray],
  ) -> tuple[float, Interval]:
    return float(of(whole)[0]), versus.interval(one, of)

  r, r_interval = figure(labels.pearson)
  found, found_interval = figure(lambda o: labels.sensitivity(o)[0])
  on, on_interval = figure(lambda o: labels.sensitivity(o)[1])
  precision, precision_interval = figure(
    lambda o: ranks.average_precision(o.on_KB, o.off_KB)
  )
  f1, f1_interval = versus.value(one, 'f1')
  fine_I = ranks.edges(s.table.max_F[[i]], whole.on_KB.shape[1] - 1)[0]
  return Overlap(
    feature=f'{s.name}/{i}',
    tokens=int(whole.on_KB.sum() + whole.off_KB.sum()),
    base_rate=float(labels.base_rate(whole)[0]),
    edges=ranks.edges(s.table.max_F[[i]], bests.INTERVALS)[0].tolist(),
    on=rough.on_KB[0].tolist(),
    off=rough.off_KB[0].tolist(),
    mass_on=mass_on_KB[0].tolist(),
    mass_off=mass_off_KB[0].tolist(),
    specificity=share_KB[0].tolist(),
    r=r,
    r_interval=r_interval,
    sensitivity=found,
    sensitivity_interval=found_interval,
    activation_on=on,
    activation_on_interval=on_interval,
    average_precision=precision,
    average_precision_interval=precision_interval,
    f1=f1,
    f1_interval=f1_interval,
    f1_threshold=float(fine_I[one.threshold_K[0]]),
  )


def _rough(x_KB: np.ndarray) -> np.ndarray:
  """Adds fine intervals up to the paper's intervals; bin 0 stays."""
  fine_KIJ = x_KB[:, 1:].reshape(len(x_KB), bests.INTERVALS, -1)
  return np.concatenate([x_KB[:, :1], fine_KIJ.sum(-1)], 1)


def _draw(name: str, o: Overlap, stem: pathlib.Path) -> None:
  """Draws tokens by activation, and the paper's expected value plot."""
  middle_I = np.array(o.edges, np.float32) + o.edges[1] / 2
  for kind, on, off, y in (
    ('counts', o.on, o.off, 'tokens'),
    ('expected_value', o.mass_on, o.mass_off, 'share of the activation'),
  ):
    figures.bars(
      stem.with_name(f'{stem.name}_{kind}.png'),
      [f'{x:.2g}' for x in middle_I],
      {f'{name} on': np.array(on[1:]), f'{name} off': np.array(off[1:])},
      f'{o.feature} on {o.tokens:,} tokens, where it fires.',
      'activation, middle of the interval',
      y,
      stacked=True,
    )


def _twins(inputs: AnalysisInputs, at: dict[int, int]) -> dict[int, Twin]:
  """Returns the match's features that correlate most with chosen features."""
  try:
    match = inputs.match
  except Unavailable:
    return {}
  if not at:
    return {}
  of, main = activations(inputs.dot), inputs.main

  def pair(args, batch):
    x, y = args
    return of(x, batch), of(y, batch)

  sides = (
    (inputs.lm(main.model), part(main.sae, np.array(list(at.values())))),
    (inputs.lm(match.model), match.sae),
  )
  step = moments.make_step(pair, inputs.dot)
  found_KF, told_KF = (
    moments.correlation(
      moments.collect(step, sides, inputs.batches('dives/twins', half=half))
    )
    for half in (0, 1)
  )
  twin_K = found_KF.argmax(1)
  return {
    k: Twin(f'{match.name}/{i}', float(r_F[i]))
    for k, i, r_F in zip(at, twin_K, told_KF, strict=True)
  }


def _companions(
  inputs: AnalysisInputs, r_F: Sequence[np.ndarray], i: int
) -> list[Companion]:
  """Returns other live features of the main dictionary that fit the proxy.

  Args:
    inputs: the inputs of the analyses.
    r_F: correlations with the proxy, on the searched half and on the other.
    i: the best feature of the proxy.
  """
  main = inputs.main
  found_F, told_F = r_F
  found_F = np.where(main.live_F, found_F, -1)
  found_F[i] = -1
  return [
    Companion(
      feature=f'{main.name}/{j}',
      r=float(told_F[j]),
      words=described(inputs, main, int(j)),
    )
    for j in np.argsort(-found_F)[:4]
  ]


def _coefficients(s: LoadedSet, i: int) -> dict[str, float]:
  """Returns the largest entries of a decoder row, by neuron."""
  row_A = s.rows_FA[i]
  return {str(a): float(row_A[a]) for a in np.argsort(-np.abs(row_A))[:5]}


def _predicted(
  labelled: Labelled, k: int, s: LoadedSet, i: int
) -> tuple[int, int]:
  """Returns how many of its top predicted tokens the proxy has, of how many."""
  ids = s.table.logit_top_ids_FL[i].astype(np.int32)
  on = labelled.on(ids[:, None])[:, 0, k]
  return int(on.sum()), len(ids)
