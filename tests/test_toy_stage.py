"""The stage `toy` as a user runs it: what it leaves."""

import json
import math
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
import safetensors.numpy
from toys import PARTS, TINY, finished, results

from monosem_jax.config import settings
from monosem_jax.transformer import train, weights


@pytest.fixture
def made() -> tuple[pathlib.Path, str]:
  return finished()


@pytest.fixture
def workdir(made, tmp_path) -> pathlib.Path:
  return shutil.copytree(made[0], tmp_path / 'run')


def test_every_part_leaves_numbers_arrays_and_pictures(made):
  workdir, out = made
  found = json.loads((workdir / 'toy/toy.json').read_text())
  assert tuple(found) == PARTS
  for name in PARTS:
    folder = workdir / 'toy' / name
    assert json.loads((folder / 'numbers.json').read_text()) == found[name]
    assert f'toy/{name}: ' in out
    pictures = list(folder.glob('*.png'))
    assert pictures
    for path in pictures:
      assert path.read_bytes().startswith(b'\x89PNG')
  for name in PARTS[:-1]:
    with np.load(
      workdir / f'toy/{name}/arrays.npz', allow_pickle=False
    ) as file:
      assert file.files
  assert program.report(workdir)['toy'] == found
  page = (workdir / 'report.md').read_text()
  for name in PARTS:
    assert found[name]['summary'] in page


def test_the_numbers_are_those_of_the_settings(made):
  found = results(made[0])
  assert found['superposition']['sparsities'] == [0, 0.9]
  assert found['superposition']['represented'][0] == 2
  neuron = found['binary_neuron']
  assert neuron['closed_form'][1] == pytest.approx(3 / 4 * math.log(3))
  assert neuron['closed_form'][2] == pytest.approx(math.log(2))
  np.testing.assert_allclose(
    neuron['optimised'], neuron['closed_form'], atol=2e-3
  )
  assert sum(neuron['starts_that_fire_for']) == neuron['starts'] == 4
  assert found['penalty']['penalties'] == [0, 0.1]
  assert found['penalty']['active'][1] < found['penalty']['active'][0]
  assert [row['name'] for row in found['planted']['learners']][-1] == 'random'


def test_transformers_and_dictionaries_in_one_table(made):
  workdir, _ = made
  found = results(workdir)['topics']
  assert found['tokens'] == 64 * 6
  table = found['table']
  assert [(row['of'], row['penalty']) for row in table] == [
    *(('neurons', 0), ('neurons', 1e6)),
    *(('dictionary', 0.01), ('dictionary', 0.1)),
  ]
  free, held, *dictionaries = table
  learned = math.log(4) - free['loss']
  for row in table:
    assert found['entropy'] < row['loss'] < 2 * math.log(4)
    kept = (math.log(4) - row['loss']) / learned
    assert row['kept'] == pytest.approx(kept)
  assert free['live'] > 0 and 0 < free['active'] <= free['live'] <= 8
  assert 1 / 4 <= free['purity'] <= 1
  # What the greatest penalty leaves: nothing.
  assert held['live'] == held['active'] == 0 and held['silent'] == 1
  assert held['purity'] is held['purity_shuffled'] is held['pairs'] is None
  assert held['loss'] > free['loss']
  with np.load(workdir / 'toy/topics/arrays.npz', allow_pickle=False) as file:
    assert file['acts_PJ_0'].shape == (16, 8)
    assert file['live_J_0'].sum() == free['live']
    for i, row in enumerate(dictionaries, 2):
      assert file[f'acts_PJ_{i}'].shape == (16, 16)
      assert file[f'live_J_{i}'].sum() == row['live']
    for i in (0, 2, 3):
      pure_J, control_J = file[f'purity_J_{i}'], file[f'shuffled_J_{i}']
      for key, x_J in (
        ('purity', pure_J),
        ('purity_shuffled', control_J),
        ('purity_lead', pure_J - control_J),
      ):
        assert table[i][key] == pytest.approx(np.nanmedian(x_J))
      low, high = table[i]['purity_interval']
      assert low <= table[i]['purity'] <= high
  # The shuffled control stands beside every row where people read it.
  text = (workdir / 'toy/topics/table.md').read_text()
  for row in (free, *dictionaries):
    assert f'| {row["purity"]:.2f} | {row["purity_shuffled"]:.2f} |' in text
  assert f'({free["purity_shuffled"]:.2f})' in found['summary']


def test_both_methods_are_tuned_by_one_rule_and_say_what_they_were_given(made):
  found = results(made[0])['topics']
  table, budgets = found['table'], found['budgets']
  for own in (table[:2], table[2:]):
    lead = {
      i: row['purity_lead_where_chosen']
      for i, row in enumerate(own)
      if row['kept_where_chosen'] >= 0.9
      and row['purity_lead_where_chosen'] is not None
    }
    best = max(lead, key=lead.get, default=None)
    assert [row['chosen'] for row in own] == [i == best for i in range(2)]
  # Other text than what is told of.
  assert table[2]['kept_where_chosen'] != table[2]['kept']
  neurons, dictionary = budgets['neurons'], budgets['dictionary']
  assert neurons['chosen_by'] == dictionary['chosen_by']
  assert len(neurons['penalties']) == len(dictionary['penalties'])
  assert neurons['tokens'] == dictionary['tokens_of_its_transformer']
  assert neurons['tokens'] == 60 * 32 * 8
  assert dictionary['tokens'] == 2 * 64 * 4 * 8
  assert dictionary['parameters'] == 2 * 8 * 16 + 8 + 16


