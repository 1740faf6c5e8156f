"""Refusals of a value, each one line that names its key."""

from monosem_jax.config.errors import UserError, nearest


def need(ok: bool, where: str, problem: str) -> None:
  if not ok:
    raise UserError(f'config: {where}: {problem}')


def one_of(where: str, value: str, known: tuple[str, ...]) -> None:
  need(value in known, where, f'unknown {value!r}{nearest(value, known)}.')


def positive(where: str, part: object, *names: str) -> None:
  for name in names:
    value = getattr(part, name)
    need(value > 0, f'{where}.{name}', f'must be above 0, not {value}.')


def not_negative(where: str, part: object, *names: str) -> None:
  for name in names:
    value = getattr(part, name)
    need(value >= 0, f'{where}.{name}', f'must not be below 0, not {value}.')


def fraction(where: str, value: float) -> None:
  need(0 <= value <= 1, where, f'must be a fraction of 1, not {value}.')


def divides(where: str, small: int, of: str, large: int) -> None:
  need(
    small > 0 and large % small == 0,
    where,
    f'{small} must divide {of}, which is {large}.',
  )


def betas(where: str, part: object) -> None:
  for name in ('beta1', 'beta2'):
    value = getattr(part, name)
    need(0 <= value < 1, f'{where}.{name}', f'must lie in [0, 1), not {value}.')
