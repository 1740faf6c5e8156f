"""What the stage `analysis` leaves, on two models."""

import re

import numpy as np
import pytest
from PIL import Image
from two_models import arrays, finished, numbers, strict, table

from monosem_jax.analysis.results.numbers import NotMade
from monosem_jax.run.files import read_tensors
from monosem_jax.stages.analysis.declaration import analyses
from monosem_jax.text.store import TokenStore

RUNS = (
  *('A/0', 'A/1', 'B/1', 'S/1'),
  *('A/neurons', 'A/random', 'A/pca', 'A/ica', 'B/neurons', 'S/neurons'),
)


@pytest.mark.parametrize('name', analyses())
def test_every_analysis_leaves_numbers_tables_and_pictures(name):
  folder = finished() / 'analysis' / name
  assert 'not_here' not in numbers(name), numbers(name)
  if 'runs' in numbers(name) and name != 'universality':
    own = set(numbers(name)['runs'])
    assert own <= set(RUNS)
    assert {'A/1', 'A/neurons'} <= own
  pictures = list(folder.glob('*.png'))
  assert pictures
  for path in pictures:
    with Image.open(path) as image:
      assert min(image.size) > 300
      low, high = image.convert('L').getextrema()
      assert (low, high) != (255, 255), f'{path} is blank'
  if name not in ('steering', 'preserved'):
    assert list(folder.glob('*.npz'))
  for path in folder.glob('*.npz'):
    with np.load(path, allow_pickle=False) as columns:
      assert columns.files


@pytest.mark.parametrize('name', analyses())
def test_numbers_are_typed_and_written_as_they_were_read(name, tmp_path):
  folder = finished() / 'analysis' / name
  found = analyses()[name].numbers.load(folder)
  assert not isinstance(found, NotMade)
  found.save(tmp_path)
  written, path = tmp_path / 'numbers.json', folder / 'numbers.json'
  assert written.read_bytes() == path.read_bytes()


def test_the_report_has_a_row_for_every_run_and_the_scorecard():
  report = strict(finished() / 'report.json')['analysis']
  assert tuple(report['runs']) == RUNS
  text = (finished() / 'report.md').read_text()
  for run_ in RUNS:
    assert f'| {run_} |' in text
  rows = {row['what']: row for row in report['scorecard']}
  assert rows['loss recovered']['paper'] == 0.79
  own = numbers('preserved')['runs']['A/1']['loss_recovered']
  assert rows['loss recovered']['run'] == own
  for row in rows.values():
    assert (row['run'] is None) == bool(row['why']), row
  assert (
    'absent from this corpus'
    in rows['Arabic feature: correlation with its proxy']['why']
  )
  assert 'too few for densities' in rows['ultralow-density features']['why']
  assert (
    'A/1, with 48 features' in rows['loss recovered, 131,072 features']['why']
  )


def test_every_analysis_has_a_section_of_the_report():
  text = (finished() / 'report.md').read_text()
  for name, section in analyses().items():
    _, _, told = text.partition(f'### {section.title}\n')
    told = told.partition('\n### ')[0]
    assert section.question in told, name
    if 'not_here' in numbers(name):
      assert numbers(name)['not_here'] in told
      continue
    # An answer, in which numbers stand, and a picture that is there.
    assert len(re.findall(r'\d', told)) > 3, told
    linked = re.findall(r'\]\((analysis/[^)]*)\)', told)
    for path in linked:
      assert (finished() / path).exists(), path
    assert any(path.endswith('.png') for path in linked), name
    # More of it is on the page, or on pages of its own.
    pages = [path for path in linked if path.endswith('.md')]
    assert pages or '](site/index.html#' in told, name


def test_controls_fire_as_they_should():
  preserved, density = numbers('preserved')['runs'], numbers('density')['runs']
  tables = {name: table(name) for name in ('A1', 'A_random', 'A_neurons')}
  for name, run_ in (('A1', 'A/1'), ('A_random', 'A/random')):
    l0 = tables[name].fired_F.sum() / tables[name].meta['tokens']
    assert density[run_]['l0'] == pytest.approx(l0)
  np.testing.assert_allclose(
    tables['A_random'].density_F, tables['A1'].density_F, atol=0.08
  )
  assert tables['A_neurons'].meta['features'] == 32
  # A decoder row of one neuron, and that neuron is the nearest one.
  own = numbers('neurons')['runs']['A/neurons']
  assert own['median_coefficients'] == 1
  evaluation = strict(
    finished() / 'dictionaries' / 'A1' / 'evaluation' / 'numbers.json'
  )
  for key in ('l0', 'loss_recovered', 'explained_variance'):
    assert preserved['A/1'][key] == pytest.approx(evaluation[key], rel=1e-3)


