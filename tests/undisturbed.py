"""Runs that something is done to, beside a run that was left alone."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable

import program


@dataclasses.dataclass(frozen=True)
class Stage:
  """What the comparison of a stage needs to know.

  Attributes:
    needs: folders that the stages before it leave.
    results: what it leaves that must be the same, byte for byte.
    last: the file that it writes last.
    run: its name in metrics.jsonl, where it trains.
    checkpoints: their folder, where it trains.
    numbers: its part of report.json, where it trains.
    steps_per_chunk: steps between two lines of metrics.jsonl.
  """

  needs: tuple[str, ...]
  results: tuple[str, ...]
  last: str
  run: str = ''
  checkpoints: str = ''
  numbers: str = ''
  steps_per_chunk: int = 0


STAGES = {
  'tokens': Stage((), ('tokens/store',), 'tokens/store/manifest.json'),
  'lm': Stage(
    ('tokens',),
    (program.LM,),
    'models/A/result.json',
    run='lm/A',
    checkpoints='models/A/checkpoints',
    numbers='models',
    steps_per_chunk=1,
  ),
  'sae': Stage(
    ('tokens', 'models'),
    (program.SAE, 'dictionaries/A1/evaluation/numbers.json'),
    'dictionaries/A1/evaluation/numbers.json',
    run='sae/A',
    checkpoints='dictionaries/stream_A/checkpoints',
    numbers='dictionaries',
    steps_per_chunk=4,
  ),
  'features': Stage((), ('features/A1',), 'features/A1/meta.json'),
}


def prepare(
  stage: str, workdir: pathlib.Path, finished: pathlib.Path
) -> pathlib.Path:
  """Copies what the stages before have left."""
  for folder in STAGES[stage].needs:
    shutil.copytree(finished / folder, workdir / folder, dirs_exist_ok=True)
  return workdir


def compare(
  workdir: pathlib.Path, finished: pathlib.Path, *stages: str
) -> None:
  """Holds what stages left, their metrics and their report to the other's."""
  for name in stages:
    stage = STAGES[name]
    for part in stage.results:
      found, wanted = _bytes(workdir / part), _bytes(finished / part)
      assert found.keys() == wanted.keys(), f'{part}: other files'
      other = [file for file in wanted if found[file] != wanted[file]]
      assert other == [], f'{part}: other bytes'
    if stage.run:
      records = program.records(workdir, stage.run)
      each = stage.steps_per_chunk
      said = [record['step'] for record in records]
      assert said == [each * (k + 1) for k in range(len(said))]
      assert records == program.records(finished, stage.run)
      assert _report(workdir, stage.numbers) == _report(finished, stage.numbers)


def _bytes(path: pathlib.Path) -> dict[str, bytes]:
  return {'': path.read_bytes()} if path.is_file() else program.files(path)


def _report(workdir: pathlib.Path, part: str) -> dict[str, dict]:
  """The numbers of a part, but for those that tell the machine's speed."""
  return {
    name: {
      key: value
      for key, value in numbers.items()
      if not key.endswith('per_second') and key != 'mfu'
    }
    for name, numbers in program.report(workdir)[part].items()
  }


def reported(
  workdir: pathlib.Path, stage: str, chunks: int
) -> Callable[[], bool]:
  """Says when a training has reported so many chunks more."""
  path, run = workdir / 'metrics.jsonl', f'"{STAGES[stage].run}"'

  def lines() -> int:
    return path.read_text().count(run) if path.exists() else 0

  # A run that goes on takes lines back first; so it is counted from here.
  wanted = lines() + chunks
  return lambda: lines() >= wanted


def whole(workdir: pathlib.Path, stage: str) -> list[int]:
  """The numbers of the checkpoints that are whole, rising."""
  return sorted(int(n) for n in _checkpoints(workdir, stage) if n.isdigit())


def unfinished(workdir: pathlib.Path, stage: str) -> list[str]:
  """The checkpoints that are half written."""
  return [n for n in _checkpoints(workdir, stage) if not n.isdigit()]


def _checkpoints(workdir: pathlib.Path, stage: str) -> list[str]:
  folder = workdir / STAGES[stage].checkpoints
  return os.listdir(folder) if folder.exists() else []
