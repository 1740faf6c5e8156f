"""Sampling against NumPy, and the stage `sample` as a user sees it."""

import dataclasses
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
from tiny_transformer import START, B, D, T, V, transformer

from monosem_jax.config.errors import UserError
from monosem_jax.features.pin import parse
from monosem_jax.features.table import FeatureTable
from monosem_jax.transformer import weights
from monosem_jax.transformer.sample import sample


def prompt() -> np.ndarray:
  return np.random.default_rng(3).integers(1, V, (B, START)).astype(np.int32)


def draw(lm, prompt_BT, seed=0, **more) -> np.ndarray:
  return np.asarray(sample(lm, prompt_BT, jax.random.key(seed), **more))


@functools.partial(jax.jit, static_argnums=2)
def logits(lm, tokens_BT, patch):
  return lm(tokens_BT, patch)[0]


def last_logits(lm, tokens_BT, patch=None) -> np.ndarray:
  """Of the next token, from the last T that are there."""
  seen_BT = tokens_BT[:, -T:]
  n = seen_BT.shape[1]
  # What comes behind a position does not change it.
  whole_BT = np.pad(seen_BT, ((0, 0), (0, T - n)))
  return np.asarray(logits(lm, whole_BT, patch))[:, n - 1]


@pytest.mark.parametrize('patch', [None, lambda scale, x: scale * x])
def test_temperature_0_takes_the_likeliest_also_beyond_the_context(patch):
  lm, want_BT = transformer(), prompt()
  plain = (lambda x: -2.0 * x) if patch else None
  while want_BT.shape[1] < 2 * T + 3:
    next_B1 = last_logits(lm, want_BT, plain).argmax(-1)[:, None]
    want_BT = np.concatenate([want_BT, next_B1.astype(np.int32)], 1)
  length = 2 * T + 3 - START
  more = dict(length=length, temperature=0, patch=patch, patch_args=-2.0)
  got = draw(lm, prompt(), **more)
  np.testing.assert_array_equal(got, want_BT)
  if patch:
    assert (got != draw(lm, prompt(), length=length, temperature=0)).any()


def test_a_prompt_longer_than_the_context_is_seen_by_its_end():
  lm = transformer()
  long_BT = np.random.default_rng(5).integers(1, V, (B, T + 7)).astype(np.int32)
  got = draw(lm, long_BT, length=1, temperature=0)
  np.testing.assert_array_equal(got[:, -1], last_logits(lm, long_BT).argmax(-1))
  np.testing.assert_array_equal(got[:, :-1], long_BT)


def test_top_k_draws_from_the_k_likeliest_by_their_probabilities():
  lm, n, k = transformer(), 4_000, 5
  prompt_BT = np.tile(prompt()[:1], (n, 1))
  got = draw(lm, prompt_BT, length=1, temperature=2.0, top_k=k)[:, -1]
  logits_V = last_logits(lm, prompt()[:1])[0].astype(np.float64) / 2
  likeliest = np.argsort(-logits_V)[:k]
  assert set(got) == set(likeliest)
  p_k = np.exp(logits_V[likeliest])
  p_k /= p_k.sum()
  seen_k = np.bincount(got, minlength=V)[likeliest]
  chi = ((seen_k - n * p_k) ** 2 / (n * p_k)).sum()
  assert chi < k + 5 * (2 * k) ** 0.5


def test_top_k_of_1_is_greedy_and_of_all_is_none():
  lm = transformer()
  greedy = draw(lm, prompt(), length=12, temperature=0)
  np.testing.assert_array_equal(draw(lm, prompt(), length=12, top_k=1), greedy)
  free = draw(lm, prompt(), length=12)
  every = draw(lm, prompt(), length=12, top_k=3 * V)
  np.testing.assert_array_equal(every, free)
  assert (free != greedy).any()


def test_top_k_takes_k_also_where_logits_are_equal():
  lm = transformer()
  found = weights.tensors(lm)
  flat = weights.load(lm, found | {'W_U_DV': jnp.zeros((D, V))})
  got = draw(flat, np.tile(prompt(), (400, 1)), length=1, top_k=6)[:, -1]
  assert len(set(got)) == 6


