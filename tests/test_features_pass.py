"""The whole feature pass against a brute-force NumPy count of every token."""

import types

import numpy as np
import pytest
from counted import (
  CONFIG,
  CONTEXTS,
  DENSE,
  DOT,
  RARE,
  SILENT,
  F,
  T,
  dictionary,
  forward,
  model,
  tokens,
  truth,
)

from monosem_jax.config import settings
from monosem_jax.features import census, collect, examples, logits
from monosem_jax.features.table import BINS, INTERVALS, FeatureTable

W = 3 + 1 + 5


def run(c: settings.Features) -> types.SimpleNamespace:
  """The pass as the stage runs it."""

  def batches():
    for i in range(0, CONTEXTS, c.batch_size):
      at = np.arange(i, i + c.batch_size, dtype=np.int32)
      yield tokens()[at], at

  seen, looked = [], []
  lm, sae = model(), dictionary()
  found = collect.collect(
    c, forward, DOT, lm, sae, batches, tokens().size, seen.append
  )
  sampled_F, edge_F, histogram_FH = examples.histograms(found)
  context_FX, position_FX = examples.candidates(c, found, edge_F, CONTEXTS, T)
  windows = examples.look(
    c,
    forward,
    DOT,
    lm,
    sae,
    lambda context_B: tokens()[context_B],
    context_FX,
    position_FX,
    lambda done, rows: looked.append((done, rows)),
  )
  columns, groups = examples.choose(c, windows, context_FX)
  table = FeatureTable(
    fired_F=found.fired_F,
    class_F=np.full(len(found.fired_F), census.LIVE, np.uint8),
    cosine_F=census.cosine(sae.W_enc_AF, sae.W_dec_FA),
    max_F=found.top_FE[:, 0],
    sampled_F=sampled_F.astype(np.int32),
    sample_max_F=edge_F,
    histogram_FH=histogram_FH.astype(np.int32),
    **columns,
    **logits.logit_columns(type(lm).logit_weights, lm, sae.W_dec_FA),
    meta={'tokens': tokens().size, 'groups': groups},
  )
  return types.SimpleNamespace(
    found=found, table=table, groups=groups, seen=seen, looked=looked
  )


@pytest.fixture(scope='module')
def passed():
  return run(CONFIG)


def shown(passed, i: int, group: str):
  """A feature's examples in a group: (context, position, tokens, acts)."""
  t = passed.table
  (g,) = [g for g in passed.groups if g['name'] == group]
  found = []
  for e in range(g['start'], g['start'] + g['count']):
    span = slice(t.example_start_FE[i, e], t.example_stop_FE[i, e])
    if span.stop > span.start:
      found.append(
        (
          int(t.example_context_FE[i, e]),
          int(t.example_position_FE[i, e]),
          tuple(t.example_tokens_FEW[i, e, span]),
          t.example_acts_FEW[i, e, span],
        )
      )
  return found


def window(context: int, position: int) -> slice:
  return slice(max(0, position - 3), min(T, position + 6))


def test_the_case_has_every_kind_of_feature():
  fired_F = (truth() > 0).sum((0, 1))
  assert fired_F[SILENT] == 0
  assert fired_F[DENSE] == tokens().size
  assert 0 < fired_F[RARE] < INTERVALS * CONFIG.per_interval
  assert (fired_F > 60).sum() > 20


