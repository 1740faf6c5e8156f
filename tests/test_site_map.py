"""The map in a real browser."""

import pathlib

import browser
import numpy as np
import pytest
from explore import (
  ARIA,
  BLUE,
  KEYS,
  MANY_ROWS,
  ORANGE,
  PLOT,
  click,
  data,
  drag,
  drawn,
  exported,
  middle,
  places,
  point,
  views,
)
from made_up import FEATURES, VOCABULARY
from selenium.webdriver import Keys

pytestmark = browser.needed


@pytest.fixture
def made() -> pathlib.Path:
  return exported()


@pytest.fixture
def show(window):
  with views(window) as opened:
    yield opened


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
    point(page, x, y)
    page.until('return !document.querySelector(".tip").hidden')
    assert page.texts('.tip .name') == [name]
    # The list follows.
    page.until(
      'return document.querySelector(arguments[0])?.textContent',
      f'.longrow{ARIA} .name',
    )
    assert page.texts(f'.longrow{ARIA} .name') == [name]
    click(page, x, y)
    assert page.texts('.about h3') == [name]
    assert f'at={run.replace("/", "")}.{name.split("/")[2]}' in page.hash


def test_dragging_moves_and_the_wheel_zooms_about_the_pointer(show):
  page = show('map/small')
  drawn(page)
  before = places(page, 9)
  drag(page, (300, 200), (340, 170), (360, 150))
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
  page.keys(Keys.ARROW_RIGHT, css=PLOT)
  drawn(page)
  assert np.allclose(places(page, 2 * FEATURES), before - [60, 0], atol=0.1)
  page.keys('+', '+', Keys.ARROW_UP)
  drawn(page)
  at_F2 = places(page, 2 * FEATURES)
  nearest = np.hypot(*(at_F2 - middle(page)).T).argmin()
  _, columns = data(made, 'map/small')
  page.keys(Keys.ENTER)
  run = 1 + columns['set'][nearest]
  assert page.texts('.about h3') == [f'A/{run}/{columns["feature"][nearest]}']
  page.keys('0')
  drawn(page)
  assert np.allclose(places(page, 2 * FEATURES), before, atol=0.1)


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
    point(page, x, y)
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
    'cluster': 'in no cluster',
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
  page.until(MANY_ROWS)
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
