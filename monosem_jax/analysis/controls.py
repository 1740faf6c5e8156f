"""Control directions that were not learned by a dictionary, in the same form.

Every claim about features is compared with these. They are `SAE`s, with
f = ReLU((x - b_dec) W_enc + b_enc), and can be used wherever a dictionary can.

  neurons  the activations themselves: the identity
  random   isotropic directions, each firing as often as a feature of a
           dictionary does
  pca      principal components, about the mean
  ica      independent components (FastICA), about the mean

The sign of a component is arbitrary. We choose the one that skews its
activations to the right, as a feature's are. The paper has the first two
controls, and shuffled weights, which are a model of their own here.
"""

import warnings
from typing import Any

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.dictionary.sae import SAE


def neurons(width: int) -> SAE:
  """The identity: f = x for activations that are not negative."""
  eye = np.eye(width, dtype=np.float32)
  zero = np.zeros(width, np.float32)
  return _of_host(eye, zero, eye, zero)


def _of_host(W_enc_AF: Any, b_enc_F: Any, W_dec_FA: Any, b_dec_A: Any) -> SAE:
  """A dictionary of numpy arrays, not yet placed on devices."""
  return SAE(
    W_enc_AF=W_enc_AF, b_enc_F=b_enc_F, W_dec_FA=W_dec_FA, b_dec_A=b_dec_A
  )


def random(
  x_NA: np.ndarray, density_F: np.ndarray, seed: int, block: int = 256
) -> SAE:
  """Random unit directions with given densities.

  Feature i fires on the share density_F[i] of the rows of x_NA with the largest
  product with its direction: its bias is a quantile of the sample. A feature
  with density 0 never fires.

  Args:
    x_NA: a sample of activations.
    density_F: the share of tokens on which each feature is to fire.
    seed: random seed of the directions.
    block: features per block, which bounds the memory at block x N numbers.
  """
  rng = np.random.default_rng(seed)
  F, A = density_F.size, x_NA.shape[1]
  mean_A = x_NA.mean(0)
  rows_FA = rng.normal(size=(F, A)).astype(np.float32)
  rows_FA /= np.linalg.norm(rows_FA, axis=1, keepdims=True)
  bias_F = np.zeros(F, np.float32)
  for i in range(0, F, block):
    own = slice(i, min(i + block, F))
    product_FN = np.sort(rows_FA[own] @ (x_NA - mean_A).T, axis=1)
    kept = np.rint(density_F[own] * x_NA.shape[0]).astype(int)
    # Halfway between the last token that fires and the first that does not.
    at = np.clip(x_NA.shape[0] - kept, 1, x_NA.shape[0] - 1)[:, None]
    upper = np.take_along_axis(product_FN, at, 1)[:, 0]
    lower = np.take_along_axis(product_FN, at - 1, 1)[:, 0]
    silent = kept == 0
    beyond = 2 * np.abs(product_FN).max(1)
    bias_F[own] = -np.where(silent, beyond, (upper + lower) / 2)
  return _of_host(
    np.ascontiguousarray(rows_FA.T), bias_F, rows_FA, mean_A.astype(np.float32)
  )


def pca(x_NA: np.ndarray) -> SAE:
  """Principal components, largest variance first.

  Raises:
    UserError: scikit-learn is not installed.
  """
  found = _decomposition().PCA(svd_solver='covariance_eigh').fit(x_NA)
  return _components(x_NA, found.components_.T, found.components_)


def ica(x_NA: np.ndarray, seed: int, passes: int) -> SAE:
  """Independent components by FastICA, converged or not after `passes`.

  It is fitted only to directions that vary, so there may be fewer components
  than dimensions.

  Raises:
    UserError: scikit-learn is not installed.
  """
  # Whitening divides by the variance, and the variance of a neuron that hardly
  # fires is below float32 rounding beside that of one that fires often.
  variance = np.linalg.eigvalsh(np.cov(x_NA.T))
  varies = int((variance > 1e-9 * variance.max()).sum())
  learner = _decomposition().FastICA(
    n_components=varies,
    whiten='unit-variance',
    whiten_solver='eigh',
    max_iter=passes,
    random_state=seed,
  )
  with warnings.catch_warnings():  # it may stop before it converges
    warnings.simplefilter('ignore', UserWarning)
    learner.fit(x_NA.astype(np.float64))
  return _components(x_NA, learner.components_.T, learner.mixing_.T)


def _components(
  x_NA: np.ndarray, enc_AF: np.ndarray, dec_FA: np.ndarray
) -> SAE:
  """Components with decoder rows of norm 1 and activations skewed right."""
  mean_A = x_NA.mean(0)
  norm_F = np.linalg.norm(dec_FA, axis=1)
  product_NF = (x_NA - mean_A) @ enc_AF
  turn_F = np.where((product_NF**3).mean(0) < 0, -1, 1)
  return _of_host(
    np.ascontiguousarray(enc_AF * norm_F * turn_F, np.float32),
    np.zeros(len(dec_FA), np.float32),
    np.ascontiguousarray(dec_FA * (turn_F / norm_F)[:, None], np.float32),
    mean_A.astype(np.float32),
  )


def _decomposition():
  try:
    from sklearn import decomposition
  except ImportError:
    raise UserError(
      'principal and independent components need scikit-learn: pip install '
      'monosem_jax[analysis]'
    ) from None
  return decomposition
