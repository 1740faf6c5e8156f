"""Features that work together as finite-state automata; `analysis.automata`,
`analysis.transitions`.

Edges are predicted for all live features of the main dictionary, machines found
among them, and the edges of those that are listed measured.
"""

import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax import mesh as meshes
from monosem_jax.analysis import automata, figures, transitions
from monosem_jax.features import moments
from monosem_jax.files import write_arrays, write_file
from monosem_jax.stages.analysis.bench import Bench, activations, part
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.pages import code, tokens
from monosem_jax.stages.analysis.words import described

KINDS = ('self-loop', 'two-cycle', 'cycle', 'chain')


def make(bench: Bench, out: pathlib.Path) -> dict:
  c, main = bench.config.automata, bench.main
  lm = bench.lm(main.model)
  edges = automata.predict(
    jax.jit(lm.logit_weights),
    main.sae.W_dec_FA,
    bench.dot,
    main.live_F,
    _counts(bench),
    kept=c.edges,
    temperature=c.temperature,
  )
  write_arrays(out / 'edges.npz', edges)
  machines, above = automata.search(
    edges['source_M'], edges['target_M'], edges['gain_M'], c.threshold
  )
  labels = _labels(bench)
  listed = _listed(machines, labels, c.machines)
  effects = _measure(bench, {i for m in listed for i in m.nodes}, listed)
  walks = _walks(bench, listed)
  found = []
  for n, (m, effect, walk) in enumerate(
    zip(listed, effects, walks, strict=True)
  ):
    found.append(
      {
        'kind': m.kind,
        'about': _about(m, labels),
        'nodes': [
          {'feature': f'{main.run}/{i}', **described(bench, main, i)}
          for i in m.nodes
        ],
        'predicted': m.weights,
        'measured': effect,
        'text': walk,
      }
    )
    _draw(bench, out / f'{n:02d}_{m.kind}.png', m, effect)
  write_file(out / 'machines.md', _page(bench, found).encode())
  return {
    'edges': int(edges['gain_M'].size),
    'edges_above_threshold': int((edges['gain_M'] > c.threshold).sum()),
    'complete_above': above,
    'count': {kind: sum(m.kind == kind for m in machines) for kind in KINDS},
    'machines': found,
    'tokens': bench.tokens,
  }


def _counts(bench: Bench):
  """On which tokens features fire, by blocks of them, a pass for each."""
  main, of = bench.main, activations(bench.dot)
  V = bench.store.tokenizer.vocab_size
  step = automata.make_counts(
    lambda args, batch: (of(args, batch), batch[0].reshape(-1)), V
  )
  for own in moments.blocks(main.live_F.size, V, 1, bench.config.block_bytes):
    yield moments.collect(
      step,
      (bench.lm(main.model), part(main.sae, own)),
      bench.batches(f'automata/{main.name}'),
    )


def _labels(bench: Bench) -> list[str]:
  """What each feature of the main dictionary is most about: '' for nothing."""
  bench.numbers('proxies')
  labelled = Labelled(bench, bench.config.split)
  names = [*labelled.proxy_names, *labelled.subset_names]
  path = bench.w.analysis('proxies') / f'{bench.main.name}.npz'
  r_XY = np.load(path, allow_pickle=False)['r_XY']
  return [
    names[y] if r > 0.05 else ''
    for y, r in zip(r_XY.argmax(1), r_XY.max(1), strict=True)
  ]


def _about(m: automata.Machine, labels: list[str]) -> str:
  """The label that most of its features have; '' for none."""
  own = [labels[i] for i in m.nodes if labels[i]]
  return max(sorted(set(own)), key=own.count) if own else ''


