"""Exports: field for field as published, and true of the run they are of."""

import dataclasses
import functools
import gzip
import itertools
import json
import pathlib
import shutil
import weakref

import jax.numpy as jnp
import numpy as np
import program
import pytest
import safetensors.numpy

from monosem_jax.config import choices, load as config
from monosem_jax.config.errors import UserError
from monosem_jax.interop import anthropic, neuronpedia
from monosem_jax.interop.feature import Effects, Example, Feature, Group
from monosem_jax.interop.neuronpedia_source import Source
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages.export import flags, formats
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text.store import TokenStore

T, F, A = 16, 48, 32
HOSTILE = [
  *('</script><script>alert(1)</script>', '\u202eright to left\u2066'),
  *('nul\x00', 'line\u2028separator', 'half\ud800', 'long' * 2_500, '\n'),
  *('"quoted\\', 'عرب', '\\xd8', ' ', ''),
]


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('export') / 'run'
  shutil.copytree(program.finished(), path)
  return path


def arguments(workdir: pathlib.Path, to: pathlib.Path, *more: str) -> list[str]:
  place = [f'--config={program.config()}', f'--workdir={workdir}']
  return ['export', *place, f'--to={to}', *more]


def run(workdir, to, *more) -> None:
  code, err = program.call(*arguments(workdir, to, *more))
  assert code == 0, err


@pytest.fixture(scope='module')
def published(workdir, tmp_path_factory) -> dict[int, dict]:
  """The features of A/1 in Anthropic's form, by number."""
  to = tmp_path_factory.mktemp('anthropic') / 'vis'
  run(workdir, to, '--format=anthropic')
  assert [p.name for p in to.iterdir()] == ['a1']
  found = {int(p.stem): strict(p.read_bytes()) for p in (to / 'a1').iterdir()}
  return dict(sorted(found.items()))


@pytest.fixture(scope='module')
def bulk(workdir, tmp_path_factory) -> pathlib.Path:
  """The folder of A/1 in Neuronpedia's form."""
  to = tmp_path_factory.mktemp('neuronpedia') / 'new' / 'exports'
  run(workdir, to, '--format=neuronpedia')
  [model] = to.iterdir()
  [source] = model.iterdir()
  return source


def strict(data: bytes) -> dict:
  """JSON that says nothing but JSON."""

  def refuse(word):
    raise AssertionError(f'{word} is not JSON')

  return json.loads(data.decode('ascii'), parse_constant=refuse)


def lines(path: pathlib.Path) -> list[dict]:
  data = path.read_bytes()
  data = gzip.decompress(data) if path.suffix == '.gz' else data
  return [strict(line) for line in data.splitlines()]


@functools.cache
def table() -> dict[str, np.ndarray]:
  path = program.finished() / 'features/A1/table.safetensors'
  return safetensors.numpy.load_file(path)


@functools.cache
def dictionary() -> dict[str, np.ndarray]:
  return safetensors.numpy.load_file(program.finished() / program.SAE)


@functools.cache
def store() -> TokenStore:
  return TokenStore.open(program.finished() / 'tokens/store')


@functools.cache
def vocabulary() -> list[str]:
  return store().tokenizer.token_strings()


def workdir_of(path: pathlib.Path) -> Workdir:
  return Workdir(path, config.load(str(program.config()), []))


@functools.cache
def transformer():
  return lm_stage.load(workdir_of(program.finished()), store(), 'A')


def close(found, wanted, **tolerance) -> None:
  """Equal but for the 4 digits that are kept."""
  tolerance = {'rtol': 6e-4, 'atol': 1e-12} | tolerance
  np.testing.assert_allclose(found, wanted, **tolerance)


# --- the fields


