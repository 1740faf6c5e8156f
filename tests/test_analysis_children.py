"""Children of a feature, counted by hand on a run's own activations."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
import runs

from monosem_jax.config import names, settings
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis import (
  children as children_lib,
  splitting as stage,
)


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
