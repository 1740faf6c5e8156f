"""The features that a feature splits into, after each filter.

A start is a feature of the smallest dictionary: the best one for a label, or
one with most children. Starts are chosen on one half of the documents; children
are counted on the other half. Random starts of equal density are the control.
See `analysis.splitting`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from monosem_jax.analysis import intervals, splitting
from monosem_jax.analysis.results.arrays import Splits
from monosem_jax.analysis.results.splitting import (
  LabelFit,
  Nulls,
  Reached,
  Start,
  ToLabel,
)
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  activations,
  of_two,
  part,
)
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.words import described

# The most features listed per dictionary.
LISTED = 12
# Starts chosen by their number of children.
_MOST = 3
_HELD_OUT = 'val'

Levels = Mapping[tuple[str, str], Splits]


@dataclasses.dataclass(frozen=True)
class Label:
  """How a label relates to the features of one dictionary.

  Attributes:
    r_Y: Pearson's correlation with each feature.
    mass_Y, firing_Y, found_Y: see `splitting.Shares`.
  """

  r_Y: np.ndarray
  mass_Y: np.ndarray
  firing_Y: np.ndarray
  found_Y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Half:
  """The measurements on one half of the documents.

  Attributes:
    tokens: number of tokens.
    reached: by start and dictionary, the features that the start leads to.
    under: the share of each of these features' activation that lies where the
      start fires.
    labels: the label's measures by dictionary; empty without a label.
  """

  tokens: int
  reached: Mapping[int, Mapping[str, np.ndarray]]
  under: Mapping[int, Mapping[str, np.ndarray]]
  labels: Mapping[str, Label]


@dataclasses.dataclass(frozen=True, eq=False)
class Children:
  """The children of all live features of the smallest dictionary.

  Attributes:
    inputs: the inputs of the analyses.
    growing: the dictionaries, from small to large.
    levels: the edges on each half of the documents.
    label: the name of a label.
  """

  inputs: AnalysisInputs
  growing: list[LoadedSet]
  levels: tuple[Levels, Levels]
  label: str

  @property
  def first(self) -> LoadedSet:
    return self.growing[0]

  @functools.cached_property
  def labelled(self) -> Labelled:
    return Labelled(self.inputs, self.inputs.config.split)

  @property
  def absent(self) -> str | None:
    """Returns why the label is absent; None if it is there."""
    return self.labelled.proxies.absent.get(self.label)

  @functools.cached_property
  def halves(self) -> tuple[Half, Half]:
    return self._half(0), self._half(1)

  def _half(self, half: int) -> Half:
    order = [s.key for s in self.growing]
    reached = {
      i: {
        name: np.array(found, np.int64)
        for name, found in splitting.descendants(
          (order[0], i), order, self.levels[half]
        ).items()
      }
      for i in np.flatnonzero(self.first.live_F).tolist()
    }
    under: dict[int, dict[str, np.ndarray]] = {i: {} for i in reached}
    labels, tokens = {}, 0
    for s in self.growing:
      for own, sums in self._sums(s, half):
        shares = splitting.shares(sums)
        for i, found in reached.items():
          if own.start <= i < own.stop:
            under[i][s.key] = shares.mass_MY[i - own.start, found[s.key]]
        if self.absent is None:
          labels[s.key] = Label(
            moments.correlation(sums)[-2],
            *(x[-2] for x in dataclasses.astuple(shares)),
          )
        tokens = int(sums.tokens)
    return Half(tokens, reached, under, labels)

  @functools.cached_property
  def _step(self) -> Callable:
    two, with_label = of_two(self.inputs.dot), self.absent is None

    def pair(args, batch):
      x_NX, y_NY = two(args, batch)
      on_N1 = batch[1].reshape(-1, 1) if with_label else None
      return splitting.masks(x_NX, on_N1), y_NY

    return moments.make_step(pair, self.inputs.dot, masked=True)

  def _sums(self, s: LoadedSet, half: int) -> Iterator[tuple]:
    """Yields moments of a dictionary's features with the first one's firings.

    Blocks of the first dictionary's features come first, then the label and
    all tokens.
    """
    inputs, first, labels = self.inputs, self.first, None
    if self.absent is None:
      k = self.labelled.proxy_names.index(self.label)
      labels = lambda tokens_BT, _: (self.labelled.on(tokens_BT)[..., k],)
    for own in moments.blocks(
      first.live_F.size, s.live_F.size, 3, inputs.config.block_bytes
    ):
      args = inputs.lm(s.model), part(first.sae, own), s.sae
      line = f'splitting/{s.key} half {half + 1}'
      batches = inputs.batches(line, labels, half=half)
      yield own, moments.collect(self._step, args, batches)

  @functools.cached_property
  def held_out(self) -> tuple[int, dict[str, np.ndarray]]:
    """Returns the number of held-out tokens, and of each feature's firings."""
    inputs = _reading(self.inputs, _HELD_OUT)
    of = activations(inputs.dot)
    step = moments.adding(lambda *x: (of(*x) > 0).sum(0, dtype=np.int32))
    return inputs.tokens, {
      s.key: moments.collect(
        step,
        (inputs.lm(s.model), s.sae),
        inputs.batches(f'splitting/{s.key} held out'),
      )
      for s in self.growing
    }

  def left(self, half: int, start: int, label: bool) -> dict[str, dict]:
    """Returns, by dictionary and filter, which reached features remain."""
    c, h = self.inputs.config.splitting, self.halves[half]
    found = {}
    for s in self.growing:
      own = h.reached[start][s.key]
      passes = {
        'dense': s.table.density_F[own] >= c.floor,
        'held_out': self.held_out[1][s.key][own] > 0,
        'under_parent': h.under[start][s.key] >= c.purity,
      }
      if label:
        passes['on_label'] = h.labels[s.key].mass_Y[own] >= c.purity
      found[s.key] = splitting.sieve(passes)
    return found

  def counts(self, half: int, start: int, label: bool) -> dict[str, dict]:
    """Returns how many features remain, by name of the set and filter."""
    left = self.left(half, start, label)
    return {
      s.name: {name: int(k.sum()) for name, k in left[s.key].items()}
      for s in self.growing
    }

  def of_label(self) -> Start:
    """Returns the children of the live feature that fits the label best."""
    r_F = self.halves[0].labels[self.first.key].r_Y
    start = int(np.where(self.first.live_F, r_F, -1).argmax())
    other_F = self.halves[1].labels[self.first.key].r_Y
    return self._start(
      start, LabelFit(float(other_F[start]), float(r_F[start]))
    )

  def most(self) -> list[Start]:
    """Returns the live features with most children in the largest set."""
    largest = self.growing[-1].name
    children = {
      i: _last(self.counts(0, i, label=False)[largest])
      for i in self.halves[0].reached
    }
    order = sorted(children, key=lambda i: (-children[i], i))
    return [self._start(i, None) for i in order[:_MOST] if children[i] > 0]

  def _start(self, start: int, fit: LabelFit | None) -> Start:
    label = fit is not None
    first, n = self.first, self.inputs.config.splitting.nulls
    density_F = first.table.density_F
    counts = self.counts(1, start, label)
    nulls = splitting.matched(density_F, first.live_F, start, n)
    null = [self.counts(1, int(i), label) for i in nulls]
    return Start(
      fit=fit,
      start=f'{first.name}/{start}',
      density=float(density_F[start]),
      reached={name: own['reached'] for name, own in counts.items()},
      counts=counts,
      children={name: _last(own) for name, own in counts.items()},
      children_found={
        name: _last(own) for name, own in self.counts(0, start, label).items()
      },
      null=Nulls(
        starts=int(nulls.size),
        densities=[
          float(end(density_F[nulls])) for end in (np.min, np.max) if nulls.size
        ],
        counts={
          name: {
            key: splitting.beside(
              count, np.array([x[name][key] for x in null]), intervals.of
            )
            for key, count in own.items()
          }
          for name, own in counts.items()
        },
      ),
      features=self._listed(start, label),
    )

  def _listed(self, start: int, label: bool) -> dict[str, list[Reached]]:
    """Lists the reached features: children first, frequent ones first."""
    h, left, found = self.halves[1], self.left(1, start, label), {}
    for s in self.growing:
      own = h.reached[start][s.key]
      child = _last(left[s.key])
      order = np.lexsort((-s.table.fired_F[own], ~child))[:LISTED]
      found[s.name] = [
        Reached(
          feature=f'{s.name}/{i}',
          child=bool(child[k]),
          density=float(s.table.density_F[i]),
          held_out_firings=int(self.held_out[1][s.key][i]),
          under_parent=float(h.under[start][s.key][k]),
          to_label=_to_label(h.labels[s.key], i) if label else None,
          words=described(self.inputs, s, i),
        )
        for k in order
        for i in [int(own[k])]
      ]
    return found


def _to_label(of: Label, i: int) -> ToLabel:
  return ToLabel(
    on_label=float(of.mass_Y[i]),
    pure=float(of.firing_Y[i]),
    finds=float(of.found_Y[i]),
  )


def _last(by_filter: Mapping):
  """Returns what remains after all filters."""
  return list(by_filter.values())[-1]


def _reading(inputs: AnalysisInputs, split: str) -> AnalysisInputs:
  """Returns the inputs, with batches of another split."""
  analysis = dataclasses.replace(inputs.config, split=split)
  config = dataclasses.replace(inputs.run.config, analysis=analysis)
  return dataclasses.replace(
    inputs, run=dataclasses.replace(inputs.run, config=config)
  )
