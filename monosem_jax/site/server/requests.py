"""The page's requests, parsed from JSON that is not trusted."""

import contextlib
import dataclasses
import json
import math
from typing import Any

from monosem_jax.features.pin import Pin

# The most that a request may have.
# Bytes of a body.
BODY_BYTES = 64 * 1_024
# Characters of a text or prompt, and contexts that a text may fill.
TEXT_CHARS, TEXT_CONTEXTS = 16_000, 8
# Pins, and the absolute value of one, in either unit.
PINS, PIN_VALUE = 16, 1e6
# Tokens to sample.
TOKENS = 256
TEMPERATURE = 100.0
SEED = 2**32 - 1
# Larger than any vocabulary.
TOP_K = 2**20


class Refused(Exception):
  """Raised for a request that is refused; its message is shown to the user.

  The message is one line and names no file of this machine.

  Attributes:
    status: the HTTP status.
  """

  def __init__(self, status: int, message: str):
    super().__init__(message)
    self.status = status


@dataclasses.dataclass(frozen=True)
class Probe:
  """Asks what the features of a dictionary do on a text.

  Attributes:
    key: the dictionary's key, such as A1.
    text: the text.
  """

  key: str
  text: str


@dataclasses.dataclass(frozen=True)
class Steer:
  """Asks for a continuation of a prompt, with features pinned and without.

  Attributes:
    key: a dictionary's key, which chooses the model to sample from; None if the
      pins choose it.
    pins: the pinned features.
    prompt: the text to continue; if empty, a new document begins.
    tokens: how many tokens to sample.
    temperature: the sampling temperature; at 0 the likeliest token is taken.
    top_k: samples from so many of the likeliest tokens; 0 means all.
    seed: the seed of the random draws.
  """

  key: str | None
  pins: tuple[Pin, ...]
  prompt: str
  tokens: int
  temperature: float
  top_k: int
  seed: int


def probe(body: bytes) -> Probe:
  """Parses `{"key": "A1", "text": ...}`.

  Raises:
    Refused: the body is not of this form.
  """
  fields = _fields(_json(body), 'the body', ('key', 'text'))
  return Probe(_text(fields, 'key'), _text(fields, 'text'))


def steer(body: bytes) -> Steer:
  """Parses `{"prompt": ..., "pins": [...]}`.

  A pin is `{"feature": "A/1/3450", "value": 2, "unit": "max"}`. `key`,
  `tokens`, `temperature`, `top_k` and `seed` are optional.

  Raises:
    Refused: the body is not of this form.
  """
  names = [f.name for f in dataclasses.fields(Steer)]
  fields = _fields(_json(body), 'the body', names)
  pins = fields.get('pins', [])
  if not isinstance(pins, list) or len(pins) > PINS:
    raise Refused(400, f'pins: must be a list of at most {PINS}.')
  found = tuple(_pin(pin) for pin in pins)
  if len({(p.set_name, p.feature) for p in found}) < len(found):
    raise Refused(400, 'pins: a feature is pinned twice.')
  return Steer(
    key=_text(fields, 'key') if fields.get('key') is not None else None,
    pins=found,
    prompt=_text(fields, 'prompt'),
    tokens=_whole(fields, 'tokens', 1, TOKENS, 64),
    temperature=_number(fields, 'temperature', 0.0, TEMPERATURE, 1.0),
    top_k=_whole(fields, 'top_k', 0, TOP_K, 0),
    seed=_whole(fields, 'seed', 0, SEED, 0),
  )


def _pin(pin: Any) -> Pin:
  fields = _fields(pin, 'a pin', ('feature', 'value', 'unit'))
  name, _, number = _text(fields, 'feature').rpartition('/')
  if not (
    name and number.isascii() and number.isdecimal() and len(number) < 10
  ):
    raise Refused(400, 'feature: must be NAME/FEATURE, such as A/1/3450.')
  if fields.get('unit') not in ('max', 'activation'):
    raise Refused(400, 'unit: must be "max" or "activation".')
  return Pin(
    set_name=name,
    feature=int(number),
    value=_number(fields, 'value', -PIN_VALUE, PIN_VALUE),
    of_max=fields['unit'] == 'max',
  )


def _json(body: bytes) -> Any:
  def no_number(name: str):
    raise ValueError(name)

  try:
    return json.loads(body.decode('utf-8'), parse_constant=no_number)
  # Not JSON in UTF-8, or nested too deeply for the parser.
  except (ValueError, RecursionError):
    raise Refused(400, 'the body is not JSON in UTF-8.') from None


def _fields(value: Any, what: str, known: tuple | list) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise Refused(400, f'{what} must be a JSON object.')
  if not set(value) <= set(known):
    raise Refused(400, f'{what} may only have the fields {", ".join(known)}.')
  return value


def _text(fields: dict[str, Any], name: str) -> str:
  text = fields.get(name)
  if not isinstance(text, str):
    raise Refused(400, f'{name}: must be a string.')
  if len(text) > TEXT_CHARS:
    raise Refused(
      400, f'{name}: has {len(text):,} characters; at most {TEXT_CHARS:,}.'
    )
  # JSON can express half of a surrogate pair.
  if any('\ud800' <= c <= '\udfff' for c in text):
    raise Refused(400, f'{name}: is not Unicode: half of a surrogate pair.')
  return text


def _number(
  fields: dict[str, Any],
  name: str,
  low: float,
  high: float,
  default: float | None = None,
) -> float:
  given = fields.get(name, default)
  number = math.nan
  # True is a number to Python; a whole number may be larger than any float.
  if isinstance(given, int | float) and not isinstance(given, bool):
    with contextlib.suppress(OverflowError):
      number = float(given)
  if not low <= number <= high:
    raise Refused(400, f'{name}: must be a number, {low:g} to {high:g}.')
  return number


def _whole(
  fields: dict[str, Any], name: str, low: int, high: int, default: int
) -> int:
  number = fields.get(name, default)
  whole = isinstance(number, int) and not isinstance(number, bool)
  if not (whole and low <= number <= high):
    raise Refused(400, f'{name}: must be a whole number, {low} to {high}.')
  return number