def test_what_a_patch_is_given_is_no_constant_and_compiles_nothing_anew():
  lm, traced = transformer(), []

  def patch(args, acts_BTA):
    traced.append(isinstance(args['by'], jax.core.Tracer))
    return args['by'] * acts_BTA

  run = lambda by, temperature: draw(
    lm,
    prompt(),
    length=5,
    temperature=temperature,
    patch=patch,
    patch_args={'by': jnp.float32(by)},
  )
  one = run(1.0, 1.0)
  assert traced and all(traced)
  times = len(traced)
  other = run(-3.0, 0.7)
  assert len(traced) == times
  assert (one != other).any()


def test_pins_are_read_as_they_are_written():
  found = parse(' A/1/3450=max, A/neurons/7 = 7.3,B/2/0=-1.5max,A/1/1=-max')
  found += parse('A/1/2=0,A/1/3=2max,A/1/4=-1e-3')
  assert [(p.set_name, p.feature, p.value, p.of_max) for p in found] == [
    ('A/1', 3450, 1, True),
    ('A/neurons', 7, 7.3, False),
    ('B/2', 0, -1.5, True),
    ('A/1', 1, -1, True),
    ('A/1', 2, 0, False),
    ('A/1', 3, 2, True),
    ('A/1', 4, -1e-3, False),
  ]
  max_F = np.array([0.5, 0.0, 4.0])
  assert parse('A/1/2=-1.5max')[0].activation(max_F) == -6
  assert parse('A/1/1=3')[0].activation(max_F) == 3
  assert parse('') == parse('  ') == []


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('A/1/3', "pin 'A/1/3': the form is NAME/FEATURE=VALUE"),
    ('A/1/3=1,', "pin '': the form is NAME/FEATURE=VALUE"),
    ('3=max', "pin '3=max'"),
    ('A/1/x=max', "pin 'A/1/x=max'"),
    ('A/1/-3=max', "pin 'A/1/-3=max'"),
    ('A/1/3=', "pin 'A/1/3=': invalid value ''"),
    ('A/1/3=much', "invalid value 'much'; give a number.*-1.5max"),
    ('A/1/3=xmax', "invalid value 'xmax'"),
    ('A/1/3=nan', 'invalid value'),
    ('A/1/3=infmax', 'invalid value'),
    ('A/1/3=1,A/1/4=2,A/1/3=2', "pin 'A/1/3=2': A/1/3 is pinned twice"),
  ],
)
def test_a_pin_that_cannot_be_is_named(text, said):
  with pytest.raises(UserError, match=said):
    parse(text)


@pytest.fixture
def workdir(tmp_path):
  shutil.copytree(program.finished(), tmp_path / 'run')
  return tmp_path / 'run'


def refusal(workdir, *more: str, config=None) -> str:
  return program.refusal(
    'sample',
    f'--config={config or program.config()}',
    f'--workdir={workdir}',
    *more,
  )


def test_the_pinned_speak_beside_the_unpinned(workdir):
  table = FeatureTable.load(workdir / 'features' / 'A1')
  i = int(np.argmax(table.max_F))
  before = program.files(workdir)
  more = ('--prompt=ab\ncd', '--tokens=20', '--samples=2', '--seed=4')
  pin = f'--pin=A/1/{i}=5max,A/1/{(i + 1) % 48}=0.25'
  lines = program.run('sample', workdir, pin, *more).stdout.splitlines()
  assert f'pinned: A/1/{i} = {5 * table.max_F[i]:.4g} (5 x its max' in lines[1]
  assert lines[2] == f'pinned: A/1/{(i + 1) % 48} = 0.25'
  assert lines[3].startswith("prompt: 'ab\\ncd' (")
  said = [line.split(maxsplit=2) for line in lines[4:]]
  assert [x[:2] for x in said] == [
    [n, kind] for n in ('1', '2') for kind in ('unpinned', 'pinned')
  ]
  assert said[0][2] != said[1][2]
  assert said[0][2] != said[2][2]

  # The same words without a pin, and no files but what was there.
  alone = program.run('sample', workdir, *more).stdout.splitlines()
  assert [x.split(maxsplit=2) for x in alone[2:]] == [said[0], said[2]]
  assert program.files(workdir) == before


