"""Map, splitting, universality and automata in a real browser."""

import pathlib
import shutil

import browser
import exhibits
import numpy as np
import pytest
from exhibits import FEATURES, HOSTILE, VOCABULARY

from monosem_jax.site import pack

pytestmark = browser.needed

KEYS = ('A1', 'A2', 'B1')
ARIA = '[aria-selected="true"]'
# In CSS pixels; the plot's canvas that takes the pointer.
PLOT = '.scatter .above'
BLUE = [0, 114, 178, 255]
ORANGE = [230, 159, 0, 255]


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('explore')
  exhibits.write(folder / 'site', KEYS, folder / 'analysis')
  return folder


@pytest.fixture(scope='module')
def window():
  with browser.window() as page:
    yield page


@pytest.fixture
def show(made, window):
  """Opens a view; the console must stay empty."""

  def opened(place: str) -> browser.Page:
    return window.view(f'{(made / "site/index.html").as_uri()}#{place}')

  window.console()
  yield opened
  assert window.console() == []


def data(made: pathlib.Path, name: str):
  return exhibits.packed(made / 'site', name)[1:]


def analysis(made: pathlib.Path, name: str):
  return np.load(made / f'analysis/{name}.npz', allow_pickle=False)


def pointer(page: browser.Page, *actions: dict) -> None:
  source = {
    'type': 'pointer',
    'id': 'mouse',
    'parameters': {'pointerType': 'mouse'},
    'actions': list(actions),
  }
  page._call('POST', '/actions', {'actions': [source]})


def move(page: browser.Page, x: float, y: float) -> dict:
  """To a place in the plot."""
  box = page.js(
    'const box = document.querySelector(arguments[0]).getBoundingClientRect();'
    'return [box.left, box.top]',
    PLOT,
  )
  return {
    'type': 'pointerMove',
    'x': round(box[0] + x),
    'y': round(box[1] + y),
    'duration': 0,
  }


def places(page: browser.Page, count: int) -> np.ndarray:
  """Where the points are in the plot, [count, 2]."""
  return np.array(
    page.js(
      'const plot = monosem.scatter.of(document.querySelector(".scatter"));'
      'return Array.from({ length: arguments[0] }, (_, i) => plot.at(i))',
      count,
    )
  )


def middle(page: browser.Page) -> np.ndarray:
  return np.array(
    page.js(
      'const node = document.querySelector(".scatter");'
      'return [node.clientWidth / 2, node.clientHeight / 2]'
    )
  )


def drawn(page: browser.Page) -> None:
  """Waits until all that has changed is drawn."""
  page.js(
    'return new Promise((done) => requestAnimationFrame(() =>'
    ' requestAnimationFrame(done)))'
  )


# Map


def row_of(made: pathlib.Path, key: str, number: int) -> int:
  _, columns = data(made, 'map/small')
  own = columns['set'] == KEYS.index(key)
  return int(np.flatnonzero(own & (columns['feature'] == number))[0])


def test_a_map_begins_at_the_feature_that_its_address_names(made, show):
  page = show('map/small?at=A2.5')
  page.find('.about h3')
  drawn(page)
  assert page.texts('.about h3') == ['A/2/5']
  at = places(page, 2 * FEATURES)[row_of(made, 'A2', 5)]
  assert np.allclose(at, middle(page), atol=1)
  assert page.texts(f'.longrow{ARIA} .name') == ['A/2/5']
  # Its page, and back by any layout that has it.
  page.click('.about .links a')
  page.until('return location.hash.startsWith("#A2/5")')
  page = show('map?at=A2.5')
  page.until('return !!document.querySelector(".about h3")')
  assert page.texts('.about h3') == ['A/2/5']


@pytest.mark.parametrize('at', ['B1.3', 'A1.99999', 'A1.x', 'Z9.1'])
def test_a_feature_that_no_map_has_is_no_crash(show, at):
  page = show(f'map/small?at={at}')
  said = page.text()
  assert ('B/1/3 is not on this map' in said) == (at == 'B1.3')
  assert len(page.texts('.scatter canvas')) == 2


def test_points_are_where_they_should_be_in_their_colour(made, show):
  page = show('map/small')
  drawn(page)
  meta, columns = data(made, 'map/small')
  at_F2 = places(page, 2 * FEATURES)
  # The picture is the layout, drawn as it is: one scale, and y upwards.
  unit_F2 = columns['position'] / 65_535 * np.array(meta['extent'])
  fit = [np.polyfit(unit_F2[:, k], at_F2[:, k], 1) for k in (0, 1)]
  for k in (0, 1):
    assert np.allclose(np.polyval(fit[k], unit_F2[:, k]), at_F2[:, k], atol=1)
  assert np.isclose(fit[0][0], -fit[1][0], rtol=1e-3)
  # Points that nothing lies upon: 8 pixels from any other.
  apart_FF = np.abs(at_F2[:, None] - at_F2).max(2) + 99 * np.eye(len(at_F2))
  alone = np.flatnonzero(apart_FF.min(1) > 12)
  assert alone.size > 20
  colours = page.js(
    """
    const [base] = document.querySelectorAll('.scatter canvas');
    const share = base.width / base.clientWidth;
    const { width, height } = base;
    const image = base.getContext('2d').getImageData(0, 0, width, height);
    return arguments[0].map(([x, y]) => {
      const at = 4 * (Math.floor(y * share) * width + Math.floor(x * share));
      return Array.from(image.data.subarray(at, at + 4));
    });
    """,
    at_F2[alone].tolist(),
  )
  expected = [BLUE if s == 0 else ORANGE for s in columns['set'][alone]]
  assert colours == expected


