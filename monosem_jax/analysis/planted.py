"""Dictionary learning on planted data, as it was before autoencoders, and ours.

The truth is known here: unit directions, more of them than dimensions, of which
every sample holds a few.
"""

import time
import warnings
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from monosem_jax import settings
from monosem_jax.dictionary import (
  init as dictionary_init,
  state as states,
  train,
)
from monosem_jax.errors import UserError


def compare(
  c: settings.Planted, seed: int
) -> list[dict[str, str | int | float]]:
  """Classic dictionary learning beside the autoencoder, on planted directions.

  All are given the same samples; random directions are the control. A classic
  code is as non-negative as the autoencoder's (our choice).

  Returns:
    Of each: `name`; `recovered`, the mean over planted directions of the cosine
    with the nearest atom; `found`, the share of them with one above 0.9;
    `atoms`, the mean over atoms of the cosine with the nearest direction;
    `rows`, the samples seen, each as often as it was; `seconds`; `compiling`,
    the seconds of compilation before them.

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
  active_NK = rng.random((c.samples, c.directions)) < c.active / c.directions
  x_NA = (active_NK * rng.uniform(0.5, 1.5, active_NK.shape)) @ truth_KA
  shared = {
    'n_components': c.features,
    'alpha': c.alpha,
    'fit_algorithm': 'cd',
    'positive_code': True,
    'random_state': seed,
    'tol': 0,
  }

  def classic() -> np.ndarray:
    learner = decomposition.DictionaryLearning(
      max_iter=c.classic_passes, transform_algorithm='lasso_cd', **shared
    )
    return learner.fit(x_NA).components_

  def online() -> np.ndarray:
    learner = decomposition.MiniBatchDictionaryLearning(
      max_iter=c.online_passes,
      batch_size=c.batch_size,
      max_no_improvement=None,
      **shared,
    )
    return learner.fit(x_NA).components_

  def random() -> np.ndarray:
    return rng.normal(size=(c.features, c.width))

  began = time.monotonic()
  autoencoder = _autoencoder(c, seed, x_NA)
  compiling = time.monotonic() - began
  table = []
  for name, passes, learn, before in (
    ('sparse autoencoder', c.passes, autoencoder, compiling),
    ('DictionaryLearning', c.classic_passes, classic, 0.0),
    ('MiniBatchDictionaryLearning', c.online_passes, online, 0.0),
    ('random', 0, random, 0.0),
  ):
    began = time.monotonic()
    with warnings.catch_warnings():
      # A code that stops short of the lasso's tolerance is met again.
      warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
      atoms_FA = learn()
    seconds = time.monotonic() - began
    norm_F1 = np.linalg.norm(atoms_FA, axis=1, keepdims=True)
    cosine_KF = truth_KA @ (atoms_FA / np.where(norm_F1 > 0, norm_F1, 1)).T
    table.append(
      {
        'name': name,
        'recovered': float(cosine_KF.max(1).mean()),
        'found': float((cosine_KF.max(1) > 0.9).mean()),
        'atoms': float(cosine_KF.max(0).mean()),
        'rows': passes * c.samples,
        'seconds': seconds,
        'compiling': before,
      }
    )
  return table


def _autoencoder(
  c: settings.Planted, seed: int, x_NA: np.ndarray
) -> Callable[[], np.ndarray]:
  """Compiles the paper's recipe on the samples, every pass a chunk.

  Returns:
    What trains it, once, and returns the decoder's rows.
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
  x_NA = jnp.asarray(x_NA, jnp.float32)
  start = dictionary_init.start(d, states.init(d, c.width), x_NA)
  state = states.StreamState.of(jnp.int32(0), {'d': d}, {'d': start})
  # Tokens name samples: the transformer's stand-in is a table of them.
  chunk = train.make_chunk(stream, {'d': d}, lambda lm, tokens: lm[tokens])
  tokens_CT = np.arange(c.samples, dtype=np.int32).reshape(batches, -1)
  context_C = np.arange(batches, dtype=np.int32)
  of_pass = x_NA, tokens_CT, context_C, 0 * context_C
  compiled = chunk.lower(state, *of_pass).compile()

  def learn() -> np.ndarray:
    trained = state
    for _ in range(c.passes):
      trained, _ = compiled(trained, *of_pass)
    return np.asarray(trained.dictionaries['d'].sae.W_dec_FA)

  return learn
