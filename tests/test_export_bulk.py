"""Exports in Neuronpedia's form: its database's fields, and true of the run."""

import itertools
import json
import pathlib
import shutil
import weakref

import numpy as np
import program
import pytest
from exported import (
  HOSTILE,
  SOURCE,
  A,
  F,
  T,
  check,
  close,
  dictionary,
  example,
  exported,
  exported_features,
  feature,
  lines,
  of_examples,
  run,
  strict,
)

from monosem_jax.interop import anthropic, neuronpedia
from monosem_jax.interop.feature import Group


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('export') / 'run'
  shutil.copytree(program.finished(), path)
  return path


@pytest.fixture
def published() -> dict[int, dict]:
  """The features of A/1 in Anthropic's form, by number."""
  return exported_features()


@pytest.fixture
def bulk() -> pathlib.Path:
  """The folder of A/1 in Neuronpedia's form."""
  [model] = (exported() / 'new/neuronpedia').iterdir()
  [source] = model.iterdir()
  return source


# --- Neuronpedia


FEATURE = {
  **dict.fromkeys(('modelId', 'layer', 'index', 'sourceSetName'), str),
  **dict.fromkeys(('creatorId', 'createdAt'), str),
  'maxActApprox': float,
  'hasVector': bool,
  'vector': (A, float),
  'vectorLabel': type(None),
  'vectorDefaultSteerStrength': float,
  'hookName': str,
  'topkCosSimIndices': (0, int),
  'topkCosSimValues': (0, float),
  'neuron_alignment_indices': (3, int),
  'neuron_alignment_values': (3, float),
  'neuron_alignment_l1': (3, float),
  'correlated_neurons_indices': (3, int),
  'correlated_neurons_pearson': (3, float),
  'correlated_neurons_l1': (3, float),
  'correlated_features_indices': (0, int),
  'correlated_features_pearson': (0, float),
  'correlated_features_l1': (0, float),
  'neg_str': (10, str),
  'neg_values': (10, float),
  'pos_str': (10, str),
  'pos_values': (10, float),
  'frac_nonzero': float,
  'freq_hist_data_bar_heights': (40, int),
  'freq_hist_data_bar_values': (40, float),
  'logits_hist_data_bar_heights': (40, int),
  'logits_hist_data_bar_values': (40, float),
  'decoder_weights_dist': (0, float),
}


def activation_form(row: dict) -> dict:
  w = len(row['tokens'])
  return {
    **dict.fromkeys(('id', 'modelId', 'layer', 'index', 'creatorId'), str),
    'tokens': (w, str),
    'values': (w, float),
    'maxValue': float,
    'maxValueTokenIndex': int,
    'minValue': float,
    'qualifyingTokenIndex': int,
    'dataSource': str,
    'dataIndex': str,
    'lossValues': (w, float),
    'logitContributions': type(None),
    'dfaValues': (0, float),
    'dfaTargetIndex': type(None),
    'dfaMaxValue': type(None),
    'binMin': float,
    'binMax': float,
    'binContains': float,
    'createdAt': str,
  }


def test_bulk_rows_hang_together(bulk):
  heads = {p.stem: lines(p) for p in bulk.glob('*.jsonl')}
  assert sorted(heads) == ['model', 'release', 'source', 'sourceset']
  assert all(len(rows) == 1 for rows in heads.values())
  model, release, source, source_set = (heads[k][0] for k in sorted(heads))
  assert bulk.parent.name == model['id'] == source['modelId']
  assert bulk.name == source['id'] == model['defaultSourceId']
  assert (
    source['setName'] == source_set['name'] == model['defaultSourceSetName']
  )
  assert source_set['modelId'] == model['id']
  assert source_set['releaseName'] == release['name']
  assert source['id'] == f'0-{source_set["name"]}'
  assert (model['layers'], model['neuronsPerLayer']) == (1, A)
  assert (source['num_prompts'], source['num_tokens_in_prompt']) == (64, T)
  assert json.loads(source['saelensConfig'])['d_sae'] == F
  numbers = [row['index'] for row in lines(bulk / 'features/batch-0.jsonl.gz')]
  assert numbers == [str(i) for i in range(F)]
  ids = set()
  for row in lines(bulk / 'activations/batch-0.jsonl.gz'):
    assert (row['modelId'], row['layer']) == (model['id'], source['id'])
    ids.add(row['id'])
  assert len(ids) == len(lines(bulk / 'activations/batch-0.jsonl.gz'))