def test_baselines_have_as_many_numbers_a_token_as_the_main_dictionary():
  preserved = numbers('preserved')['runs']
  matched = numbers('preserved')['matched']
  k = matched['k']
  assert matched['to'] == 'A/1'
  assert matched['l0'] == pytest.approx(preserved['A/1']['l0'], rel=1e-3)
  assert k == round(matched['l0'])
  for run_ in ('A/neurons', 'B/neurons', 'S/neurons', 'A/pca', 'A/ica'):
    assert preserved[run_]['what'].startswith(f'{k} ')
    # A token has fewer only where fewer than k neurons are on.
    assert preserved[run_]['l0'] == pytest.approx(k, abs=0.1)
    assert preserved[run_]['l0'] <= k
  about_means = numbers('preserved')['about_means']
  assert set(about_means) == {'A/neurons', 'B/neurons', 'S/neurons'}
  for own in about_means.values():
    assert own['l0'] == pytest.approx(k, abs=0.01)
    low, high = own['explained_variance_interval']
    assert low < own['explained_variance'] < high
  assert preserved['A/ica']['passes'] == 5
  assert 0 < preserved['A/ica']['components'] <= 32
  assert preserved['A/random']['l0'] == pytest.approx(matched['l0'], rel=0.3)
  assert 'refitted on 512 activations' in preserved['A/random']['what']
  # Of k directions the leading ones tell most of the variance.
  assert (
    preserved['A/pca']['explained_variance']
    > preserved['A/neurons']['explained_variance']
  )
  for run_ in ('A/0', 'A/neurons', 'A/random'):
    margin = preserved[run_]['margin']
    want = preserved['A/1']['loss_recovered']
    want -= preserved[run_]['loss_recovered']
    assert margin == pytest.approx(want, abs=1e-6)
  for own in preserved.values():
    assert 2 <= own['groups'] <= 64
    for key in ('l0', 'explained_variance', 'loss_recovered'):
      if own[f'{key}_interval'] is None:
        assert own[f'{key}_reason'], key
      else:
        low, high = own[f'{key}_interval']
        assert low <= own[key] <= high, key
    assert (own['loss_recovered'] is None) <= bool(own['loss_recovered_reason'])


def test_the_other_model_and_the_larger_dictionary_are_found():
  found = numbers('universality')['pairs']
  assert {k: (v['of'], v['with']) for k, v in found.items()} == {
    'features': ('A/1', 'B/1'),
    'neurons': ('A/neurons', 'B/neurons'),
    'own neurons': ('A/1', 'A/neurons'),
    'random directions': ('A/random', 'B/1'),
    'shuffled weights': ('A/1', 'S/1'),
  }
  for pair in found.values():
    live, firing = pair['sets']['live'], pair['sets']['firing']
    assert live['n'] == pair['count'] <= firing['n'] + firing['without']
    assert pair['median'] == live['median_activation']
  assert numbers('splitting')['dictionaries'] == ['A/0', 'A/1']
  for start in numbers('splitting')['most']:
    for run_ in ('A/0', 'A/1'):
      counts = list(start['counts'][run_].values())
      assert counts == sorted(counts, reverse=True)
      assert start['children'][run_] == counts[-1]
      assert start['reached'][run_] == counts[0]
  assert numbers('geometry')['layouts']['small'] == ['A/0', 'A/1']
  trust = numbers('geometry')['trustworthiness']['small']
  assert trust['value'] > trust['random_layout']['mean']
  assert numbers('geometry')['agreement']['random_dictionary']['of'] == (
    'A/random'
  )
  assert [h['step'] for h in numbers('density')['history']['A/1']] == [
    *(4, 8, 16, 32),
  ]


def test_neighbours_are_of_all_dictionaries_on_the_same_activations():
  unit = {}
  for name in ('A0', 'A1'):
    folder = finished() / 'dictionaries' / name
    rows = read_tensors(folder / 'sae_weights.safetensors')['W_dec'].astype(
      float
    )
    unit[name] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
  found = arrays('neighbours/A0.npz')
  assert set(found) == {
    f'{name}_{x}_Fk' for name in unit for x in ('index', 'cosine')
  }
  fired = {name: table(name).fired_F > 0 for name in unit}
  for name, on in fired.items():
    index, cosine = (found[f'{name}_{x}_Fk'] for x in ('index', 'cosine'))
    assert index.shape == cosine.shape == (24, 5)
    for i in np.flatnonzero(fired['A0']):
      own = unit[name] @ unit['A0'][i]
      own[~on] = -2
      if name == 'A0':
        own[i] = -2
      np.testing.assert_allclose(cosine[i], np.sort(own)[::-1][:5], atol=1e-5)
      np.testing.assert_allclose(own[index[i]], cosine[i], atol=1e-5)
  assert set(arrays('neighbours/B1.npz')) == {'B1_index_Fk', 'B1_cosine_Fk'}
  median = np.median(found['A1_cosine_Fk'][fired['A0'], 0])
  assert numbers('neighbours')['median']['A/0']['A/1'] == pytest.approx(median)


