"""A training step, entry by entry, against the paper's equations in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib, state as states, train
from monosem_jax.dictionary.step import train_step
from monosem_jax.dictionary.stream import Rows

A, F, N, G, U, r = 6, 15, 16, 2, 2, 20
DOT = Dot(jnp.dtype(jnp.float32))
CONFIG = settings.Dictionary(
  features=F, l1=99.0, lr=3e-2, beta1=0.8, beta2=0.95, seed=3
)

pytestmark = pytest.mark.usefixtures('double_precision')
L1, SCALE = 0.03, 1.7
ARRAYS = ('W_enc_AF', 'b_enc_F', 'W_dec_FA', 'b_dec_A')


@dataclasses.dataclass
class Oracle:
  """The paper's step (2.1, 2.3) in NumPy: weights, moments, counters."""

  w: dict[str, np.ndarray]
  mu: dict[str, np.ndarray]
  nu: dict[str, np.ndarray]
  silent_F: np.ndarray
  count: int = 0

  @classmethod
  def of(cls, state: states.DictionaryState) -> 'Oracle':
    w = arrays(state.sae)
    zeros = lambda: {k: np.zeros_like(x) for k, x in w.items()}
    return cls(w, zeros(), zeros(), np.asarray(state.silent_F))

  def step(self, x_NA: np.ndarray) -> dict[str, float]:
    numbers, fired_F, grads = loss_and_grads(self.w, x_NA, L1)
    self.count += 1
    g_FA, d_FA = grads['W_dec_FA'], self.w['W_dec_FA']
    for i in range(F):
      g_FA[i] = g_FA[i] - (g_FA[i] @ d_FA[i]) * d_FA[i]
    b1, b2 = CONFIG.beta1, CONFIG.beta2
    for k, g in grads.items():
      self.mu[k] = b1 * self.mu[k] + (1 - b1) * g
      self.nu[k] = b2 * self.nu[k] + (1 - b2) * g * g
      mu_hat = self.mu[k] / (1 - b1**self.count)
      nu_hat = self.nu[k] / (1 - b2**self.count)
      self.w[k] = self.w[k] - CONFIG.lr * mu_hat / (np.sqrt(nu_hat) + 1e-8)
    self.w['W_dec_FA'] /= np.sqrt((self.w['W_dec_FA'] ** 2).sum(1))[:, None]
    self.silent_F = np.where(fired_F > 0, 0, self.silent_F + 1)
    return numbers


def features(w, x_NA):
  return np.maximum((x_NA - w['b_dec_A']) @ w['W_enc_AF'] + w['b_enc_F'], 0)


def loss_of(w, x_NA, l1) -> float:
  f_NF = features(w, x_NA)
  error_NA = f_NF @ w['W_dec_FA'] + w['b_dec_A'] - x_NA
  return float(np.mean((error_NA**2).mean(1) + l1 * f_NF.sum(1)))


def loss_and_grads(w, x_NA, l1):
  """The chain rule by hand, the decoder bias tied to the encoder's input."""
  n, width = x_NA.shape
  f_NF = features(w, x_NA)
  error_NA = f_NF @ w['W_dec_FA'] + w['b_dec_A'] - x_NA
  d_recon_NA = 2 * error_NA / (n * width)
  d_pre_NF = (d_recon_NA @ w['W_dec_FA'].T + l1 / n) * (f_NF > 0)
  grads = {
    'W_enc_AF': (x_NA - w['b_dec_A']).T @ d_pre_NF,
    'b_enc_F': d_pre_NF.sum(0),
    'W_dec_FA': f_NF.T @ d_recon_NA,
    'b_dec_A': d_recon_NA.sum(0) - w['W_enc_AF'] @ d_pre_NF.sum(0),
  }
  fired_F = (f_NF > 0).sum(0)
  numbers = {
    'mse': (error_NA**2).mean(),
    'l1_norm': f_NF.sum(1).mean(),
    'l0': fired_F.sum() / n,
    'loss': loss_of(w, x_NA, l1),
  }
  return numbers, fired_F, grads


def arrays(sae) -> dict[str, np.ndarray]:
  return {k: np.array(getattr(sae, k)) for k in ARRAYS}


def moments(state):
  """Adam's two moments, found by what they are named."""
  (adam,) = [s for s in state.opt_state[1] if hasattr(s, 'mu')]
  return arrays(adam.mu), arrays(adam.nu)


def start() -> states.DictionaryState:
  """A dictionary with no zero in it, and inputs in another scale."""
  rng = np.random.default_rng(0)
  state = states.init(CONFIG, A)
  assert state.sae.W_enc_AF.dtype == jnp.float64
  return state.replace(
    sae=state.sae.replace(
      b_enc_F=jnp.asarray(rng.normal(size=F) * 0.3),
      b_dec_A=jnp.asarray(rng.normal(size=A) * 0.3),
    ),
    silent_F=jnp.asarray(rng.integers(9, size=F), jnp.int32),
    l1=jnp.asarray(L1),
    scale=jnp.asarray(SCALE),
  )


