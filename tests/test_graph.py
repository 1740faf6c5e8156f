"""States of artefacts, on folders that are planted by hand."""

import dataclasses
import hashlib
import json
import os
import pathlib

import pytest

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.run import graph
from monosem_jax.run.artefact import Artefact, Changed, Input, Progress


@pytest.fixture
def source(tmp_path) -> pathlib.Path:
  """What the artefact is made from."""
  path = tmp_path / 'weights'
  path.write_bytes(b'first')
  return path


@pytest.fixture
def made(tmp_path, source) -> Artefact:
  return Artefact(
    name='features/A1',
    stage='features',
    folder=tmp_path / 'made',
    whole={'features/A1': tmp_path / 'made' / 'meta.json'},
    settings={'features.top': 20, 'features.split': 'val'},
    inputs={'models/A': Input(source)},
    later=('analysis', 'site'),
  )


def plant(a: Artefact, **stamp) -> None:
  """A stamp as it has always been on disk, and the file that comes last."""
  found = {
    'settings': dict(a.settings),
    'inputs': {'models/A': hashlib.sha256(b'first').hexdigest()},
  }
  a.folder.mkdir(exist_ok=True)
  (a.folder / 'stamp.json').write_text(json.dumps(found | stamp))
  (a.folder / 'meta.json').write_text('{}')


def trained(a: Artefact, steps: int) -> Artefact:
  """One that is trained for so many steps, three in a chunk."""
  return dataclasses.replace(
    a, progress=Progress(a.folder / 'checkpoints', 3, steps)
  )


def finish(a: Artefact, steps: int) -> None:
  (a.folder / 'meta.json').write_text(json.dumps({'steps': steps}))


def files(a: Artefact) -> dict[str, bytes]:
  found = a.folder.rglob('*')
  return {p.name: p.read_bytes() for p in found if p.is_file()}


def test_nothing_there_is_missing_and_made(made):
  assert str(graph.state(made)) == 'missing'
  said: list[str] = []
  assert not graph.complete(made, said.append)
  assert said == []
  assert not made.folder.exists()


def test_stamp_and_last_file_are_complete_and_said_to_be(made):
  plant(made)
  assert str(graph.state(made)) == 'complete'
  assert graph.is_complete(made)
  said: list[str] = []
  assert graph.complete(made, said.append)
  assert said == ['features/A1: complete']


def test_what_is_begun_has_the_stamp_alone_and_is_half_done(made):
  graph.begin(made)
  stamp = json.loads((made.folder / 'stamp.json').read_text())
  assert stamp == {
    'settings': {'features.top': 20, 'features.split': 'val'},
    'inputs': {'models/A': hashlib.sha256(b'first').hexdigest()},
  }
  assert str(graph.state(made)) == 'half done'
  assert not graph.complete(made, print)


def test_a_result_without_a_stamp_is_taken_unless_it_is_quick_to_make(made):
  plant(made)
  (made.folder / 'stamp.json').unlink()
  assert graph.complete(made, print)
  assert str(graph.state(made)) == 'complete'
  quick = dataclasses.replace(made, changed=Changed.ANEW)
  assert not graph.complete(quick, print)
  assert graph.state(quick).kind is graph.Kind.STALE


def test_changed_keys_and_inputs_are_named_with_what_goes_stale(made, source):
  plant(made, settings={'features.top': 7, 'features.old': 1})
  source.write_bytes(b'second')
  before = files(made)
  lines = [
    'features.old: 1 before, no such key now',
    "features.split: no such key before, 'val' now",
    'features.top: 7 before, 20 now',
    'its input models/A has changed',
  ]
  assert graph.state(made).changed == tuple(lines)
  assert str(graph.state(made)) == 'stale: ' + '; '.join(lines)
  with pytest.raises(UserError) as e:
    graph.complete(made, print)
  assert str(e.value) == (
    f'features: {made.folder} was made with other settings or inputs:\n'
    + ''.join(f'  {line}\n' for line in lines)
    + 'Use another --workdir, restore these settings, or delete that folder '
    'to remake it (which makes analysis, site stale).'
  )
  assert files(made) == before


def test_changed_inputs_make_anew_what_takes_minutes(made, source):
  minutes = dataclasses.replace(made, changed=Changed.INPUTS_ANEW)
  plant(made)
  source.write_bytes(b'second')
  assert graph.state(minutes).kind is graph.Kind.STALE
  assert not graph.complete(minutes, print)
  assert not made.folder.exists()
  plant(made, settings={'features.top': 7})
  with pytest.raises(UserError, match=r'features\.top: 7 before, 20 now'):
    graph.complete(minutes, print)
  assert made.folder.exists()


