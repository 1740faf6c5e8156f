"""Config files and overrides: what is read, and what is refused."""

import json

import program
import pytest

import monosem_jax
from monosem_jax.config import load as configs
from monosem_jax.config.errors import UserError


def _load(*overrides):
  return configs.load(str(program.config()), overrides)


@pytest.mark.parametrize(
  ('override', 'part', 'key', 'value'),
  [
    ('stream.steps=1e6', 'stream', 'steps', 1_000_000),
    ('stream.steps=4_800', 'stream', 'steps', 4_800),
    ('stream.seed=9007199254740993', 'stream', 'seed', 2**53 + 1),
    ('text.strict=true', 'text', 'strict', True),
    ('text.strict=0', 'text', 'strict', False),
    ('text.paths=a,b c', 'text', 'paths', ('a', 'b c')),
    ("text.paths=('a', 'b')", 'text', 'paths', ('a', 'b')),
    ('text.keep.Pile-CC=0.5', 'text', 'keep', {'Pile-CC': 0.5}),
    ('text.keep.*=1', 'text', 'keep', {'*': 1.0}),
  ],
)
def test_an_override_is_read_as_its_keys_type(override, part, key, value):
  found = getattr(getattr(_load(override), part), key)
  assert found == value
  assert type(found) is type(value)


def test_overrides_of_shared_groups_reach_every_entry_but_its_own_keys():
  c = _load('lm.lr=2', 'sae.l1=3', 'sae.resampling.steps=()')
  assert c.models['A'].lr == 2.0
  assert c.dictionaries['A1'].l1 == 3.0
  assert c.dictionaries['A1'].resampling.steps == ()
  # The rest of the nested group stays as the file has it.
  assert c.dictionaries['A1'].resampling.window == 3
  assert _load('dictionaries.A1.l1=4').dictionaries['A1'].l1 == 4.0
  assert _load('sae.l1=3', 'sae.l1=5').dictionaries['A1'].l1 == 5.0


@pytest.mark.parametrize(
  ('override', 'instead'),
  [
    ('sae.features=64', '--config.dictionaries.A1.features'),
    ('lm.seed=3', '--config.models.A.seed'),
  ],
)
def test_a_shared_override_that_no_entry_would_take_is_refused(
  override, instead
):
  with pytest.raises(UserError, match='change nothing') as e:
    _load(override)
  assert instead in str(e.value)


def test_a_shared_override_that_one_entry_takes_is_accepted(tmp_path):
  path = tmp_path / 'two.py'
  path.write_text(
    program.config()
    .read_text()
    .replace('A1=dict(features=48)', 'A1=dict(l1=.5), A2=dict()')
  )
  c = configs.load(str(path), ['sae.l1=3', 'sae.features=64'])
  assert [d.l1 for d in c.dictionaries.values()] == [0.5, 3.0]
  assert [d.features for d in c.dictionaries.values()] == [64, 64]


@pytest.mark.parametrize(
  ('override', 'must_be'),
  [
    ('lm.steps=1.5', 'a whole number'),
    ('lm.steps=many', 'a whole number'),
    ('lm.steps=nan', 'a whole number'),
    ('lm.steps=inf', 'a whole number'),
    ('lm.steps=', 'a whole number'),
    ('lm.steps=true', 'a whole number'),
    ('lm.lr=fast', 'a number'),
    ('text.strict=maybe', 'true or false'),
    ('sae.resampling.steps=10,2.5', 'a whole number'),
  ],
)
def test_a_value_of_another_type_is_refused_by_name(override, must_be):
  with pytest.raises(UserError, match=must_be) as e:
    _load(override)
  key, _, value = override.partition('=')
  assert f'--config.{key}' in str(e.value)
  assert value.rpartition(',')[2] in str(e.value)


