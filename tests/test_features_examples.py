"""Histograms, intervals, logit columns and the table's files, each alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config.errors import UserError
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE
from monosem_jax.features import examples, logits
from monosem_jax.features.collect import Found
from monosem_jax.features.table import (
  BINS,
  INTERVALS,
  META,
  TABLE,
  FeatureTable,
)
from monosem_jax.run.files import read_tensors, write_tensors


def found_of(*values_per_feature) -> Found:
  """A sample with these activations, as the pass hands it over."""
  values = [np.sort(np.asarray(v, np.float32)) for v in values_per_feature]
  feature_M = np.repeat(np.arange(len(values)), [v.size for v in values])
  value_M = np.concatenate(values)
  zeros = np.zeros((len(values), 2))
  return Found(
    tokens=1_000,
    fired_F=np.asarray([v.size for v in values]),
    top_FE=zeros,
    top_context_FE=zeros,
    lost=0,
    feature_M=feature_M.astype(np.int32),
    value_M=value_M,
    context_M=np.arange(value_M.size),
    position_M=np.zeros(value_M.size, int),
  )


CASES = {
  'uniform': lambda rng: rng.random(300),
  'crowded_at_0': lambda rng: rng.exponential(size=400) ** 3,
  'few_values': lambda rng: rng.integers(1, 4, size=100),
  'all_equal': lambda rng: np.full(80, 2.5),
  'one_outlier': lambda rng: np.append(rng.random(60), 1e4),
  'just_enough': lambda rng: rng.random(55),
  'tiny': lambda rng: 1e-4 * rng.random(200),
  'too_few': lambda rng: rng.random(54),
  'one': lambda rng: np.ones(1),
  'none': lambda rng: np.ones(0),
}


def test_intervals_take_the_samples_closest_to_each_tenth_of_the_maximum():
  rng = np.random.default_rng(0)
  values = [np.asarray(make(rng), np.float32) for make in CASES.values()]
  found = found_of(*values)
  _, edge_F, _ = examples.histograms(found)
  sample_FKE = examples.intervals(found, edge_F, 5)
  assert sample_FKE.shape == (len(CASES), INTERVALS, 5)
  for i, (name, own) in enumerate(zip(CASES, values, strict=True)):
    if own.size < 55:
      assert (sample_FKE[i] == -1).all(), name
      continue
    for k in range(INTERVALS):
      at = sample_FKE[i, k]
      assert len(set(at)) == 5 and (found.feature_M[at] == i).all(), name
      target = np.float64(own.max()) * (10 - k) / 10
      far = np.sort(np.abs(own - target))[:5]
      np.testing.assert_allclose(
        np.sort(np.abs(found.value_M[at] - target)),
        far,
        rtol=1e-3,
        atol=1e-6 * own.max(),
        err_msg=f'{name}, interval {k}',
      )


def test_histograms_run_from_0_to_the_samples_maximum():
  rng = np.random.default_rng(1)
  values = [np.asarray(make(rng), np.float32) for make in CASES.values()]
  sampled_F, edge_F, histogram_FH = examples.histograms(found_of(*values))
  np.testing.assert_array_equal(sampled_F, [v.size for v in values])
  for i, own in enumerate(values):
    assert histogram_FH[i].sum() == own.size
    assert edge_F[i] == max(own, default=0)
    if own.size:
      want = np.histogram(own.astype(np.float64), BINS, (0, own.max()))[0]
      assert np.abs(histogram_FH[i] - want).sum() <= 2
      assert histogram_FH[i, -1] >= 1


def test_no_samples_at_all_make_empty_histograms_and_no_examples():
  found = found_of([], [])
  sampled_F, edge_F, histogram_FH = examples.histograms(found)
  assert not sampled_F.any() and not edge_F.any() and not histogram_FH.any()
  assert (examples.intervals(found, edge_F, 5) == -1).all()


@pytest.mark.parametrize('block', [4, 256])
def test_logit_columns_are_those_of_numpy(block):
  rng = np.random.default_rng(2)
  W_dec_FA = rng.normal(size=(10, 6)).astype(np.float32)
  through_AV = rng.normal(size=(6, 51)).astype(np.float32) + 3
  got = logits.logit_columns(
    lambda lm, rows_FA: rows_FA @ lm,
    jnp.asarray(through_AV),
    jnp.asarray(W_dec_FA),
    block,
  )
  v_FV = W_dec_FA.astype(np.float64) @ through_AV
  v_FV -= np.median(v_FV, axis=1, keepdims=True)
  order_FV = np.argsort(v_FV, axis=1)
  np.testing.assert_array_equal(
    got['logit_top_ids_FL'], order_FV[:, ::-1][:, :10]
  )
  np.testing.assert_array_equal(got['logit_bottom_ids_FL'], order_FV[:, :10])
  for name in ('top', 'bottom'):
    np.testing.assert_allclose(
      got[f'logit_{name}_FL'],
      np.take_along_axis(v_FV, got[f'logit_{name}_ids_FL'], 1),
      atol=1e-5,
    )
  ends_F2 = np.stack([v_FV.min(1), v_FV.max(1)], 1)
  np.testing.assert_allclose(got['logit_range_F2'], ends_F2, atol=1e-5)
  for i in range(10):
    want = np.histogram(v_FV[i], BINS)[0]
    assert got['logit_histogram_FH'][i].sum() == 51
    assert np.abs(got['logit_histogram_FH'][i] - want).sum() <= 2


def test_a_direction_without_effect_has_logit_weights_of_0():
  got = logits.logit_columns(
    lambda lm, rows_FA: rows_FA @ lm, jnp.ones((3, 30)), jnp.zeros((2, 3))
  )
  assert not got['logit_top_FL'].any() and not got['logit_range_F2'].any()
  np.testing.assert_array_equal(got['logit_histogram_FH'].sum(1), [30, 30])


def table() -> FeatureTable:
  rng = np.random.default_rng(3)
  F, E, W = 3, 15, 4
  shapes = {'F': (F,), 'FH': (F, BINS), 'FE': (F, E), 'FEW': (F, E, W)}
  shapes |= {'FL': (F, 10), 'F2': (F, 2)}
  types = {
    'fired_F': np.int64,
    'example_tokens_FEW': np.uint16,
    'example_acts_FEW': np.float16,
    'example_start_FE': np.uint8,
    'example_stop_FE': np.uint8,
    'example_context_FE': np.int32,
    'example_position_FE': np.uint16,
  }
  arrays = {}
  for field in dataclasses.fields(FeatureTable):
    if field.name != 'meta':
      shape = shapes[field.name.rpartition('_')[2]]
      dtype = types.get(field.name, np.float32)
      arrays[field.name] = (200 * rng.random(shape)).astype(dtype)
  # Beyond 32 bits, as after a pass over many tokens.
  arrays['fired_F'][0] = 2**40
  return FeatureTable(**arrays, meta={'tokens': 2**41, 'run': 'A/1 é'})


def test_a_table_survives_its_files(tmp_path):
  saved = table()
  saved.save(tmp_path)
  loaded = FeatureTable.load(tmp_path)
  for field in dataclasses.fields(FeatureTable):
    a, b = getattr(saved, field.name), getattr(loaded, field.name)
    if field.name == 'meta':
      assert a == b
    else:
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)
  assert loaded.density_F[0] == 0.5


def test_a_table_that_is_not_whole_is_refused(tmp_path):
  with pytest.raises(UserError, match=r'meta\.json'):
    FeatureTable.load(tmp_path)
  table().save(tmp_path)
  found = read_tensors(tmp_path / TABLE)
  del found['max_F']
  write_tensors(tmp_path / TABLE, found)
  with pytest.raises(UserError, match='max_F'):
    FeatureTable.load(tmp_path)
  whole = (tmp_path / TABLE).read_bytes()
  (tmp_path / TABLE).write_bytes(whole[: len(whole) // 2])
  with pytest.raises(UserError, match='not a valid'):
    FeatureTable.load(tmp_path)
  (tmp_path / TABLE).unlink()
  with pytest.raises(UserError, match=r'no weights|no file'):
    FeatureTable.load(tmp_path)
  (tmp_path / META).write_text('{')
  with pytest.raises(UserError, match='JSON'):
    FeatureTable.load(tmp_path)


def test_windows_take_the_strongest_position_where_none_is_given():
  x = jnp.asarray([[[0.0], [2.0], [5.0], [1.0]]])
  sae = SAE(
    W_enc_AF=jnp.asarray([[1.0, -1.0]]),
    b_enc_F=jnp.asarray([-1.5, 4.0]),
    W_dec_FA=jnp.ones((2, 1)),
    b_dec_A=jnp.zeros(1),
  )
  windows = examples.make_windows(
    lambda lm, tokens_BT: x, Dot(jnp.dtype(jnp.float32)), 1, 2
  )
  position_Bn, acts_BnW = jax.device_get(
    windows(
      None,
      sae,
      sae.W_enc_AF.T,
      jnp.zeros((1, 4), jnp.int32),
      jnp.asarray([[0, 1, 0]]),
      jnp.asarray([[-1, -1, 3]]),
    )
  )
  # Feature 0 is [0, .5, 3.5, 0], feature 1 is [4, 2, 0, 3].
  np.testing.assert_array_equal(position_Bn, [[2, 0, 3]])
  np.testing.assert_allclose(
    acts_BnW, [[[0.5, 3.5, 0, 0], [0, 4, 2, 0], [3.5, 0, 0, 0]]]
  )
