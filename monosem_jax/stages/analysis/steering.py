"""What features do as they are pinned: dose-response, and transcripts.

The paper on downstream effects; `analysis.steering`. Steered are the features
of the proxies, see `proxies`, the best of them first.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax import mesh as meshes
from monosem_jax.analysis import figures, steering
from monosem_jax.files import write_file
from monosem_jax.stages.analysis.bench import Bench, NotHere
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.pages import code
from monosem_jax.transformer.sample import sample

# Samples of a transcript, and what they are pinned to, in maxima.
_SHOWN, _SHOWN_DOSES = 3, (1.0, 2.0)


def make(bench: Bench, out: pathlib.Path) -> dict:
  c, main = bench.config.steering, bench.main
  dives = bench.numbers('proxies')['dives']
  if not dives:
    raise NotHere('no proxy goes with a feature of ' + main.run)
  names = sorted(dives, key=lambda name: -dives[name]['r'])[: c.features]
  at = [int(dives[name]['feature'].rpartition('/')[2]) for name in names]
  controls = min(c.controls, int(main.live_F.sum()) - 1)
  if controls < 1:
    raise NotHere(f'{main.run} has no live features to be controls')
  labelled = Labelled(bench, bench.config.split)

  def predicate(name: str):
    k = labelled.proxy_names.index(name)
    return lambda tokens_BT: labelled.on(tokens_BT)[..., k]

  tokenizer = bench.store.tokenizer
  prompt_T = tokenizer.encode_batch([steering.PROMPT])[0].astype(np.int32)
  lm = bench.lm(main.model)
  found = steering.dose_response(
    lm,
    main.sae,
    at,
    main.table.max_F,
    main.live_F,
    bench.store.tokens('val', np.arange(c.contexts)),
    np.tile(prompt_T, (c.samples, 1)),
    sample,
    c.doses,
    length=c.tokens,
    predicates={name: predicate(name) for name in names},
    controls=controls,
    seed=bench.config.seed,
    progress=bench.progress(f'steering/{main.name}'),
  )
  rows = {}
  for x, (name, i) in enumerate(zip(names, at, strict=True)):
    rows[name] = {
      'feature': f'{main.run}/{i}',
      'doses': found['multiple_M'],
      'controls': found['control_XR'][x],
      'top_tokens': [bench.vocabulary[t] for t in found['top_ids_Xk'][x]],
      'log_odds': _row(found['log_odds'], x),
      'share': {n: _row(s, x) for n, s in found['share'].items()},
    }
    _draw(name, rows[name], out, c)
    text = _transcript(bench, lm, prompt_T, name, i)
    write_file(out / f'{name}.md', text.encode())
  return {'features': rows, 'prompt': steering.PROMPT}


def _row(response: dict, x: int) -> dict:
  """Of one feature: by dose, mean and standard error, control and unpinned."""
  own = lambda e: (
    {k: (v[x] if np.ndim(v) else v) for k, v in e.items() if k != 'n'}
    | {'n': e['n']}
  )
  return {key: own(response[key]) for key in response}


def _draw(name: str, row: dict, out: pathlib.Path, c) -> None:
  for key, response, y, n in (
    (
      'log_odds',
      row['log_odds'],
      'log-odds of its own top 10 tokens, nats',
      f'{c.contexts} contexts',
    ),
    (
      'share',
      row['share'][name],
      f'share of sampled tokens with {name} on',
      f'{c.samples} samples of {c.tokens} tokens',
    ),
  ):
    series = {
      row['feature']: response['pinned'],
      f'{len(row["controls"])} random live features': response['control'],
    }
    figures.lines(
      out / f'{name}_{key}.png',
      {n: (row['doses'], e['mean']) for n, e in series.items()},
      f'{row["feature"]} pinned, {n}; the control is the same change along '
      "other features' directions. Bars: standard errors.",
      'pinned to, in multiples of its maximum',
      y,
      errors={n: e['se'] for n, e in series.items()},
    )


def _transcript(bench: Bench, lm, prompt_T, name: str, i: int) -> str:
  """Texts with the feature pinned beside texts without, the same draws."""
  main, c = bench.main, bench.config.steering
  key = jax.random.key(bench.config.seed)
  largest = float(main.table.max_F[i])
  lines = [
    f'# {name}: {main.run}/{i}',
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
      lines.append(f'- {code(bench.store.tokenizer.decode(row))}')
    lines += ['']
  return '\n'.join(lines)