@pytest.mark.parametrize(
  ('body', 'said'),
  [
    ('c.lm = 3', 'lm must be a group of keys'),
    ('c.text = None', 'text must be a group of keys'),
    ('c.models = dict(A=None)', 'models.A must be a group of keys'),
    ('c.dictionaries = dict(A1=3)', 'dictionaries.A1 must be a group of keys'),
    ('c.sae = dict(resampling=4)', 'resampling must be a group of keys'),
    ('c.text = dict(keep=3)', 'text.keep must be a group of numbers'),
    ('c.text = dict(paths="x")', 'text.paths must be strings'),
    ('c.lm = dict(steps=1.5)', 'steps must be a whole number'),
    ('c.lm = dict(steps=True)', 'steps must be a whole number'),
    ('c.lm = dict(lr="3")', 'lr must be a number'),
    ('c.lm = dict(step=10)', "step (did you mean 'steps'?)"),
    ('c.lmm = dict()', "'lmm' (did you mean 'lm'?)"),
    ('c.models = dict()', 'models names no model'),
    ('c.lm = dict(', 'line 4'),
    ('return {}', 'ConfigDict'),
    ('1 / 0', 'ZeroDivisionError'),
    ('c.lock().x = 1', 'x'),
  ],
)
def test_a_wrong_config_file_is_refused_with_its_mistake_named(
  tmp_path, body, said
):
  (tmp_path / 'c.py').write_text(
    'from ml_collections import ConfigDict\ndef get_config():\n'
    '  c = ConfigDict(dict(models=dict(A=dict()), dictionaries=dict(A1={})))\n'
    f'  {body}\n  return c\n'
  )
  code, err = program.call('all', f'--config={tmp_path}/c.py', '--dry_run')
  assert code == 2
  assert 'Traceback' not in err
  assert said in err


def test_a_config_file_without_get_config_or_py_in_its_name(tmp_path):
  (tmp_path / 'c.cfg').write_text('x = 1\n')
  assert 'get_config()' in program.refusal(
    'all', f'--config={tmp_path}/c.cfg', '--dry_run'
  )
  (tmp_path / 'c.cfg').write_text(program.config().read_text())
  assert configs.load(f'{tmp_path}/c.cfg') == _load()


def test_a_config_file_changed_within_a_second_is_read_anew(tmp_path):
  path = tmp_path / 'c.py'
  for seed in (3, 4, 5):
    path.write_text(
      program.config()
      .read_text()
      .replace('A=dict(seed=0)', f'A=dict(seed={seed})')
    )
    assert configs.load(str(path)).models['A'].seed == seed
  assert [p.name for p in tmp_path.iterdir()] == ['c.py']


@pytest.mark.parametrize(
  ('part', 'key', 'said'),
  [
    ('stream', 'shards', 'unknown key stream.shards'),
    ('models', 'width', 'unknown key models.A.width'),
    ('cache', 'folder', "unknown part 'cache'"),
  ],
)
def test_a_kept_config_of_another_version_is_refused_with_its_key(
  tmp_path, part, key, said
):
  kept = configs.as_dict(_load())
  own = kept.setdefault(part, {})
  own.get('A', own)[key] = 1
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(kept))
  before = path.read_bytes()
  for command in (
    ('status', f'--workdir={tmp_path}'),
    ('all', f'--config={path}', f'--workdir={tmp_path}'),
  ):
    message = program.refusal(*command)
    assert f'--config: {path} was written by another version' in message
    assert f'version {monosem_jax.__version__}' in message
    assert said in message
    assert '--config=FILE' in message
  assert path.read_bytes() == before


def test_a_kept_config_is_read_and_an_override_of_it_judged_alone(tmp_path):
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(configs.as_dict(_load())))
  assert configs.load(str(path)) == _load()
  with pytest.raises(UserError, match=r'stream\.stepz') as e:
    configs.load(str(path), ['stream.stepz=1'])
  assert 'another version' not in str(e.value)
  path.write_text('[]')
  with pytest.raises(UserError, match='holds no settings'):
    configs.load(str(path))


