"""Stage `status`: prints what is complete, half done, stale or missing.

The table gives the state of every artefact, the size of its files in bytes, and
the time of their last change. Nothing is written. Without --config, the config
is the one that the last run kept in the work directory.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
from collections.abc import Iterator, Sequence, Set
from typing import Any

from monosem_jax import stages
from monosem_jax.config.flags import Flag
from monosem_jax.run import Run, graph
from monosem_jax.run.artefact import Artefact
from monosem_jax.run.graph import State

FLAGS = (Flag('json', bool, False, '', 'as JSON, for programs'),)


@dataclasses.dataclass(frozen=True)
class Row:
  """An artefact and its files.

  Attributes:
    artefact: the artefact.
    state: its state.
    bytes: total size of its files.
    time: last change of its files; None without files.
  """

  artefact: Artefact
  state: State
  bytes: int
  time: datetime.datetime | None

  def as_dict(self) -> dict[str, Any]:
    """Returns the row as JSON types."""
    return {
      'name': self.artefact.name,
      'stage': self.artefact.stage,
      'state': self.state.kind.value,
      'step': self.state.step,
      'steps': self.state.steps,
      'changed': list(self.state.changed),
      'bytes': self.bytes,
      'time': self.time and self.time.isoformat(),
    }


def execute(run: Run, **flags: bool) -> None:
  """Prints the table, or JSON with the flag `json`."""
  found = rows(run)
  run.log(
    json.dumps([row.as_dict() for row in found], indent=1)
    if flags['json']
    else _table(found)
  )


def rows(run: Run) -> list[Row]:
  """Returns every artefact of the config, in the order of the stages."""
  artefacts = stages.artefacts(run)
  folders = {a.folder for a in artefacts}
  return [_row(a, folders - {a.folder}) for a in artefacts]


def _row(a: Artefact, others: Set[pathlib.Path]) -> Row:
  # A training also leaves results outside its own folder.
  places = {a.folder, *(path.parent for path in a.whole.values())} - others
  files = [file for place in places for file in _files(place, places | others)]
  last = max((file.st_mtime for file in files), default=None)
  return Row(
    artefact=a,
    state=graph.state(a),
    bytes=sum(file.st_size for file in files),
    time=None
    if last is None
    else datetime.datetime.fromtimestamp(int(last), datetime.UTC),
  )


def _files(
  folder: pathlib.Path, others: Set[pathlib.Path]
) -> Iterator[os.stat_result]:
  """Yields the files below a folder, without other artefacts' files."""
  for place, inside, names in os.walk(folder):
    inside[:] = [n for n in inside if pathlib.Path(place, n) not in others]
    for name in names:
      # A run in another process may remove files meanwhile.
      with contextlib.suppress(FileNotFoundError):
        yield pathlib.Path(place, name).stat()


def _table(found: Sequence[Row]) -> str:
  cells = [
    (
      row.artefact.name,
      f'{row.bytes:,}',
      f'{row.time.astimezone():%Y-%m-%d %H:%M:%S}' if row.time else '-',
      str(row.state),
    )
    for row in found
  ]
  cells = [('artefact', 'bytes', 'last change', 'state'), *cells]
  name, size, time, _ = (max(map(len, c)) for c in zip(*cells, strict=True))
  return '\n'.join(
    f'{cell[0]:{name}}  {cell[1]:>{size}}  {cell[2]:{time}}  {cell[3]}'
    for cell in cells
  )
