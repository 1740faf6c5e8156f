"""The recipe of April 2024 against its equations in NumPy."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  init as dictionary_init,
  optimizer,
  recipes,
  sae as sae_lib,
  state as states,
  train,
)
from monosem_jax.dictionary.stream import Rows
from monosem_jax.interop import saelens

A, F, N, STEPS = 6, 15, 32, 20
DOT = Dot(jnp.dtype(jnp.float32))
CONFIG = settings.Dictionary(
  features=F,
  recipe='april',
  l1=1.5,
  lr=3e-2,
  beta1=0.8,
  beta2=0.95,
  l1_warmup=0.2,
  lr_decay=0.4,
  clip_norm=0.3,
  seed=3,
  sparse='never',
  resampling=settings.Resampling(steps=()),
)
ARRAYS = ('W_enc_AF', 'b_enc_F', 'W_dec_FA', 'b_dec_A')


def arrays(sae) -> dict[str, np.ndarray]:
  return {k: np.array(getattr(sae, k)) for k in ARRAYS}


def features(w, x_NA):
  return np.maximum(x_NA @ w['W_enc_AF'] + w['b_enc_F'], 0)


def reconstruct(w, x_NA):
  return features(w, x_NA) @ w['W_dec_FA'] + w['b_dec_A']


def loss_of(w, x_NA, l1) -> float:
  """||x - recon||^2 + l1 * sum_i f_i ||W_dec_i||, the mean over rows."""
  f_NF = features(w, x_NA)
  error_N = ((reconstruct(w, x_NA) - x_NA) ** 2).sum(1)
  norm_F = np.sqrt((w['W_dec_FA'] ** 2).sum(1))
  return float(np.mean(error_N + l1 * (f_NF * norm_F).sum(1)))


def grads_of(w, x_NA, l1):
  """The chain rule by hand."""
  n = len(x_NA)
  f_NF = features(w, x_NA)
  norm_F = np.sqrt((w['W_dec_FA'] ** 2).sum(1))
  d_recon_NA = 2 * (reconstruct(w, x_NA) - x_NA) / n
  d_pre_NF = (d_recon_NA @ w['W_dec_FA'].T + l1 * norm_F / n) * (f_NF > 0)
  of_norm_F = l1 * f_NF.sum(0) / n
  return {
    'W_enc_AF': x_NA.T @ d_pre_NF,
    'b_enc_F': d_pre_NF.sum(0),
    'W_dec_FA': f_NF.T @ d_recon_NA
    + (of_norm_F / norm_F)[:, None] * w['W_dec_FA'],
    'b_dec_A': d_recon_NA.sum(0),
  }


def start(c: settings.Dictionary = CONFIG) -> states.DictionaryState:
  """A dictionary with no zero in it."""
  rng = np.random.default_rng(0)
  state = states.init(c, A)
  return state.replace(
    sae=state.sae.replace(
      W_dec_FA=jnp.asarray(rng.normal(size=(F, A))),
      b_enc_F=jnp.asarray(rng.normal(size=F) * 0.3),
      b_dec_A=jnp.asarray(rng.normal(size=A) * 0.3),
    )
  )


def batches() -> tuple[Rows, np.ndarray]:
  """The rows of a chunk of STEPS batches, each of two micro-batches."""
  x_SNA = np.abs(np.random.default_rng(1).normal(size=(STEPS, N, A)))
  index_SMGn = jnp.arange(STEPS * N, dtype=jnp.int32)
  return Rows(
    rows_UGrA=jnp.asarray(x_SNA.reshape(1, 1, -1, A)),
    index_SMGn=index_SMGn.reshape(STEPS, 2, 1, N // 2),
  ), x_SNA


def trained(c: settings.Dictionary):
  rows, _ = batches()
  step = jnp.int32(0)
  return jax.jit(
    lambda state: train.train_on(c, STEPS, STEPS, DOT, step, rows, state)
  )(start(c))


def test_hand_made_gradient_is_the_slope_of_the_loss():
  # The oracle itself, against finite differences.
  w, (_, x_SNA) = arrays(start().sae), batches()
  grads, h = grads_of(w, x_SNA[0], 0.7), 1e-6
  for k in ARRAYS:
    for at in np.ndindex(*w[k].shape):
      ends = []
      for sign in (1, -1):
        moved = {name: np.float64(x) for name, x in w.items()}
        moved[k][at] += sign * h
        ends.append(loss_of(moved, x_SNA[0], 0.7))
      slope = (ends[0] - ends[1]) / (2 * h)
      assert abs(slope - grads[k][at]) < 1e-6, (k, at)


@pytest.mark.parametrize('sparse', ['never', 'always'])
def test_a_training_matches_the_equations_entry_by_entry(
  double_precision, sparse
):
  state, numbers = trained(dataclasses.replace(CONFIG, sparse=sparse))
  w = arrays(start().sae)
  mu = {k: np.zeros_like(x) for k, x in w.items()}
  nu = {k: np.zeros_like(x) for k, x in w.items()}
  b1, b2, clipped = CONFIG.beta1, CONFIG.beta2, 0
  for s, x_NA in enumerate(batches()[1]):
    l1 = CONFIG.l1 * min(1, s / 4)  # a fifth of 20 steps
    lr = CONFIG.lr * min(1, (20 - s) / 8)  # the last two fifths
    np.testing.assert_allclose(
      numbers['loss'][s], loss_of(w, x_NA, l1), rtol=1e-10
    )
    np.testing.assert_allclose(
      numbers['mse'][s], np.mean((reconstruct(w, x_NA) - x_NA) ** 2), rtol=1e-10
    )
    grads = grads_of(w, x_NA, l1)
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    shrink = min(1, CONFIG.clip_norm / norm)
    clipped += shrink < 1
    for k, g in grads.items():
      mu[k] = b1 * mu[k] + (1 - b1) * shrink * g
      nu[k] = b2 * nu[k] + (1 - b2) * (shrink * g) ** 2
      mu_hat, nu_hat = mu[k] / (1 - b1 ** (s + 1)), nu[k] / (1 - b2 ** (s + 1))
      w[k] = w[k] - lr * mu_hat / (np.sqrt(nu_hat) + 1e-8)
  assert clipped > 0  # or the clip would not be tested
  for k in ARRAYS:
    np.testing.assert_allclose(
      getattr(state.sae, k), w[k], rtol=1e-9, atol=1e-12, err_msg=k
    )


def test_standard_form_reconstructs_the_same_from_rows_of_norm_1(
  double_precision,
):
  sae, (_, x_SNA) = start().sae, batches()
  w, x_NA = arrays(sae), x_SNA[0]
  finished = recipes.standard(CONFIG, sae, DOT)
  f_NF = sae_lib.encode(finished, jnp.asarray(x_NA), DOT)
  norm_F = np.sqrt((w['W_dec_FA'] ** 2).sum(1))
  np.testing.assert_allclose(f_NF, features(w, x_NA) * norm_F, atol=1e-12)
  np.testing.assert_allclose(
    sae_lib.decode(finished, f_NF, DOT), reconstruct(w, x_NA), atol=1e-12
  )
  np.testing.assert_allclose(
    np.linalg.norm(finished.W_dec_FA, axis=1), 1, rtol=1e-12
  )
  assert norm_F.max() > 1.5 * norm_F.min()


def test_starts_tied_with_short_rows_in_all_directions_and_no_bias():
  c = dataclasses.replace(CONFIG, features=2_000, decoder_norm=0.25)
  sae = states.init(c, 8).sae
  np.testing.assert_array_equal(sae.W_enc_AF, sae.W_dec_FA.T)
  np.testing.assert_allclose(
    np.linalg.norm(sae.W_dec_FA, axis=1), 0.25, rtol=1e-5
  )
  # Directions without a preference: mean 0, covariance 1/8 of the identity.
  unit_FA = np.asarray(sae.W_dec_FA) / 0.25
  np.testing.assert_allclose(unit_FA.mean(0), 0, atol=0.03)
  np.testing.assert_allclose(
    unit_FA.T @ unit_FA / 2_000, np.eye(8) / 8, atol=0.02
  )
  x_NA = jnp.asarray(batches()[1][0])
  c = dataclasses.replace(CONFIG, normalize='unit')
  state = dictionary_init.start(c, states.init(c, A), x_NA, DOT)
  assert not np.asarray(state.sae.b_enc_F).any()
  assert not np.asarray(state.sae.b_dec_A).any()
  assert abs(float(state.scale) - 1) > 0.01


def test_paces_of_the_paper_are_1_whatever_the_step():
  assert optimizer.pace(settings.Dictionary(), jnp.int32(7), 10) == (1.0, 1.0)


def test_resampling_and_april_are_refused_together():
  config = f'--config={program.config()}'
  said = program.refusal(
    'sae', config, '--config.sae.recipe=april', '--workdir=unused'
  )
  assert 'resampling.steps' in said and 'april' in said


def test_both_recipes_train_on_one_stream_to_the_same_kind_of_file(tmp_path):
  config = tmp_path / 'config.py'
  config.write_text(
    program.config()
    .read_text()
    .replace(
      'c.dictionaries = dict(A1=dict(features=48))',
      """c.dictionaries = dict(
    A1=dict(features=48),
    A2=dict(
      features=40, recipe='april', l1=2.0, l1_warmup=0.1, lr_decay=0.2,
      clip_norm=1.0, normalize='unit', resampling=dict(steps=()),
    ),
  )""",
    )
  )
  workdir = tmp_path / 'run'
  for folder in ('tokens', 'models'):
    shutil.copytree(program.finished() / folder, workdir / folder)
  program.run('sae', workdir, f'--config={config}')
  # The neighbour changes nothing of what is trained beside it.
  alone, beside = (program.files(w) for w in (program.finished(), workdir))
  assert beside[program.SAE] == alone[program.SAE]
  april = saelens.load(workdir / 'dictionaries/A2')
  np.testing.assert_allclose(
    np.linalg.norm(april.W_dec_FA, axis=1), 1, rtol=1e-5
  )
  # What is exported does on held-out text what was trained did in the end, on
  # rows that were scaled.
  report = program.report(workdir)['dictionaries']['A/2']
  last = program.records(workdir, 'sae/A')[-1]
  for name, power in (('mse', 2), ('l1_norm', 1), ('l0', 0)):
    np.testing.assert_allclose(
      report[name],
      last[f'A2/{name}'] / report['input_scale'] ** power,
      rtol=0.15,
      err_msg=name,
    )
  assert report['input_scale'] > 1.2