IMPOSSIBLE = [
  (['models.A.n_heads=3'], 'n_heads', 'd_model'),
  (['models.A.steps=7', 'models.A.steps_per_chunk=2'], 'steps_per_chunk', '7'),
  (['models.A.micro_batch=3'], 'micro_batch', 'batch_size'),
  (['models.A.site_layer=1'], 'site_layer', '1'),
  (['models.A.site=mpl'], 'mlp', 'mpl'),
  (['models.A.activation=rleu'], 'relu', 'rleu'),
  (['models.A.precision=float16'], 'precision', 'float16'),
  (['models.A.lr=0'], 'lr', 'above 0'),
  (['models.A.lr=nan'], 'lr', 'nan'),
  (['models.A.beta2=1'], 'beta2', '1'),
  (['models.A.batch_size=0'], 'batch_size', '0'),
  (['stream.batch_size=48'], 'batch_size', '128'),
  (['stream.positions_per_context=17'], 'positions', '16'),
  (['stream.steps=50'], 'steps', '50'),
  (['stream.shuffle_groups=3'], 'shuffle_groups', '16'),
  (['stream.micro_batches=8'], 'micro_batches', '16'),
  (['stream.micro_batch=12'], 'micro_batch', '32'),
  (['stream.micro_batch=2'], 'shuffle_groups', 'micro-batch'),
  (['dictionaries.A1.features=0'], 'features', '0'),
  (['dictionaries.A1.features=65'], 'candidates', '65'),
  (['sae.resampling.candidates=256'], 'candidates', '128'),
  (['sae.resampling.candidates=80'], 'candidates', '80'),
  (['sae.resampling.steps=0,8'], 'steps', 'above 0'),
  (['sae.resampling.loss=totla'], 'total', 'totla'),
  (['sae.resampling.placement=residul'], 'residual', 'residul'),
  (['sae.init=dta'], 'data', 'dta'),
  (['sae.recipe=april', 'sae.init=tied'], 'init', 'april'),
  (
    [
      'sae.init=data',
      'dictionaries.A1.features=200',
      'sae.resampling.steps=()',
    ],
    'init',
    '128',
  ),
  (['sae.fires_on=0'], 'fires_on', '0'),
  (['features.least_firings=0'], 'least_firings', '0'),
  (['sae.l1=-1'], 'l1', '-1'),
  (['sae.l1_target_l0=48'], 'l1_target_l0', 'features'),
  (['sae.normalize=units'], 'unit', 'units'),
  (['text.source=pile'], 'source', 'pile'),
  (['text.paths='], 'paths', 'text'),
  (['text.val_fraction=0'], 'val_fraction', '0'),
  (['text.keep.x=1.5'], 'keep.x', '1.5'),
  (['text.context=1'], 'context', '2'),
  (['tokenizer.vocab_size=256'], 'vocab_size', '257'),
  (['tokenizer.vocab_size=65537'], 'vocab_size', '65,536'),
  (['evaluation.contexts=0'], 'evaluation.contexts', '0'),
  (['features.contexts=16'], 'features', '16'),
  (['features.split=test'], 'split', 'test'),
  (['checkpoint.every_chunks=0'], 'every_chunks', '0'),
  (['site.context_tokens=0'], 'site.context_tokens', '0'),
  (['models.A.activation_penalty=-1'], 'activation_penalty', '-1'),
  (['lm.activation_penalty=1', 'lm.site=resid'], 'activation_penalty', 'resid'),
  (['toy.superposition.sparsities=0,1'], 'sparsities', '[0, 1)'),
  (['toy.superposition.lr=0'], 'toy.superposition.lr', '0'),
  (['toy.binary_neuron.features=1'], 'binary_neuron.features', '2'),
  (['toy.penalty.neurons=17'], 'penalty.neurons', '16'),
  (['toy.penalty.penalties='], 'penalty.penalties', 'empty'),
  (['toy.topics.penalties=0.1'], 'topics.penalties', '0'),
  (['toy.topics.penalties=0,-1'], 'topics.penalties', '-1'),
  (['toy.topics.context=2'], 'topics.context', '3'),
  (['toy.topics.noise=2'], 'topics.noise', '2'),
  (['toy.topics.seeds=0'], 'topics.seeds', '0'),
  (['toy.planted.samples=300'], 'planted.batch_size', '300'),
  (['toy.planted.active=65'], 'planted.active', '64'),
  (['checkpoint.keep=0'], 'keep', '0'),
]


@pytest.mark.parametrize(
  ('overrides', 'where', 'why'), IMPOSSIBLE, ids=lambda x: str(x)[:40]
)
def test_an_impossible_combination_is_refused_before_anything_is_written(
  tmp_path, overrides, where, why
):
  message = program.refusal(
    'all',
    f'--config={program.config()}',
    f'--workdir={tmp_path / "run"}',
    *(f'--config.{o}' for o in overrides),
  )
  assert where in message
  assert why in message
  assert not (tmp_path / 'run').exists()