def check(value, wanted, where: str = '') -> None:
  """Checks names in their order, types, and lengths that are said.

  `wanted` is a type, a dict, [of each], or (how many, of each).
  """
  if isinstance(wanted, dict):
    assert list(value) == list(wanted), where
    for name, part in wanted.items():
      check(value[name], part, f'{where}.{name}')
  elif isinstance(wanted, list | tuple):
    assert isinstance(value, list), where
    assert isinstance(wanted, list) or len(value) == wanted[0], where
    for part in value:
      check(part, wanted[-1], f'{where}[]')
  elif wanted is float:
    assert isinstance(value, int | float) and not isinstance(value, bool), where
  else:
    assert type(value) is wanted, f'{where}: {value!r}'


def published_form(example: dict) -> dict:
  w = len(example['tokens_str_list'])
  return {
    'tokens_str_list': (w, str),
    'tokens_acts_list': (w, float),
    'train_token_ind': int,
    'is_repeated_datapoint': int,
    'datapoint_ind': int,
    'ablations': {
      'loss_ablation': (w, float),
      'top_logit_ablation_tokens_str': (5, (w, str)),
      'bottom_logit_ablation_tokens_str': (5, (w, str)),
      'top_logit_ablation_values': (5, (w, float)),
      'bottom_logit_ablation_values': (5, (w, float)),
      'residual_loss_ablation': (w, float),
    },
  }


def test_published_fields_are_there_in_their_order(published):
  names = [
    'Top Activations',
    *(f'Subsample Interval {k}' for k in range(11)),
    'Bottom Activations',
  ]
  lengths = set()
  for i, found in published.items():
    check(
      found,
      {
        'index': int,
        'act_buckets': (40, int),
        'act_bucket_edges': (41, float),
        'logit_buckets': (40, int),
        'logit_bucket_edges': (41, float),
        'examples_quantiles': [dict],
        'statistics': {
          'density_frac': float,
          'global_max_act': float,
          'abs_max_neuron_weights': (3, float),
          'abs_max_neuron_inds': (3, int),
          'l1_max_neuron_weights': (3, float),
        },
        'logit_effects': {'negatives': (10, list), 'positives': (10, list)},
      },
    )
    assert found['index'] == i
    for pair in itertools.chain(*found['logit_effects'].values()):
      assert [type(x) for x in pair] == [str, float]
    groups = found['examples_quantiles']
    had = [g['quantile_name'] for g in groups]
    # Either all, or of a sparse one the top alone.
    assert had in (names, names[:1])
    assert (had == names) == bool(table()['sampled_F'][i] >= 55)
    for group, most in zip(groups, (20, *[5] * 11, 20), strict=False):
      check(
        group,
        {'quantile_name': str, 'quantile_max_act': float, 'examples': list},
      )
      assert 1 <= len(group['examples']) <= most
      for example in group['examples']:
        check(example, published_form(example))
        own = example['train_token_ind']
        assert 0 <= own <= 4
        length = len(example['tokens_str_list'])
        assert own < length <= own + 5
        lengths.add(length)
  assert len(lengths) > 2  # cut windows, and whole ones
  assert max(lengths) == 9


def test_features_that_never_fired_have_no_published_file(published):
  (fired,) = np.nonzero(table()['fired_F'])
  assert list(published) == fired.tolist()
  assert len(fired) < F


def test_published_statistics_are_those_of_the_table_and_the_decoder(published):
  t, rows_FA = table(), dictionary()['W_dec'].astype(np.float64)
  for i, found in published.items():
    s = found['statistics']
    close(s['density_frac'], t['fired_F'][i] / 1_024)
    close(s['global_max_act'], t['max_F'][i])
    by_size = sorted(range(A), key=lambda a: -abs(rows_FA[i, a]))
    assert s['abs_max_neuron_inds'] == by_size[:3]
    close(s['abs_max_neuron_weights'], rows_FA[i, by_size[:3]])
    share = np.abs(rows_FA[i, by_size[:3]]) / np.abs(rows_FA[i]).sum()
    close(s['l1_max_neuron_weights'], share)
    assert found['act_buckets'] == t['histogram_FH'][i].tolist()
    assert sum(found['act_buckets']) == t['sampled_F'][i]
    edges = [t['sample_max_F'][i] * k / 40 for k in range(41)]
    close(found['act_bucket_edges'], edges)


