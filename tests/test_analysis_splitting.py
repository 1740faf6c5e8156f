"""The graph of splitting features, on one that is drawn by hand."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
import runs

from monosem_jax.analysis import splitting
from monosem_jax.analysis.results.splitting import Beside
from monosem_jax.config import names, settings
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis import (
  children as children_lib,
  splitting as stage,
)

# a0 splits into b0 and b1, a1 stays b2, a2 and a3 merge into b3; b4 is new, a4
# is alone, a5 is not live. b0 splits into c0, c1; b3 goes on to c1, too.
LIVE = {
  'a': np.array([1, 1, 1, 1, 1, 0], bool),
  'b': np.ones(5, bool),
  'c': np.ones(3, bool),
}
PAIRS = {
  ('a', 'b'): {(0, 0), (0, 1), (1, 2), (2, 3), (3, 3)},
  ('b', 'c'): {(0, 0), (0, 1), (3, 1)},
}


def similarity(level) -> np.ndarray:
  x, y = (LIVE[name].size for name in level)
  s_XY = np.random.default_rng(0).uniform(0, 0.4, (x, y))
  for i, j in PAIRS[level]:
    s_XY[i, j] = 0.5 + 0.1 * i
  if level == ('a', 'b'):
    s_XY[5, 4] = 0.9
  return s_XY.astype(np.float32)


def levels() -> dict:
  return {
    level: splitting.edges(similarity(level), LIVE[level[0]], LIVE[level[1]])
    for level in PAIRS
  }


def test_edges_are_the_live_pairs_above_the_threshold():
  for level, found in levels().items():
    got = set(
      zip(found.source_M.tolist(), found.target_M.tolist(), strict=True)
    )
    assert got == PAIRS[level]
    np.testing.assert_array_equal(
      found.similarity_M, similarity(level)[found.source_M, found.target_M]
    )
  strict = splitting.edges(
    similarity(('a', 'b')), LIVE['a'], LIVE['b'], threshold=0.65
  )
  np.testing.assert_array_equal(strict.source_M, [2, 3])


def test_descendants_are_followed_from_dictionary_to_dictionary():
  order = ['a', 'b', 'c']
  assert splitting.descendants(('a', 0), order, levels()) == {
    'a': [0],
    'b': [0, 1],
    'c': [0, 1],
  }
  assert splitting.descendants(('a', 2), order, levels()) == {
    'a': [2],
    'b': [3],
    'c': [1],
  }
  assert splitting.descendants(('b', 4), order, levels()) == {
    'b': [4],
    'c': [],
  }


def test_components_join_what_any_path_joins():
  found = splitting.components(levels(), LIVE)
  assert [set(nodes) for nodes in found[:2]] == [
    # Through c1, what a0 splits into meets what a2 and a3 merge into.
    {
      *(('a', i) for i in (0, 2, 3)),
      *(('b', i) for i in (0, 1, 3)),
      *(('c', i) for i in (0, 1)),
    },
    {('a', 1), ('b', 2)},
  ]
  assert sorted(n for nodes in found[2:] for n in nodes) == [
    ('a', 4),
    ('b', 4),
    ('c', 2),
  ]


def test_summary_counts_splits_and_merges():
  found = levels()['a', 'b']
  assert splitting.summary(found, LIVE['a'], LIVE['b']) == splitting.Summary(
    splits=1, one_to_one=1, merges=1, without=1, new=1
  )


def test_shares_are_those_of_plain_sums():
  rng = np.random.default_rng(2)
  N = 400
  f_NX = np.maximum(rng.normal(-0.5, 1, (N, 5)), 0)
  y_NY = np.maximum(rng.normal(-0.5, 1, (N, 7)) + f_NX[:, :1], 0)
  on_NL = rng.random((N, 2)) < 0.3
  f_NX[:, 3], y_NY[:, 6], on_NL[:, 1] = 0, 0, False
  f_NX, y_NY = f_NX.astype(np.float32), y_NY.astype(np.float32)

  def pair(_, batch):
    f, y, on = batch
    return splitting.masks(f, on), y

  dot = Dot(jnp.dtype(jnp.float32))
  step = moments.make_step(pair, dot, masked=True)
  halves = [(f_NX[a], y_NY[a], on_NL[a]) for a in (slice(150), slice(150, N))]
  found = splitting.shares(moments.collect(step, None, halves))
  masks = [*(f_NX > 0).T, *on_NL.T, np.ones(N, bool)]
  assert found.mass_MY.shape == (8, 7)
  for m, on in enumerate(masks):
    for j, y in enumerate(y_NY.T):
      got = [x[m, j] for x in (found.mass_MY, found.firing_MY, found.found_MY)]
      fires = y > 0
      want = [
        y[on].sum() / y.sum() if fires.any() else np.nan,
        (fires & on).sum() / fires.sum() if fires.any() else np.nan,
        (fires & on).sum() / on.sum() if on.any() else np.nan,
      ]
      np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_sieve_keeps_what_passes_all_filters_so_far():
  passes = {
    'one': np.array([1, 1, 1, 0, 0], bool),
    'two': np.array([0, 1, 1, 1, 0], bool),
    'three': np.array([1, 0, 1, 1, 1], bool),
  }
  left = splitting.sieve(passes)
  assert {k: np.flatnonzero(v).tolist() for k, v in left.items()} == {
    'reached': [0, 1, 2, 3, 4],
    'one': [0, 1, 2],
    'two': [1, 2],
    'three': [2],
  }


def test_null_starts_are_the_live_ones_nearest_in_log_density():
  density_F = np.array([1e-3, 1.7e-3, 5.2e-4, 9e-4, 1e-2, 0.0, 1e-3, 4e-4])
  live_F = np.array([1, 1, 1, 1, 1, 0, 0, 1], bool)
  # 1.7 times as dense is nearer than 1.9 times as rare; itself is none.
  assert splitting.matched(density_F, live_F, 0, 3).tolist() == [3, 1, 2]
  assert splitting.matched(density_F, live_F, 0, 2).tolist() == [3, 1]
  # Those of another density are none, however few there are.
  assert splitting.matched(density_F, live_F, 0, 9).tolist() == [3, 1, 2]
  assert splitting.matched(density_F, live_F, 4, 9).size == 0


def test_a_count_stands_beside_its_nulls():
  mean_of = lambda values, statistic: (statistic(values), len(values))
  assert splitting.beside(3, np.array([0, 1, 3, 5]), mean_of) == Beside(
    count=3, mean=2.25, interval=(2.25, 4), max=5, n=4, p=3 / 5
  )
  alone = splitting.beside(3, np.array([]), lambda *_: None)
  assert alone.mean is alone.max is alone.p is None


# Of a run's own activations


@pytest.fixture(scope='module')
def inputs():
  run = runs.at(program.featured())
  config = run.config
  config = dataclasses.replace(
    config,
    analysis=dataclasses.replace(
      config.analysis,
      contexts=800,
      splitting=settings.Splitting(
        threshold=0.7, floor=0.02, purity=0.6, nulls=5
      ),
    ),
  )
  return runs.inputs(dataclasses.replace(run, config=config))


def grown(inputs) -> list[LoadedSet]:
  """A dictionary, and what it could have been: another threshold."""
  large = inputs.main
  rows_FA = large.rows_FA[::-1].copy()
  small = dataclasses.replace(
    large,
    id=names.SetId('A', '0'),
    sae=large.sae.replace(
      W_enc_AF=large.sae.W_enc_AF[:, ::-1] + 0.02 * rows_FA.T,
      b_enc_F=large.sae.b_enc_F[::-1] - 0.03,
    ),
  )
  return [small, large]


class Labelled:
  """Labels that this corpus has."""

  proxies = types.SimpleNamespace(absent={'hex': 'not here'})
  proxy_names = ('dna', 'base64')

  def __init__(self, inputs, split):
    assert split == inputs.config.split

  def on(self, tokens_BT) -> np.ndarray:
    return np.stack([tokens_BT % 2 == 0, tokens_BT % 3 == 0], -1)


def test_children_are_counted_as_by_hand(inputs, monkeypatch, tmp_path):
  monkeypatch.setattr(children_lib, 'Labelled', Labelled)
  growing = grown(inputs)
  c = inputs.config.splitting
  with jax.set_mesh(inputs.mesh):
    halves = {}, {}
    name = 'A0', 'A1'
    halves[0][name], halves[1][name], _, tokens = stage._edges(inputs, *growing)
    children = children_lib.Children(inputs, growing, halves, 'base64')
    assert children.absent is None
    found, most = children.of_label(), children.most()
    seen = [
      [
        (np.asarray(tokens_BT), context_B.tolist())
        for tokens_BT, context_B in read(inputs, half)
      ]
      for half in (0, 1)
    ]
    f = [activations_by_hand(inputs, growing, half) for half in seen]
    held = activations_by_hand(
      inputs, growing, [(inputs.store.tokens('val', held_out(inputs)), None)]
    )
  assert tokens == sum(len(x) for x, _ in f)
  assert found.start and set(found.children) == {'A/0', 'A/1'}
  on = [
    np.concatenate([(t % 3 == 0).ravel() for t, _ in half]) for half in seen
  ]
  density_F, live_F = inputs.main.table.density_F, inputs.main.live_F
  live_pairs = live_F[:, None] & live_F

  def near(x_NX, y_NY):
    s = np.zeros(live_pairs.shape)
    for i, x in enumerate(x_NX.T):
      for j, y in enumerate(y_NY.T):
        for at in (x > 0, y > 0):
          norm = np.linalg.norm(x[at]) * np.linalg.norm(y[at])
          s[i, j] = max(s[i, j], x[at] @ y[at] / norm if norm else 0)
    return (s > c.threshold) & live_pairs

  def by_hand(half, start, label):
    x, y = f[half]
    left = near_of[half][start]
    counts = [left.sum()]
    mass_Y = y[x[:, start] > 0].sum(0) / np.maximum(y.sum(0), 1e-9)
    on_Y = y[on[half]].sum(0) / np.maximum(y.sum(0), 1e-9)
    filters = [
      density_F >= c.floor, (held[1] > 0).any(0), mass_Y >= c.purity,
      *([on_Y >= c.purity] if label else []),
    ]  # fmt: skip
    for passes in filters:
      left = left & passes
      counts.append(left.sum())
    return counts

  near_of = [near(*x) for x in f]
  # The start is found on the first half, its correlation is of the second.
  r = [
    [np.corrcoef(x, on[h])[0, 1] if live and np.ptp(x) else -1
     for x, live in zip(f[h][0].T, live_F, strict=True)]
    for h in (0, 1)
  ]  # fmt: skip
  start = int(np.argmax(r[0]))
  assert found.start == f'A/0/{start}'
  assert found.fit.correlation == pytest.approx(r[1][start], abs=1e-4)
  assert list(found.counts['A/1'].values()) == by_hand(1, start, True)
  ratio_F = np.where(live_F, density_F, 1) / density_F[start]
  away = np.abs(np.log(ratio_F))
  away[~live_F], away[start] = np.inf, np.inf
  nulls = np.argsort(away, kind='stable')[: min(5, (away < np.log(2)).sum())]
  assert found.null.starts == len(nulls) > 1
  wanted = np.array([by_hand(1, i, True) for i in nulls])
  null = list(found.null.counts['A/1'].values())
  assert [x.mean for x in null] == wanted.mean(0).tolist()
  assert [x.max for x in null] == wanted.max(0).tolist()
  # By rule: most children on the first half, counts of the second.
  first = [by_hand(0, i, False)[-1] if live_F[i] else -1 for i in range(48)]
  order = np.argsort(-np.array(first), kind='stable')[:3]
  assert first[order[0]] > 0
  assert [x.start for x in most] == [f'A/0/{i}' for i in order if first[i] > 0]
  for x, i in zip(most, order, strict=False):
    assert list(x.counts['A/1'].values()) == by_hand(1, i, False)
    assert x.children_found['A/1'] == first[i]
  stage._draw(growing, halves[1], found, tmp_path / 'graph.png')
  stage._bars('A/1', found, most, c.purity, tmp_path / 'bars.png')
  assert all(path.stat().st_size > 5_000 for path in tmp_path.glob('*.png'))
  assert len(list(tmp_path.glob('*.png'))) == 2
  # The filters tell features apart here.
  everything = [by_hand(1, i, False) for i in np.flatnonzero(live_F)]
  assert (np.diff(np.sum(everything, 0))[[0, 2]] < 0).all()


def read(inputs, half: int):
  of = []

  def labels(tokens_BT, context_B):
    of.append(context_B)
    return ()

  for batch in inputs.batches('test', labels, half=half):
    yield batch[0], of[-1]


def held_out(inputs) -> np.ndarray:
  return np.arange(min(inputs.store.n_contexts('val'), inputs.config.contexts))


def activations_by_hand(inputs, growing, batches) -> list[np.ndarray]:
  found = []
  for s in growing:
    W, b = np.asarray(s.sae.W_enc_AF), np.asarray(s.sae.b_enc_F)
    parts = []
    for tokens_BT, _ in batches:
      acts = inputs.lm(s.model)(jnp.asarray(tokens_BT))[1]
      x = np.asarray(acts, np.float32).reshape(-1, len(W))
      parts.append(np.maximum((x - np.asarray(s.sae.b_dec_A)) @ W + b, 0))
    found.append(np.concatenate(parts))
  return found