def test_bulk_fields_have_the_types_of_the_database(bulk):
  for row in lines(bulk / 'features/batch-0.jsonl.gz'):
    check(row, FEATURE)
  for row in lines(bulk / 'activations/batch-0.jsonl.gz'):
    check(row, activation_form(row))
    values = row['values']
    assert row['maxValue'] == values[row['maxValueTokenIndex']] == max(values)
    assert row['minValue'] == min(values)
    assert 0 <= row['qualifyingTokenIndex'] < len(values)


def test_bulk_features_say_what_the_published_ones_do(bulk, published):
  neurons = program.finished() / 'analysis/neurons/A1.npz'
  with np.load(neurons, allow_pickle=False) as found:
    correlated = {k: found[f'neuron_{k}F3'] for k in ('', 'r_', 'cosine_')}
  for i, row in enumerate(lines(bulk / 'features/batch-0.jsonl.gz')):
    close(row['vector'], dictionary()['W_dec'][i])
    if i not in published:
      assert row['frac_nonzero'] == row['maxActApprox'] == 0
      continue
    one = published[i]
    s, effects = one['statistics'], one['logit_effects']
    assert row['frac_nonzero'] == s['density_frac']
    assert row['maxActApprox'] == s['global_max_act']
    assert row['neuron_alignment_indices'] == s['abs_max_neuron_inds']
    assert row['neuron_alignment_values'] == s['abs_max_neuron_weights']
    assert row['neuron_alignment_l1'] == s['l1_max_neuron_weights']
    pairs = lambda way, row=row: [
      list(x) for x in zip(row[f'{way}_str'], row[f'{way}_values'], strict=True)
    ]
    assert pairs('pos') == effects['positives']
    assert pairs('neg') == effects['negatives'][::-1]
    assert row['freq_hist_data_bar_heights'] == one['act_buckets']
    edges = np.array(one['act_bucket_edges'])
    middle = (edges[1:] + edges[:-1]) / 2
    close(row['freq_hist_data_bar_values'], middle, rtol=2e-3)
    assert row['correlated_neurons_indices'] == correlated[''][i].tolist()
    close(row['correlated_neurons_pearson'], correlated['r_'][i])
    close(row['correlated_neurons_l1'], correlated['cosine_'][i])


def test_bulk_activations_are_the_published_examples_in_wider_windows(
  bulk, published
):
  rows = lines(bulk / 'activations/batch-0.jsonl.gz')
  losses = whole = 0
  for i, one in published.items():
    own = [row for row in rows if row['index'] == str(i)]
    examples = [e for _, _, e in of_examples({i: one})]
    # Silent examples of a sparse feature are not published.
    for row, e in zip(own, examples, strict=False):
      assert row['dataIndex'] == str(e['datapoint_ind'])
      first = row['qualifyingTokenIndex'] - e['train_token_ind']
      part = slice(first, first + len(e['tokens_str_list']))
      assert row['tokens'][part] == e['tokens_str_list']
      assert row['values'][part] == e['tokens_acts_list']
      # What a feature adds to a loss is what its ablation takes off.
      loss = [-x for x in e['ablations']['loss_ablation']]
      assert row['lossValues'][part] == loss
      losses += any(loss)
      whole += len(row['tokens']) > 9
  assert losses > 100 and whole > 100


def test_bulk_intervals_share_out_the_tokens(bulk, published):
  rows = lines(bulk / 'activations/batch-0.jsonl.gz')
  found = 0
  for i, one in published.items():
    own = [row for row in rows if row['index'] == str(i)]
    top = [row for row in own if row['binMin'] == -1]
    maximum = one['statistics']['global_max_act']
    assert top == own[: len(top)]
    assert {(r['binMax'], r['binContains']) for r in top} == {(maximum, -1)}
    silent = [row for row in own if row['binMax'] == 0]
    density = one['statistics']['density_frac']
    for row in silent:
      assert row['values'][row['qualifyingTokenIndex']] == 0
      close(row['binContains'], 1 - density, atol=1e-3)
    bins = {
      (row['binMin'], row['binMax']): row['binContains']
      for row in own[len(top) : len(own) - len(silent)]
    }
    if len(one['examples_quantiles']) == 1:
      assert not bins
      continue
    found += 1
    borders = sorted(bins)
    assert len(borders) == 11 and borders[0][0] == 0
    for (_, end), (start, _) in itertools.pairwise(borders):
      assert end == start
    assert borders[-1][1] == one['act_bucket_edges'][-1]
    # They are all tokens that it fires on.
    close(sum(bins.values()), density, rtol=3e-3)
    # The top half of them, by hand.
    upper = sum(n for (low, _), n in bins.items() if low > borders[-1][1] / 2)
    counts = one['act_buckets']
    close(upper, density * sum(counts[22:]) / sum(counts), rtol=3e-3)
  assert found


