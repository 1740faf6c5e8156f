"""The analysis `automata` on a small run, against loops over its text."""

import functools
import itertools
import json
import pathlib
import shutil

import jax
import numpy as np
import program
import pytest
import runs

from monosem_jax.stages.analysis import inputs as analysis_inputs, machine_text

# So that a run of some seconds has machines, and all of them are listed.
FLAGS = (
  '--only=automata',
  '--config.analysis.automata.threshold=0.01',
  '--config.analysis.automata.q=1.0',
  '--config.analysis.automata.permutations=3',
  '--config.analysis.automata.machines=2',
)


@functools.cache
def made() -> pathlib.Path:
  def make(path):
    shutil.copytree(program.finished(), path)
    program.run('analysis', path, *FLAGS)

  return program.once('automata', make)


@functools.cache
def numbers() -> dict:
  path = made() / 'analysis' / 'automata' / 'numbers.json'
  return json.loads(path.read_text())


def arrays(name: str) -> dict[str, np.ndarray]:
  path = made() / 'analysis' / 'automata' / f'{name}.npz'
  with np.load(path, allow_pickle=False) as found:
    return dict(found)


@functools.cache
def held_out():
  """Tokens of held-out text, and where features fire."""
  inputs = runs.inputs(runs.at(made()))
  store = inputs.store
  there = store.n_contexts('val')
  # Whole batches of 16 contexts.
  context_C = np.arange(there - there % 16)
  tokens_CT = store.tokens('val', context_C)
  with jax.set_mesh(inputs.mesh):
    f_NF = analysis_inputs.activations(inputs.dot)(
      (inputs.lm('A'), inputs.main.sae), (tokens_CT,)
    )
  fires_CTF = np.asarray(f_NF > 0).reshape(*tokens_CT.shape, -1)
  return tokens_CT, fires_CTF, inputs


def pairs(told: bool = False) -> tuple[np.ndarray, np.ndarray]:
  """Features on both tokens of all pairs inside documents.

  `told`: of the odd groups of documents alone, on which no order is chosen.
  """
  tokens_CT, fires_CTF, inputs = held_out()
  group_CT = inputs.groups('val', np.arange(len(tokens_CT)))
  first, then = [], []
  for c, t in np.ndindex(len(tokens_CT), tokens_CT.shape[1] - 1):
    if told and group_CT[c, t + 1] % 2 == 0:
      continue
    if tokens_CT[c, t + 1] != inputs.store.tokenizer.separator:
      first.append(fires_CTF[c, t])
      then.append(fires_CTF[c, t + 1])
  return np.array(first), np.array(then)


def number_of(name: str) -> int:
  return int(name.rpartition('/')[2])


def test_transitions_are_those_of_held_out_text():
  first_NF, then_NF = pairs()
  assert numbers()['held_out_tokens'] == len(first_NF)
  found = arrays('held_out')
  assert len(found['source_M']) == numbers()['edges_above_threshold'] > 5
  for m, (i, j) in enumerate(
    zip(found['source_M'], found['target_M'], strict=True)
  ):
    for key, source, target in (('observed_M', i, j), ('reverse_M', j, i)):
      fired = first_NF[:, source]
      want = then_NF[fired, target].mean() if fired.any() else np.nan
      np.testing.assert_allclose(found[key][m], want)
    np.testing.assert_allclose(found['base_M'][m], then_NF[:, j].mean())


def test_edges_of_machines_say_what_held_out_text_does():
  first_NF, then_NF = pairs(told=True)
  machines = numbers()['machines']
  assert machines
  for machine in machines:
    for edge in machine['measured']:
      i, j = number_of(edge['from']), number_of(edge['to'])
      fired = first_NF[:, i]
      assert edge['fired'] == fired.sum()
      if fired.any():
        assert edge['observed'] == pytest.approx(then_NF[fired, j].mean())
        assert edge['stays'] == pytest.approx(then_NF[fired, i].mean())
        if edge['observed_interval']:
          low, high = edge['observed_interval']
          assert low <= edge['observed'] <= high
      assert edge['base'] == pytest.approx(then_NF[:, j].mean())
      assert 0 < edge['p_rank'] <= 1


