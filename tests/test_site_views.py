"""What the page's other views hold, from what analyses leave."""

import pathlib

import analysed
import numpy as np
import pytest

from monosem_jax.analysis.results.features import ExampleTexts, Text
from monosem_jax.analysis.results.geometry import Geometry
from monosem_jax.analysis.results.numbers import NotMade
from monosem_jax.analysis.results.splitting import Splitting, Step, Summary
from monosem_jax.analysis.results.universality import (
  Comparison,
  Listed,
  Universality,
)
from monosem_jax.site import pack, views

KEYS = ['A1', 'A2', 'B1']


@pytest.fixture
def analysis(tmp_path) -> pathlib.Path:
  return tmp_path / 'analysis'


def halves(column: np.ndarray) -> list[float]:
  assert column.dtype == np.float16
  return column.astype(float).round(3).tolist()


def made(analysis: pathlib.Path, name: str, keys=KEYS) -> views.Pack:
  """One of the packs that the views are made of."""
  return views.packs(analysis.joinpath, keys)[name]


def maps(analysis: pathlib.Path) -> list[str]:
  found = views.packs(analysis.joinpath, KEYS)
  return [name for name in found if name.startswith('map/')]


def test_what_is_not_made_is_not_shown(analysis):
  assert views.packs(analysis.joinpath, KEYS) == {}


def test_what_can_not_be_made_is_not_shown(analysis):
  for name in ('texts', 'geometry', 'splitting', 'universality', 'automata'):
    NotMade('one size only').save(analysis / name)
  assert views.packs(analysis.joinpath, KEYS) == {}


# Texts


def test_texts_say_whence_they_are_but_name_no_file(analysis):
  analysed.leave(analysis, 'texts/texts', tokens_XT=[[3, 4], [5, 6]])
  text = Text(8, 'Books', '/home/me/b.txt', 7, -1, whole=False)
  numbers = analysed.blank(ExampleTexts, texts=[text, text])
  numbers.save(analysis / 'texts')
  meta, columns = made(analysis, 'texts')
  kept = {'subset': 'Books', 'document': 7, 'offset': -1, 'whole': False}
  assert meta == [kept, kept]
  assert columns['tokens'].tolist() == [[3, 4], [5, 6]]


def test_the_features_of_a_text_stand_token_after_token(analysis):
  analysed.leave(
    analysis,
    'texts/A1',
    feature_XTL=[[[5, 2, -1], [-1, -1, -1]], [[7, -1, -1], [0, 1, 2]]],
    activation_XTL=[
      [[0.5, 0.25, 9], [9, 9, 9]],
      [[2, 9, 9], [0.75, 0.5, 0.125]],
    ],
    attribution_XTL=[[[1, -1, 9], [9, 9, 9]], [[-2, 9, 9], [3, 0, -3]]],
    active_XT=[[2, 0], [1, 40]],
    loss_XT=[[np.nan, 2], [np.nan, 0.5]],
  )
  meta, columns = made(analysis, 'A1/texts')
  assert meta is None
  # Text 0 has two tokens, with 2 and 0 features; text 1 with 1 and 3.
  assert columns['of'].tolist() == [0, 2, 2, 3, 6]
  assert columns['feature'].tolist() == [5, 2, 7, 0, 1, 2]
  np.testing.assert_array_equal(
    halves(columns['loss']), [[np.nan, 2], [np.nan, 0.5]]
  )
  assert halves(columns['activation']) == [0.5, 0.25, 2, 0.75, 0.5, 0.125]
  assert halves(columns['attribution']) == [1, -1, -2, 3, 0, -3]
  # More may be active than are kept.
  assert columns['active'].tolist() == [2, 0, 1, 40]


# Maps


def laid_out(analysis: pathlib.Path, **layouts: list[str]) -> None:
  analysed.blank(Geometry, layouts=layouts).save(analysis / 'geometry')


def test_a_map_fills_the_square_and_says_how_wide_it_was(analysis):
  laid_out(analysis, small=['A/2', 'A/1'])
  analysed.leave(
    analysis,
    'geometry/small',
    position_F2=np.float32([[-2, 1], [0, 0], [6, 0.5]]),
    dictionary_F=[0, 0, 1],
    feature_F=[3, 4, 9],
    cluster_F=[-1, 0, 0],
    order_F=[2, 1, 0],
  )
  assert maps(analysis) == ['map/small']
  meta, columns = made(analysis, 'map/small')
  # Sets by their numbers in KEYS, in the order of the layout.
  assert meta == {'sets': [1, 0], 'extent': [8.0, 1.0]}
  # A quarter of 65,535 is 16,383.75.
  expected = [[0, 65_535], [16_384, 0], [65_535, 32_768]]
  assert columns['position'].tolist() == expected
  assert columns['position'].dtype == np.uint16
  assert columns['set'].tolist() == [1, 1, 0]
  assert columns['feature'].tolist() == [3, 4, 9]
  assert columns['cluster'].tolist() == [-1, 0, 0]
  assert columns['order'].tolist() == [2, 1, 0]


