"""Classic dictionary learning and the sparse autoencoder on planted data.

The ground truth is known: unit directions, more of them than dimensions. Every
sample is a sum of a few of them.
"""

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  init as dictionary_init,
  state as states,
  train,
)

_DOT = Dot(jnp.dtype(jnp.float32))


def compare(c: settings.Planted, seed: int) -> list[dict[str, Any]]:
  """Compares classic dictionary learning with the sparse autoencoder.

  All methods get the same samples; random directions are the control. Classic
  codes are non-negative, as the autoencoder's are (our choice). The penalty of
  every method is tuned by the same search, over the multiples `c.search` of its
  default. The best penalty is the one that explains most of held-out samples
  (see `explained`); the planted directions play no part in this choice.

  Returns:
    A row for each method, with keys

    name: the method.
    recovered: cosine of a planted direction with the nearest atom, mean over
      directions.
    found: share of planted directions for which it is above 0.9.
    atoms: cosine of an atom with the nearest direction, mean over atoms.
    explained: share of held-out samples explained.
    penalty: the penalty chosen.
    tried: `recovered`, `found`, `atoms`, `explained` and `seconds` at every
      penalty.
    rows: samples seen, counting repetitions.
    parameters: number of trained parameters.
    seconds: training time at the penalty chosen.
    searching: training time at all penalties.
    compiling: compilation time before training, seconds.

  Raises:
    UserError: scikit-learn is not installed.
  """
  try:
    from sklearn import decomposition, exceptions
  except ImportError:
    raise UserError(
      'classic dictionary learning needs scikit-learn: '
      'pip install monosem_jax[analysis]'
    ) from None
  rng = np.random.default_rng(seed)
  truth_KA = rng.normal(size=(c.directions, c.width))
  truth_KA /= np.linalg.norm(truth_KA, axis=1, keepdims=True)

  def draw(samples: int) -> np.ndarray:
    active_NK = rng.random((samples, c.directions)) < c.active / c.directions
    return (active_NK * rng.uniform(0.5, 1.5, active_NK.shape)) @ truth_KA

  x_NA, held_out_NA = draw(c.samples), draw(c.held_out)
  random_FA = rng.normal(size=(c.features, c.width))
  shared = {
    'n_components': c.features,
    'fit_algorithm': 'cd',
    'positive_code': True,
    'random_state': seed,
    'tol': 0,
  }

  def classic(alpha: float) -> np.ndarray:
    learner = decomposition.DictionaryLearning(
      max_iter=c.classic_passes,
      transform_algorithm='lasso_cd',
      alpha=alpha,
      **shared,
    )
    return learner.fit(x_NA).components_

  def online(alpha: float) -> np.ndarray:
    learner = decomposition.MiniBatchDictionaryLearning(
      max_iter=c.online_passes,
      batch_size=c.batch_size,
      max_no_improvement=None,
      alpha=alpha,
      **shared,
    )
    return learner.fit(x_NA).components_

  def measured(atoms_FA: np.ndarray) -> dict[str, float]:
    cosine_KF = truth_KA @ _unit(atoms_FA).T
    return {
      'recovered': float(cosine_KF.max(1).mean()),
      'found': float((cosine_KF.max(1) > 0.9).mean()),
      'atoms': float(cosine_KF.max(0).mean()),
      'explained': explained(atoms_FA, held_out_NA, max(round(c.active), 1)),
    }

  began = time.monotonic()
  autoencoder = _autoencoder(c, seed, x_NA)
  compiling = time.monotonic() - began
  many = c.features * c.width
  table = []
  ways: tuple[
    tuple[str, int, Callable[[Any], np.ndarray], float | None, float, int], ...
  ] = (
    (
      *('sparse autoencoder', c.passes, autoencoder, c.l1, compiling),
      2 * many + c.features + c.width,
    ),
    ('DictionaryLearning', c.classic_passes, classic, c.alpha, 0.0, many),
    (
      *('MiniBatchDictionaryLearning', c.online_passes, online, c.alpha, 0.0),
      many,
    ),
    ('random', 0, lambda _: random_FA, None, 0.0, many),
  )
  for name, passes, learn, penalty, before, parameters in ways:
    tried: list[dict[str, Any]] = []
    for at in [None] if penalty is None else [x * penalty for x in c.search]:
      began = time.monotonic()
      with warnings.catch_warnings():
        # A code that misses the lasso's tolerance is refined in the next pass.
        warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
        atoms_FA = learn(at)
      seconds = time.monotonic() - began
      tried.append({'penalty': at, **measured(atoms_FA), 'seconds': seconds})
    best = max(tried, key=lambda row: row['explained'])
    table.append(
      {
        'name': name,
        **best,
        'tried': tried,
        'rows': passes * c.samples,
        'parameters': parameters,
        'searching': sum(row['seconds'] for row in tried),
        'compiling': before,
      }
    )
  return table


