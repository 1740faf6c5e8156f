"""What the page's other views and links hold, from what analyses leave."""

import pathlib

import analysed
import numpy as np
import pytest

from monosem_jax.analysis.results import arrays
from monosem_jax.analysis.results.features import ExampleTexts, Text
from monosem_jax.analysis.results.geometry import Geometry
from monosem_jax.analysis.results.numbers import NotMade
from monosem_jax.analysis.results.splitting import Splitting, Step, Summary
from monosem_jax.analysis.results.universality import (
  Comparison,
  Listed,
  Universality,
)
from monosem_jax.site import links, pack, views

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
    own |= {'run': of['of'], 'other': of['with'], 'listed': listed}
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


# Links


def of(found: links.Links, feature: int) -> list[tuple]:
  """The links of a feature: (kind, set, feature, value)."""
  own = slice(*found.of_F1[feature : feature + 2])
  return [
    (links.KINDS[kind], KEYS[set_], int(other), round(float(value), 3))
    for kind, set_, other, value in zip(
      found.kind_M[own],
      found.set_M[own],
      found.feature_M[own],
      found.value_M[own],
      strict=True,
    )
  ]


FEATURES = {'A1': 5, 'A2': 8, 'B1': 4}


def test_no_analyses_give_no_links(analysis):
  found = links.read(analysis.joinpath, FEATURES, ('A1', 'B1'))
  for key, count in FEATURES.items():
    assert found[key].of_F1.tolist() == [0] * (count + 1)
    assert found[key].feature_M.size == 0


def test_edges_of_splitting_lead_both_ways(analysis):
  analysed.leave(
    analysis,
    'splitting/A1_A2',
    source_M=[4, 0, 4],
    target_M=[1, 1, 7],
    similarity_M=np.float32([0.5, 0.75, 0.625]),
  )
  # Of a set that is not shown.
  analysed.leave(
    analysis, 'splitting/A0_A1', source_M=[0], target_M=[0], similarity_M=[1]
  )
  found = links.read(analysis.joinpath, FEATURES, None)
  assert of(found['A1'], 4) == [
    ('child', 'A2', 7, 0.625),
    ('child', 'A2', 1, 0.5),
  ]
  assert of(found['A1'], 0) == [('child', 'A2', 1, 0.75)]
  assert of(found['A2'], 1) == [
    ('parent', 'A1', 0, 0.75),
    ('parent', 'A1', 4, 0.5),
  ]
  assert of(found['A2'], 0) == []


def test_twins_lead_from_either_model(analysis):
  analysed.leave(
    analysis,
    'universality/twins',
    match_F=[2, -1, 0, 3, 2],
    r_F=np.float32([0.5, np.nan, 0.25, -0.25, 0.75]),
    back_match_F=[2, -1, 4, -1],
    back_r_F=np.float32([0.25, np.nan, 0.75, np.nan]),
  )
  found = links.read(analysis.joinpath, FEATURES, ('A1', 'B1'))
  assert of(found['A1'], 0) == [('twin', 'B1', 2, 0.5)]
  assert of(found['A1'], 1) == []
  assert of(found['A1'], 3) == [('twin', 'B1', 3, -0.25)]
  assert of(found['B1'], 2) == [('twin', 'A1', 4, 0.75)]
  assert of(found['B1'], 3) == []
  assert of(links.read(analysis.joinpath, FEATURES, None)['A1'], 0) == []


def test_edges_of_automata_lead_on_and_back_where_they_raise(analysis):
  analysed.leave(
    analysis,
    'automata/edges',
    source_M=[0, 0, 1, 3, 0],
    target_M=[1, 2, 1, 0, 4],
    gain_M=np.float32([0.25, 0.5, 0.125, 0.75, -0.5]),
  )
  found = links.read(analysis.joinpath, FEATURES, ('A1', 'B1'))
  assert of(found['A1'], 0) == [
    ('next', 'A1', 2, 0.5),
    ('next', 'A1', 1, 0.25),
    ('previous', 'A1', 3, 0.75),
  ]
  # One that leads to itself.
  assert of(found['A1'], 1) == [
    ('next', 'A1', 1, 0.125),
    ('previous', 'A1', 0, 0.25),
    ('previous', 'A1', 1, 0.125),
  ]
  assert of(found['A1'], 4) == []


def test_neighbours_of_every_set_are_kept_apart(analysis):
  nearest = lambda index, cosine: arrays.Nearest(
    np.array(index), np.float32(cosine)
  )
  arrays.Neighbours(
    {
      'A1': nearest(
        [[3, 0], [1, -1], [-1, -1], [0, 1]],
        [[0.5, 0.25], [0.75, np.nan], [np.nan, np.nan], [0.5, 0.5]],
      ),
      'B1': nearest(
        [[2], [-1], [0], [-1]], [[0.875], [np.nan], [0.875], [np.nan]]
      ),
      'A9': nearest([[0]] * 4, [[1]] * 4),
    }
  ).save(analysis / 'neighbours/B1.npz')
  found = links.read(analysis.joinpath, FEATURES, None)['B1']
  assert of(found, 0) == [
    ('near', 'A1', 3, 0.5),
    ('near', 'A1', 0, 0.25),
    ('near', 'B1', 2, 0.875),
  ]
  assert of(found, 1) == [('near', 'A1', 1, 0.75)]
  assert of(found, 2) == [('near', 'B1', 0, 0.875)]


def test_the_strongest_links_of_a_kind_and_set_are_kept(analysis):
  strength = np.float32(np.arange(1, 31) / 32)
  analysed.leave(
    analysis,
    'automata/edges',
    source_M=np.r_[np.zeros(30, int), 1],
    target_M=np.r_[np.arange(30) % 5, 0],
    gain_M=np.r_[strength, np.float32(0.5)],
  )
  found = links.read(analysis.joinpath, FEATURES, ('A1', 'B1'))['A1']
  kept = [value for kind, *_, value in of(found, 0) if kind == 'next']
  assert kept == [round(float(x), 3) for x in strength[:-13:-1]]
  # What one feature has too many of, another loses nothing by.
  assert ('next', 'A1', 0, 0.5) in of(found, 1)