def test_greedy_text_is_printed_once_and_controls_can_be_pinned(workdir):
  folder = workdir / 'dictionaries'
  shutil.copytree(folder / 'A1', folder / 'A_neurons', dirs_exist_ok=True)
  more = ('--temperature=0', '--tokens=3', '--prompt=')
  done = program.run('sample', workdir, '--pin=A/neurons/3=1.5', *more)
  lines = done.stdout.splitlines()
  assert lines[1] == 'pinned: A/neurons/3 = 1.5'
  assert lines[2] == "prompt: '' (1 tokens)" and len(lines) == 5


def test_pins_of_what_is_not_there_are_refused(workdir):
  assert "unknown dictionary or control 'A/2' (did you mean 'A/1'?)" in refusal(
    workdir, '--pin=A/2/3=max'
  )
  assert "pin 'A/1/48=1': A/1 has 48 features, 0 to 47." in refusal(
    workdir, '--pin=A/1/3=1,A/1/48=1'
  )
  assert "'A/1/3=mx'" in refusal(workdir, '--pin=A/1/3=mx')
  table = FeatureTable.load(workdir / 'features' / 'A1')
  silent_F = np.where(np.arange(48) == 3, 0, table.max_F)
  dataclasses.replace(table, max_F=silent_F).save(workdir / 'features' / 'A1')
  assert "pin 'A/1/3=2max': feature 3 of A/1 never fired" in refusal(
    workdir, '--pin=A/1/3=2max'
  )


def test_a_maximum_of_another_dictionary_is_not_taken(workdir):
  path = workdir / 'features' / 'A1' / 'stamp.json'
  stamp = json.loads(path.read_text())
  stamp['inputs']['dictionaries/A1'] = 'another'
  path.write_text(json.dumps(stamp))
  assert 'run the stage again that made it' in refusal(
    workdir, '--pin=A/1/3=max'
  )
  shutil.rmtree(path.parent)
  assert 'features/A1' in refusal(workdir, '--pin=A/1/3=max')


def test_features_of_two_models_are_not_pinned_together(workdir, tmp_path):
  text = program.CONFIG.format(text=str(program.text()))
  text = text.replace('A=dict(seed=0)', 'A=dict(seed=0), B=dict(seed=1)')
  text = text.replace('A1=dict(', 'B1=dict(features=48), A1=dict(')
  config = tmp_path / 'two.py'
  config.write_text(text)
  folder = workdir / 'dictionaries'
  shutil.copytree(folder / 'A1', folder / 'B1')
  message = refusal(workdir, '--pin=A/1/3=1,B/1/4=max', config=config)
  assert "'B/1/4=1max': is of model B, and 'A/1/3=1' of model A" in message


@pytest.mark.parametrize(
  ('flag', 'said'),
  [
    ('--temperature=-1', 'temperature'),
    ('--temperature=nan', 'temperature'),
    ('--temperature=hot', 'temperature'),
    ('--top_k=-1', 'top_k'),
    ('--tokens=0', 'tokens'),
    ('--samples=0', 'samples'),
    ('--seed=-1', 'seed'),
    ('--prompt=\udcff', 'not UTF-8'),
  ],
)
def test_flags_that_cannot_be_are_refused(workdir, flag, said):
  assert said in refusal(workdir, flag)


def test_flags_of_sample_are_no_other_stages(tmp_path):
  for stage in ('all', 'site'):
    message = program.refusal(
      stage,
      f'--config={program.config()}',
      f'--workdir={tmp_path / "run"}',
      '--temperature=1',
    )
    assert message == (
      f'error: --temperature is a flag of the stage sample, not of {stage}.\n'
    )
  assert not (tmp_path / 'run').exists()


def test_before_there_is_anything_sample_says_what_is_missing(tmp_path):
  assert str(tmp_path) in refusal(tmp_path)


def test_help_explains_the_stage_and_its_flags(capsys):
  code, _ = program.call('--help')
  said = capsys.readouterr().out
  assert code == 0 and '\n  sample ' in said
  for flag in ('pin', 'prompt', 'tokens', 'samples', 'top_k', 'seed'):
    assert f'\n  --{flag}=' in said
