"""Splitting, universality and automata in a real browser."""

import pathlib
import shutil

import browser
import exhibits
import numpy as np
import pytest
from explore import MANY_ROWS, analysis, exported, views
from made_up import FEATURES, HOSTILE
from selenium.webdriver import Keys

from monosem_jax.site import pack

pytestmark = browser.needed


@pytest.fixture
def made() -> pathlib.Path:
  return exported()


@pytest.fixture
def show(window):
  with views(window) as opened:
    yield opened


# Splitting


def test_features_that_split_most_come_first(made, show):
  page = show('splitting')
  edges = analysis(made, 'splitting/A1_A2')
  count_F = np.bincount(edges['source_M'], minlength=FEATURES)
  order = np.argsort(-count_F, kind='stable')
  expected = [[f'A/1/{i}', str(count_F[i])] for i in order if count_F[i] > 1]
  page.find('.longrow')
  # At once: the list grows as its place does.
  shown = page.js("""
    return Array.from(document.querySelectorAll('.longrow'), (row) =>
      ['.name', '.number'].map((css) => row.querySelector(css).textContent));
  """)
  assert shown == expected[: len(shown)]
  assert '0.4' in page.text()
  page.keys(Keys.ARROW_DOWN, Keys.ENTER, css='.longlist')
  assert page.hash == f'#splitting/A1/{order[1]}'


@pytest.mark.parametrize('key', ['A1', 'A2'])
def test_a_feature_stands_among_those_it_splits_into_or_from(made, show, key):
  edges = analysis(made, 'splitting/A1_A2')
  own, other = ('source', 'target') if key == 'A1' else ('target', 'source')
  number = np.bincount(edges[f'{own}_M']).argmax()
  page = show(f'splitting/{key}/{number}')
  page.find('.focus')
  assert page.texts('.focus .name') == [f'A/{key[1]}/{number}']
  mine = edges[f'{own}_M'] == number
  far = 'A2' if key == 'A1' else 'A1'
  best: dict[str, float] = {}
  for i, s in zip(
    edges[f'{other}_M'][mine], edges['similarity_M'][mine], strict=True
  ):
    name = f'A/{far[1]}/{i}'
    best[name] = max(best.get(name, 0), float(s))
  names = page.texts('.node:not(.focus) .name')
  values = [float(x) for x in page.texts('.node:not(.focus) .weight')]
  assert names == sorted(best, key=lambda name: -best[name])
  assert np.allclose(values, [best[name] for name in names], atol=0.006)
  # One arrow for each edge, named.
  titles = page.js(
    'return Array.from(document.querySelectorAll(".edge"),'
    ' (edge) => edge.getAttribute("aria-label"))'
  )
  assert len(titles) == mine.sum()
  assert all(' to ' in title for title in titles)
  # A click follows it.
  page.click('.node:not(.focus) .name')
  follow = names[0].split('/')
  page.until('return location.hash === arguments[0]',
             f'#splitting/A{follow[1]}/{follow[2]}')  # fmt: skip
  page.until(
    'return document.querySelector(".focus .name")?.textContent ==='
    ' arguments[0]',
    names[0],
  )


def test_arrows_join_the_cards(show):
  page = show('splitting/A1/1')
  page.find('.edge path')
  ends = page.js("""
    const all = (css) => Array.from(document.querySelectorAll(css));
    const origin = document.querySelector('.graph').getBoundingClientRect();
    const side = (node, name) => {
      const box = node.getBoundingClientRect();
      return [box[name] - origin.left, (box.top + box.bottom) / 2 - origin.top];
    };
    const first = (text) => text.split(' ')[0].split(',').map(Number);
    return {
      begin: side(document.querySelector('.focus'), 'right'),
      ends: all('.node:not(.focus)').map((node) => side(node, 'left')),
      heads: all('.edge polygon').map((x) => first(x.getAttribute('points'))),
      starts: all('.edge path').map((x) => first(x.getAttribute('d').slice(1))),
    };
  """)
  assert np.allclose(ends['starts'], ends['begin'], atol=0.5)
  distance = np.abs(
    np.array(ends['heads'])[:, None] - np.array(ends['ends'])
  ).max(2)
  assert (distance.min(1) < 0.5).all()
  assert (distance.min(0) < 0.5).all()


