"""Effects of pinned features: dose-response curves, and transcripts.

The steered features are the best ones of the proxies (`proxies`). The baselines
of a feature are its proxy's best neuron, pinned, and the difference of means,
added: the mean activation on tokens with the proxy minus that on all others.
Feature, neuron and direction are found on one half of the documents. See
`stages.analysis.doses`.
"""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import (
  doses as matching,
  intervals,
  steering,
)
from monosem_jax.analysis.results.numbers import from_json, to_json
from monosem_jax.analysis.results.proxies import Dive, Proxies
from monosem_jax.analysis.results.steering import (
  Lead,
  Share,
  SteeredFeature,
  Steering,
)
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary.sae import rows_of
from monosem_jax.features import moments
from monosem_jax.run.files import write_file
from monosem_jax.stages import programs
from monosem_jax.stages.analysis import dose_pictures, doses
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import AnalysisInputs, Unavailable
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.pages import code
from monosem_jax.stages.analysis.sections import effects
from monosem_jax.transformer.sample import sample

# Samples per transcript, and the pinned values, in multiples of the maximum.
_SHOWN, _SHOWN_DOSES = 3, (1.0, 2.0)
# The dose of the comparison; the paper pins features to their maximum.
_DOSE = 1.0
# The meaning of the keys in numbers.json.
_NOTES = {
  'baselines': 'neuron: the best neuron of the same proxy, pinned; difference: '
  'the difference of means added at all positions; control: the very change of '
  "the feature along random live features' rows",
  'matched': 'at each dose the mean L2 norm of the change of the activations, '
  'over the positions of the contexts, is that of the pinned feature; a neuron '
  'can be held no closer than at its median',
  'kl': 'of the next token on the contexts, nats, from unpinned to pinned',
  'loss': 'fluency: nats per sampled token under the model without a pin',
  'equal_kl': "each baseline's curve read where it costs the KL of the "
  'feature at the same dose, by straight lines between doses above 0; null '
  'where no dose of it costs so much, or the dose is not above 0',
  'at_maximum': 'all arms at dose 1; null where that is not among the doses',
  'intervals': 'of 95%, 1.96 standard errors over samples',
}


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Steering:
  c, main = inputs.config.steering, inputs.main
  dives = inputs.needs('proxies', Proxies).dives
  if not dives:
    raise Unavailable('no proxy goes with a feature of ' + main.name)
  names = _steered(dives)[: c.features]
  controls = min(c.controls, int(main.live_F.sum()) - 1)
  if controls < 1:
    raise Unavailable(f'{main.name} has no live features to be controls')
  labelled = Labelled(inputs, inputs.config.split)
  at = [labelled.proxy_names.index(name) for name in names]

  def labels(tokens_BT: np.ndarray) -> dict[str, np.ndarray]:
    on_BTK = labelled.on(tokens_BT)
    return {name: on_BTK[..., k] for name, k in zip(names, at, strict=True)}

  tokenizer, lm = inputs.store.tokenizer, inputs.lm(main.model)
  prompt_T = tokenizer.encode_batch([steering.PROMPT])[0].astype(np.int32)
  setting = doses.Setting(
    lm=lm,
    sae=main.sae,
    max_F=main.table.max_F,
    live_F=main.live_F,
    tokens_CT=inputs.store.tokens('val', np.arange(c.contexts)),
    prompt_T=prompt_T,
    multiple_M=c.doses,
    samples=c.samples,
    length=c.tokens,
    controls=controls,
    labels=labels,
    seed=inputs.config.seed,
  )
  difference_KA = _differences(inputs, labelled, at)
  unpinned = doses.unsteered(setting)
  told = inputs.progress(f'steering/{main.key}')
  rows: dict[str, SteeredFeature] = {}
  for x, name in enumerate(names):
    i = _number(dives[name].feature)
    baselines, why = _baselines(inputs, dives[name], difference_KA[x])
    found = doses.response(setting, doses.Feature(i, baselines))
    row = _row(inputs, i, found, unpinned, c.doses)
    row['neuron'], row['not_here'] = dives[name].neuron, why
    row['equal_kl'] = matching.equal_kl(c.doses, row, name)
    row['at_maximum'] = matching.at_dose(_DOSE, c.doses, row, name)
    dose_pictures.draw(name, row, out, c)
    rows[name] = from_json(SteeredFeature, to_json(row), out)
    text = _transcript(inputs, lm, prompt_T, name, i)
    write_file(out / f'{name}.md', text.encode())
    told(x + 1, len(names))
  dose_pictures.draw_at_maximum(rows, out / 'at_maximum.png')
  return Steering(
    features=rows,
    prompt=steering.PROMPT,
    samples=c.samples,
    tokens=c.tokens,
    contexts=c.contexts,
    ahead=_ahead(rows),
    notes=_NOTES,
  )


def _steered(dives: dict[str, Dive]) -> list[str]:
  """Returns the proxies by their feature's correlation, best first.

  A feature shared by several proxies is steered for the best one only.
  """
  first: dict[str, str] = {}
  for name in sorted(dives, key=lambda name: -(dives[name].r or 0)):
    first.setdefault(dives[name].feature, name)
  return list(first.values())


def _number(name: str) -> int:
  return int(name.rpartition('/')[2])