def _listed(machines, labels: list[str], most: int) -> list[automata.Machine]:
  """The best of each kind; no feature twice, and labels in turn."""
  listed = []
  for kind in KINDS:
    taken: set[int] = set()
    by_label: dict[str, list[automata.Machine]] = {}
    for m in machines:
      if m.kind == kind and taken.isdisjoint(m.nodes):
        taken.update(m.nodes)
        by_label.setdefault(_about(m, labels), []).append(m)
    turns = itertools.zip_longest(*by_label.values())
    own = [m for turn in turns for m in turn if m is not None]
    listed += own[:most]
  return listed


def _measure(bench: Bench, sources: set[int], listed) -> list[list[dict]]:
  """Of each machine's edges: what pinning and ablating the source changes.

  Effects are in maxima of the target.
  """
  c, main, rng = bench.config.automata, bench.main, np.random.default_rng(0)
  lm, table = bench.lm(main.model), main.table
  targets = {i: set() for i in sources}
  for m in listed:
    for i, j, _ in _edges(m):
      targets[i].add(j)
  widest = max((len(t) for t in targets.values()), default=0)
  anywhere = bench.store.tokens('val', np.arange(c.contexts))
  T = anywhere.shape[1]
  at_C = rng.integers(1, T - 1, len(anywhere))
  told = bench.progress(f'automata/{main.name}/edges')
  effects = {}
  for n, i in enumerate(sorted(sources)):
    own = sorted(targets[i])
    padded_n = jnp.array((own + [i] * widest)[:widest], jnp.int32)
    there_E = np.flatnonzero(table.example_stop_FE[i] > 0)
    there_E = there_E[
      table.example_acts_FEW[i, there_E, table.meta['before']] > 0
    ]
    there_E = there_E[: c.contexts]
    firing_CT = np.zeros((c.contexts, T), np.int32)
    firing_C = np.full(c.contexts, -1)
    firing_CT[: len(there_E)] = bench.fetch(
      table.example_context_FE[i, there_E]
    )
    firing_C[: len(there_E)] = table.example_position_FE[i, there_E]
    key = jax.random.fold_in(jax.random.key(bench.config.seed), i)
    found = [
      jax.device_get(
        transitions.measure(
          lm,
          main.sae,
          bench.dot,
          jnp.asarray(tokens_CT),
          jnp.asarray(at, jnp.int32),
          jnp.asarray(i, jnp.int32),
          jnp.asarray(value, jnp.float32),
          padded_n,
          key,
        )
      )
      for tokens_CT, at, value in (
        (anywhere, at_C, c.strength * table.max_F[i]),
        (firing_CT, firing_C, 0.0),
      )
    ]
    for k, j in enumerate(own):
      scale = float(table.max_F[j]) or 1.0
      effects[i, j] = {
        f'{name}{suffix}': float(x[k]) / scale
        for name, (mean_n, error_n, _) in zip(
          ('pinned', 'ablated'), found, strict=True
        )
        for suffix, x in (('', mean_n), ('_se', error_n))
      } | {'contexts': [int(n) for _, _, n in found]}
    told(n + 1, len(sources))
  return [
    [
      {'from': f'{main.run}/{i}', 'to': f'{main.run}/{j}', **effects[i, j]}
      for i, j, _ in _edges(m)
    ]
    for m in listed
  ]


def _edges(m: automata.Machine) -> list[tuple[int, int, float]]:
  after = m.nodes[1:] if m.kind == 'chain' else (*m.nodes[1:], m.nodes[0])
  return list(zip(m.nodes, after, m.weights, strict=False))


