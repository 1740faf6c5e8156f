"""Features against neurons: planted winners, and a run looked at by hand."""

import json
import types

import jax
import numpy as np
import program
import pytest
import runs
from sklearn import metrics

from monosem_jax.analysis import labels, ranks
from monosem_jax.features import moments
from monosem_jax.stages.analysis import bests, inputs as analysis_inputs, versus
from monosem_jax.stages.analysis.documents import GROUPS
from monosem_jax.stages.analysis.labelled import Labelled

N, L, F, G, EDGES = 1_500, 3, 4, 8, 6


def side(run: str, seed: int, strength) -> versus.Side:
  """A subject whose feature k goes with label k as strongly as is said."""
  labelled = np.random.default_rng(0)
  on_HNL = labelled.random((2, N, L)) < 0.2
  on_HNL[1, :, 2] = False  # on the first half alone
  group_N = labelled.integers(G, size=N).astype(np.int32)
  rng = np.random.default_rng(seed)
  f_HNF = np.maximum(rng.normal(size=(2, N, F)) - 0.5, 0)
  f_HNF[..., :L] += strength * on_HNL
  # By luck the best for label 0, where it is looked for.
  f_HNF[0, :, 3] += 20 * on_HNL[0, :, 0]
  f_HNF[..., 3] *= seed == 1
  f_HNF = f_HNF.astype(np.float32)
  edges_FI = ranks.edges(f_HNF.max((0, 1)), EDGES)
  pairs = [(k, i) for k in range(L) for i in range(F)]
  which, features = (list(x) for x in zip(*pairs, strict=True))

  def overlap(half: int, groups, *more):
    return moments.collect(
      labels.make_step(lambda _, b: b, edges_FI[features], groups),
      None,
      [(f_HNF[half][:, features], on_HNL[half][:, which], *more)],
    )

  first, last = overlap(0, None), overlap(1, G, group_N)
  f1_KI = ranks.f1(first.on_KB, first.off_KB)
  found_K = {
    'r': labels.pearson(first),
    'auc': ranks.auc(first.on_KB, first.off_KB),
    'average_precision': ranks.average_precision(first.on_KB, first.off_KB),
    'f1': f1_KI.max(1),
  }
  subject = types.SimpleNamespace(run=run)
  found = bests.Found(
    {m: x_K.reshape(L, F) for m, x_K in found_K.items()},
    f1_KI.argmax(1).reshape(L, F),
  )
  told = bests.Told(
    subject, {p: k for k, p in enumerate(pairs)}, last, f1_KI.argmax(1)
  )
  return (subject, found, told), f_HNF, on_HNL, edges_FI


@pytest.fixture(scope='module')
def planted():
  features = side('A/1', 1, np.array([2.0, 0.3, 1.0]))
  neurons = side('A/neurons', 2, np.array([0.2, 2.0, 1.0]))
  return features, neurons


def test_the_best_is_what_was_found_and_its_measures_are_of_the_other(planted):
  features, neurons = planted
  both = [features[0], neurons[0]]
  entry = versus.of_label(both, 0)
  on_N = features[2][1, :, 0]
  rate = on_N.mean()
  assert entry.base_rate == pytest.approx(rate)
  assert entry.tokens == on_N.sum()
  everything = metrics.f1_score(on_N, np.ones(N, bool))
  assert entry.chance['f1'] == pytest.approx(everything)
  for measure, own in entry.measures.items():
    # Luck is found, and told as what it is.
    assert own.feature.feature == 'A/1/3'
    assert own.neuron.feature == 'A/neurons/0'
    assert own.feature.found > 0.9
    chance = entry.chance[measure]
    assert own.feature.reported < chance + 0.06
    gap = own.feature.reported - own.neuron.reported
    assert own.apart.difference == pytest.approx(gap)
    for x in (own.feature, own.neuron):
      assert x.interval[0] <= x.reported <= x.interval[1]
  own = entry.measures
  f_N, edge_I = features[1][1, :, 3], features[3][3]
  bin_N = (f_N[:, None] > edge_I).sum(1)
  want = {
    'r': np.corrcoef(f_N, on_N)[0, 1],
    'auc': metrics.roc_auc_score(on_N, bin_N),
    'average_precision': metrics.average_precision_score(on_N, bin_N),
  }
  for measure, x in want.items():
    reported = own[measure].feature.reported
    assert reported == pytest.approx(x, abs=1e-5), measure
  # The threshold of F1 is the best of the first half.
  first_N, first_on_N = features[1][0, :, 3], features[2][0, :, 0]
  scores = [metrics.f1_score(first_on_N, first_N > edge) for edge in edge_I]
  guess_N = f_N > edge_I[int(np.argmax(scores))]
  assert own['f1'].feature.found == pytest.approx(max(scores))
  reported = own['f1'].feature.reported
  assert reported == pytest.approx(metrics.f1_score(on_N, guess_N))