def test_firings_and_maxima_are_exact(passed):
  fired_F = (truth() > 0).sum((0, 1))
  np.testing.assert_array_equal(passed.table.fired_F, fired_F)
  np.testing.assert_allclose(
    passed.table.max_F, truth().max((0, 1)), rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(passed.table.density_F, fired_F / tokens().size)
  assert passed.found.lost == 0
  assert sum(passed.seen) == tokens().size
  done, rows = passed.looked[-1]
  assert done == rows


def test_top_examples_are_the_strongest_contexts_without_repeated_text(passed):
  repeated = 0
  for i in range(F):
    best_C = truth()[:, :, i].max(1)
    order = np.argsort(-best_C, kind='stable')
    texts, want = set(), []
    for context in order[best_C[order] > 0][: 2 * CONFIG.top]:
      position = int(truth()[context, :, i].argmax())
      text = tuple(tokens()[context, window(context, position)])
      repeated += text in texts
      if text not in texts:
        texts.add(text)
        want.append((position, text))
    got = [(p, text) for _, p, text, _ in shown(passed, i, 'Top Activations')]
    assert got == want[: CONFIG.top]
  assert repeated > 0


def test_a_sample_of_everything_has_the_histogram_of_everything(passed):
  t = passed.table
  np.testing.assert_array_equal(t.sampled_F, t.fired_F)
  np.testing.assert_allclose(t.sample_max_F, t.max_F, rtol=1e-4)
  for i in range(F):
    values = truth()[:, :, i]
    values = values[values > 0]
    want = np.histogram(values, BINS, (0, values.max() if values.size else 1))[
      0
    ]
    # A value on a border may lie on either side of it.
    assert np.abs(t.histogram_FH[i] - want).sum() <= 2
    assert t.histogram_FH[i].sum() == t.fired_F[i]


def test_interval_examples_are_the_closest_to_their_fraction_of_the_maximum(
  passed,
):
  filled = 0
  for i in range(F):
    values = np.sort(truth()[:, :, i][truth()[:, :, i] > 0])
    for k in range(INTERVALS):
      got = shown(passed, i, f'Subsample Interval {k}')
      if values.size < INTERVALS * CONFIG.per_interval:
        assert got == []
        continue
      filled += 1
      target = values.max() * (10 - k) / 10
      own = [truth()[context, p, i] for context, p, _, _ in got]
      far = np.sort(np.abs(values - target))[: CONFIG.per_interval]
      np.testing.assert_allclose(
        np.sort(np.abs(np.asarray(own) - target)), far, rtol=1e-4, atol=1e-4
      )
      assert len({(context, p) for context, p, _, _ in got}) == len(got)
  assert filled > 20 * INTERVALS


def test_windows_hold_the_tokens_and_activations_around_their_example(passed):
  cut_left = cut_right = 0
  for i in range(F):
    for g in passed.groups:
      for context, position, text, acts in shown(passed, i, g['name']):
        around = window(context, position)
        assert text == tuple(tokens()[context, around])
        np.testing.assert_allclose(
          acts, truth()[context, around, i], rtol=2e-3, atol=1e-3
        )
        cut_left += position < 3
        cut_right += position >= T - 5
  assert cut_left > 20 and cut_right > 20
  t = passed.table
  there = t.example_stop_FE > 0
  at = t.example_position_FE.astype(int)
  np.testing.assert_array_equal(
    t.example_start_FE[there], np.maximum(3 - at, 0)[there]
  )
  np.testing.assert_array_equal(
    t.example_stop_FE[there], np.minimum(W, T - at + 3)[there]
  )


def test_bottom_examples_are_silent(passed):
  for i in range(F):
    got = shown(passed, i, 'Bottom Activations')
    assert all(truth()[context, p, i] == 0 for context, p, _, _ in got)
    if passed.table.density_F[i] < 0.5:
      assert len(got) >= CONFIG.bottom - 4


def test_a_feature_that_never_fires_has_silent_examples_alone(passed):
  t = passed.table
  assert t.fired_F[SILENT] == t.max_F[SILENT] == t.sample_max_F[SILENT] == 0
  assert not t.histogram_FH[SILENT].any()
  for g in passed.groups[:-1]:
    assert shown(passed, SILENT, g['name']) == []
  assert len(shown(passed, SILENT, 'Bottom Activations')) == CONFIG.bottom


def test_a_feature_that_always_fires_has_no_silent_examples(passed):
  assert shown(passed, DENSE, 'Bottom Activations') == []
  assert len(shown(passed, DENSE, 'Top Activations')) == CONFIG.top


def test_groups_are_the_papers(passed):
  names = [g['name'] for g in passed.groups]
  assert names[0] == 'Top Activations' and names[-1] == 'Bottom Activations'
  assert names[1:-1] == [f'Subsample Interval {k}' for k in range(11)]
  assert [g['count'] for g in passed.groups] == [4] + [2] * 11 + [12]
  assert passed.table.example_stop_FE.shape == (F, 4 + 22 + 12)