def explained(atoms_FA: np.ndarray, x_NA: np.ndarray, atoms: int) -> float:
  """The share of the samples' squared norm that `atoms` atoms each explain.

  Whatever method learned the atoms, they are chosen by orthogonal matching
  pursuit: take the atom with the largest product with the residual, then refit
  all atoms so far by least squares, and repeat.
  """
  unit_FA = _unit(atoms_FA)
  left_NA, chosen_Nk = x_NA, np.zeros((len(x_NA), 0), int)
  for _ in range(min(atoms, len(unit_FA))):
    gain_NF = left_NA @ unit_FA.T
    np.put_along_axis(gain_NF, chosen_Nk, -np.inf, axis=1)
    chosen_Nk = np.column_stack([chosen_Nk, gain_NF.argmax(1)])
    rows_NkA = unit_FA[chosen_Nk]
    # Two atoms may coincide, which would make the matrix singular.
    gram_Nkk = rows_NkA @ rows_NkA.swapaxes(1, 2)
    gram_Nkk += 1e-9 * np.eye(chosen_Nk.shape[1])
    code_Nk1 = np.linalg.solve(gram_Nkk, rows_NkA @ x_NA[..., None])
    left_NA = x_NA - (code_Nk1 * rows_NkA).sum(1)
  return float(1 - np.square(left_NA).sum() / np.square(x_NA).sum())


def _unit(rows_FA: np.ndarray) -> np.ndarray:
  """Rows at norm 1; rows of zeros stay zero."""
  norm_F1 = np.linalg.norm(rows_FA, axis=1, keepdims=True)
  return rows_FA / np.where(norm_F1 > 0, norm_F1, 1)


def _autoencoder(
  c: settings.Planted, seed: int, x_NA: np.ndarray
) -> Callable[[float], np.ndarray]:
  """Compiles the paper's recipe for the samples, with one chunk per pass.

  Returns:
    A function that trains it with an L1 coefficient and returns decoder rows.
  """
  batches = c.samples // c.batch_size
  stream = settings.Stream(
    contexts_per_chunk=batches,
    positions_per_context=c.batch_size,
    shuffle_groups=1,
    micro_batches=1,
    batch_size=c.batch_size,
    steps=c.passes * batches,
    seed=seed,
    precision='float32',
  )
  d = settings.Dictionary(
    features=c.features,
    l1=c.l1,
    lr=c.lr,
    seed=seed,
    resampling=settings.Resampling(steps=()),
  )
  rows_NA = jnp.asarray(x_NA, jnp.float32)
  start = dictionary_init.start(d, states.init(d, c.width), rows_NA, _DOT)

  def at(l1: float) -> states.StreamState:
    own = dataclasses.replace(start, l1=jnp.asarray(l1, start.l1.dtype))
    return states.StreamState.of(jnp.int32(0), {'d': d}, {'d': own})

  # A table of samples stands in for the transformer; tokens index into it.
  chunk = train.make_chunk(stream, {'d': d}, lambda lm, tokens: lm[tokens])
  tokens_CT = np.arange(c.samples, dtype=np.int32).reshape(batches, -1)
  context_C = np.arange(batches, dtype=np.int32)
  of_pass = rows_NA, tokens_CT, context_C, 0 * context_C
  compiled = chunk.lower(at(c.l1), *of_pass).compile()

  def learn(l1: float) -> np.ndarray:
    trained = at(l1)
    for _ in range(c.passes):
      trained, _ = compiled(trained, *of_pass)
    return np.asarray(trained.dictionaries['d'].sae.W_dec_FA)

  return learn