def test_wins_are_counted_by_measure(planted):
  both = [x[0] for x in planted]
  # Without the lucky one, whose label it takes.
  for _, found, _ in both:
    for value_LF in found.value_LF.values():
      value_LF[:, 3] = np.nan
  entries = {
    name: (k, versus.of_label(both, k)) for k, name in enumerate('xyz')
  }
  assert 'other half' in entries['z'][1].reason
  for measure, own in versus.wins(both, entries).items():
    assert (own.n, own.above, own.names) == (2, 1, ['x']), measure
    assert (own.clearly_above, own.clearly_below) == (1, 1)
    gaps = [
      entries[name][1].measures[measure].apart.difference for name in 'xy'
    ]
    assert gaps[0] > 0 > gaps[1]
    assert own.mean_difference == pytest.approx(np.mean(gaps))
    low, high = own.interval
    assert low < own.mean_difference < high


def test_without_neurons_features_stand_alone(planted):
  entry = versus.of_label([planted[0][0]], 1)
  assert entry.measures['r'].beside is None
  none = bests.Told(None, {}, None, None)
  subject, found, _ = planted[0][0]
  assert 'no feature' in versus.of_label([(subject, found, none)], 1).reason


def seen(inputs, labelled, s, half: int):
  """Activations, labels and groups of all tokens of a half, on the host."""
  kept, of = [], analysis_inputs.activations(inputs.dot)

  def labels_of(tokens_BT, context_B):
    on_BTL = labelled.every(tokens_BT, context_B)
    group_BT = inputs.groups(inputs.config.split, context_B)
    kept.append((on_BTL.reshape(-1, on_BTL.shape[-1]), group_BT.ravel()))
    return ()

  f = [
    np.asarray(jax.jit(of)((inputs.lm(s.model), s.sae), batch))
    for batch in inputs.batches('test', labels_of, half=half)
  ]
  on, group = (np.concatenate(x) for x in zip(*kept, strict=True))
  return np.concatenate(f).astype(float), on, group


@pytest.fixture(scope='module')
def inputs():
  found = runs.inputs(runs.at(program.finished()))
  with jax.set_mesh(found.mesh):
    yield found


@pytest.fixture(scope='module')
def run(inputs):
  labelled, s = Labelled(inputs, inputs.config.split), inputs.main
  halves = [seen(inputs, labelled, s, half) for half in (0, 1)]
  f_NF, on_NL, _ = halves[0]
  with np.errstate(invalid='ignore', divide='ignore'):
    r = np.corrcoef(f_NF.T, on_NL.T.astype(float))
  r_FL = np.nan_to_num(r[: f_NF.shape[1], f_NF.shape[1] :])
  found = bests.find(inputs, s, labelled.every, r_FL)
  told = bests.tell(inputs, s, labelled.every, found)
  return s, halves, found, told