def test_sizes_are_followed_two_steps_each_way(made, window, tmp_path):
  site = tmp_path / 'site'
  shutil.copytree(made / 'site', site)
  build, meta, _ = exhibits.packed(site, 'splitting')
  edges = {
    # 7 of the first leads to 30 of the second, 0 to 29, and to 40.
    'source0': [7] * 31 + [8],
    'target0': [*range(30), 40, 3],
    'value0': [*np.linspace(0.9, 0.5, 31), 0.75],
    # Of these 3 leads on; 50 of the second has nothing to do with it.
    'source1': [3, 3, 50],
    'target1': [60, 61, 62],
    'value1': [0.75, 0.5, 0.5],
  }
  columns = {
    name: pack.half(x) if 'value' in name else np.uint32(x)
    for name, x in edges.items()
  }
  pack.Writer(site / 'data', build).write(
    'splitting', meta | {'sets': [0, 1, 2]}, columns
  )
  page = window
  shown = 'return Array.from(document.querySelectorAll(".layer"), (layer) =>'
  shown += ' Array.from(layer.querySelectorAll(".name"), (x) => x.textContent))'
  page.open(f'{(site / "index.html").as_uri()}#splitting/A1/7')
  page.find('.focus')
  first, second, third = page.js(shown)
  assert first == ['A/1/7']
  # The strongest; how many there are stands above and below.
  assert second == [f'A/2/{i}' for i in range(24)]
  assert 'A/2, 31 of 66' in page.text() and '7 more, weaker' in page.text()
  assert third == ['B/1/60', 'B/1/61']
  page.open(f'{(site / "index.html").as_uri()}#splitting/B1/60')
  page.find('.focus')
  assert page.js(shown) == [['A/1/7', 'A/1/8'], ['A/2/3'], ['B/1/60']]
  page.open(f'{(site / "index.html").as_uri()}#splitting/A2/3')
  page.find('.focus')
  assert page.js(shown) == [
    *(['A/1/7', 'A/1/8'], ['A/2/3'], ['B/1/60', 'B/1/61']),
  ]
  page.open(f'{(site / "index.html").as_uri()}#splitting/A2/41')
  page.find('.focus')
  assert 'No feature of another size is similar enough' in page.text()


# Universality


def test_pairs_are_sorted_by_any_similarity(made, show):
  page = show('universality')
  page.until(MANY_ROWS)
  pairs = analysis(made, 'universality/pairs')
  for name, column in (
    ('activation', pairs['activation_M']),
    ('logits', pairs['logits_M']),
    ('gap', pairs['activation_M'] - pairs['logits_M']),
  ):
    if name != 'activation':
      page.click(f'[data-name={name}]')
    order = np.argsort(-column)
    shown = page.texts('.longrow .name:first-child')
    # float16: neighbours closer than its steps may change places.
    got = [int(text.rpartition('/')[2]) for text in shown]
    assert np.allclose(column[got], column[order][: len(got)], atol=2e-3)
    assert len(shown) > 10
  # The other way round.
  page.click('[data-name=gap]')
  first = page.texts('.longrow .name:first-child')[0]
  assert first == f'A/1/{order[-1]}'


def test_those_alike_in_activations_only_are_marked(made, show):
  page = show('universality')
  page.until(MANY_ROWS)
  page.click('[data-name=gap]')
  marked = page.js(
    'return Array.from(document.querySelectorAll(".longrow"),'
    ' (row) => !!row.querySelector(".apart"))'
  )
  assert marked[:10] == [True] * 10
  assert not any(marked[10:]) and len(marked) > 10


def test_a_pair_stands_side_by_side(made, show):
  twins = analysis(made, 'universality/twins')
  own = int(np.flatnonzero(twins['match_F'] >= 0)[0])
  other = int(twins['match_F'][own])
  page = show(f'universality/A1/{own}')
  page.until('return document.querySelectorAll(".half").length === 2')
  assert page.texts('.half h3') == [f'A/1/{own}', f'B/1/{other}']
  assert f'{twins["r_F"][own]:.2f}' in page.text()
  # Examples of both.
  assert all(page.js(
    'return Array.from(document.querySelectorAll(".half"),'
    ' (half) => half.querySelectorAll(".examples .token").length > 0)'
  ))  # fmt: skip


def test_the_other_models_features_lead_back(made, show):
  twins = analysis(made, 'universality/twins')
  own = int(np.flatnonzero(twins['back_match_F'] >= 0)[3])
  page = show(f'universality/B1/{own}')
  page.until('return document.querySelectorAll(".half").length === 2')
  expected = [f'B/1/{own}', f'A/1/{twins["back_match_F"][own]}']
  assert page.texts('.half h3') == expected


