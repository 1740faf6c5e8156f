"""Links between features, from what analyses leave."""

import pathlib

import analysed
import numpy as np
import pytest

from monosem_jax.analysis.results import arrays
from monosem_jax.site import links

KEYS = ['A1', 'A2', 'B1']
FEATURES = {'A1': 5, 'A2': 8, 'B1': 4}


@pytest.fixture
def analysis(tmp_path) -> pathlib.Path:
  return tmp_path / 'analysis'


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


def test_no_analyses_give_no_links(analysis):
  found = links.read(analysis.joinpath, FEATURES, 'A1', 'B1')
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
  found = links.read(analysis.joinpath, FEATURES, 'A1', None)
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
  found = links.read(analysis.joinpath, FEATURES, 'A1', 'B1')
  assert of(found['A1'], 0) == [('twin', 'B1', 2, 0.5)]
  assert of(found['A1'], 1) == []
  assert of(found['A1'], 3) == [('twin', 'B1', 3, -0.25)]
  assert of(found['B1'], 2) == [('twin', 'A1', 4, 0.75)]
  assert of(found['B1'], 3) == []
  assert of(links.read(analysis.joinpath, FEATURES, 'A1', None)['A1'], 0) == []


@pytest.mark.parametrize('match', ['B1', None])
def test_edges_of_automata_lead_on_and_back_where_they_raise(analysis, match):
  analysed.leave(
    analysis,
    'automata/edges',
    source_M=[0, 0, 1, 3, 0],
    target_M=[1, 2, 1, 0, 4],
    gain_M=np.float32([0.25, 0.5, 0.125, 0.75, -0.5]),
  )
  found = links.read(analysis.joinpath, FEATURES, 'A1', match)
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
  found = links.read(analysis.joinpath, FEATURES, 'A1', None)['B1']
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
  found = links.read(analysis.joinpath, FEATURES, 'A1', 'B1')['A1']
  kept = [value for kind, *_, value in of(found, 0) if kind == 'next']
  assert kept == [round(float(x), 3) for x in strength[:-13:-1]]
  # What one feature has too many of, another loses nothing by.
  assert ('next', 'A1', 0, 0.5) in of(found, 1)
