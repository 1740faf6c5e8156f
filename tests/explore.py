"""Views of many features in a browser, and pointing at what they draw."""

import contextlib
import functools
import pathlib

import browser
import exhibits
import numpy as np
import program
from selenium.webdriver.common.actions.action_builder import ActionBuilder

KEYS = ('A1', 'A2', 'B1')
ARIA = '[aria-selected="true"]'
# In CSS pixels; the plot's canvas that takes the pointer.
PLOT = '.scatter .above'
BLUE = [0, 114, 178, 255]
ORANGE = [230, 159, 0, 255]


@functools.cache
def exported() -> pathlib.Path:
  """A folder with the page, and with the analyses that it shows."""
  return program.once(
    'explore',
    lambda folder: exhibits.write(folder / 'site', KEYS, folder / 'analysis'),
  )


@contextlib.contextmanager
def views(window: browser.Page):
  """What opens a view; the console must stay empty."""

  def opened(place: str) -> browser.Page:
    return window.view(f'{(exported() / "site/index.html").as_uri()}#{place}')

  window.console()
  yield opened
  assert window.console() == []


def data(made: pathlib.Path, name: str):
  return exhibits.packed(made / 'site', name)[1:]


def analysis(made: pathlib.Path, name: str):
  return np.load(made / f'analysis/{name}.npz', allow_pickle=False)


def point(page: browser.Page, x: float, y: float) -> None:
  """Moves the mouse to a place in the plot."""
  _mouse(page, (x, y)).perform()


def click(page: browser.Page, x: float, y: float) -> None:
  """Clicks on a place in the plot."""
  mouse = _mouse(page, (x, y))
  mouse.pointer_action.click()
  mouse.perform()


def drag(page: browser.Page, *places: tuple[float, float]) -> None:
  """Drags the mouse from the first of some places in the plot to the last."""
  mouse = _mouse(page, places[0])
  mouse.pointer_action.pointer_down()
  for place in places[1:]:
    mouse.pointer_action.move_to_location(*_in_window(page, place))
  mouse.pointer_action.pointer_up()
  mouse.perform()


def _mouse(page: browser.Page, place: tuple[float, float]) -> ActionBuilder:
  """A mouse that goes to a place in the plot."""
  mouse = ActionBuilder(page.driver, duration=0)
  mouse.pointer_action.move_to_location(*_in_window(page, place))
  return mouse


def _in_window(page: browser.Page, place: tuple[float, float]) -> list[int]:
  box = page.js(
    'const box = document.querySelector(arguments[0]).getBoundingClientRect();'
    'return [box.left, box.top]',
    PLOT,
  )
  return [round(a + b) for a, b in zip(box, place, strict=True)]


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


# A list is drawn before it has its height, and then again.
MANY_ROWS = 'return document.querySelectorAll(".longrow").length > 10'