# Automata


def test_a_machine_is_drawn_with_what_it_was_measured_to_do(show):
  page = show('automata/1')
  page.find('.circle')
  assert page.texts('.node .name') == ['A/1/2', 'A/1/4', 'A/1/5']
  titles = page.js(
    'return Array.from(document.querySelectorAll(".edge"),'
    ' (edge) => edge.getAttribute("aria-label"))'
  )
  assert [title.split(':')[0] for title in titles] == [
    *('A/1/2 to A/1/4', 'A/1/4 to A/1/5', 'A/1/5 to A/1/2'),
  ]
  assert all('0.50' in t and '+0.300 ± 0.100' in t for t in titles)
  assert all('observed 0.40' in t and '0.012' in t for t in titles)
  rows = page.texts('.machine table tbody tr')
  assert rows[0] == (
    'A/1/2A/1/40.500.40 (0.30 to 0.50)0.01200.10–+0.300 ± 0.100–4, 4'
  )
  said = page.text()
  assert 'q 0.0120, within labels 0.300; permuted rows give 0.25' in said
  assert 'its states have an order, asymmetry at least 0.60' in said
  assert '1 of 9 survive, 1 ordered' in said
  assert '75% of the tokens are on the machine, and 12.5% without pins' in said


def test_machines_stand_beside_what_chance_makes(show):
  page = show('automata/1')
  page.find('.evidence')
  page.js('document.querySelector(".evidence").open = true')
  rows = page.texts('.evidence table:first-of-type tbody tr')
  assert rows[:3] == [
    *('Two-cycles52.50413.5050', 'Cycles of 392.50413.5050'),
    'Chains02.50403.5050',
  ]
  assert 'permuted (99)30.2500.0150' in page.texts('.evidence tbody tr')
  [named] = page.texts('.evidence .named li')
  assert named == (
    'ALL_CAPS_SNAKE: not found: no live feature fires on: '
    '<img src=x onerror=alert(5)>'
  )


def test_a_machine_is_shown_where_it_runs_in_held_out_text(show):
  page = show('automata/1')
  page.find('.excerpt')
  marks = page.js(
    'return Array.from(document.querySelectorAll(".excerpt .step"),'
    ' (step) => step.querySelector("sub")?.textContent ?? null)'
  )
  assert marks == [None, '1', '2', '1', None]
  assert 'never fire in turn' not in page.text()
  assert 'never fire in turn' in show('automata/0').text()


def test_a_walk_marks_each_token_with_its_state(show):
  page = show('automata/1')
  page.find('.walk')
  marks = page.js(
    'return Array.from(document.querySelectorAll(".walk:not(.excerpt) .step"),'
    ' (step) => step.querySelector("sub")?.textContent ?? null)'
  )
  assert marks == ['1', '2', None, '1']
  assert page.texts('.walk:not(.excerpt) .token')[:2] == HOSTILE[:2]


def test_states_lead_from_one_to_the_next(made, show):
  edges = analysis(made, 'automata/edges')
  number = int(np.bincount(edges['source_M']).argmax())
  page = show(f'automata/A1/{number}')
  page.find('.layer')
  order = np.argsort(-edges['gain_M'])
  mine = [m for m in order if edges['source_M'][m] == number][:12]
  after = page.texts('.layer:nth-child(4) .name')
  assert after == [f'A/1/{edges["target_M"][m]}' for m in mine]
  page.click('.layer:nth-child(4) .name')
  following = after[0].rpartition('/')[2]
  page.until('return location.hash === arguments[0]',
             f'#automata/A1/{following}?by={number}')  # fmt: skip
  page.find('.trail')
  assert page.texts('.trail') == [f'A/1/{number} → A/1/{following}']
  assert page.texts('.focus .name') == [f'A/1/{following}']


@pytest.mark.parametrize(
  'place',
  [
    *('splitting/B1/3', 'splitting/A1/999', 'splitting/A1/x'),
    *('universality/A2/1', 'universality/A1/-1', 'automata/A1/9999'),
    *('automata/Z/1',),
  ],
)
def test_a_feature_that_a_view_has_not_got_is_named(show, place):
  page = show(place)
  assert 'There is no such feature' in page.text()
