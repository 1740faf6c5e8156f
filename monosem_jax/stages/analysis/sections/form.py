"""How numbers stand in a section: with their interval, or why there is none."""

from collections.abc import Mapping
from typing import Any

Numbers = Mapping[str, Any]


def figure(own: Numbers, key: str, form: str) -> str:
  """A number with its interval, or why there is none."""
  value, interval = own.get(key), own.get(f'{key}_interval')
  if value is None:
    return own.get(f'{key}_reason') or '-'
  return format(value, form) + between(interval, form)


def between(interval: tuple[float, float] | None, form: str) -> str:
  if interval is None:
    return ''
  return f' ({format(interval[0], form)} to {format(interval[1], form)})'


def rows(head: str, *lines: list[str]) -> list[str]:
  """A table of Markdown: `head` names its columns, with bars between."""
  columns = head.count('|') + 1
  table = [f'| {head} |', '|---|' + '---:|' * (columns - 1)]
  return [*table, *(f'| {" | ".join(cells)} |' for cells in lines)]
