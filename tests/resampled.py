"""A dictionary in training and its arrays, to resample."""

import numpy as np

from monosem_jax.config import settings

A, F, R, WINDOW = 5, 12, 40, 100
ARRAYS = ('W_enc_AF', 'b_enc_F', 'W_dec_FA', 'b_dec_A')
FIRES_ON = 0.3


def dictionary(**changes) -> settings.Dictionary:
  resampling = settings.Resampling(window=WINDOW, **changes)
  return settings.Dictionary(
    features=F, fires_on=FIRES_ON, resampling=resampling
  )


def arrays(sae) -> dict[str, np.ndarray]:
  return {k: np.array(getattr(sae, k)) for k in ARRAYS}
