"""What the stage `serve` computes on a finished run."""

import functools
import json
import re
import shlex
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
import runs

from monosem_jax.analysis import steering
from monosem_jax.features.table import FeatureTable
from monosem_jax.interop import saelens
from monosem_jax.site.server import requests
from monosem_jax.stages import live, loaded
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer.sample import sample

F, T = 48, 16


@pytest.fixture(scope='module')
def engine():
  found = loaded.load(runs.at(program.finished()))
  made = live.Engine(found, found.tokenizer.token_strings())
  made.warm()
  return made


@pytest.fixture(scope='module')
def parts():
  """The same files, read by others."""
  run = runs.at(program.finished())
  store = TokenStore.open(run.workdir.store)
  lm = lm_stage.load(run, store, 'A')
  return store.tokenizer, lm, saelens.load(run.workdir.dictionary('A1'))


@functools.partial(jax.jit, static_argnums=2)
def _run(lm, tokens_BT, patch, args):
  return lm(tokens_BT, functools.partial(patch, args) if patch else None)


def run(lm, ids, patch=None, args=None) -> tuple[np.ndarray, np.ndarray]:
  """Logits and activations, in float64; what is behind a text is cut off."""
  padded = np.pad(np.array(ids, np.int32), (0, T - len(ids)))[None]
  found = _run(lm, padded, patch, args)
  return tuple(np.asarray(x[0, : len(ids)], np.float64) for x in found)


def _text(tokenizer, n: int) -> str:
  """A text of n tokens, all characters of it whole."""
  text = (program.text() / '000.txt').read_text()
  for end in range(n, len(text)):
    if tokenizer.encode_batch([text[:end]])[0].size == n:
      return text[:end]
  raise AssertionError


@pytest.mark.parametrize('n', [1, 2, T - 1, T, T + 1, 2 * T, 8 * T])
def test_a_text_is_looked_at_context_by_context(engine, parts, n):
  tokenizer, lm, sae = parts
  text = _text(tokenizer, n)
  got = engine.probe(requests.Probe('A1', text))
  ids_N = tokenizer.encode_batch([text])[0].astype(np.int32)
  assert got['tokens'] == ids_N.tolist()
  strings = tokenizer.token_strings()
  assert got['strings'] == [strings[i] for i in ids_N]
  assert len(got['loss']) == len(got['firing']) == len(got['active']) == n
  assert got['loss'][0] is None
  for first in range(0, n, T):
    window = ids_N[first : first + T]
    logits_TV, acts_TA = run(lm, window)
    log_p_TV = logits_TV - np.log(np.exp(logits_TV).sum(1, keepdims=True))
    x_TA = acts_TA - np.asarray(sae.b_dec_A)
    f_TF = x_TA @ np.asarray(sae.W_enc_AF) + np.asarray(sae.b_enc_F)
    for t in range(window.size):
      if first + t + 1 < n:
        nats = -log_p_TV[t, ids_N[first + t + 1]]
        assert got['loss'][first + t + 1] == pytest.approx(nats, rel=1e-3)
      active = got['active'][first + t]
      strongest = np.argsort(-f_TF[t])[: live.ACTIVE]
      strongest = strongest[f_TF[t, strongest] > 1e-6]
      assert [row[0] for row in active[: strongest.size]] == strongest.tolist()
      assert [row[1] for row in active[: strongest.size]] == pytest.approx(
        f_TF[t, strongest], rel=1e-3, abs=1e-5
      )
      assert got['firing'][first + t] >= len(active) >= strongest.size
      known = first + t + 1 < n
      assert all((x is not None) is known for row in active for x in row[2:])
  assert any(got['active'])


def test_more_text_than_is_looked_at_is_refused_by_its_tokens(engine, parts):
  text = _text(parts[0], 8 * T + 1)
  with pytest.raises(requests.Refused, match='129 tokens; at most 128'):
    engine.probe(requests.Probe('A1', text))
  empty = engine.probe(requests.Probe('A1', ''))
  assert empty == {
    key: [] for key in ('tokens', 'strings', 'loss', 'firing', 'active')
  }


def steer(**fields) -> requests.Steer:
  return requests.steer(json.dumps({'prompt': 'ab cd'} | fields).encode())


def pin(feature, value, unit='max'):
  return {'feature': feature, 'value': value, 'unit': unit}


def strong() -> list[int]:
  """Features, those with the largest maximum first."""
  max_F = FeatureTable.load(program.finished() / 'features' / 'A1').max_F
  return np.argsort(-max_F).tolist()


@pytest.mark.parametrize(
  'more',
  [
    {'tokens': 30},
    {'tokens': 3, 'prompt': '', 'seed': 2**32 - 1},
    {'tokens': 20, 'temperature': 0},
    {'tokens': 20, 'temperature': 1.7, 'top_k': 9, 'seed': 5},
    {'tokens': 5, 'prompt': 'ab cd ef\n' * 20},
  ],
)
def test_it_says_what_sampling_says(engine, parts, more):
  tokenizer, lm, sae = parts
  one, two = strong()[:2]
  pins = [pin(f'A/1/{one}', 4), pin(f'A/1/{two}', -0.5, 'activation')]
  wanted = steer(pins=pins, **more)
  found = list(engine.steer(wanted))
  max_F = FeatureTable.load(program.finished() / 'features' / 'A1').max_F
  held = steering.pins(
    sae, jnp.array([one, two]), jnp.array([4 * float(max_F[one]), -0.5])
  )
  prompt_T = tokenizer.encode_batch([wanted.prompt])[0].astype(np.int32)
  if not prompt_T.size:
    prompt_T = np.array([tokenizer.separator], np.int32)
  for name, patch in (('default', None), ('steered', steering.patch)):
    tokens_BT = sample(
      lm,
      prompt_T[None],
      jax.random.key(wanted.seed),
      length=wanted.tokens,
      temperature=wanted.temperature,
      top_k=wanted.top_k,
      patch=patch,
      patch_args=held if patch else None,
    )
    want = np.asarray(tokens_BT)[0, prompt_T.size :].tolist()
    said = [event[name] for kind, event in found if kind == 'token']
    assert [x['id'] for x in said] == want
    strings = tokenizer.token_strings()
    assert [x['string'] for x in said] == [strings[i] for i in want]
    assert found[-1][1]['text'][name] == tokenizer.decode(want)
  assert [event['i'] for _, event in found[:-1]] == list(range(wanted.tokens))