def test_published_logits_are_the_direct_path(published):
  lm = transformer()
  array = lambda x: np.asarray(x[...], np.float64)
  rows_FD = dictionary()['W_dec'] @ array(lm.blocks[0].mlp.W_out_AD)
  rows_FD -= rows_FD.mean(1, keepdims=True)
  v_FV = rows_FD * array(lm.ln_f.w_D) @ array(lm.W_U_DV)
  v_FV -= np.median(v_FV, axis=1, keepdims=True)
  for i, found in published.items():
    order = np.argsort(v_FV[i])
    for name, ids in (
      ('positives', order[:-11:-1]),
      ('negatives', order[9::-1]),
    ):
      tokens, weights = zip(*found['logit_effects'][name], strict=True)
      # Both lists fall.
      assert list(weights) == sorted(weights, reverse=True)
      close(weights, v_FV[i, ids], rtol=2e-3, atol=1e-5)
      assert list(tokens) == [vocabulary()[v] for v in ids]
    edges = np.linspace(v_FV[i].min(), v_FV[i].max(), 41)
    close(found['logit_bucket_edges'], edges, rtol=2e-3, atol=1e-5)
    counts, _ = np.histogram(v_FV[i], edges)
    moved = np.abs(np.subtract(found['logit_buckets'], counts)).sum()
    assert moved <= 4 and sum(found['logit_buckets']) == len(vocabulary())


def of_examples(published):
  """(feature, group, example) of all."""
  for i, found in published.items():
    for group in found['examples_quantiles']:
      for example in group['examples']:
        yield i, group, example


def where(example: dict) -> tuple[int, np.ndarray]:
  """An example's context, and the positions of its window in it."""
  context, position = divmod(example['datapoint_ind'], T)
  first = position - example['train_token_ind']
  return context, first + np.arange(len(example['tokens_str_list']))


@functools.cache
def of_context(context: int) -> tuple[np.ndarray, np.ndarray]:
  """A context's tokens, and every feature's activations on it, f_TF."""
  tokens_T = store().tokens('train', np.array([context]))[0]
  x_TA = np.asarray(transformer()(jnp.asarray(tokens_T[None]))[1][0])
  d = dictionary()
  f_TF = np.maximum((x_TA - d['b_dec']) @ d['W_enc'] + d['b_enc'], 0)
  return tokens_T, f_TF


def test_published_examples_are_what_the_text_says(published):
  seen = {}
  for i, group, example in of_examples(published):
    context, at_w = where(example)
    tokens_T, f_TF = of_context(context)
    assert at_w[0] >= 0 and at_w[-1] < T
    words = [vocabulary()[v] for v in tokens_T[at_w]]
    assert example['tokens_str_list'] == words
    close(example['tokens_acts_list'], f_TF[at_w, i], rtol=2e-3, atol=1e-4)
    own = example['tokens_acts_list'][example['train_token_ind']]
    assert own <= group['quantile_max_act']
    if group['quantile_name'].startswith('Bottom'):
      assert own == 0
    repeated = example['datapoint_ind'] in seen.setdefault(i, set())
    assert example['is_repeated_datapoint'] == int(repeated)
    seen[i].add(example['datapoint_ind'])
  for found in published.values():
    for group in found['examples_quantiles']:
      own = [
        e['tokens_acts_list'][e['train_token_ind']] for e in group['examples']
      ]
      assert own == sorted(own, reverse=True)
      assert own[0] == group['quantile_max_act']


# --- ablations


def losses_and_logits(context: int, change=None):
  """Of a whole pass: the loss of each token (0 of the first), and logits."""
  tokens_T = store().tokens('train', np.array([context]))[0]
  logits_TV = np.asarray(
    transformer()(jnp.asarray(tokens_T[None]), change)[0][0], np.float64
  )
  log_p_TV = logits_TV - np.log(np.exp(logits_TV).sum(1, keepdims=True))
  loss_T = np.zeros(T)
  loss_T[1:] = -log_p_TV[np.arange(T - 1), tokens_T[1:]]
  return loss_T, logits_TV