def test_a_machine_is_beside_its_null():
  found = numbers()
  above = {
    (number_of(e['from']), number_of(e['to'])): w
    for m in found['machines']
    for e, w in zip(m['measured'], m['predicted'], strict=True)
  }
  edges = arrays('edges')
  gain = dict(
    zip(
      zip(edges['source_M'], edges['target_M'], strict=True),
      edges['gain_M'],
      strict=True,
    )
  )
  assert all(gain[edge] == pytest.approx(w) for edge, w in above.items())
  loops = [row for row in found['null'] if row['kind'] == 'self-loop']
  there = sum(w > 0.01 for (i, j), w in gain.items() if i == j)
  assert sum(row['found'] for row in loops) == there
  for row in found['null']:
    assert row['null_min'] <= row['null_mean'] <= row['null_max']
    assert row['within_min'] <= row['within_mean'] <= row['within_max']
    assert row['surviving_within'] <= row['surviving'] <= row['found']
  assert sum(found['surviving'].values()) <= sum(found['count'].values())
  for m in found['machines']:
    assert m['q'] <= 1 and (m['ordered'] is None) == (len(m['nodes']) == 1)


def test_excerpts_are_of_held_out_text_where_features_fire_in_turn():
  tokens_CT, fires_CTF, inputs = held_out()
  shown = 0
  for machine in numbers()['machines']:
    nodes = [number_of(x['feature']) for x in machine['nodes']]
    excerpt = machine['excerpt']
    if excerpt is None:
      continue
    own = [(t, n) for t, n in enumerate(excerpt['nodes']) if n >= 0]
    for (_, n), (_, after) in itertools.pairwise(own):
      assert after == (n + 1) % len(nodes)
    places = [
      (c, t)
      for c, t in np.ndindex(*tokens_CT.shape)
      if [inputs.vocabulary[i] for i in tokens_CT[c, t:]][
        : len(excerpt['tokens'])
      ]
      == excerpt['tokens']
    ]
    assert any(
      all(fires_CTF[c, t + at, nodes[n]] for at, n in own) for c, t in places
    )
    shown += 1
  assert shown


def test_pinning_is_told_in_probabilities():
  for machine in numbers()['machines']:
    for edge in machine['measured']:
      assert abs(edge['pinned']) <= 1 and edge['contexts'][0] == 4
    text = machine['text']
    assert 0 <= text['unpinned'] <= 1 and text['walks'] == 8


def test_what_the_paper_names_is_found_or_told_why():
  found = {x['name']: x for x in numbers()['named']}
  assert set(found) == {'HTML main path', 'ALL_CAPS_SNAKE'}
  for x in found.values():
    # The text has neither.
    assert not x['survives'] and 'no live feature' in x['not_found']
    assert x['machine'] is None and 0 in x['candidates']


def test_counts_are_the_same_on_eight_devices():
  _, _, inputs = held_out()
  found = arrays('held_out')
  edges = list(map(tuple, np.stack([found['source_M'], found['target_M']], 1)))
  edges = [(int(i), int(j)) for i, j in edges]
  with jax.set_mesh(inputs.mesh):
    counted = machine_text.count(inputs, set(edges), [])
  assert inputs.mesh.size == 8
  np.testing.assert_array_equal(counted.rate(edges), found['observed_M'])
  np.testing.assert_array_equal(counted.base(edges), found['base_M'])
  np.testing.assert_allclose(counted.p_rising(edges), found['p_M'])


def test_an_order_is_found_where_every_edge_has_a_direction():
  """Planted: 0 leads to 1 leads to 2 and back; 3 and 4 lead both ways."""
  rng, G = np.random.default_rng(0), 64
  cycle, both_ways = [(0, 1), (1, 2), (2, 0)], [(3, 4), (4, 3)]
  stays = [(i, i) for i in range(5)]
  edges = [*cycle, *((j, i) for i, j in cycle), *both_ways, *stays]
  rate = dict.fromkeys(edges, 5.0) | dict.fromkeys(cycle, 20.0)
  both_GM = rng.poisson([rate[e] for e in edges], (G, len(edges)))
  one_GM = np.full((G, len(edges)), 100.0)
  at = {edge: m for m, edge in enumerate(edges)}
  pairs_G = np.full(G, 1_000.0)
  counted = machine_text.Counted(
    at, pairs_G, one_GM, one_GM, both_GM.astype(np.float64)
  )
  p_cycle = counted.order_p(cycle, of_pair=False)
  assert p_cycle < 1e-3 < 0.05 < counted.order_p(both_ways, of_pair=True)
  assert counted.order_p([(3, 3)], of_pair=False) is None
  # One edge without a direction, and the machine has none.
  flat = both_GM.astype(np.float64)
  flat[:, at[2, 0]] = flat[:, at[0, 2]]
  other = machine_text.Counted(at, pairs_G, one_GM, one_GM, flat)
  assert other.order_p(cycle, of_pair=False) == 1
  # Chosen on the even groups alone: what the odd ones say changes nothing.
  odd = both_GM.astype(np.float64)
  odd[1::2] = 0
  same = machine_text.Counted(at, pairs_G, one_GM, one_GM, odd)
  assert same.order_p(cycle, of_pair=False) == p_cycle
  assert same.numbers((0, 1), False)['observed'] == 0
