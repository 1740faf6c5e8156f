"""Formats numbers of a section: with an interval, or why there is none."""

from monosem_jax.analysis.results.numbers import Interval


def figure(
  value: float | None, form: str, interval: Interval = None, reason: str = ''
) -> str:
  """Returns a number with its interval, or why there is none."""
  if value is None:
    return reason or '-'
  return format(value, form) + between(interval, form)


def between(interval: Interval, form: str) -> str:
  if interval is None:
    return ''
  return f' ({format(interval[0], form)} to {format(interval[1], form)})'


def rows(head: str, *lines: list[str]) -> list[str]:
  """Returns a Markdown table; `head` names its columns, separated by bars."""
  columns = head.count('|') + 1
  table = [f'| {head} |', '|---|' + '---:|' * (columns - 1)]
  return [*table, *(f'| {" | ".join(cells)} |' for cells in lines)]