def _walks(bench: Bench, listed) -> list[dict]:
  """A text for each machine, sampled while its features are pinned in turn."""
  if not listed:
    return []
  main, store = bench.main, bench.store
  longest = max(len(m.nodes) for m in listed)
  nodes_Bn = np.full((len(listed), longest), -1, np.int32)
  for b, m in enumerate(listed):
    nodes_Bn[b, : len(m.nodes)] = m.nodes
  # It begins with the token that the first feature fires on most.
  first_B = main.table.example_tokens_FEW[
    nodes_Bn[:, 0], 0, main.table.meta['before']
  ].astype(np.int32)
  prompt_BT = np.stack(
    [np.full_like(first_B, store.tokenizer.separator), first_B], 1
  )
  tokens_BT, node_BL = transitions.walk(
    bench.lm(main.model),
    main.sae,
    bench.dot,
    jnp.asarray(nodes_Bn),
    jnp.asarray(
      bench.config.automata.strength * main.table.max_F[nodes_Bn], jnp.float32
    ),
    jnp.asarray(prompt_BT),
    jax.random.key(bench.config.seed),
    min(bench.config.automata.walk, store.context - 2),
  )
  tokens_BT, node_BL = meshes.fetch((tokens_BT, node_BL))
  return [
    {
      'text': store.tokenizer.decode(row[1:].tolist()),
      'tokens': [bench.vocabulary[i] for i in row[1:]],
      'nodes': [0, *visited.tolist()],
      'on_machine': float((visited >= 0).mean()),
    }
    for row, visited in zip(tokens_BT, node_BL, strict=True)
  ]


def _draw(
  bench: Bench, path: pathlib.Path, m: automata.Machine, effect
) -> None:
  main, n = bench.main, len(m.nodes)
  around = np.pi / 2 - 2 * np.pi * np.arange(n) / n
  at = {
    str(i): (0.5 + 0.4 * np.cos(a), 0.5 + 0.4 * np.sin(a))
    if n > 1
    else (0.5, 0.4)
    for i, a in zip(m.nodes, around, strict=True)
  }
  labels = {
    str(i): f'{main.run}/{i}\n'
    + ' '.join(map(repr, described(bench, main, i)['fires_on'][:3]))
    for i in m.nodes
  }
  pinned = ', '.join(f'{e["pinned"]:+.2f}' for e in effect)
  figures.graph(
    path,
    at,
    [(str(i), str(j), w) for i, j, w in _edges(m)],
    f'A {m.kind}. Arrows: by how much the probability that the next feature '
    f'fires rises, predicted from logit weights: '
    f'{", ".join(f"{w:.2f}" for w in m.weights)}. Measured, by how many of its '
    f'maxima its activation rises when the one before is pinned: {pinned}.',
    labels,
  )


def _page(bench: Bench, found: list[dict]) -> str:
  c = bench.config.automata
  lines = [
    f'# Automata of {bench.main.run}',
    '',
    f'Edges above {c.threshold:g}, from {bench.tokens:,} tokens. Predicted: by '
    'how much likelier the next feature fires than it does anyway. Measured: '
    'the change of its activation on the next token, in its maxima, when the '
    f'one before is pinned to {c.strength:g} maxima, and ablated where it '
    'fires; plus or minus a standard error.',
    '',
  ]
  for m in found:
    lines += [f'## {m["kind"]}' + (f': {m["about"]}' if m['about'] else ''), '']
    lines += [
      f'- {node["feature"]}: fires on {tokens(node["fires_on"])}; predicts '
      f'{tokens(node["predicts"])}'
      for node in m['nodes']
    ]
    lines += [
      '',
      '| edge | predicted | pinned | ablated |',
      '|---|--:|--:|--:|',
    ]
    lines += [
      f'| {e["from"]} to {e["to"]} | {w:.2f} | {_pm(e, "pinned")} | '
      f'{_pm(e, "ablated")} |'
      for e, w in zip(m['measured'], m['predicted'], strict=False)
    ]
    text = m['text']
    lines += [
      '',
      f'Walked ({text["on_machine"]:.0%} of the tokens on it): '
      f'{code(text["text"])}',
      '',
    ]
  return '\n'.join(lines)


def _pm(e: dict, key: str) -> str:
  if not np.isfinite(e[f'{key}_se']):
    return '-'
  return f'{e[key]:+.3f} ± {e[f"{key}_se"]:.3f}'