def test_log_probabilities_are_by_who_said_it_and_by_the_other(engine, parts):
  tokenizer, lm, sae = parts
  (one,) = strong()[:1]
  wanted = steer(pins=[pin(f'A/1/{one}', 7.5, 'activation')], tokens=4)
  held = steering.pins(sae, jnp.array([one]), jnp.array([7.5]))
  ids = tokenizer.encode_batch([wanted.prompt])[0].tolist()
  found = [event for kind, event in engine.steer(wanted) if kind == 'token']
  for name, own, other in (
    ('default', None, steering.patch),
    ('steered', steering.patch, None),
  ):
    text = list(ids)
    for event in found:
      said = event[name]
      for key, patch in (
        ('logp', own),
        ('logp_pinned' if other else 'logp_unpinned', other),
      ):
        logits_V = run(lm, text, patch, held)[0][-1]
        want = logits_V[said['id']] - np.log(np.exp(logits_V).sum())
        assert said[key] == pytest.approx(want, rel=1e-3, abs=1e-4)
      text.append(said['id'])


def test_the_command_says_the_same(engine, tmp_path):
  one, two = strong()[:2]
  prompt = 'it\'s $HOME `x`\n"a" \\ --pin=A/1/3=1 é'
  wanted = steer(
    prompt=prompt,
    pins=[pin(f'A/1/{one}', 2.5), pin(f'A/1/{two}', 1e-5, 'activation')],
    tokens=12,
    temperature=0.8,
    top_k=40,
    seed=3,
  )
  (*_, (kind, done)) = engine.steer(wanted)
  assert kind == 'done'
  words = shlex.split(done['command'])
  assert words[:4] == ['monosem', 'sample', '--config=FILE', '--workdir=DIR']
  said = program.run('sample', program.finished(), *words[4:]).stdout
  lines = said.splitlines()
  assert f'prompt: {prompt!r} ' in said
  assert lines[-2] == f'1 unpinned {done["text"]["default"]!r}'
  assert lines[-1] == f'1 pinned   {done["text"]["steered"]!r}'
  # No command line holds a NUL, and one without pins has no --pin.
  assert live.command(steer(prompt='a\0b')) is None
  assert '--pin' not in live.command(steer())


def test_nothing_is_compiled_once_it_is_warm(engine, parts):
  compiled = []
  note = lambda event, seconds, **_: compiled.append(event)
  jax.monitoring.register_event_duration_secs_listener(note)
  try:
    for n in (1, 5, T, 3 * T + 2):
      engine.probe(requests.Probe('A1', _text(parts[0], n)))
    for pins in (
      [],
      [pin('A/1/3', 0, 'activation')],
      [pin(f'A/1/{i}', i / 7, 'activation') for i in range(16)],
    ):
      for more in (
        {},
        {'prompt': '', 'tokens': 40},
        {'prompt': 'ab ' * 40, 'top_k': 3, 'seed': 7},
        {'temperature': 0.3, 'seed': 2**32 - 2},
        {'temperature': 0, 'top_k': 2**20, 'key': 'A1', 'seed': 2**31},
      ):
        list(engine.steer(steer(pins=pins, **more)))
    assert not [e for e in compiled if 'compile' in e], compiled
    # The ear is not deaf.
    jax.jit(lambda x: x * 3.25 + 1)(jnp.ones(7))
    assert [e for e in compiled if 'compile' in e]
  finally:
    jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'pins': [pin('B/1/3', 1)]}, "no dictionary of that name: 'B/1'"),
    ({'pins': [pin('A/1/48', 1)]}, 'A/1 has 48 features, 0 to 47'),
    ({'pins': [pin('A/1/999999999', 1)]}, 'A/1 has 48 features'),
    ({'key': 'A2'}, 'key: no dictionary of that name (known: A1'),
  ],
)
def test_features_that_are_not_there_are_refused(engine, fields, said):
  with pytest.raises(requests.Refused, match=re.escape(said)) as e:
    engine.steer(steer(**fields))
  assert e.value.status == 400 and str(program.finished()) not in str(e.value)


def test_a_feature_that_never_fired_has_no_maximum(tmp_path):
  shutil.copytree(program.finished(), tmp_path / 'run')
  table = FeatureTable.load(tmp_path / 'run' / 'features' / 'A1')
  table.max_F[5] = 0
  table.save(tmp_path / 'run' / 'features' / 'A1')
  found = live.Engine(loaded.load(runs.at(tmp_path / 'run')), [])
  with pytest.raises(requests.Refused, match=r'never fired.*give a number'):
    found.steer(steer(pins=[pin('A/1/5', 1)]))
  found.steer(steer(pins=[pin('A/1/5', 1, 'activation')]))


def test_values_beyond_all_measure_end_in_null_not_in_nan(engine):
  found = list(engine.steer(steer(pins=[pin('A/1/3', 1e6)], tokens=2)))
  json.dumps(found, allow_nan=False)
