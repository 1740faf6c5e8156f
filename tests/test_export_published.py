"""Exports in Anthropic's form: fields as published, and true of the run."""

import functools
import itertools
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import program
import pytest
from exported import (
  A,
  F,
  T,
  check,
  close,
  dictionary,
  exported_features,
  of_examples,
  run,
  store,
  strict,
  table,
  transformer,
  vocabulary,
  where,
)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('export') / 'run'
  shutil.copytree(program.finished(), path)
  return path


@pytest.fixture
def published() -> dict[int, dict]:
  """The features of A/1 in Anthropic's form, by number."""
  return exported_features()


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
