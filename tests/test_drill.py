"""The failure drills: launch/drill.py."""

import importlib.util
import pathlib
import shutil
import subprocess
import sys

import program
import pytest

PATH = program.ROOT / 'launch' / 'drill.py'
_spec = importlib.util.spec_from_file_location('drill', PATH)
drill = importlib.util.module_from_spec(_spec)
sys.modules['drill'] = drill  # dataclasses look their module up
_spec.loader.exec_module(drill)


def _run(
  path: pathlib.Path, workdir: pathlib.Path, *argv: str, timeout: int = 300
) -> tuple[int, dict[str, list[str]], str]:
  """The exit code, the table's rows by drill, and what was printed."""
  done = subprocess.run(
    [sys.executable, str(path), *argv, f'--workdir={workdir}'],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=timeout,
  )
  return done.returncode, _rows(done.stdout), done.stdout + done.stderr


def _rows(out: str) -> dict[str, list[str]]:
  lines = [x for x in out.splitlines() if x.startswith('| ')]
  assert len({line.count('|') for line in lines}) <= 1, 'a ragged table'
  cells = [[c.strip() for c in line.strip('|').split('|')] for line in lines]
  return {row[0]: row[1:] for row in cells[1:]}


def test_runs_killed_at_random_moments_end_on_the_same_bits(tmp_path):
  code, rows, out = _run(PATH, tmp_path / 'd', 'kills', '--kills=4')
  assert code == 0, out
  _, seen, seconds, verdict = rows['kills']
  assert verdict == 'pass'
  assert seen.startswith('4 kills (')
  assert int(seconds) > 0


def test_a_program_that_ends_elsewhere_fails_the_drill(tmp_path):
  root = tmp_path / 'root'
  for part in ('launch', 'monosem_jax'):
    shutil.copytree(program.ROOT / part, root / part)
  stream = root / 'monosem_jax/text/stream.py'
  sound = 'np.random.SeedSequence(seed)'
  assert sound in stream.read_text()
  # Another order of the text in each process.
  broken = 'np.random.SeedSequence(__import__("os").getpid())'
  stream.write_text(stream.read_text().replace(sound, broken))
  path = root / 'launch/drill.py'
  code, rows, out = _run(path, tmp_path / 'd', 'kills', '--kills=1')
  assert code == 1, out
  assert rows['kills'][-1] == 'FAIL'
  assert 'model.safetensors: other bytes' in rows['kills'][1]


def _failed(ground):
  """done a"""
  raise drill.Failed('a | in\ntwo lines')


def _broke(ground):
  """done b"""
  raise ValueError('no such thing')


def _impossible(ground):
  """done c"""
  raise drill.NotPossible('no disk')


def _passed(ground):
  """done d"""
  return f'{ground.kills} kills'


STAND_INS = {
  'failed': _failed,
  'broke': _broke,
  'impossible': _impossible,
  'passed': _passed,
}


@pytest.fixture
def stand_ins(monkeypatch):
  monkeypatch.setattr(drill, 'DRILLS', STAND_INS)


def test_the_table_says_what_failed_and_so_does_the_exit_code(
  stand_ins, tmp_path, capsys
):
  assert drill.main([f'--workdir={tmp_path / "d"}']) == 1
  rows = _rows(capsys.readouterr().out)
  assert [(name, row[0], row[1], row[-1]) for name, row in rows.items()] == [
    ('failed', 'done a', 'a / in two lines', 'FAIL'),
    ('broke', 'done b', "the drill broke: ValueError('no such thing')", 'FAIL'),
    ('impossible', 'done c', 'not possible here: no disk', 'not possible'),
    ('passed', 'done d', '0 kills', 'pass'),
  ]


def test_what_is_not_possible_neither_fails_nor_passes(
  stand_ins, tmp_path, capsys
):
  argv = ['impossible', 'passed', f'--workdir={tmp_path / "d"}']
  assert drill.main(argv) == 0
  rows = _rows(capsys.readouterr().out)
  assert list(rows) == ['impossible', 'passed']


@pytest.mark.parametrize(
  ('argv', 'said'),
  [(['kill'], 'unknown: kill'), ([], 'holds files already')],
)
def test_a_mistake_is_refused_before_anything_runs(
  stand_ins, tmp_path, capsys, argv, said
):
  (tmp_path / 'file').write_text('mine')
  with pytest.raises(SystemExit) as e:
    drill.main([*argv, f'--workdir={tmp_path}'])
  assert e.value.code == 2
  assert said in capsys.readouterr().err
  assert [p.name for p in tmp_path.iterdir()] == ['file']


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', [n for n in drill.DRILLS if n != 'kills' and 'soak' not in n]
)
def test_a_drill_does_not_fail(name, tmp_path):
  code, rows, out = _run(PATH, tmp_path / 'd', name, timeout=900)
  assert code == 0, out
  if rows[name][-1] == 'not possible':
    pytest.skip(rows[name][1])
  assert rows[name][-1] == 'pass'