def test_what_is_chosen_is_told_of_every_seed(made, tmp_path):
  found = results(made[0])['topics']
  seeds, table = found['seeds'], found['table']
  assert seeds['n'] == 2
  rows = {'neurons': table[:2], 'dictionary': table[2:]}
  # The second seed is what a run of its own comes to.
  argv = [x for x in TINY if 'seeds' not in x]
  argv += ['--config.toy.topics.seeds=1', '--config.toy.seed=1']
  program.run('toy', tmp_path, *argv)
  alone = results(tmp_path)['topics']['seeds']
  for kind, own in rows.items():
    chosen = next((row for row in own if row['chosen']), None)
    for key, values in seeds[kind].items():
      assert len(values) == 2
      assert values[0] == (chosen and chosen[key])
      assert values[1] == alone[kind][key][0]
    lead = [x for x in seeds[kind]['purity_lead'] if x is not None]
    if lead:
      ends = f'({min(lead):.2f} to {max(lead):.2f})'
      assert f'{kind} {np.mean(lead):.2f} {ends}' in found['summary']


def test_every_comparison_states_its_budget(made):
  found = results(made[0])
  assert found['superposition']['budget']['samples'] == 300 * 64
  assert found['superposition']['budget']['parameters'] == 6 * 2 + 6
  assert found['penalty']['budget']['steps'] == 300
  # W_in, b_in, W_out, b_out; a held neuron has one entry in W_in.
  assert found['penalty']['budget']['parameters'] == {
    **{'free': 12 + 2 + 12 + 6, 'held': 2 + 2 + 12 + 6}
  }
  assert found['binary_neuron']['budget']['steps'] == 1_000
  for row in found['planted']['learners'][:-1]:
    assert len(row['tried']) == 2
    assert row['penalty'] in [tried['penalty'] for tried in row['tried']]
    assert row['rows'] > 0 and row['parameters'] >= 16 * 8
  assert 'steps' in found['penalty']['summary']


def test_the_dictionarys_row_is_that_of_its_weights(made):
  """The loss with reconstructed activations, and which features are live."""
  workdir, folder = made[0], made[0] / 'toy/topics'
  lm = jax.eval_shape(
    lambda: (
      train.init(
        settings.Transformer(
          d_model=8, d_mlp=8, n_heads=1, precision='float32'
        ),
        vocab_size=9,
        context=8,
        separator=0,
      ).model
    )
  )
  found = safetensors.numpy.load_file(folder / 'transformer_0.safetensors')
  lm = weights.load(lm, found)
  sae = safetensors.numpy.load_file(folder / 'dictionary_0.safetensors')
  with np.load(folder / 'arrays.npz', allow_pickle=False) as file:
    tokens_BT, live_F = file['tokens_BT'], file['live_J_2']
    effect_F = file['effect_J_2']

  def encoded(acts):
    f = (acts - sae['b_dec_A']) @ sae['W_enc_AF'] + sae['b_enc_F']
    return jnp.maximum(f, 0)

  x_BTD, acts_BTA = lm.residual(tokens_BT)
  rows = {}
  for row, patch in (
    (0, None),
    (2, lambda acts: encoded(acts) @ sae['W_dec_FA'] + sae['b_dec_A']),
  ):
    log_p = np.asarray(jax.nn.log_softmax(lm(tokens_BT, patch)[0]))
    losses = [
      -log_p[b, t, tokens_BT[b, t + 1]] for b in range(64) for t in range(1, 7)
    ]
    rows[row] = results(workdir)['topics']['table'][row]
    assert rows[row]['loss'] == pytest.approx(np.mean(losses), rel=1e-4)
  assert rows[2]['loss'] > rows[0]['loss'] + 1e-3
  f_NF = np.asarray(encoded(acts_BTA[:, 1:-1])).reshape(-1, 16)
  added_FD = sae['W_dec_FA'] @ found['blocks.0.mlp.W_out_AD']
  read_FD = (added_FD - added_FD.mean(1, keepdims=True)) * found['ln_f.w_D']
  moved_FV = read_FD @ found['W_U_DV'] / np.std(x_BTD[:, 1:-1], -1).mean()
  moved_FV -= moved_FV.mean(1, keepdims=True)
  np.testing.assert_allclose(effect_F, abs(moved_FV).max(1), rtol=1e-4)
  np.testing.assert_array_equal(live_F, f_NF.max(0) * effect_F >= 0.1)
  assert 0 < live_F.sum() == rows[2]['live']