def test_published_ablations_are_those_of_a_whole_pass(published):
  """x - f d at every position; positive where the feature helped."""
  d, effects, helped = dictionary(), 0, 0
  most = sorted(published, key=lambda i: -table()['fired_F'][i])
  for i in [*most[:3], most[len(most) // 2], most[-1]]:
    row_A = jnp.asarray(d['W_dec'][i])

    def without(x_BTA, i=i, row_A=row_A):
      f_BT = (x_BTA - d['b_dec']) @ d['W_enc'][:, i] + d['b_enc'][i]
      return x_BTA - jnp.maximum(f_BT, 0)[..., None] * row_A

    for _, _, example in of_examples({i: published[i]}):
      context, at_w = where(example)
      loss_T, logits_TV = losses_and_logits(context)
      bare_T, bare_TV = losses_and_logits(context, without)
      found = example['ablations']
      rise_w = (bare_T - loss_T)[at_w]
      close(found['loss_ablation'], rise_w, rtol=5e-3, atol=2e-4)
      helped += sum(x > 0.01 for x in found['loss_ablation'])
      for w, at in enumerate(at_w):
        change_V = (bare_TV - logits_TV)[at - 1] if at else np.zeros(1)
        fires = np.abs(change_V).max() > 0
        for way, sign in (('top', -1), ('bottom', 1)):
          words = [x[w] for x in found[f'{way}_logit_ablation_tokens_str']]
          values = [x[w] for x in found[f'{way}_logit_ablation_values']]
          if not fires:
            assert (words, values) == (vocabulary()[:5], [0] * 5)
            continue
          effects += 1
          largest = np.sort(sign * change_V)[:5] * sign
          close(values, largest, rtol=5e-3, atol=2e-4)
          own = [change_V[vocabulary().index(word)] for word in words]
          close(own, values, rtol=5e-3, atol=2e-4)
  assert effects > 200 and helped > 5


def test_published_residuals_are_those_of_the_reconstruction(published):
  d = dictionary()

  def reconstruct(x_BTA):
    f_BTF = jnp.maximum((x_BTA - d['b_dec']) @ d['W_enc'] + d['b_enc'], 0)
    return f_BTF @ d['W_dec'] + d['b_dec']

  rise, firsts = {}, 0
  for _, _, example in of_examples(published):
    context, at_w = where(example)
    if context not in rise:
      loss_T = losses_and_logits(context)[0]
      rise[context] = losses_and_logits(context, reconstruct)[0] - loss_T
    residual_w = example['ablations']['residual_loss_ablation']
    close(residual_w, rise[context][at_w], rtol=5e-3, atol=5e-4)
    firsts += at_w[0] == 0
  assert firsts  # of a context's first token it is 0, and not NaN


def test_neurons_are_published_as_features_are(workdir, tmp_path):
  to = tmp_path / 'vis'
  run(workdir, to, '--format=anthropic', '--run=A/neurons', '--features=0-7')
  found = [strict(p.read_bytes()) for p in (to / 'aneurons').iterdir()]
  assert found
  for feature in found:
    # The decoder row of a neuron is the neuron.
    assert feature['statistics']['abs_max_neuron_inds'][0] == feature['index']
    assert feature['statistics']['l1_max_neuron_weights'] == [1.0, 0, 0]
    for _, _, example in of_examples({0: feature}):
      residual_w = example['ablations']['residual_loss_ablation']
      assert not any(residual_w)  # nothing is left unexplained


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


# --- features that no run has


def example(datapoint: int, act: float = 1.0, tokens=(1, 2, 3)) -> Example:
  tokens_W = np.array(tokens)
  acts_W = np.zeros(len(tokens))
  acts_W[1] = act
  zero_Wk = np.zeros((len(tokens), 5))
  ids_Wk = np.tile(np.arange(5), (len(tokens), 1))
  return Example(
    tokens_W=tokens_W,
    acts_W=acts_W,
    own=1,
    datapoint=datapoint,
    effects=Effects(zero_Wk[:, 0], ids_Wk, zero_Wk, ids_Wk, zero_Wk),
    residual_W=np.zeros(len(tokens)),
  )


def feature(index: int = 0, **changes) -> Feature:
  ids_L, weights_L = np.arange(10), np.linspace(2, 1, 10)
  made = Feature(
    index=index,
    density=0.25,
    max=1.0,
    sample_max=1.0,
    histogram_H=np.ones(40, np.int64),
    raised_ids_L=ids_L,
    raised_L=weights_L,
    lowered_ids_L=ids_L,
    lowered_L=-weights_L,
    logit_histogram_H=np.ones(40, np.int64),
    logit_range_2=np.array([-2.0, 2.0]),
    row_A=np.array([0.6, 0.0, -0.8]),
    neurons_n=np.zeros(0, np.int64),
    neurons_r_n=np.zeros(0),
    neurons_cosine_n=np.zeros(0),
    groups=(Group('Top Activations', None, (example(7),)),),
  )
  return dataclasses.replace(made, **changes)


SOURCE = Source(
  model='m',
  layers=1,
  width=2,
  neurons=3,
  source_set='mlp-a1',
  layer=0,
  hook=None,
  release='r',
  description='d',
  saelens='{}',
  dataset='t',
  contexts=1,
  context=3,
  created='2026-01-01T00:00:00.000Z',
)


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


# --- what is chosen, and what is refused


def test_chosen_features_alone_are_written(workdir, tmp_path, published):
  to = tmp_path / 'some'
  to.mkdir()  # empty
  chosen = '--features=3, 17,20-22,3,21'
  run(workdir, to, '--format=anthropic', '--run=A/1', chosen)
  found = {int(p.stem): strict(p.read_bytes()) for p in to.rglob('*.json')}
  wanted = [i for i in (3, 17, 20, 21, 22) if i in published]
  assert found == {i: published[i] for i in wanted}
  assert len(wanted) >= 4
  assert [p.name for p in tmp_path.iterdir()] == ['some']


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('48', '0 to 47'),
    ('0-999999999999999', '0 to 47'),
    *((x, repr(x)) for x in ('5-3', 'x', '-1', '1-2-3', '²', '1.0')),
    *(('3,,4', "''"), (',', "''")),
  ],
)
def test_features_that_are_none_are_named(text, said):
  with pytest.raises(UserError, match='--features') as e:
    flags.features(text, F)
  assert said in str(e.value)