def test_a_run_is_searched_on_one_half(run):
  s, [(f_NF, on_NL, _), _], found, _ = run
  edges_FI = ranks.edges(s.table.max_F, 33)
  for i in range(0, f_NF.shape[1], 5):
    bin_N = (f_NF[:, i, None] > edges_FI[i]).sum(1)
    for k in range(on_NL.shape[1]):
      on_N = on_NL[:, k]
      own = {m: x[k, i] for m, x in found.value_LF.items()}
      if not on_N.any() or on_N.all():
        assert np.isnan(own['auc'])
        continue
      want = metrics.average_precision_score(on_N, bin_N)
      assert own['average_precision'] == pytest.approx(want)
      assert own['auc'] == pytest.approx(metrics.roc_auc_score(on_N, bin_N))
      scores = [
        metrics.f1_score(on_N, bin_N > b, zero_division=0) for b in range(33)
      ]
      assert own['f1'] == pytest.approx(max(scores))
      assert found.threshold_LF[k, i] == int(np.argmax(scores))


def test_a_run_is_told_of_on_the_other_half_with_its_interval(run):
  s, [_, (f_NF, on_NL, group_N)], found, told = run
  assert len(told.pairs) > 0
  for (k, i), _ in list(told.pairs.items())[:2]:
    one = told.of([(k, i)])
    x, y = f_NF[:, i], on_NL[:, k].astype(float)
    if not x.any() or not 0 < y.mean() < 1:
      continue
    reported, ends = versus.value(one, 'r')
    assert reported == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-4)
    edge = ranks.edges(s.table.max_F, 33)[i, found.threshold_LF[k, i]]
    want = metrics.f1_score(y > 0, x > edge, zero_division=0)
    assert versus.value(one, 'f1')[0] == pytest.approx(want)
    # The same resamples of groups, token by token.
    weight_DG = np.random.default_rng(0).multinomial(
      GROUPS, np.full(GROUPS, 1 / GROUPS), size=1_000
    )
    drawn = []
    for weight_G in weight_DG:
      c = np.cov(x, y, fweights=weight_G[group_N])
      if c[0, 0] > 0 and c[1, 1] > 0:
        drawn.append(c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]))
    if len(drawn) > 900:
      np.testing.assert_allclose(
        ends, np.percentile(drawn, (2.5, 97.5)), atol=2e-3
      )


def test_dives_are_of_the_other_half_by_interval_of_activation(inputs):
  path = inputs.run.workdir.analysis('proxies') / 'numbers.json'
  numbers = json.loads(path.read_text())
  labelled = Labelled(inputs, inputs.config.split)
  sides = {s.name: s for s in (inputs.main, inputs.neurons('A'))}
  halves = {name: seen(inputs, labelled, s, 1) for name, s in sides.items()}
  assert numbers['dives']
  for name, dive in numbers['dives'].items():
    k = labelled.proxy_names.index(name)
    assert dive['overlap'][inputs.main.name]['feature'] == dive['feature']
    for run, own in dive['overlap'].items():
      f_NF, on_NL, _ = halves[run]
      i = int(own['feature'].rpartition('/')[2])
      f_N, on_N = f_NF[:, i], on_NL[:, k]
      assert own['tokens'] == numbers['half_tokens'][1] == len(f_N)
      assert own['base_rate'] == pytest.approx(on_N.mean())
      # Silent tokens, then even intervals up to the largest of its table.
      edges = np.arange(11) * max(sides[run].table.max_F[i], 1e-6) / 11
      np.testing.assert_allclose(own['edges'], edges, rtol=1e-5)
      bin_N = (f_N[:, None] > np.array(own['edges'], np.float32)).sum(1)
      for b in range(12):
        here = bin_N == b
        assert own['on'][b] == on_N[here].sum()
        assert own['off'][b] == (~on_N)[here].sum()
        share = on_N[here].mean() if here.any() else None
        assert own['specificity'][b] == pytest.approx(share)
      r = np.corrcoef(f_N, on_N)[0, 1] if f_N.any() else None
      assert own['r'] == pytest.approx(r, abs=1e-4)
      assert own['sensitivity'] == pytest.approx((f_N[on_N] > 0).mean())
      mass = f_N[on_N].sum() / f_N.sum() if f_N.any() else None
      assert own['activation_on'] == pytest.approx(mass, rel=1e-4)
      guess = f_N > own['f1_threshold']
      want = metrics.f1_score(on_N, guess, zero_division=0)
      assert own['f1'] == pytest.approx(want)
