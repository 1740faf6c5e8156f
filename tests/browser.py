"""A browser for the tests of the page: Debian's Chromium, by Selenium."""

import contextlib
import functools
import http.server
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import (
  alert_is_present,
  presence_of_element_located,
)
from selenium.webdriver.support.wait import WebDriverWait

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
DRIVER = shutil.which('chromedriver')
needed = pytest.mark.skipif(
  CHROMIUM is None or DRIVER is None,
  reason='no browser: chromium and chromedriver are not in PATH',
)
_FLAGS = (
  *('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic'),
  *('--no-first-run', '--disable-background-networking', '--disable-sync'),
  *('--disable-component-update', '--window-size=1366,768'),
)
# A view is there when its first feature is, too.
_VIEW = """
  return !!document.querySelector('#main .view > *')
    && !document.querySelector('#main .view article:empty');
"""


class Page:
  """A browser's window.

  Attributes:
    driver: Selenium's, for all that is not here.
    downloads: the folder of files that the page gave to be saved.
  """

  def __init__(self, driver: webdriver.Chrome, downloads: pathlib.Path):
    self.driver = driver
    self.downloads = downloads

  def open(self, url: str) -> None:
    """Loads a page anew, even if only its fragment differs."""
    self.driver.get('about:blank')
    self.driver.get(url)

  def view(self, url: str) -> 'Page':
    """Loads one of our pages, and waits until its view is drawn."""
    self.open(url)
    self.until(_VIEW)
    return self

  def js(self, code: str, *arguments: Any) -> Any:
    """Runs a function body, and waits for a promise that it returns."""
    return self.driver.execute_script(code, *arguments)

  def _wait(self, seconds: float) -> WebDriverWait:
    return WebDriverWait(self.driver, seconds, poll_frequency=0.02)

  def until(self, code: str, *arguments: Any, seconds: float = 10) -> Any:
    """Waits until a function body returns what is true, and returns it."""
    try:
      return self._wait(seconds).until(
        lambda _: self.js(code, *arguments), f'never true: {code}'
      )
    except TimeoutException as e:
      e.add_note(self.text())
      raise

  def find(self, css: str, seconds: float = 10) -> WebElement:
    """The first such element, once it is there."""
    return self._wait(seconds).until(
      presence_of_element_located((By.CSS_SELECTOR, css)), f'not there: {css}'
    )

  def click(self, css: str) -> None:
    self.find(css).click()

  def keys(self, *typed: str, css: str | None = None) -> None:
    """Types characters and Selenium's `Keys`, after focusing an element."""
    if css is not None:
      self.js('arguments[0].focus()', self.find(css))
    ActionChains(self.driver).send_keys(*typed).perform()

  def hover(self, css: str) -> None:
    chain = ActionChains(self.driver, duration=0)
    chain.move_to_element(self.find(css)).perform()

  def texts(self, css: str) -> list[str]:
    """The text of every such element, seen or not."""
    return self.js(
      'return Array.from(document.querySelectorAll(arguments[0]),'
      ' (node) => node.textContent)',
      css,
    )

  def text(self) -> str:
    """The text of the page, as far as it is seen."""
    return self.js('return document.body ? document.body.innerText : ""')

  @property
  def hash(self) -> str:
    return self.js('return location.hash')

  def downloaded(self, name: str, seconds: float = 10) -> bytes:
    """A file that the page gave to be saved."""
    path = self.downloads / name
    # The browser holds the name with an empty file until it is there whole.
    self._wait(seconds).until(
      lambda _: path.exists() and path.stat().st_size, f'not saved: {name}'
    )
    return path.read_bytes()

  def dialog(self) -> str | None:
    """The text of an alert that is open."""
    alert = alert_is_present()(self.driver)
    return alert.text if alert else None

  def console(self) -> list[str]:
    """Complaints of the page since the last call."""
    return [entry['message'] for entry in self.driver.get_log('browser')]


@contextlib.contextmanager
def window() -> Iterator[Page]:
  """A window of a browser of its own."""
  with tempfile.TemporaryDirectory(
    prefix='monosem_browser_',
    # Chromium may still be writing when it has been told to end.
    ignore_cleanup_errors=True,
  ) as folder:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in _FLAGS:
      options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    options.unhandled_prompt_behavior = 'ignore'
    scratch, downloads = (pathlib.Path(folder, n) for n in ('tmp', 'saved'))
    scratch.mkdir()
    downloads.mkdir()
    # Given the driver's path, Selenium looks for none and downloads none.
    environment = os.environ | {'TMPDIR': str(scratch)}
    service = Service(executable_path=DRIVER, env=environment)
    # A proxy that the environment names cannot reach the driver.
    with mock.patch.dict(os.environ, no_proxy='localhost'):
      driver = webdriver.Chrome(options, service)
    with driver:
      saving = {'behavior': 'allow', 'downloadPath': str(downloads)}
      driver.execute_cdp_cmd('Browser.setDownloadBehavior', saving)
      yield Page(driver, downloads)


@contextlib.contextmanager
def open(url: str) -> Iterator[Page]:
  """A window with a page in it."""
  with window() as page:
    page.open(url)
    yield page


@contextlib.contextmanager
def served(
  folder: pathlib.Path, asked: Callable[[str], None] = lambda path: None
) -> Iterator[str]:
  """A static server of a folder, told to `asked` what it is asked for."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      asked(self.path)

  handler = functools.partial(Handler, directory=folder)
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()
