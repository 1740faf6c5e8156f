"""Features that work together as finite-state automata.

Edges between live features of the main dictionary are predicted from logit
weights (`analysis.automata`), and machines are searched among them
(`machines`). A machine is listed if permuted rows of logit weights rarely make
one as strong (`significance`); it is then measured in held-out text
(`following`) and by pinning (`transitions`). The other machines are counted
only.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from monosem_jax.analysis import automata, roles, significance
from monosem_jax.analysis.results.automata import Automata
from monosem_jax.analysis.results.numbers import to_json
from monosem_jax.analysis.results.proxies import Proxies
from monosem_jax.features import moments
from monosem_jax.run.files import write_file
from monosem_jax.stages.analysis import (
  machine_pages,
  machine_passages,
  machine_tests,
  machine_text,
)
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import AnalysisInputs, activations, part
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.machine_effects import effects, walks
from monosem_jax.stages.analysis.machine_tests import KINDS, Judged
from monosem_jax.stages.analysis.machine_text import Counted, Edge
from monosem_jax.stages.analysis.sections import effects as told
from monosem_jax.stages.analysis.words import described


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Automata:
  c, main = inputs.config.automata, inputs.main
  role_RV = roles.of_tokens(inputs.vocabulary)
  plays: list[np.ndarray] = []

  def counts():
    for own, (tokens_V, fired_VX) in _counts(inputs):
      plays.append(roles.players(role_RV, fired_VX, main.live_F[own]))
      yield tokens_V, fired_VX

  edges = automata.predict(
    jax.jit(inputs.lm(main.model).logit_weights),
    main.sae.W_dec_FA,
    inputs.dot,
    main.live_F,
    counts(),
    kept=c.edges,
    temperature=c.temperature,
  )
  edges.save(out / 'edges.npz')
  strong_M = edges.gain_M > c.threshold
  pair_M2 = np.stack([edges.source_M, edges.target_M], 1)[strong_M]
  above = list(map(tuple, pair_M2.tolist()))
  labels = _labels(inputs)
  judged, null, complete_above = machine_tests.judge(
    inputs, edges, set(above), labels
  )
  kept = [m for m in judged if m.q is not None and m.q <= c.q]
  played = machine_tests.players(np.concatenate(plays, 1))
  named = machine_tests.named(played, _between(inputs, played), judged, c)
  systems = [found.machine for found in named if found.machine]
  permuted = machine_tests.permuted(inputs, edges)
  counted = machine_text.count(
    inputs, {*above, *(edge for m in systems for edge in m.edges)}, permuted
  )
  ordered = _ordered(counted, list(dict.fromkeys([*kept, *systems])), c.q)
  # Ordered machines come first; others may be sets of features of one kind of
  # text.
  first = [m for m in kept if m in ordered]
  listed = _listed(list(dict.fromkeys([*first, *kept])), labels, c.machines)
  every = listed + systems
  entries = _measured(inputs, every, counted, ordered, labels)
  for n, entry in enumerate(entries[: len(listed)]):
    machine_pages.draw(out / f'{n:02d}_{entry["kind"]}.png', entry)
  machine_pages.draw_null(out / 'null.png', null, c.permutations)
  rest = iter(entries[len(listed) :])
  tally = lambda own: {kind: sum(m.kind == kind for m in own) for kind in KINDS}
  numbers = Automata(
    edges=int(edges.gain_M.size),
    edges_above_threshold=len(above),
    threshold=c.threshold,
    complete_above=complete_above,
    live=int(main.live_F.sum()),
    q=c.q,
    permutations=c.permutations,
    count=tally(judged),
    surviving=tally(kept),
    surviving_within=tally(
      [m for m in kept if m.q_within is not None and m.q_within <= c.q]
    ),
    ordered=tally(first),
    null=null,
    transitions=machine_text.transitions(out, above, permuted, counted, c.q),
    machines=entries[: len(listed)],
    named=[
      dataclasses.replace(found, machine=next(rest) if found.machine else None)
      for found in named
    ],
    tokens=inputs.tokens,
    held_out_tokens=int(counted.pairs_G.sum()),
    held_out_groups=int((counted.pairs_G > 0).sum()),
  )
  write_file(out / 'machines.md', machine_pages.page(inputs, numbers).encode())
  return numbers


def _counts(
  inputs: AnalysisInputs, features: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray | slice, tuple[np.ndarray, np.ndarray]]]:
  """Yields blocks of features, and the tokens on which they fire.

  Each block takes a pass over the text.
  """
  main, of = inputs.main, activations(inputs.dot)
  V = inputs.store.tokenizer.vocab_size
  step = automata.make_counts(
    lambda args, batch: (of(args, batch), batch[0].reshape(-1)), V
  )
  F = main.live_F.size if features is None else features.size
  for own in moments.blocks(F, V, 1, inputs.config.block_bytes):
    columns = own if features is None else features[own]
    yield (
      columns,
      moments.collect(
        step,
        (inputs.lm(main.model), part(main.sae, columns)),
        inputs.batches(f'automata/{main.key}'),
      ),
    )


def _labels(inputs: AnalysisInputs) -> list[str]:
  """Returns the best label of each feature of the main dictionary, or ''."""
  inputs.needs('proxies', Proxies)
  labelled = Labelled(inputs, inputs.config.split)
  names = [*labelled.proxy_names, *labelled.subset_names]
  path = inputs.run.workdir.analysis('proxies') / f'{inputs.main.key}.npz'
  r_XY = np.load(path, allow_pickle=False)['r_XY']
  return [
    names[y] if r > 0.05 else ''
    for y, r in zip(r_XY.argmax(1), r_XY.max(1), strict=True)
  ]


def _about(m: Judged, labels: list[str]) -> str:
  """Returns the most frequent label of a machine's features, or ''."""
  own = [labels[i] for i in m.nodes if labels[i]]
  return max(sorted(set(own)), key=own.count) if own else ''