def batches(steps: int, micro: int):
  """Rows, the order of their batches, and what each batch holds in NumPy."""
  rng = np.random.default_rng(1)
  rows_UGrA = np.abs(rng.normal(size=(U, G, r, A)))
  order_GSn = np.stack([rng.permutation(U * r) for _ in range(G)])
  order_GSn = order_GSn[:, : steps * N // G].reshape(G, steps, N // G)
  held = [
    np.concatenate(
      [rows_UGrA[i // r, g, i % r] for g in range(G) for i in [order_GSn[g, s]]]
    )
    for s in range(steps)
  ]
  index_SMGn = order_GSn.reshape(G, steps, micro, -1).transpose(1, 2, 0, 3)
  rows = Rows(jnp.asarray(rows_UGrA), jnp.asarray(index_SMGn, jnp.int32))
  return rows, held


def run(steps: int, micro: int):
  state, (rows, held) = start(), batches(steps, micro)
  step = jax.jit(
    lambda state, index: train_step(CONFIG, state, rows, index, DOT)
  )
  all_numbers = []
  for s in range(steps):
    state, numbers, _ = step(state, rows.index_SMGn[s])
    all_numbers.append(numbers)
  return state, all_numbers, held


def assert_state(state, oracle: Oracle) -> None:
  mu, nu = moments(state)
  for k in ARRAYS:
    for name, got, want in (
      (k, getattr(state.sae, k), oracle.w[k]),
      (f'first moment of {k}', mu[k], oracle.mu[k]),
      (f'second moment of {k}', nu[k], oracle.nu[k]),
    ):
      np.testing.assert_allclose(
        got, want, rtol=1e-10, atol=1e-14, err_msg=name
      )
  np.testing.assert_array_equal(state.silent_F, oracle.silent_F)


@pytest.mark.parametrize('micro', [1, 4])
def test_steps_match_the_papers_equations_entry_by_entry(micro):
  state, all_numbers, held = run(5, micro)
  oracle = Oracle.of(start())
  for numbers, x_NA in zip(all_numbers, held, strict=True):
    for k, want in oracle.step(SCALE * x_NA).items():
      np.testing.assert_allclose(numbers[k], want, rtol=1e-10, err_msg=k)
  assert_state(state, oracle)
  # The comparison means something: features both fired and stayed silent.
  assert 0 < (oracle.silent_F > 0).sum() < F


def test_micro_batches_leave_the_step_as_it_is():
  whole, whole_numbers, _ = run(3, 1)
  parts, parts_numbers, _ = run(3, 4)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14),
    (whole, whole_numbers),
    (parts, parts_numbers),
  )


def test_first_step_descends_the_finite_difference_gradient():
  state, _, (x_NA,) = run(1, 1)
  w, x_NA, h = arrays(start().sae), SCALE * x_NA, 1e-6
  mu, _ = moments(state)
  for k in ARRAYS:
    slope = np.zeros_like(w[k])
    for at in np.ndindex(*w[k].shape):
      ends = []
      for sign in (1, -1):
        moved = {name: x.copy() for name, x in w.items()}
        moved[k][at] += sign * h
        ends.append(loss_of(moved, x_NA, L1))
      slope[at] = (ends[0] - ends[1]) / (2 * h)
    if k == 'W_dec_FA':
      slope -= (slope * w[k]).sum(1, keepdims=True) * w[k]
    # From zero moments the first one is (1 - beta1) times the gradient.
    np.testing.assert_allclose(
      mu[k] / (1 - CONFIG.beta1), slope, rtol=1e-5, atol=1e-8, err_msg=k
    )


def test_encode_takes_the_decoder_bias_off_its_input():
  sae, (_, (x_NA,)) = start().sae, batches(1, 1)
  got = sae_lib.encode(sae, jnp.asarray(x_NA), DOT)
  np.testing.assert_allclose(got, features(arrays(sae), x_NA), atol=1e-13)
  assert (np.asarray(got) > 0).any() and (np.asarray(got) == 0).any()


def test_decoder_rows_keep_norm_1_and_their_gradients_lie_across_them():
  state, _, _ = run(1, 1)
  norms_F = np.linalg.norm(state.sae.W_dec_FA, axis=1)
  np.testing.assert_allclose(norms_F, 1, rtol=1e-14)
  mu, _ = moments(state)
  along_F = (mu['W_dec_FA'] * arrays(start().sae)['W_dec_FA']).sum(1)
  np.testing.assert_allclose(along_F, 0, atol=1e-16)
  assert np.abs(mu['W_dec_FA']).max() > 1e-3


def test_silent_counts_steps_since_a_feature_last_fired():
  # Zero weights leave the bias alone to decide who fires.
  state = start()
  bias_F = jnp.where(jnp.arange(F) % 3 == 0, 1.0, -1.0)
  state = state.replace(
    sae=state.sae.replace(
      W_enc_AF=jnp.zeros((A, F)), b_enc_F=bias_F, b_dec_A=jnp.zeros(A)
    ),
    silent_F=jnp.arange(F, dtype=jnp.int32),
  )
  rows, _ = batches(2, 2)
  c = dataclasses.replace(CONFIG, lr=0.0)
  for s in range(2):
    state, numbers, fired_F = train_step(
      c, state, rows, rows.index_SMGn[s], DOT
    )
  want = np.where(np.arange(F) % 3 == 0, 0, np.arange(F) + 2)
  np.testing.assert_array_equal(state.silent_F, want)
  np.testing.assert_array_equal(fired_F, np.where(bias_F > 0, N, 0))
  assert float(numbers['l0']) == F // 3


def test_density_histogram_counts_features_by_the_log_of_their_density():
  edges, total = np.asarray(train.DENSITY_EDGES), 10_000
  fired_F = np.asarray([0, 0, 1, 9, 10, 11, 100, 999, 1_000, 5_000, 10_000])
  got = train.density_histogram(jnp.asarray(fired_F, jnp.int32), total)
  want = np.zeros(edges.size + 1)
  for n in fired_F:
    # The silent lie in the first bin, one on an edge above it.
    log = np.log10(n / total) if n else -np.inf
    want[(edges <= log + 1e-12).sum()] += 1
  np.testing.assert_array_equal(got, want)
  assert got[0] == 2 and got[-1] == 1
