"""The experiment of steering: a feature at several doses, beside its baselines.

Every arm of it makes a change of the same mean norm at the same dose. Measured
are the next token on held-out text, and text that is sampled under the change.
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

# What `of(tokens_BT)` says of tokens by name: bool_BT.
Labels = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Feature:
  """What is steered.

  Attributes:
    index: in the dictionary.
    baselines: by name, a pin of one unit each, whose value does not count.
  """

  index: int
  baselines: Mapping[str, steering.Pins]


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
  """What all features are steered with.

  Attributes:
    lm: the transformer.
    sae: a dictionary of it.
    max_F: every feature's maximum.
    live_F: whether a feature may be a control.
    tokens_CT: contexts at whose positions the next token is looked at.
    prompt_T: what is continued.
    multiple_M: the doses, in maxima.
    samples: B, texts of each arm and dose.
    length: tokens by which each is continued.
    controls: R, of each feature.
    labels: what a token of a text is.
    seed: of the controls and of the sampling.
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
  """What a feature and its baselines do at all doses.

  Arms are `pinned`, the feature; the baselines by their names, at values that
  bring the mean norm of their change, over the positions of the contexts, to
  that of the feature's at the same dose and in its direction, up or down; and
  `control`, R random live features: at each position the very change of the
  feature along another's row. Controls share B samples of a dose among them.

  An arm's dose is a call on the device of B samples an arm, so that memory does
  not grow with the doses.

  Returns:
    `controls`, `top_ids_k` and `value`, by arm the values held, [M]. And by
    arm of each measure `mean`, `se`, `n`, [M] each but the last, and `unit`,
    what n counts: of the contexts `log_odds` (of the k tokens whose logits the
    feature raises most, log p - log(1 - p)), `kl` (nats, unpinned to pinned)
    and `norm`, for controls over features; of the samples `loss` (nats per
    token under the model without a pin) and `share`, by label. `se` of controls
    is over their samples, and `se_features` over features.

  Raises:
    UserError: the feature never fired, or there are too few live ones.
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


# Compiled for one feature, whatever its number.
pins_of = jax.jit(steering.pins)


def unsteered(s: Setting) -> dict:
  """`loss` and `share` of texts that nothing is done to, B of each dose."""
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
  """What arms are held at, value_LM; the first is the feature itself."""
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
  """`loss` and `share` of the texts of all arms, at all doses."""
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
  """The loss of each text without a pin, and shares of its new tokens."""
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
  """Mean and standard error (NaN of one) over the last axis, and its unit."""
  x = np.asarray(x, np.float64)
  n = x.shape[-1]
  se = x.std(-1, ddof=1) / n**0.5 if n > 1 else np.full(x.shape[:-1], np.nan)
  return {'mean': x.mean(-1), 'se': se, 'n': n, 'unit': unit}