@pytest.mark.parametrize(
  ('more', 'said'),
  [
    ([], ['--format', 'anthropic', 'neuronpedia']),
    (['--format=neuropedia'], ['neuropedia', "'neuronpedia'"]),
    (['--format=anthropic', '--run=A/2'], ['A/2', 'A/1']),
    (['--format=anthropic', '--run=A1'], ["'A1'", 'A/1']),
    (['--format=anthropic', '--features=99'], ['99', '0 to 47']),
    (['--format=anthropic', '--to='], ['--to']),
    (
      [
        *('--format=anthropic', '--run=A/random'),
        "--config.analysis.controls=('neurons', 'random')",
      ],
      ['A/random', 'ablations', '--format=neuronpedia'],
    ),
  ],
)
def test_a_wrong_flag_is_refused_and_nothing_written(
  workdir, tmp_path, more, said
):
  message = program.refusal(*arguments(workdir, tmp_path / 'out', *more))
  for words in said:
    assert words in message
  assert not any(tmp_path.iterdir())


def test_flags_of_an_export_are_no_other_stages():
  message = program.refusal(
    'site', f'--config={program.config()}', '--workdir=x', '--format=anthropic'
  )
  assert '--format' in message and 'export' in message


def test_what_is_in_the_way_is_left_alone(workdir, tmp_path):
  to = tmp_path / 'out'
  call = lambda: program.refusal(*arguments(workdir, to, '--format=anthropic'))
  for name, said in (
    ('out', 'file'),
    ('out/mine.txt', 'not empty'),
    ('out.new/mine.txt', 'out.new'),
    ('out.old/mine.txt', 'out.old'),
  ):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('mine')
    assert said in call()
    assert path.read_text() == 'mine'
    path.unlink()
    if path.parent != tmp_path:
      path.parent.rmdir()
  assert not any(tmp_path.iterdir())


