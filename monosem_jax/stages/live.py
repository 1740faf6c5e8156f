"""Computes the answers to a live page's requests: the engine of `serve`."""

import dataclasses
import math
import shlex
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

import monosem_jax
from monosem_jax.analysis import ablation, probe as probing, steering
from monosem_jax.config.errors import UserError
from monosem_jax.features.featureset import FeatureSet, LoadedSet
from monosem_jax.features.pin import Pin
from monosem_jax.site.server import requests
from monosem_jax.site.server.requests import Refused
from monosem_jax.stages.loaded import LoadedModels
from monosem_jax.transformer import sample as sampling

# The number of features shown per token, the strongest ones.
ACTIVE = 32


@dataclasses.dataclass(frozen=True)
class Engine:
  """Answers requests; see `site.server`.

  The shapes of its programs depend only on the context and the dictionaries, so
  that no request compiles anything after `warm`.

  Attributes:
    loaded: the transformers and dictionaries.
    strings: the tokens for display, [V].
  """

  loaded: LoadedModels
  strings: list[str]

  def about(self) -> dict[str, Any]:
    sets = [
      {'key': d.key, 'run': d.name, 'model': d.model, 'features': d.count}
      for d in self.loaded.sets.values()
    ]
    return {
      'version': monosem_jax.__version__,
      'runs': sets,
      'context': self.loaded.context,
      'active': ACTIVE,
    }

  def warm(self) -> None:
    """Compiles every program with small requests."""
    for d in self.loaded.sets.values():
      self.probe(requests.Probe(d.key, 'a'))
      # jax gives large seeds another integer type, which compiles anew.
      for seed in (0, requests.SEED):
        pins = (Pin(d.name, 0, 0.0, of_max=False),)
        wanted = requests.Steer(d.key, pins, 'a', 2, 1.0, 1, seed)
        for _ in self.steer(wanted):
          pass

  def probe(self, wanted: requests.Probe) -> dict[str, Any]:
    """Computes what features do on a text, which is cut into contexts.

    Returns:
      For N tokens: `tokens`, their ids; `strings`; `loss`, nats given the
      tokens before (the first token of a context is predicted from the context
      before), null for the first token; `firing`, the number of features that
      fire; and `active`, a list per token of [feature, activation, attribution
      to the next token, rise of the next token's loss without the feature], the
      `ACTIVE` strongest, see `analysis.probe`. Unknown numbers are null: those
      after the last token, and all rises if layers follow the site.

    Raises:
      Refused: the dictionary does not exist, or the text is too long.
    """
    d, T = self._dictionary(wanted.key), self.loaded.context
    ids_N = self._encode(wanted.text)
    N, most = ids_N.size, requests.TEXT_CONTEXTS * T
    if most < N:
      raise Refused(
        400,
        f'the text has {N:,} tokens; at most {most:,} '
        f'({requests.TEXT_CONTEXTS} contexts of {T}) are looked at.',
      )
    lm = self.loaded.models[d.model]
    program = probing.make_probe(
      self.loaded.dot,
      min(ACTIVE, d.count),
      ablation.effects_of if lm.site_is_last else None,
    )
    padded = np.zeros(-(-N // T) * T + 1, np.int32)
    padded[:N] = ids_N
    loss: list[float | None] = [None]
    firing: list[int] = []
    active: list[list[list]] = []
    for first in range(0, N, T):
      window = slice(first, first + T)
      next_T = padded[first + 1 : first + 1 + T]
      known = np.int32(min(T, N - 1 - first))
      found = jax.device_get(
        program(
          lm, d.sae, self.loaded.median_F[d.key], padded[window], next_T, known
        )
      )
      here = slice(min(T, N - first))
      loss += map(_short, found.loss_T[here].tolist())
      firing += found.firing_T[here].tolist()
      active += _active(found, here)
    return {
      'tokens': ids_N.tolist(),
      'strings': [self.strings[i] for i in ids_N.tolist()],
      'loss': loss[:N],
      'firing': firing,
      'active': active,
    }

  def steer(
    self, wanted: requests.Steer
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Continues a prompt with and without pins, token by token.

    The texts are those of the stage `sample`. A `token` event has `i`,
    `default` and `steered`; each of the two has the token's `id`, `string`,
    `logp`, its log-probability at temperature 1 under the transformer that
    sampled it, and `logp_pinned` or `logp_unpinned`, that under the other one.
    The last event is `done`: `seconds`; `text`, both texts without the prompt;
    and `command`, a command line with the same result, or null.

    Raises:
      Refused: before the first event, if a pin or the dictionary is not valid.
    """
    by_name = {d.name: d for d in self.loaded.sets.values()}
    places, values = [], []
    for pin in wanted.pins:
      if pin.set_name not in by_name:
        raise Refused(
          400, f'feature: no dictionary of that name: {pin.set_name[:40]!r}.'
        )
      d = by_name[pin.set_name]
      places.append(d)
      values.append(_value(pin, d))
    if wanted.key is not None:
      places.append(self._dictionary(wanted.key))
    models = {d.model for d in places}
    if len(models) > 1:
      raise Refused(
        400,
        f'pins: features of models {" and ".join(sorted(models))}; pin those '
        'of one model at a time.',
      )
    model = models.pop() if models else next(iter(self.loaded.models))
    return self._speak(wanted, model, self._held(wanted.pins, values, model))

  def _speak(
    self, wanted: requests.Steer, model: str, held: steering.Pins
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    start = time.perf_counter()
    prompt_T = self._encode(wanted.prompt)
    if not prompt_T.size:
      prompt_T = np.array([self.loaded.tokenizer.separator], np.int32)
    key = jax.random.key(wanted.seed)
    temperature, top_k = np.float32(wanted.temperature), np.int32(wanted.top_k)
    texts = sampling.begin(prompt_T, self.loaded.context)
    said: tuple[list[int], list[int]] = ([], [])
    for i in range(wanted.tokens):
      texts, drawn = sampling.extend(
        self.loaded.models[model],
        texts,
        key,
        temperature,
        top_k,
        patch=steering.patch,
        patch_args=held,
      )
      drawn = jax.device_get(drawn)
      event: dict[str, Any] = {'i': i}
      for x, (name, other) in enumerate(
        (('default', 'logp_pinned'), ('steered', 'logp_unpinned'))
      ):
        token = int(drawn.token_2[x])
        said[x].append(token)
        event[name] = {
          'id': token,
          'string': self.strings[token],
          'logp': _short(float(drawn.log_p_22[x, x])),
          other: _short(float(drawn.log_p_22[1 - x, x])),
        }
      yield 'token', event
    yield (
      'done',
      {
        'seconds': _short(time.perf_counter() - start),
        'text': {
          'default': self.loaded.tokenizer.decode(said[0]),
          'steered': self.loaded.tokenizer.decode(said[1]),
        },
        'command': command(wanted),
      },
    )

  def _held(
    self, pins: Sequence[Pin], values: Sequence[float], model: str
  ) -> steering.Pins:
    """Returns the pins, padded to the largest number of pins."""
    own = [d for d in self.loaded.sets.values() if d.model == model]
    held = steering.none(requests.PINS, own[0].sae.b_dec_A.size)
    feature_K = np.zeros(requests.PINS, np.int32)
    value_K = np.zeros(requests.PINS, np.float32)
    feature_K[: len(pins)] = [p.feature for p in pins]
    value_K[: len(pins)] = values
    for d in own:
      own_K = np.zeros(requests.PINS, bool)
      own_K[: len(pins)] = [p.set_name == d.name for p in pins]
      if own_K.any():
        held = steering.put(held, d.sae, feature_K, value_K, own_K)
    return held

  def _dictionary(self, key: str) -> LoadedSet:
    if key not in self.loaded.sets:
      known = ', '.join(self.loaded.sets)
      raise Refused(400, f'key: no dictionary of that name (known: {known}).')
    return self.loaded.sets[key]

  def _encode(self, text: str) -> np.ndarray:
    return self.loaded.tokenizer.encode_batch([text])[0].astype(np.int32)


def command(wanted: requests.Steer) -> str | None:
  """Returns the `monosem sample` command with the same result, or None."""
  if '\0' in wanted.prompt:
    return None
  number = lambda x: np.format_float_positional(x, trim='-')
  pins = ','.join(map(str, wanted.pins))
  parts = [
    *('monosem', 'sample', '--config=FILE', '--workdir=DIR'),
    *([f'--pin={pins}'] if pins else []),
    f'--prompt={wanted.prompt}',
    f'--tokens={wanted.tokens}',
    '--samples=1',
    f'--temperature={number(wanted.temperature)}',
    f'--top_k={wanted.top_k}',
    f'--seed={wanted.seed}',
  ]
  return shlex.join(parts)


def _value(pin: Pin, d: FeatureSet) -> float:
  """Returns the pinned value in units of the feature's activation."""
  try:
    pin.require(d.count)
    return pin.activation(d.table.max_F)
  except UserError as e:
    raise Refused(400, str(e)) from None


def _active(found: probing.Probed, here: slice) -> list[list[list]]:
  """Returns the features that fire on each token, see `Engine.probe`."""
  columns = (
    found.feature_TL,
    found.activation_TL,
    found.attribution_TL,
    found.rise_TL,
  )
  return [
    [
      [feature, *map(_short, numbers)]
      for feature, *numbers in zip(*rows, strict=True)
      if numbers[0] > 0
    ]
    for rows in zip(*(x[here].tolist() for x in columns), strict=True)
  ]


def _short(x: float) -> float | None:
  """Rounds to 5 digits; numbers that are not finite become None."""
  return float(f'{x:.5g}') if math.isfinite(x) else None
