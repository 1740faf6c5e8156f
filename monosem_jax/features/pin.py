"""Parses pinned features in the form that users write: A/1/3450=2max."""

import dataclasses
import math

import numpy as np

from monosem_jax.config.errors import UserError


@dataclasses.dataclass(frozen=True)
class Pin:
  """A feature, and the value that it is pinned to.

  Attributes:
    set_name: the dictionary or control of the feature, such as A/1.
    feature: index of the feature.
    value: the value; 0 ablates the feature.
    of_max: whether the value is a multiple of the feature's maximum.
  """

  set_name: str
  feature: int
  value: float
  of_max: bool

  def __str__(self) -> str:
    number = np.format_float_positional(self.value, trim='-')
    return f'{self.set_name}/{self.feature}={number}{"max" * self.of_max}'

  def require(self, count: int) -> None:
    """Raises UserError if the set has too few features (`count`)."""
    if self.feature >= count:
      raise UserError(
        f"pin '{self}': {self.set_name} has {count:,} features, 0 to "
        f'{count - 1}.'
      )

  def activation(self, max_F: np.ndarray | None) -> float:
    """The value in units of the feature's activation.

    Args:
      max_F: maximum of every feature; required if `of_max`.

    Raises:
      UserError: the feature never fired.
    """
    if not self.of_max:
      return self.value
    assert max_F is not None, 'a multiple of the maximum needs max_F'
    if not max_F[self.feature] > 0:
      raise UserError(
        f"pin '{self}': feature {self.feature} of {self.set_name} never "
        'fired in the features pass, so it has no maximum; give a number, '
        f'such as {self.set_name}/{self.feature}=1.'
      )
    return self.value * float(max_F[self.feature])


def parse(text: str) -> list[Pin]:
  """Parses pins `NAME/FEATURE=VALUE`, separated by commas; '' has no pins.

  A value is a number, or a multiple of the feature's maximum: max, 2max,
  -1.5max.

  Raises:
    UserError: a pin has another form, or a feature is pinned twice.
  """
  found: list[Pin] = []
  for part in (x.strip() for x in text.split(',')) if text.strip() else ():
    where, equals, value = (x.strip() for x in part.partition('='))
    name, _, feature = where.rpartition('/')
    if not (equals and name and feature.isdecimal()):
      raise UserError(
        f'pin {part!r}: the form is NAME/FEATURE=VALUE, such as A/1/3450=max '
        'or A/1/3450=7.3.'
      )
    if any(p.set_name == name and p.feature == int(feature) for p in found):
      raise UserError(f'pin {part!r}: {where} is pinned twice.')
    number, of_max = _number(part, value), value.endswith('max')
    found.append(Pin(name, int(feature), number, of_max))
  return found


def _number(part: str, value: str) -> float:
  digits = value.removesuffix('max')
  if digits != value:
    digits = {'': '1', '-': '-1'}.get(digits, digits)
  try:
    number = float(digits)
  except ValueError:
    number = math.nan
  if not math.isfinite(number):
    raise UserError(
      f'pin {part!r}: invalid value {value!r}; give a number, such as 7.3 or '
      '0, or a multiple of the maximum: max, 2max, -1.5max.'
    )
  return number
