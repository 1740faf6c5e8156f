"""The steering experiment: a feature and its baselines at several doses.

At a dose, every arm changes the activations by the same mean norm. The effects
are measured on the next token of held-out text, and on sampled text.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import doses as matching, steering
from monosem_jax.config.errors import UserError
from monosem_jax.device.mesh import fetch
from monosem_jax.dictionary.sae import SAE
from monosem_jax.transformer.sample import sample

# `labels(tokens_BT)` returns bool_BT by name.
Labels = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Feature:
  """A feature to steer.

  Attributes:
    index: its number in the dictionary.
    baselines: a pin of one unit by name; its value is not used.
  """

  index: int
  baselines: Mapping[str, steering.Pins]


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
  """The setting that all steered features share.

  Attributes:
    lm: the transformer.
    sae: the dictionary.
    max_F: each feature's maximum.
    live_F: whether a feature may be a control.
    tokens_CT: contexts on which the next token is measured.
    prompt_T: the prompt of sampled texts.
    multiple_M: the doses, in multiples of the maximum.
    samples: B, texts per arm and dose.
    length: tokens to sample per text.
    controls: R, random features per feature.
    labels: returns the labels of tokens.
    seed: seed of the controls and of the sampling.
  """

  lm: object
  sae: SAE
  max_F: np.ndarray
  live_F: np.ndarray
  tokens_CT: np.ndarray
  prompt_T: np.ndarray
  multiple_M: Sequence[float]
  samples: int
  length: int
  controls: int
  labels: Labels
  seed: int = 0


def response(s: Setting, feature: Feature) -> dict:
  """Measures the effects of a feature and its baselines at all doses.

  The arms are `pinned`, the feature itself; each baseline by name; and
  `control`, R random live features. A baseline is pinned to the value at which
  its change has the mean norm, over all positions, and the sign of the
  feature's change at that dose. A control applies the feature's change along
  another feature's decoder row. The controls of a dose share B samples.

  Each dose is a separate call on the device, so that memory does not grow with
  the number of doses.

  Returns:
    `controls`; `top_ids_k`; `value`, the pinned values by arm, [M]; and these
    measures by arm, each with `mean`, `se`, `n` (the first two [M]) and `unit`,
    the unit of n. Over contexts (features for `control`): `log_odds`, log p -
    log(1 - p) of the k tokens whose logits the feature raises most; `kl`, nats,
    from unpinned to pinned; `norm`. Over samples: `loss`, nats per token under
    the unpinned model; `share`, by label. For `control`, `se` is over samples
    and `se_features` is over features.

  Raises:
    UserError: the feature never fired, or too few features are live.
  """
  i, M = feature.index, len(s.multiple_M)
  if not s.max_F[i] > 0:
    raise UserError(f'steering: feature {i} never fired: no maximum.')
  others = np.setdiff1d(np.flatnonzero(s.live_F), [i])
  if len(others) < s.controls:
    raise UserError(
      f'steering: {s.controls} controls are wanted for feature {i}, and only '
      f'{len(others)} other features are live.'
    )
  rng = np.random.default_rng((s.seed, i))
  control_R = rng.choice(others, s.controls, replace=False)
  own = fetch(pins_of(s.sae, np.array([i]), jnp.zeros(1)))
  rows_RA = fetch(s.sae.W_dec_FA[jnp.asarray(control_R)])
  arms = [own, *feature.baselines.values()]
  value_LM = _values(s, arms, np.asarray(s.multiple_M) * s.max_F[i])
  arms += [steering.along(own, row_A) for row_A in rows_RA]
  value_LM = np.concatenate([value_LM, np.tile(value_LM[:1], (s.controls, 1))])
  names = ['pinned', *feature.baselines]
  held = steering.at_values(arms, value_LM)

  top_ids_k = fetch(steering.top(s.lm, s.sae, np.array([i])))[0]
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), held)
  unpinned_C, by_dose = fetch(
    steering.effects(s.lm, flat, s.tokens_CT, top_ids_k)
  )
  found = {
    'controls': control_R,
    'top_ids_k': top_ids_k,
    'value': dict(zip(names, value_LM, strict=False)),
  }
  for name, x_PC in by_dose.items():
    x_LMC = x_PC.reshape(len(arms), M, -1)
    found[name] = _by_arm(names, x_LMC, 'contexts') | {
      'control': estimate(x_LMC[len(names) :].mean(2).T, 'features')
    }
  found['log_odds']['unpinned'] = estimate(unpinned_C, 'contexts')
  return found | _texts(s, names, held, i)


# One compiled program serves every feature.
pins_of = jax.jit(steering.pins)


def unsteered(s: Setting) -> dict:
  """Returns `loss` and `share` of unpinned texts, B per dose."""
  prompt_BT = np.tile(s.prompt_T, (s.samples * len(s.multiple_M), 1))
  key = jax.random.key(s.seed)
  tokens_BT = sample(s.lm, jnp.asarray(prompt_BT), key, length=s.length)
  judged = _judge(s, tokens_BT)
  of = lambda x_B: estimate(x_B, 'samples')
  return {
    'loss': of(judged.pop('loss')),
    'share': {name: of(x_B) for name, x_B in judged['share'].items()},
  }


def _values(s: Setting, arms: Sequence, value_M: np.ndarray) -> np.ndarray:
  """Returns the pinned values, value_LM; the first arm is the feature."""
  joined = jax.tree.map(lambda *x: np.concatenate(x), *arms)
  f_NL = np.asarray(fetch(steering.strengths(s.lm, joined, s.tokens_CT)))
  norm_L = np.linalg.norm(joined.W_dec_KA, axis=1)
  change_MN = value_M[:, None] - f_NL[:, 0].astype(np.float64)
  distance_M = np.abs(change_MN).mean(1) * norm_L[0]
  upwards_M = change_MN.mean(1) > 0
  others = (
    matching.matched(f_NL[:, j], distance_M / norm_L[j], upwards_M)
    for j in range(1, len(arms))
  )
  return np.stack([value_M, *others])


def _texts(s: Setting, names: list[str], held, i: int) -> dict:
  """Returns `loss` and `share` of the texts of all arms at all doses."""
  B, R, M = s.samples, s.controls, len(s.multiple_M)
  each = -(-B // R)
  arm_N = np.repeat(np.arange(len(names) + R), [B] * len(names) + [each] * R)
  prompt_NT = jnp.asarray(np.tile(s.prompt_T, (len(arm_N), 1)))
  key = jax.random.fold_in(jax.random.key(s.seed), i)
  by_dose = []
  for m in range(M):
    tokens_NT = sample(
      s.lm,
      prompt_NT,
      jax.random.fold_in(key, m),
      length=s.length,
      patch=steering.patch_each,
      patch_args=jax.tree.map(lambda x, m=m: x[arm_N, m], held),
    )
    by_dose.append(_judge(s, tokens_NT))

  def response(x_MN: np.ndarray) -> dict:
    first = len(names) * B
    x_LMB = np.stack(list(x_MN[:, :first].reshape(M, -1, B)), 1)
    x_MRb = x_MN[:, first:].reshape(M, R, each)
    control = estimate(x_MRb.reshape(M, -1), 'samples')
    control['se_features'] = estimate(x_MRb.mean(2), 'features')['se']
    return _by_arm(names, x_LMB, 'samples') | {'control': control}

  shares = by_dose[0]['share']
  return {
    'loss': response(np.stack([d['loss'] for d in by_dose])),
    'share': {
      name: response(np.stack([d['share'][name] for d in by_dose]))
      for name in shares
    },
  }


def _judge(s: Setting, tokens_BT: jax.Array) -> dict:
  """Returns each text's loss under the unpinned model, and its label shares."""
  start = s.prompt_T.size
  loss_B = matching.continuation_loss(s.lm, tokens_BT, start=start)
  share = {
    name: np.asarray(on_BT)[:, start:].mean(1)
    for name, on_BT in s.labels(fetch(tokens_BT)).items()
  }
  return {'loss': np.asarray(fetch(loss_B), np.float64), 'share': share}


def _by_arm(names: list[str], x_LMn: np.ndarray, unit: str) -> dict:
  return {name: estimate(x_LMn[j], unit) for j, name in enumerate(names)}


def estimate(x: np.ndarray, unit: str) -> dict:
  """Returns mean and standard error over the last axis (NaN for one value)."""
  x = np.asarray(x, np.float64)
  n = x.shape[-1]
  se = x.std(-1, ddof=1) / n**0.5 if n > 1 else np.full(x.shape[:-1], np.nan)
  return {'mean': x.mean(-1), 'se': se, 'n': n, 'unit': unit}