def test_pointing_and_clicking_find_the_nearest_feature(made, show):
  page = show('map/small')
  drawn(page)
  _, columns = data(made, 'map/small')
  at_F2 = places(page, 2 * FEATURES)
  rng = np.random.default_rng(0)
  for i in rng.choice(len(at_F2), 12, replace=False):
    x, y = np.round(at_F2[i] + rng.uniform(-3, 3, 2))
    distance = np.hypot(*(at_F2 - [x, y]).T)
    near = np.argsort(distance)[:2]
    if distance[near[1]] - distance[near[0]] < 1.5:
      continue
    run = f'A/{1 + columns["set"][near[0]]}'
    name = f'{run}/{columns["feature"][near[0]]}'
    pointer(page, move(page, x, y))
    page.until('return !document.querySelector(".tip").hidden')
    assert page.texts('.tip .name') == [name]
    # The list follows.
    page.until(
      'return document.querySelector(arguments[0])?.textContent',
      f'.longrow{ARIA} .name',
    )
    assert page.texts(f'.longrow{ARIA} .name') == [name]
    press = [{'type': f'pointer{way}', 'button': 0} for way in ('Down', 'Up')]
    pointer(page, move(page, x, y), *press)
    assert page.texts('.about h3') == [name]
    assert f'at={run.replace("/", "")}.{name.split("/")[2]}' in page.hash


def test_dragging_moves_and_the_wheel_zooms_about_the_pointer(show):
  page = show('map/small')
  drawn(page)
  before = places(page, 9)
  pointer(
    page,
    move(page, 300, 200),
    {'type': 'pointerDown', 'button': 0},
    move(page, 340, 170),
    move(page, 360, 150),
    {'type': 'pointerUp', 'button': 0},
  )
  drawn(page)
  assert np.allclose(places(page, 9), before + np.array([60, -50]), atol=0.1)
  # No click: nothing was chosen.
  assert page.texts('.about h3') == []
  before = places(page, 9)
  page.js(
    """
    const node = document.querySelector(arguments[0]);
    const box = node.getBoundingClientRect();
    node.dispatchEvent(new WheelEvent('wheel', { deltaY: -100,
      cancelable: true, clientX: box.left + 300, clientY: box.top + 200 }));
    """,
    PLOT,
  )
  drawn(page)
  after = places(page, 9)
  still = np.array([300, 200])
  factor = np.ptp(after[:, 0]) / np.ptp(before[:, 0])
  assert factor > 1.2
  # An event's place is in whole pixels.
  assert np.allclose(after - still, factor * (before - still), atol=0.5)


def test_the_keyboard_moves_zooms_and_opens(made, show):
  page = show('map/small')
  drawn(page)
  before = places(page, 2 * FEATURES)
  page.keys('ArrowRight', css=PLOT)
  drawn(page)
  assert np.allclose(places(page, 2 * FEATURES), before - [60, 0], atol=0.1)
  page.keys('+', '+', 'ArrowUp')
  drawn(page)
  at_F2 = places(page, 2 * FEATURES)
  nearest = np.hypot(*(at_F2 - middle(page)).T).argmin()
  _, columns = data(made, 'map/small')
  page.keys('Enter')
  run = 1 + columns['set'][nearest]
  assert page.texts('.about h3') == [f'A/{run}/{columns["feature"][nearest]}']
  page.keys('0')
  drawn(page)
  assert np.allclose(places(page, 2 * FEATURES), before, atol=0.1)


# A list is drawn before it has its height, and then again.
_MANY_ROWS = 'return document.querySelectorAll(".longrow").length > 10'


def containing(made: pathlib.Path, text: str) -> list[str]:
  """The features of the map that fire on or raise such a token."""
  hit = np.array([text in token.lower() for token in VOCABULARY])
  names = []
  for key in KEYS[:2]:
    _, columns = data(made, f'{key}/columns')
    own_F = hit[columns['fires']].any(1) | hit[columns['raises']].any(1)
    names += [f'A/{key[1]}/{i}' for i in np.flatnonzero(own_F)]
  return names