def test_anything_changed_makes_anew_what_takes_seconds(made):
  seconds = dataclasses.replace(made, changed=Changed.ANEW)
  plant(made, settings={})
  (made.folder / 'old.npz').write_bytes(b'old')
  assert not graph.complete(seconds, print)
  assert (made.folder / 'old.npz').exists()  # until it is made
  with graph.making(seconds) as folder:
    assert folder == made.folder
    assert [p.name for p in folder.iterdir()] == ['stamp.json']
    assert str(graph.state(seconds)) == 'half done'
    (folder / 'meta.json').write_text('{}')
  assert graph.complete(seconds, print)


def test_what_another_process_than_the_first_makes_is_dropped(
  made, monkeypatch
):
  graph.begin(made)
  before = files(made)
  monkeypatch.setattr(hosts, 'first', lambda: False)
  with graph.making(made) as folder:
    (folder / 'meta.json').write_text('{}')
  assert not folder.exists()
  assert files(made) == before


def test_a_training_is_half_done_at_its_newest_checkpoint(made):
  a = trained(made, 12)
  graph.begin(a)
  assert str(graph.state(a)) == 'half done: step 0 of 12'
  for name in ('1', '3', '3.orbax-checkpoint-tmp'):
    (a.folder / 'checkpoints' / name).mkdir(parents=True)
  assert str(graph.state(a)) == 'half done: step 9 of 12'
  assert not graph.complete(a, print)
  finish(a, 12)
  assert graph.complete(a, print)
  assert str(graph.state(a)) == 'complete'
  # It is to go on, from where it has ended.
  (a.folder / 'checkpoints' / '4').mkdir()
  assert str(graph.state(trained(made, 24))) == 'half done: step 12 of 24'
  assert not graph.complete(trained(made, 24), print)


def test_a_training_that_went_further_is_refused(made):
  plant(made)
  finish(made, 24)
  a = trained(made, 12)
  assert str(graph.state(a)) == 'stale: 24 steps before, 12 now'
  with pytest.raises(UserError) as e:
    graph.complete(a, print)
  assert str(e.value) == (
    'features/A1: already trained for 24 steps, more than the 12 of the '
    f'config; a training can only be extended. Delete {made.folder} to train '
    'again, or use another --workdir.'
  )


def test_an_input_that_is_gone_is_not_held_against_what_was_made(made, source):
  plant(made)
  source.unlink()
  assert graph.is_complete(made)
  assert graph.changed_inputs(made) == set()
  with pytest.raises(UserError, match=f'no file {source}; run the stage'):
    graph.complete(made, print)
  with pytest.raises(UserError, match=f'no file {source}'):
    graph.made_from_now(made)


def test_an_input_is_hashed_anew_when_its_file_changes(made, source):
  plant(made)
  assert graph.made_from_now(made)
  source.write_bytes(b'other')  # as long as before
  os.utime(source, ns=(0, 0))
  assert not graph.made_from_now(made)
  assert graph.changed_inputs(made) == {'models/A'}


def test_an_input_that_was_not_known_is_no_changed_one(made):
  plant(made, inputs={'models/B': 'x'})
  assert graph.changed_inputs(made) == set()
  assert not graph.made_from_now(made)


def test_an_input_may_be_a_hash_that_a_manifest_holds(made, source):
  source.write_text('{"sha256": "of the content", "settings": 1}')
  a = dataclasses.replace(made, inputs={'tokens': Input(source, 'sha256')})
  assert a.stamp().inputs == {'tokens': 'of the content'}
  graph.begin(a)
  source.write_text('{"sha256": "of the content", "settings": 2}')
  assert graph.made_from_now(a)
  source.write_text('{"sha256": "of another"}')
  assert not graph.made_from_now(a)


def test_what_is_required_is_refused_by_name_and_state(made, tmp_path):
  plant(made)
  graph.require([made], '--from=site')
  other = dataclasses.replace(
    trained(made, 6), name='models/B', folder=tmp_path / 'other', whole={}
  )
  other = dataclasses.replace(
    other, whole={'lm/B': other.folder / 'result.json'}
  )
  with pytest.raises(UserError) as e:
    graph.require([made, other], '--from=site')
  assert str(e.value) == (
    '--from=site: earlier stages are not complete:\n'
    '  models/B: missing\n'
    'Start at an earlier stage, or restore the settings that changed.'
  )