def _listed(
  machines: Sequence[Judged], labels: list[str], most: int
) -> list[Judged]:
  """Returns the first machines of each kind, taking labels in turn.

  No feature occurs twice in a kind.
  """
  listed = []
  for kind in KINDS:
    taken: set[int] = set()
    by_label: dict[str, list[Judged]] = {}
    for m in machines:
      if m.kind == kind and taken.isdisjoint(m.nodes):
        taken.update(m.nodes)
        by_label.setdefault(_about(m, labels), []).append(m)
    turns = itertools.zip_longest(*by_label.values())
    own = [m for turn in turns for m in turn if m is not None]
    listed += own[:most]
  return listed


def _ordered(
  counted: Counted, machines: Sequence[Judged], q: float
) -> set[Judged]:
  """Returns the machines whose every edge has a direction.

  False discoveries are controlled by Benjamini and Hochberg.
  """
  p = {m: counted.order_p(m.edges, m.is_pair) for m in machines}
  tested = [m for m, own in p.items() if own is not None]
  found = significance.benjamini_hochberg(
    np.array([p[m] for m in tested]), len(tested)
  )
  return {m for m, own in zip(tested, found, strict=True) if own <= q}


def _measured(
  inputs: AnalysisInputs,
  every: Sequence[Judged],
  counted: Counted,
  ordered: set[Judged],
  labels: list[str],
) -> list[dict[str, Any]]:
  """Returns everything known about machines."""
  c, main = inputs.config.automata, inputs.main
  texts, places = machine_passages.passages(
    inputs, [(m.nodes, m.closes) for m in every], c.contexts
  )
  edges = [edge for m in every for edge in m.edges]
  own = np.unique([j for _, j in edges]).astype(np.int64)
  sources = np.flatnonzero(main.live_F)
  share_VX, gain_SX = _gains(inputs, sources, own)
  shares = dict(zip(own.tolist(), share_VX.T, strict=True))
  rank = {
    (i, j): _rank(
      gain_SX, int(np.searchsorted(sources, i)), int(np.searchsorted(own, j))
    )
    for i, j in edges
  }
  changed = effects(inputs, edges, shares, places)
  return [
    {
      'kind': m.kind,
      'about': _about(m, labels),
      'nodes': [
        {'feature': f'{main.name}/{i}', **to_json(described(inputs, main, i))}
        for i in m.nodes
      ],
      'predicted': m.weights,
      'p': m.p,
      'q': m.q,
      'q_within': m.q_within,
      'expected': m.expected,
      'ordered': None if len(m.nodes) == 1 else m in ordered,
      'asymmetry': _least(told),
      'measured': [
        {'from': f'{main.name}/{i}', 'to': f'{main.name}/{j}'}
        | {'p_rank': rank[i, j]}
        | own_told
        | changed[i, j]
        for (i, j), own_told in zip(m.edges, told, strict=True)
      ],
      'excerpt': excerpt,
      'text': walk,
    }
    for m, told, excerpt, walk in zip(
      every,
      [[counted.numbers(e, m.is_pair) for e in m.edges] for m in every],
      texts,
      walks(inputs, [m.nodes for m in every]),
      strict=True,
    )
  ]


def _least(told: Sequence[dict]) -> float | None:
  """Returns the smallest asymmetry of the edges; None if one has none."""
  own = [edge['asymmetry'] for edge in told]
  return None if None in own else min(own)


def _rank(gain_SX: np.ndarray, s: int, x: int) -> float:
  """Returns the share of sources that lead to a target at least as strongly."""
  return float((gain_SX[:, x] >= gain_SX[s, x]).mean())


def _gains(
  inputs: AnalysisInputs, sources: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns all edges between features: share_VX of targets, and gain_SX."""
  main, parts = inputs.main, []
  blocks = _counts(inputs, targets) if targets.size else ()
  shares = [np.zeros((inputs.store.tokenizer.vocab_size, 0))]
  for _, found in blocks:
    share_VX, base_X = automata.shares(*found)
    parts.append(
      automata.gains(
        inputs.lm(main.model).logit_weights,
        main.rows_FA[sources],
        share_VX,
        base_X,
        inputs.dot,
        inputs.config.automata.temperature,
      )
    )
    shares.append(share_VX)
  return np.concatenate(shares, 1), np.concatenate(
    [np.zeros((sources.size, 0)), *parts], 1
  )


def _between(
  inputs: AnalysisInputs, plays: dict[str, list[np.ndarray]]
) -> dict[Edge, float]:
  """Returns the positive edges between features with roles in the systems."""
  own = np.unique(np.concatenate([x for xs in plays.values() for x in xs]))
  _, gain_XX = _gains(inputs, own, own)
  return {
    (int(own[s]), int(own[x])): float(gain_XX[s, x])
    for s, x in zip(*np.nonzero(gain_XX > 0), strict=True)
  }


ANALYSIS = Analysis(
  order=130,
  make=make,
  numbers=Automata,
  title='Finite-state automata',
  asked='Do features lead to each other in cycles and chains, more than chance '
  'would have it, and does text follow them?',
  answer=told.automata,
  picture='null.png',
  view='automata',
  needs=('proxies',),
)
