"""Systems that the paper names, found by the tokens that features fire on."""

import itertools

import numpy as np
import pytest

from monosem_jax.analysis import roles


@pytest.mark.parametrize(
  ('token', 'own'),
  [
    *(('<', 'open'), (' </', 'open'), ('></', 'open')),
    *((' div', 'tag name'), ('H2', 'tag name'), ('table', 'tag name')),
    *(('>', 'close'), ('">', 'close'), ('/>\n', 'close')),
    *(('\n\t\t', 'whitespace'), ('  ', 'whitespace')),
    *((' ABC', 'capitals'), ('X', 'capitals')),
    *(('_', 'underscore'), ('__', 'underscore')),
    *((' divide', None), ('Abc', None), ('', None), ('=>', None), ('a_', None)),
  ],
)
def test_tokens_have_one_role(token, own):
  role_RV = roles.of_tokens([token, 'other'])
  got = [r for r, is_ in zip(roles.ROLES, role_RV[:, 0], strict=True) if is_]
  assert got == ([] if own is None else [own])
  assert not role_RV[:, 1].any()


def test_players_fire_mostly_on_a_roles_tokens():
  role_RV = roles.of_tokens(['<', '>', '\n', 'word'])
  fired_VX = np.array([[9, 3, 0, 5, 0], [0, 0, 2, 5, 0], [0, 0, 0, 0, 0],
                       [1, 4, 1, 0, 0]])  # fmt: skip
  plays_RX = roles.players(role_RV, fired_VX, np.array([1, 1, 1, 1, 1]) > 0)
  at = list(roles.ROLES).index
  assert plays_RX[at('open')].tolist() == [True, False, False, False, False]
  assert plays_RX[at('close')].tolist() == [False, False, True, False, False]
  assert not plays_RX[at('whitespace')].any()
  live_X = np.array([False, True, True, True, True])
  assert not roles.players(role_RV, fired_VX, live_X)[:, 0].any()


@pytest.mark.parametrize('seed', range(8))
def test_the_widest_cycle_through_roles_is_that_of_brute_force(seed):
  rng = np.random.default_rng(seed)
  # A feature plays one role, as the roles' tokens are different ones.
  plays = np.sort(rng.permutation(12).reshape(4, 3), axis=1)
  graph = {
    (i, j): float(rng.random())
    for i, j in itertools.product(range(12), repeat=2)
    if rng.random() < 0.4
  }
  best = None
  for nodes in itertools.product(*plays):
    links = list(zip(nodes, nodes[1:] + nodes[:1], strict=True))
    if all(link in graph for link in links):
      weakest = min(graph[link] for link in links)
      best = max(best or 0, weakest)
  got = roles.widest(plays, graph)
  if best is None:
    assert isinstance(got, int)
  else:
    nodes, weights = got
    assert all(i in own for i, own in zip(nodes, plays, strict=True))
    links = zip(nodes, nodes[1:] + nodes[:1], strict=True)
    assert weights == tuple(graph[tuple(map(int, link))] for link in links)
    assert min(weights) == best


def test_where_no_cycle_is_it_says_how_far_it_came():
  plays = [np.array([i]) for i in range(4)]
  assert roles.widest(plays, {}) == 1
  assert roles.widest(plays, {(0, 1): 1}) == 2
  assert roles.widest(plays, {(0, 1): 1, (1, 2): 1, (2, 3): 1}) == 4
  assert roles.widest([np.zeros(0, int), *plays], {}) == 0
