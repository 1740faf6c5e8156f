"""A pinned feature, as a person writes it: A/1/3450=2max."""

import dataclasses
import math

import numpy as np

from monosem_jax.config.errors import UserError


@dataclasses.dataclass(frozen=True)
class Pin:
  """A feature, and the value that it is held at.

  Attributes:
    set_name: the dictionary or control that has the feature: A/1.
    feature: its number.
    value: 0 ablates it.
    of_max: whether the value is in multiples of the feature's maximum.
  """

  set_name: str
  feature: int
  value: float
  of_max: bool

  def __str__(self) -> str:
    number = np.format_float_positional(self.value, trim='-')
    return f'{self.set_name}/{self.feature}={number}{"max" * self.of_max}'

  def require(self, count: int) -> None:
    """Raises UserError if the set, of `count` features, lacks this one."""
    if self.feature >= count:
      raise UserError(
        f"pin '{self}': {self.set_name} has {count:,} features, 0 to "
        f'{count - 1}.'
      )

  def activation(self, max_F: np.ndarray | None) -> float:
    """The value in units of the feature's activation.

    Args:
      max_F: every feature's maximum; needed for a value that is in maxima.

    Raises:
      UserError: the feature never fired.
    """
    if not self.of_max:
      return self.value
    assert max_F is not None, 'a value in maxima needs them'
    if not max_F[self.feature] > 0:
      raise UserError(
        f"pin '{self}': feature {self.feature} of {self.set_name} never "
        'fired in the features pass, so that it has no maximum; give a number, '
        f'such as {self.set_name}/{self.feature}=1.'
      )
    return self.value * float(max_F[self.feature])


def parse(text: str) -> list[Pin]:
  """Reads `NAME/FEATURE=VALUE`, several separated by commas; '' pins nothing.

  A value is a number, or a multiple of the feature's maximum: max, 2max,
  -1.5max.

  Raises:
    UserError: a part has another form, or pins a feature once more.
  """
  found: list[Pin] = []
  for part in (x.strip() for x in text.split(',')) if text.strip() else ():
    where, equals, value = (x.strip() for x in part.partition('='))
    name, _, feature = where.rpartition('/')
    if not (equals and name and feature.isdecimal()):
      raise UserError(
        f'pin {part!r}: not NAME/FEATURE=VALUE, such as A/1/3450=max or '
        'A/1/3450=7.3.'
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
      f'pin {part!r}: {value!r} is not a value; a value is a number, such as '
      '7.3 or 0, or a multiple of the maximum: max, 2max, -1.5max.'
    )
  return number