def _differences(
  inputs: AnalysisInputs, labelled: Labelled, at: list[int]
) -> list[np.ndarray | None]:
  """Returns the difference of means for each proxy, on one half.

  None if all tokens of the half have the proxy, or none has.
  """

  def of(lm, batch) -> dict[str, jax.Array]:
    acts_BTA = programs.forward(lm, batch[0])
    x_NA = rows_of(acts_BTA).astype(jnp.float32)
    on_NK = batch[1].reshape(len(x_NA), -1).astype(jnp.float32)
    total = jnp.asarray(len(x_NA), jnp.float32)
    return {
      'on_KA': inputs.dot('nk,na->ka', on_NK, x_NA),
      'on_K': on_NK.sum(0),
      'all_A': x_NA.sum(0),
      'all': total,
    }

  sums = moments.collect(
    moments.adding(of),
    inputs.lm(inputs.main.model),
    inputs.batches(
      'steering/means',
      lambda tokens_BT, _: (labelled.on(tokens_BT)[..., at],),
      half=0,
    ),
  )
  return steering.difference_of_means(sums)


def _baselines(
  inputs: AnalysisInputs, dive: Dive, difference_A: np.ndarray | None
) -> tuple[dict[str, steering.Pins], dict[str, str]]:
  """Returns the baselines of a proxy by name, and why others are absent."""
  found, why = {}, {}
  if dive.neuron is None:
    why['neuron'] = 'no neuron goes with the proxy, or there is no such control'
  else:
    sae = inputs.neurons(inputs.main.model).sae
    at_K = np.array([_number(dive.neuron)])
    found['neuron'] = meshes.fetch(doses.pins_of(sae, at_K, jnp.zeros(1)))
  if difference_A is None:
    why['difference'] = 'the proxy is on for no token of half of the documents'
  else:
    found['difference'] = steering.direction(difference_A)
  return found, why


def _row(
  inputs: AnalysisInputs, i: int, found: dict, unpinned: dict, multiples
) -> dict:
  """Returns the numbers of a `SteeredFeature`, still as arrays."""
  shares = {
    name: x | {'unpinned': unpinned['share'][name]}
    for name, x in found['share'].items()
  }
  return {
    'feature': f'{inputs.main.name}/{i}',
    'doses': np.asarray(multiples),
    'controls': found['controls'],
    'top_tokens': [inputs.vocabulary[t] for t in found['top_ids_k']],
    'value': found['value'],
    'log_odds': found['log_odds'],
    'kl': found['kl'],
    'norm': found['norm'],
    'share': shares,
    'loss': found['loss'] | {'unpinned': unpinned['loss']},
  }


def _ahead(rows: dict[str, SteeredFeature]) -> dict[str, Lead]:
  """Counts features ahead of each baseline, at their maximum and equal KL.

  A feature is ahead, or behind, if its share of the proxy's tokens differs from
  the baseline's by more than 1.96 standard errors.
  """
  found = {}
  for arm in list(dose_pictures.ARMS)[1:]:
    gaps, errors = [], []
    for at in (row.at_maximum for row in rows.values()):
      if at is None or arm not in at.share_at_equal_kl:
        continue
      own, other = at.share['pinned'], at.share_at_equal_kl[arm]
      if own.mean is None or other.mean is None:
        continue
      gaps.append(own.mean - other.mean)
      errors.append(math.hypot(_error(own), _error(other)))
    gap_X, error_X = np.array(gaps), np.array(errors)
    found[arm] = Lead(
      features=gap_X.size,
      ahead=int((gap_X > error_X).sum()),
      behind=int((gap_X < -error_X).sum()),
      mean_lead=float(gap_X.mean()) if gap_X.size else None,
      interval=intervals.of(gap_X, np.mean),
      unit='features',
    )
  return found


def _error(x: Share) -> float:
  """Returns the half width of an interval; NaN if there is none."""
  high = x.interval[1]
  return math.nan if x.mean is None or high is None else high - x.mean


def _transcript(inputs: AnalysisInputs, lm, prompt_T, name: str, i: int) -> str:
  """Returns texts with and without the pin, of the same random numbers."""
  main, c = inputs.main, inputs.config.steering
  key = jax.random.key(inputs.config.seed)
  largest = float(main.table.max_F[i])
  lines = [
    f'# {name}: {main.name}/{i}',
    '',
    f'Prompt {code(steering.PROMPT)}, temperature 1, {c.tokens} tokens; the '
    f'largest activation seen is {largest:.3g}.',
    '',
  ]
  for dose in (None, *_SHOWN_DOSES):
    pins = None
    if dose is not None:
      pins = steering.pins(
        main.sae,
        jnp.array([i], jnp.int32),
        jnp.array([dose * largest], jnp.float32),
      )
    tokens_BT = sample(
      lm,
      jnp.asarray(np.tile(prompt_T, (_SHOWN, 1))),
      key,
      length=c.tokens,
      patch=None if pins is None else steering.patch,
      patch_args=pins,
    )
    new_BT = meshes.fetch(tokens_BT)[:, prompt_T.size :]
    lines.append(
      '## Unpinned' if dose is None else f'## Pinned to {dose:g} x maximum'
    )
    lines += ['']
    for row in new_BT.tolist():
      lines.append(f'- {code(inputs.store.tokenizer.decode(row))}')
    lines += ['']
  return '\n'.join(lines)


ANALYSIS = Analysis(
  order=90,
  make=make,
  numbers=Steering,
  title='Features as actions',
  asked='Does a pinned feature bring about what it fires on, and more so '
  'than a neuron or a difference of means that moves the model as '
  'far?',
  answer=effects.steering,
  picture='at_maximum.png',
  needs=('proxies',),
)
