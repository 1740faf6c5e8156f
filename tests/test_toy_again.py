"""The stage `toy` run again, killed, changed and refused."""

import pathlib
import shutil
import signal
import sys

import program
import pytest
import runs
from toys import PARTS, TINY, finished, results

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.stages import toy


@pytest.fixture
def made() -> tuple[pathlib.Path, str]:
  return finished()


@pytest.fixture
def workdir(made, tmp_path) -> pathlib.Path:
  return shutil.copytree(made[0], tmp_path / 'run')


def test_a_second_run_does_nothing(workdir):
  before = program.files(workdir)
  out = program.run('toy', workdir, *TINY).stdout
  for name in PARTS:
    assert f'toy/{name}: complete' in out
  assert program.files(workdir) == before


def test_a_killed_run_goes_on_at_the_part_it_was_in(made, tmp_path):
  finished, workdir = made[0], tmp_path / 'run'
  code, _ = program.interrupt(
    signal.SIGKILL,
    lambda: (workdir / 'toy/topics/stamp.json').exists(),
    'toy',
    workdir,
    *TINY,
  )
  assert code == -9
  assert not (workdir / 'toy/toy.json').exists()
  out = program.run('toy', workdir, *TINY).stdout
  for name in PARTS:
    was_there = name in PARTS[:3]
    assert (f'toy/{name}: complete' in out) == was_there
  assert results(workdir) == results(finished)
  found, wanted = program.files(workdir), program.files(finished)
  assert set(found) == set(wanted)
  for name in wanted:
    if name.endswith('.npz'):
      assert found[name] == wanted[name], name


def test_changed_settings_make_their_own_part_anew(workdir):
  before = program.files(workdir)
  starts = '--config.toy.binary_neuron.starts=6'
  out = program.run('toy', workdir, *TINY, starts).stdout
  for name in PARTS:
    assert (f'toy/{name}: complete' in out) == (name != 'binary_neuron')
  assert results(workdir)['binary_neuron']['starts'] == 6
  after = program.files(workdir)
  for name in before:
    if name.startswith('toy/') and 'binary_neuron' not in name:
      assert after[name] == before[name] or name == 'toy/toy.json'


def test_other_stages_settings_do_not_concern_it(workdir):
  more = '--config.sae.l1=7', '--config.text.seed=3'
  out = program.run('toy', workdir, *TINY, *more).stdout
  assert out.count('complete') == len(PARTS)


@pytest.mark.parametrize('library', ['matplotlib', 'sklearn'])
def test_a_missing_library_is_said_before_anything_runs(
  tmp_path, monkeypatch, library
):
  monkeypatch.setitem(sys.modules, library, None)
  err = program.refusal(
    'toy', f'--config={program.config()}', f'--workdir={tmp_path}', *TINY
  )
  assert library in err and 'pip install monosem_jax[analysis]' in err
  assert not (tmp_path / 'toy').exists()


def test_many_processes_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(hosts, 'alone', lambda: False)
  with pytest.raises(UserError, match='--distributed'):
    toy.execute(runs.at(tmp_path))


def test_a_training_that_comes_to_nothing_is_one_line(tmp_path):
  done = program.run(
    'toy', tmp_path, *TINY, '--config.toy.superposition.lr=1e38', code=2
  )
  (line,) = (x for x in done.stderr.splitlines() if x.startswith('error: '))
  assert 'toy/superposition' in line and 'not finite' in line
  assert not (tmp_path / 'toy/superposition/numbers.json').exists()


@pytest.mark.parametrize(
  ('override', 'key'),
  [
    ('topics.l1s=0.1', 'topics.l1s'),
    ('topics.l1s=0.1,-1', 'topics.l1s'),
    ('topics.kept=2', 'topics.kept'),
    ('planted.search=', 'planted.search'),
    ('planted.search=1,0', 'planted.search'),
    ('planted.held_out=0', 'planted.held_out'),
  ],
)
def test_a_search_that_cannot_be_is_refused(override, key):
  """Among them one that is finer for one of two methods."""
  tiny = [x.removeprefix('--config.') for x in TINY]
  with pytest.raises(UserError, match=key.replace('.', r'\.')):
    runs.config(*tiny, f'toy.{override}')