def test_the_same_work_directory_gives_the_same_bytes(workdir, bulk, tmp_path):
  run(workdir, tmp_path / 'again', '--format=neuronpedia')
  shutil.copytree(workdir, tmp_path / 'copy')
  run(tmp_path / 'copy', tmp_path / 'elsewhere', '--format=neuronpedia')
  files = program.files(bulk.parents[1])
  assert program.files(tmp_path / 'again') == files
  assert program.files(tmp_path / 'elsewhere') == files
  assert len(files) == 6


def test_hostile_tokens_survive(tmp_path):
  all_of_them = example(1, tokens=range(9))
  groups = (Group('Top Activations', None, (all_of_them,)),)
  made = feature(groups=groups, lowered_ids_L=np.arange(2, 12))
  anthropic.write(tmp_path / 'a1', [made], HOSTILE)
  found = strict((tmp_path / 'a1/0.json').read_bytes())
  [shown] = found['examples_quantiles'][0]['examples']
  assert shown['tokens_str_list'] == HOSTILE[:6]
  positives = [word for word, _ in found['logit_effects']['positives']]
  negatives = [word for word, _ in found['logit_effects']['negatives']]
  assert (positives, negatives[::-1]) == (HOSTILE[:10], HOSTILE[2:])
  neuronpedia.write(tmp_path, SOURCE, [made], HOSTILE)
  out = tmp_path / 'm/0-mlp-a1'
  [row] = lines(out / 'activations/batch-0.jsonl.gz')
  assert row['tokens'] == HOSTILE[:9]
  [row] = lines(out / 'features/batch-0.jsonl.gz')
  assert (row['pos_str'], row['neg_str']) == (HOSTILE[:10], HOSTILE[2:])


def test_a_datapoint_that_was_there_before_is_said_to_be():
  groups = (
    Group('Top Activations', None, (example(7, 2.0), example(9, 1.0))),
    Group('Subsample Interval 0', 1.0, (example(9, 1.0), example(8, 0.5))),
    Group('Bottom Activations', None, (example(7, 0.0), example(7, 0.0))),
  )
  found = anthropic.feature(feature(groups=groups), HOSTILE)
  repeated = [
    [e['is_repeated_datapoint'] for e in group['examples']]
    for group in found['examples_quantiles']
  ]
  assert repeated == [[0, 0], [1, 0], [1, 1]]


def test_rows_of_one_and_the_same_token_have_ids_of_their_own():
  twice = Group('Bottom Activations', None, (example(7, 0.0),) * 2)
  rows = neuronpedia.activations(SOURCE, feature(groups=(twice,)), HOSTILE)
  assert len({row['id'] for row in rows}) == 2


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_is_not_finite_is_refused_with_its_feature(tmp_path, bad):
  made = feature(17, raised_L=np.full(10, bad))
  for write in (
    lambda: anthropic.write(tmp_path / 'a', [made], HOSTILE),
    lambda: neuronpedia.write(tmp_path, SOURCE, [made], HOSTILE),
  ):
    with pytest.raises(ValueError, match='feature 17'):
      write()


def test_bulk_files_hold_256_features_each(tmp_path):
  made = (feature(3 * i) for i in range(600))
  neuronpedia.write(tmp_path, SOURCE, made, HOSTILE)
  for folder in ('features', 'activations'):
    found = [
      [int(row['index']) for row in lines(path)]
      for path in sorted((tmp_path / 'm/0-mlp-a1' / folder).iterdir())
    ]
    assert [len(rows) for rows in found] == [256, 256, 88]
    assert [*itertools.chain(*found)] == [3 * i for i in range(600)]


@pytest.mark.parametrize('form', ['anthropic', 'neuronpedia'])
def test_no_more_than_a_feature_is_held(tmp_path, form):
  alive: list[weakref.ref] = []

  def features():
    for i in range(20):
      assert sum(made() is not None for made in alive) <= 1
      made = feature(i)
      alive.append(weakref.ref(made))
      yield made
      del made

  if form == 'anthropic':
    anthropic.write(tmp_path / 'a', features(), HOSTILE)
  else:
    neuronpedia.write(tmp_path, SOURCE, features(), HOSTILE)
  assert len(alive) == 20