def test_search_and_switches_say_which_features_are_shown(made, show):
  page = show('map/small')
  page.keys('Word1', '7', css='input[type=search]')
  expected = containing(made, 'word17')
  assert 0 < len(expected) < 2 * FEATURES
  tally = f'{len(expected)} of {2 * FEATURES} features'
  assert tally in page.text()
  names = set(page.texts('.longrow .name'))
  assert names and names <= set(expected)
  # Kept in the address, and shown again from there.
  assert 'find=Word17' in page.hash
  page = show(page.hash[1:])
  assert tally in page.text()
  page.click('.toggles label:nth-child(2) input')
  own = [name for name in expected if name.startswith('A/1/')]
  assert f'{len(own)} of {FEATURES} features' in page.text()
  assert set(page.texts('.longrow .name')) <= set(own)
  assert 'off=A2' in page.hash
  # Hidden points cannot be pointed at.
  drawn(page)
  at_F2 = places(page, 2 * FEATURES)
  visible = np.arange(2 * FEATURES) < FEATURES
  inside = ((at_F2 > 20) & (at_F2 < 2 * middle(page) - 20)).all(1)
  far_F = np.array(
    [np.hypot(*(at_F2[visible] - at).T).min() > 15 for at in at_F2]
  )
  for x, y in at_F2[~visible & far_F & inside][:3]:
    pointer(page, move(page, x, y))
    assert page.js('return document.querySelector(".tip").hidden')


def test_a_number_finds_its_feature(show):
  page = show('map/small?find=A/2/37')
  assert page.texts('.longrow .name') == ['A/2/37']


@pytest.mark.parametrize('by', ['set', 'cluster', 'density', 'max', 'state'])
def test_every_colouring_has_a_legend(show, by):
  page = show(f'map/small?colour={by}')
  page.find('.hues')
  legend = ' '.join(page.texts('.hues'))
  said = {
    'set': 'A/1',
    'cluster': 'of no cluster',
    'density': 'Density',
    'max': 'Maximum',
    'state': 'low mode',
  }
  assert said[by] in legend


def test_the_list_is_in_the_packs_order_below_its_clusters(made, show):
  page = show('map/small')
  _, columns = data(made, 'map/small')
  expected, last = [], None
  for i in columns['order']:
    own = columns['cluster'][i]
    if own != last:
      expected.append('No cluster' if own < 0 else f'Cluster #{own}')
    last = own
    expected.append(f'A/{1 + columns["set"][i]}/{columns["feature"][i]}')
  page.until(_MANY_ROWS)
  shown = page.texts('.longrow .heading, .longrow .name')
  assert 10 < len(shown) < len(expected)
  assert shown == expected[: len(shown)]


def test_of_points_in_one_place_the_one_on_top_is_found(show):
  page = show('help')
  rng = np.random.default_rng(1)
  # Coarse, so that many coincide; the first is drawn last.
  at_F2 = rng.integers(0, 9, (400, 2)).astype(float)
  shown_F = rng.random(400) < 0.3
  asked = rng.uniform(-2, 11, (50, 2))
  found = page.js(
    """
    const [points, shown, asked] = arguments;
    const grid = monosem.pixels.grid(Float32Array.from(points.flat()));
    return asked.map(([x, y]) => grid.near(x, y, 1, shown));
    """,
    at_F2.tolist(),
    shown_F.astype(int).tolist(),
    asked.tolist(),
  )
  distance = np.hypot(*(asked[:, None] - at_F2).transpose(2, 0, 1))
  distance[:, ~shown_F] = np.inf
  nearest = np.where(distance.min(1) < 1, distance.argmin(1), -1)
  assert found == nearest.tolist()
  assert -1 in found and len(set(found)) > 20


# Of 131,072 points; a screen shows 60 frames a second.
_FRAMES = """
  const n = 131072;
  const place = document.createElement('div');
  place.style.width = '1000px';
  place.style.height = '600px';
  document.body.append(place);
  const plot = monosem.scatter.make(place, {
    position: Float32Array.from({ length: 2 * n }, Math.random),
    colour: new Uint32Array(n).fill(0xff0000ff),
    label: 'Many.',
  });
  const node = place.querySelector('.above');
  node.setPointerCapture = () => {};
  const send = (type, x) => node.dispatchEvent(new PointerEvent(type,
    { pointerId: 1, button: 0, clientX: x, clientY: 300 }));
  const frames = [];
  send('pointerdown', 300);
  return new Promise((done) => {
    const step = () => {
      frames.push(plot.frameMilliseconds);
      if (frames.length === 60) {
        plot.remove();
        place.remove();
        done(frames.slice(10));
      } else {
        send('pointermove', 300 + 5 * frames.length);
        requestAnimationFrame(step);
      }
    };
    requestAnimationFrame(step);
  });
"""


def test_panning_many_points_is_smooth(show):
  page = show('help')
  frames = page.js(_FRAMES)
  assert min(frames) > 0
  assert np.median(frames) < 16


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
  page.keys('ArrowDown', 'Enter', css='.longlist')
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
  assert page.texts('.focus .name') == names[:1]


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
  assert 'No feature of another size is alike enough' in page.text()


# Universality


def test_pairs_are_sorted_by_any_similarity(made, show):
  page = show('universality')
  page.until(_MANY_ROWS)
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
  page.until(_MANY_ROWS)
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
  assert 'q 0.0120, in labels 0.300; permuted rows make 0.25 as' in said
  assert 'it has an order, asymmetry at least 0.60' in said
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