def test_texts_are_held_out_and_of_one_document_each():
  store = TokenStore.open(finished() / 'tokens' / 'store')
  shown, found = arrays('texts/texts.npz'), numbers('texts')
  X = len(shown['context_X'])
  assert X == len(found['texts']) == min(25, store.n_contexts('val'))
  np.testing.assert_array_equal(
    shown['tokens_XT'], store.tokens('val', shown['context_X'])
  )
  index_X = store.stream_index('val', shown['context_X'])
  for x, text in enumerate(found['texts']):
    places = [store.locate('val', index_X[x], t) for t in range(16)]
    assert text['origin'] == places[8].origin
    assert text['subset'] == places[8].subset
    assert text['subset'] == store.subset_names[shown['subset_X'][x]]
    assert text['whole'] == (len({p.document for p in places}) == 1)
    if text['whole']:
      assert text['offset'] == places[0].offset
  # Each model has its own loss on them, and each dictionary its features.
  a, b = arrays('texts/A1.npz'), arrays('texts/B1.npz')
  np.testing.assert_array_equal(a['loss_XT'], shown['loss_XT'])
  assert np.isnan(a['loss_XT'][:, 0]).all()
  assert np.abs(a['loss_XT'] - b['loss_XT'])[:, 1:].max() > 1e-3
  l0 = numbers('preserved')['runs']['A/1']['l0']
  assert found['runs']['A/1']['active'] == a['active_XT'].mean()
  assert a['active_XT'].mean() == pytest.approx(l0, rel=0.2)
  more = (a['active_XT'] > 32).sum()
  assert found['runs']['A/1']['overflowing_tokens'] == more
  shown_XT = (a['feature_XTL'] >= 0).sum(-1)
  np.testing.assert_array_equal(shown_XT, np.minimum(a['active_XT'], 32))
  assert (arrays('texts/A_neurons.npz')['feature_XTL'] < 32).all()


def test_twins_are_the_nearest_of_every_feature_both_ways():
  twins, pairs = (
    arrays('universality/twins.npz'),
    arrays('universality/pairs.npz'),
  )
  own = pairs['feature_M']
  np.testing.assert_array_equal(twins['match_F'][own], pairs['match_M'])
  np.testing.assert_array_equal(twins['r_F'][own], pairs['activation_M'])
  assert len(twins['back_match_F']) == len(twins['match_F']) == 48
  for way in ('', 'back_'):
    none = twins[f'{way}match_F'] < 0
    np.testing.assert_array_equal(np.isnan(twins[f'{way}r_F']), none)
  # Where they were looked for, nothing is nearer to a feature than what is
  # nearest to it; that is not so on the other half of the documents.
  np.testing.assert_array_equal(twins['found_F'][own], pairs['found_M'])
  back_M = twins['back_found_F'][pairs['match_M']]
  back_M, found_M = (x[np.isfinite(back_M)] for x in (back_M, pairs['found_M']))
  assert (back_M >= found_M).all()
  assert (back_M == found_M).any()
  assert (pairs['activation_M'] != pairs['found_M']).any()


def test_the_residual_is_of_all_contexts_of_examples():
  found, t = arrays('ablation/A1_residual.npz'), table('A1')
  there = t.example_stop_FE > 0
  np.testing.assert_array_equal(
    found['context_C'], np.unique(t.example_context_FE[there])
  )
  rest = found['residual_CT'][:, 1:].astype(float)
  assert np.isfinite(rest).all()
  mean = numbers('ablation')['runs']['A/1']['residual_loss']
  assert mean == pytest.approx(rest.mean())
  # What the evaluation says of the dictionary, on other tokens.
  own = numbers('preserved')['runs']['A/1']
  change = own['loss_reconstructed'] - own['loss_clean']
  assert mean == pytest.approx(change, rel=0.3, abs=0.02)
  # Neurons leave nothing.
  folder = finished() / 'analysis' / 'ablation'
  assert not (folder / 'A_neurons_residual.npz').exists()
  columns = arrays('neurons/A1.npz')
  np.testing.assert_array_equal(columns['neuron_F'], columns['neuron_F3'][:, 0])
  np.testing.assert_array_equal(
    columns['neuron_r_F'], columns['neuron_r_F3'][:, 0]
  )
