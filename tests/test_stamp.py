"""Which changes a finished or half-done stage takes, and which it refuses."""

import pathlib
import shutil

import program
import pytest


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
  """A finished run of one's own."""
  return shutil.copytree(program.finished(), tmp_path / 'run')


def _call(stage, workdir, *overrides) -> tuple[int, str]:
  return program.call(
    stage,
    f'--config={program.config()}',
    f'--workdir={workdir}',
    *(f'--config.{o}' for o in overrides),
  )


@pytest.mark.parametrize(
  ('stage', 'override', 'there', 'now', 'stale'),
  [
    ('tokens', 'text.context=32', '16', '32', ('lm', 'sae', 'features')),
    ('tokens', 'text.keep.x=0.5', 'no such key', '0.5', ('lm', 'sae')),
    ('tokens', 'tokenizer.vocab_size=310', '300', '310', ('lm', 'sae')),
    ('lm', 'models.A.lr=1e-3', '0.003', '0.001', ('sae', 'features', 'site')),
    ('lm', 'models.A.data_seed=7', '0', '7', ('sae', 'features', 'site')),
    ('sae', 'sae.l1=0.1', '0.05', '0.1', ('features', 'site')),
    ('sae', 'stream.seed=5', '0', '5', ('features', 'site')),
    (
      'sae',
      'sae.resampling.window=2',
      '3',
      '2',
      ('features', 'site'),
    ),
    ('features', 'features.top=7', '20', '7', ('site',)),
  ],
)
def test_a_changed_key_of_a_finished_stage_is_refused_with_both_values(
  workdir, stage, override, there, now, stale
):
  before = program.files(workdir)
  for asked in (stage, 'all'):
    code, err = _call(asked, workdir, override)
    assert code == 2, err
    (line,) = (x for x in err.splitlines() if ' before, ' in x)
    key = override.partition('=')[0].rpartition('.')[2]
    assert f'{key}: {there} before, {now} now' in line
    assert err.startswith(f'error: {stage}: ')
    made_stale = err.rpartition('makes')[2]
    for later in stale:
      assert later in made_stale
    assert program.files(workdir) == before


def test_all_changed_keys_are_named_at_once(workdir):
  _, err = _call('lm', workdir, 'models.A.lr=1', 'models.A.beta1=0.5')
  assert err.count(' before, ') == 2


def test_a_half_done_stage_is_refused_as_a_finished_one(workdir):
  (workdir / 'models/A/result.json').unlink()
  (workdir / 'models/A/model.safetensors').unlink()
  before = program.files(workdir)
  code, err = _call('lm', workdir, 'models.A.lr=1e-3')
  assert code == 2
  assert 'models.A.lr: 0.003 before, 0.001 now' in err
  assert program.files(workdir) == before


@pytest.mark.parametrize(
  'overrides',
  [
    ('checkpoint.every_chunks=7', 'checkpoint.keep=9'),
    ('mesh.data=8', 'mesh.feature=1'),
    # Keys of later stages do not concern an earlier one.
    ('sae.l1=0.1', 'features.top=7', 'stream.seed=5'),
  ],
)
def test_free_keys_and_those_of_later_stages_are_taken(workdir, overrides):
  code, err = _call('lm', workdir, *overrides)
  assert code == 0, err
  assert (workdir / program.LM).read_bytes() == (
    program.finished() / program.LM
  ).read_bytes()


def test_fewer_steps_than_done_are_refused(workdir):
  before = program.files(workdir)
  for stage, override in (
    ('lm', 'models.A.steps=8'),
    ('sae', 'stream.steps=24'),
  ):
    code, err = _call(stage, workdir, override)
    assert code == 2
    assert override.partition('=')[2] in err
    assert '12' in err if stage == 'lm' else '48' in err
    assert program.files(workdir) == before


def test_tokens_made_anew_otherwise_are_a_changed_input_of_what_follows(
  workdir,
):
  shutil.rmtree(workdir / 'tokens')
  code, err = _call('tokens', workdir, 'text.seed=3')
  assert code == 0, err
  code, err = _call('lm', workdir, 'text.seed=3')
  assert code == 2
  assert 'its input tokens has changed' in err


def test_the_same_tokens_made_anew_are_taken(workdir):
  shutil.rmtree(workdir / 'tokens')
  assert _call('tokens', workdir)[0] == 0
  assert _call('sae', workdir)[0] == 0


def test_a_longer_dictionary_equals_one_of_that_length_from_the_start(
  workdir, tmp_path
):
  longer = '--config.stream.steps=96'
  out = program.run('all', workdir, longer).stdout
  assert '48 of 96 steps are done' in out
  assert 'lm/A: complete' in out
  assert 'features/A1: complete' not in out  # of the shorter dictionary
  direct = tmp_path / 'direct'
  for folder in ('tokens', 'models'):
    shutil.copytree(workdir / folder, direct / folder)
  program.run('sae', direct, longer)
  found, wanted = program.files(workdir), program.files(direct)
  assert found[program.SAE] == wanted[program.SAE]
  assert found[program.SAE] != program.files(program.finished())[program.SAE]
  assert program.records(workdir, 'sae/A') == program.records(direct, 'sae/A')
  ours, theirs = (
    program.report(w)['dictionaries']['A/1'] for w in (workdir, direct)
  )
  assert ours.keys() == theirs.keys()
  for key in ours:
    if key not in ('activations_per_second', *program.TIMING):
      assert ours[key] == theirs[key], key
  assert ours['activations_seen'] == 96 * 32
  assert f'"steps": {96}' in (workdir / 'config.json').read_text()


def test_a_longer_model_makes_its_dictionaries_stale(workdir):
  longer = '--config.lm.steps=14'
  out = program.run('lm', workdir, longer).stdout
  assert '12 of 14 steps are done' in out
  assert [r['step'] for r in program.records(workdir, 'lm/A')] == [
    *range(1, 15)
  ]
  before = program.files(workdir)
  code, err = _call('all', workdir, 'lm.steps=14')
  assert code == 2
  assert 'its input models/A has changed' in err
  assert err.startswith('error: sae: ')
  assert program.files(workdir) == before