def test_a_map_without_clusters_has_no_order(analysis):
  laid_out(analysis, large=['A/1'])
  analysed.leave(
    analysis,
    'geometry/large',
    # All on a line: no division by its height.
    position_F2=np.float32([[0, 3], [1, 3]]),
    dictionary_F=[0, 0],
    feature_F=[0, 1],
  )
  _, columns = made(analysis, 'map/large')
  assert set(columns) == {'position', 'set', 'feature'}
  assert columns['position'].tolist() == [[0, 0], [65_535, 0]]


def test_a_map_of_a_set_that_is_not_shown_is_left_out(analysis):
  layouts = {'small': ['A/1'], 'large': ['A/1', 'A/9']}
  laid_out(analysis, **layouts)
  for name in layouts:
    analysed.leave(
      analysis,
      f'geometry/{name}',
      position_F2=np.float32([[0, 0], [1, 1]]),
      dictionary_F=[0, 0],
      feature_F=[0, 1],
    )
  assert maps(analysis) == ['map/small']


# Splitting


def split(analysis: pathlib.Path, dictionaries: list[str], steps=()) -> None:
  analysed.blank(
    Splitting,
    dictionaries=dictionaries,
    threshold=0.4,
    tokens=1_000,
    steps=list(steps),
    components=3,
    largest=[4, 2, 1],
  ).save(analysis / 'splitting')


def test_splitting_holds_all_edges_from_size_to_size(analysis):
  counts = {'splits': 1, 'one_to_one': 1, 'merges': 0, 'without': 2, 'new': 0}
  steps = [{'from': 'A/1', 'to': 'A/2', **counts}]
  step = Step('A/1', 'A/2', Summary(**counts))
  split(analysis, ['A/1', 'A/2'], [step])
  analysed.leave(
    analysis,
    'splitting/A1_A2',
    source_M=[4, 0, 4, 4],
    target_M=[1, 2, 3, 0],
    similarity_M=np.float32([0.5, 0.625, 0.875, 0.75]),
  )
  meta, columns = made(analysis, 'splitting')
  assert meta['sets'] == [0, 1]
  assert meta['steps'] == steps
  assert (meta['threshold'], meta['largest']) == (0.4, [4, 2, 1])
  assert set(columns) == {'source0', 'target0', 'value0'}
  # By source, then the most alike first.
  assert columns['source0'].tolist() == [0, 4, 4, 4]
  assert columns['target0'].tolist() == [2, 3, 0, 1]
  assert halves(columns['value0']) == [0.625, 0.875, 0.75, 0.5]


def test_splitting_numbers_its_steps_from_small_to_large(analysis):
  keys = ['A1', 'A0', 'A2']
  runs = ['A/0', 'A/1', 'A/2']
  split(analysis, runs)
  for k, name in enumerate(('A0_A1', 'A1_A2')):
    analysed.leave(
      analysis,
      f'splitting/{name}',
      source_M=[k],
      target_M=[10 + k],
      similarity_M=[0.5],
    )
  meta, columns = made(analysis, 'splitting', keys)
  assert meta['sets'] == [1, 0, 2]
  assert [columns[f'target{k}'].tolist() for k in (0, 1)] == [[10], [11]]


@pytest.mark.parametrize('missing', ['set', 'edges'])
def test_splitting_that_is_not_whole_is_left_out(analysis, missing):
  last = 'A/9' if missing == 'set' else 'A/2'
  split(analysis, ['A/1', last])
  assert 'splitting' not in views.packs(analysis.joinpath, KEYS)


# Universality


def test_universality_holds_pairs_and_medians(analysis):
  pair = {'of': 'A/1', 'with': 'B/1', 'median': 0.5, 'count': 2, 'paper': 0.72}
  neurons = pair | {'of': 'A/neurons', 'with': 'B/neurons', 'paper': 0.46}
  listed = analysed.blank(
    Listed, logits_follow_activation=0.25, attribution_follows_activation=None
  )

  def compared(of: dict, listed: Listed | None) -> Comparison:
    own = {k: of[k] for k in ('median', 'count', 'paper')}
    own |= {'name': of['of'], 'other': of['with'], 'listed': listed}
    return analysed.blank(Comparison, **own)

  analysed.blank(
    Universality,
    pairs={
      'features': compared(pair, listed),
      'neurons': compared(neurons, None),
    },
    tokens=99,
  ).save(analysis / 'universality')
  analysed.leave(
    analysis,
    'universality/pairs',
    feature_M=[3, 8],
    match_M=[1, 1],
    activation_M=np.float32([0.75, 0.25]),
    logits_M=np.float32([-0.5, np.nan]),
    attribution_M=np.float32([0.5, 0.125]),
  )
  meta, columns = made(analysis, 'universality')
  assert meta == {
    'sets': [0, 2],
    'tokens': 99,
    'medians': {'features': pair, 'neurons': neurons},
    'follow': {'logits': 0.25, 'attribution': None},
  }
  assert columns['feature'].tolist() == [3, 8]
  assert columns['match'].tolist() == [1, 1]
  assert halves(columns['activation']) == [0.75, 0.25]
  assert halves(columns['logits'])[0] == -0.5
  assert np.isnan(columns['logits'].view(np.float16)[1])
  pack.pack('0', meta, columns)
