"""Dry runs: what they say of a run, which they do not begin."""

import json
import re
import subprocess
import sys

import jax
import program
import pytest

from monosem_jax.config import load as configs
from monosem_jax.config.names import entries


def _dry_run(config, *more):
  """What a dry run prints, on one device."""
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'monosem_jax.main', 'all'),
      *(f'--config={config}', '--dry_run', *more),
    ],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=200,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def _parameters(out, line):
  found = re.search(rf'^{line}: ([\d,]+) parameters', out, re.M)
  return int(found[1].replace(',', ''))


def _table(out):
  """The rows of the dictionaries' table, numbers and sizes in bytes."""
  found, header = {}, ()
  for line in out.splitlines():
    cells = re.split(r' {2,}', line.strip())
    if cells[:2] == ['features', 'parameters']:
      header = cells
    elif header and re.match(r'[A-Z]/\d+:', line.strip()):
      name, *cells = cells
      found[name[:-1]] = dict(zip(header, map(_bytes, cells), strict=True))
  return found


def _bytes(text):
  number, _, unit = text.replace(',', '').partition(' ')
  power = {'': 0, 'B': 0, 'KiB': 1, 'MiB': 2, 'GiB': 3}[unit]
  return float(number) * 1024**power


@pytest.mark.parametrize(
  'path', sorted((program.ROOT / 'configs').glob('*.py')), ids=lambda p: p.stem
)
def test_every_config_of_ours_loads_and_runs_dry(path):
  out = _dry_run(path, '--config.text.paths=x')
  c = configs.load(str(path), ['text.paths=x'])
  assert json.loads(out[: out.index('\n}\n') + 2]) == configs.as_dict(c)
  streams = sum(map(bool, entries(c).values()))
  trained = [m for m in c.models.values() if not m.shuffle_of]
  assert out.count('activations to be seen') == streams
  # A pass of features for each size of dictionary.
  passes = [
    {c.dictionaries[name].features for name in names}
    for names in entries(c).values()
  ]
  programs = streams + len(trained) + sum(map(len, passes))
  assert out.count('XLA (cpu): arguments') == programs
  assert out.count('features/') == sum(map(len, passes))
  table = _table(out)
  assert [name.replace('/', '') for name in table] == list(c.dictionaries)
  for row, d in zip(table.values(), c.dictionaries.values(), strict=True):
    assert row['features'] == d.features
    # A device's share, printed to three digits.
    weights = 4 * row['parameters']
    assert row['weights'] == pytest.approx(weights, rel=0.01)
    assert row['moments'] == pytest.approx(2 * weights, rel=0.01)


def test_a_dry_run_says_what_a_run_would_be_and_writes_nothing(tmp_path):
  out = _dry_run(
    program.config(),
    f'--workdir={tmp_path / "run"}',
    '--config.models.A.n_layers=2',
  )
  assert list(tmp_path.iterdir()) == []
  assert '"n_layers": 2' in out
  assert 'tokens to be seen: 1,536' in out
  assert 'activations to be seen: 1,536' in out
  assert '12 steps' in out
  assert '48 steps' in out
  assert 'memory per device' in out
  # A token: 8 D^2 + 4 T D of attention, 2 D A to the neurons, 2 A F to encode.
  flops = 512 * (8 * 16**2 + 4 * 16 * 16 + 2 * 16 * 32 + 2 * 32 * 48)
  assert (
    'features/A/1: 1,024 tokens, in batches of 32 contexts of 16 tokens, '
    f'{flops / 1e6:.3g} MFLOP each'
  ) in out
  assert 'not made yet' in out
  assert 'unique' not in out


def test_a_dry_run_counts_the_parameters_that_a_run_has():
  from monosem_jax.dictionary import sae
  from monosem_jax.transformer import train

  overrides = ['models.A.n_layers=2', 'models.A.d_mlp=40']
  out = _dry_run(program.config(), *(f'--config.{o}' for o in overrides))
  model = configs.load(str(program.config()), overrides).models['A']
  lm = jax.eval_shape(
    lambda: train.init(model, vocab_size=300, context=16, separator=0).model
  )
  size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  assert _parameters(out, 'lm/A') == size(lm)
  dictionary = jax.eval_shape(lambda: sae.init(jax.random.key(0), 40, 48))
  assert _table(out)['A/1']['parameters'] == size(dictionary)


def test_a_dry_run_over_made_tokens_counts_epochs_and_unique_activations():
  workdir = program.finished()
  before = program.files(workdir)
  out = _dry_run(program.config(), f'--workdir={workdir}')
  contexts = json.loads((workdir / 'tokens/store/manifest.json').read_text())[
    'splits'
  ]['train']['contexts']
  assert f'tokens: {contexts:,} training contexts' in out
  run = program.report(workdir)['dictionaries']['A/1']
  assert f'unique activations: {run["unique_activations"]:,}' in out
  assert f'{run["epochs"]:.3g} epochs' in out
  assert program.files(workdir) == before


def test_epochs_beyond_the_positions_of_a_context_repeat_activations():
  # 16 positions are two slices of 8: 1,312 contexts hold 20,992 activations.
  out = _dry_run(
    program.config(),
    f'--workdir={program.finished()}',
    '--config.stream.steps=1200',
  )
  assert 'activations to be seen: 38,400' in out
  assert 'unique activations: 20,992' in out


def test_a_dry_run_spreads_features_over_the_mesh_and_says_what_it_compiles(
  capsys,
):
  rows = {}
  for feature in (2, 4):
    code, err = program.call(
      *('all', f'--config={program.config()}', '--dry_run'),
      f'--config.mesh.feature={feature}',
      '--config.stream.micro_batches=1',
    )
    assert code == 0, err
    assert err == ''.join(
      f'compiling {what} ...\n'
      for what in ('lm/A', 'sae/A: A/1', 'features/A/1')
    )
    out = capsys.readouterr().out
    assert f'mesh: {8 // feature} data x {feature} feature' in out
    rows[feature] = _table(out)['A/1']
  for part in ('weights', 'moments', 'gradients', 'counters'):
    # A bias of 32 numbers is whole on every device.
    assert 1.95 < rows[2][part] / rows[4][part] <= 2


def test_a_dry_run_refuses_a_mesh_that_the_run_would_refuse():
  refused = program.refusal('all', f'--config={program.config()}', '--dry_run')
  assert 'stream.shuffle_groups' in refused
  assert '8 devices' in refused