def test_features_that_never_fired_cannot_be_published(workdir, tmp_path):
  (silent,) = np.nonzero(table()['fired_F'] == 0)
  message = program.refusal(
    *arguments(workdir, tmp_path / 'out', '--format=anthropic'),
    f'--features={silent[0]}',
  )
  assert 'fired' in message
  assert not any(tmp_path.iterdir())


@pytest.fixture
def changed(workdir, tmp_path) -> pathlib.Path:
  """A work directory that a test may change."""
  return shutil.copytree(workdir, tmp_path / 'changed')


@pytest.mark.parametrize(
  'gone', ['', 'numbers.json', 'A1.npz', 'A1_residual.npz']
)
def test_published_form_needs_ablations_and_bulk_does_not(
  changed, tmp_path, gone
):
  path = changed / 'analysis/ablation' / gone
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  to = tmp_path / 'out'
  message = program.refusal(*arguments(changed, to, '--format=anthropic'))
  assert 'monosem analysis --only=ablation' in message
  assert not to.exists()
  run(changed, to, '--format=neuronpedia')
  [path] = to.rglob('activations/*.gz')
  had = {bool(row['lossValues']) for row in lines(path)}
  assert had == {gone == 'A1_residual.npz'}


def test_bulk_goes_without_correlated_neurons(changed, tmp_path):
  shutil.rmtree(changed / 'analysis/neurons')
  run(changed, tmp_path / 'out', '--format=neuronpedia')
  [path] = (tmp_path / 'out').rglob('features/*.gz')
  for row in lines(path):
    assert row['correlated_neurons_indices'] == []
    assert row['correlated_neurons_l1'] == []


def test_results_of_another_dictionary_are_refused(changed, tmp_path):
  path = changed / program.SAE
  tensors = safetensors.numpy.load_file(path)
  tensors['b_enc'] = tensors['b_enc'] + 1
  safetensors.numpy.save_file(tensors, path)
  for form in choices.names(formats.__name__):
    message = program.refusal(
      *arguments(changed, tmp_path / 'out.html', f'--format={form}')
    )
    assert 'features/A1' in message and 'another dictionary' in message


def test_ablations_of_another_table_are_refused(changed, tmp_path):
  stamp = changed / 'features/A1/stamp.json'
  stamp.write_text(stamp.read_text() + '\n')
  message = program.refusal(
    *arguments(changed, tmp_path / 'out', '--format=anthropic')
  )
  assert 'analysis/ablation' in message and '--only=ablation' in message


def test_a_broken_analysis_is_named(changed, tmp_path):
  path = changed / 'analysis/ablation/A1.npz'
  path.write_bytes(path.read_bytes()[:1_000])
  message = program.refusal(
    *arguments(changed, tmp_path / 'out', '--format=anthropic')
  )
  assert 'ablation/A1.npz' in message and 'not whole' in message


@pytest.mark.parametrize('form', ['anthropic', 'neuronpedia'])
def test_a_full_disk_is_one_line_and_leaves_nothing(
  workdir, tmp_path, monkeypatch, form
):
  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(pathlib.Path, 'write_bytes', full)
  code, err = program.call(
    *arguments(workdir, tmp_path / 'out', f'--format={form}')
  )
  *progress, message = err.splitlines()
  assert code == 2
  assert all(line.startswith('export/A1') for line in progress)
  assert f'error: disk full: {tmp_path / "out"}' in message
  assert not any(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(workdir, tmp_path):
  (tmp_path / 'file').write_text('mine')
  message = program.refusal(
    *arguments(workdir, tmp_path / 'file/out', '--format=neuronpedia')
  )
  assert 'file/out' in message
