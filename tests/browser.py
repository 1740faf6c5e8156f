"""A browser driven by WebDriver, in as much of it as the tests need.

Chromium and its driver are Debian's; see
https://www.w3.org/TR/webdriver2/ for the commands.
"""

import base64
import contextlib
import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
DRIVER = shutil.which('chromedriver')
needed = pytest.mark.skipif(
  CHROMIUM is None or DRIVER is None,
  reason='no browser: chromium and chromedriver are not in PATH',
)
_ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'
_FLAGS = (
  *('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic'),
  *('--no-first-run', '--disable-background-networking', '--disable-sync'),
  *('--disable-component-update', '--window-size=1366,768'),
)
# Keys by WebDriver's code points.
KEYS = {
  'Home': '\ue011',
  'End': '\ue010',
  'Enter': '\ue007',
  'Escape': '\ue00c',
  'ArrowLeft': '\ue012',
  'ArrowUp': '\ue013',
  'ArrowRight': '\ue014',
  'ArrowDown': '\ue015',
  'Tab': '\ue004',
  'Control': '\ue009',
}


class Page:
  """A browser window."""

  def __init__(self, session: str, folder: pathlib.Path):
    self._session = session
    self.downloads = folder

  def _call(self, method: str, path: str, body: dict | None = None) -> Any:
    return _call(method, f'{self._session}{path}', body)

  def open(self, url: str) -> None:
    """Loads a page, also where only what stands behind its # differs."""
    self._call('POST', '/url', {'url': 'about:blank'})
    self._call('POST', '/url', {'url': url})

  def view(self, url: str) -> 'Page':
    """Loads one of our pages, and waits until its view is there."""
    self.open(url)
    self.until('return !!document.querySelector("#main .view > *")')
    return self

  def js(self, code: str, *arguments: Any) -> Any:
    """Runs a function body; a promise that it returns is waited for."""
    body = {
      'script': f"""
        const done = arguments[arguments.length - 1];
        const own = Array.from(arguments).slice(0, -1);
        Promise.resolve((function () {{ {code} }}).apply(null, own))
          .then((value) => done({{ value }}))
          .catch((error) => done({{ error: String(error) }}));
      """,
      'args': list(arguments),
    }
    found = self._call('POST', '/execute/async', body)
    assert 'error' not in found, found['error']
    return found.get('value')

  def until(self, code: str, *arguments: Any, seconds: float = 10) -> Any:
    """Waits until a function body returns what is true, and returns it."""
    end = time.monotonic() + seconds
    while not (found := self.js(code, *arguments)):
      assert time.monotonic() < end, f'never true: {code}\n{self.text()}'
      time.sleep(0.02)
    return found

  def find(self, css: str, seconds: float = 10) -> dict:
    """The first element, once it is there."""
    self.until('return !!document.querySelector(arguments[0])', css,
               seconds=seconds)  # fmt: skip
    body = {'using': 'css selector', 'value': css}
    return self._call('POST', '/element', body)

  def click(self, css: str) -> None:
    self._call('POST', f'/element/{self.find(css)[_ELEMENT]}/click', {})

  def keys(self, *names: str, css: str | None = None) -> None:
    """Types keys, by name or as characters; css is focused before."""
    if css is not None:
      self.find(css)
      self.js('document.querySelector(arguments[0]).focus()', css)
    presses = []
    for key in names:
      for value in [KEYS[key]] if key in KEYS else key:
        presses += [
          {'type': kind, 'value': value} for kind in ('keyDown', 'keyUp')
        ]
    source = {'type': 'key', 'id': 'keyboard', 'actions': presses}
    self._call('POST', '/actions', {'actions': [source]})

  def hover(self, css: str) -> None:
    move = {'type': 'pointerMove', 'x': 0, 'y': 0, 'origin': self.find(css)}
    source = {'type': 'pointer', 'id': 'mouse', 'actions': [move]}
    self._call('POST', '/actions', {'actions': [source]})

  def texts(self, css: str) -> list[str]:
    """The text of every such element."""
    return self.js(
      'return Array.from(document.querySelectorAll(arguments[0]),'
      ' (node) => node.textContent)',
      css,
    )

  def text(self) -> str:
    return self.js('return document.body ? document.body.innerText : ""')

  @property
  def hash(self) -> str:
    return self.js('return location.hash')

  def size(self, width: int, height: int) -> None:
    self._call('POST', '/window/rect', {'width': width, 'height': height})

  def dark(self, on: bool = True) -> None:
    """Emulates a reader who prefers a dark page."""
    features = [
      {'name': 'prefers-color-scheme', 'value': 'dark' if on else 'light'}
    ]
    self.cdp('Emulation.setEmulatedMedia', features=features)

  def cdp(self, command: str, **parameters: Any) -> Any:
    """A command of Chromium's own protocol."""
    body = {'cmd': command, 'params': parameters}
    return self._call('POST', '/goog/cdp/execute', body)

  def screenshot(self, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(self._call('GET', '/screenshot')))

  def downloaded(self, name: str, seconds: float = 10) -> bytes:
    """A file that the page gave to be saved."""
    path, end = self.downloads / name, time.monotonic() + seconds
    # The browser holds the name with an empty file until it is there whole.
    while not path.exists() or not path.stat().st_size:
      assert time.monotonic() < end, sorted(self.downloads.iterdir())
      time.sleep(0.02)
    return path.read_bytes()

  def dialog(self) -> str | None:
    """The text of an alert that is open."""
    try:
      return self._call('GET', '/alert/text')
    except urllib.error.HTTPError:
      return None

  def console(self) -> list[str]:
    """Complaints of the page since the last call."""
    found = self._call('POST', '/se/log', {'type': 'browser'})
    return [entry['message'] for entry in found]


def _call(method: str, url: str, body: dict | None) -> Any:
  data = None if body is None else json.dumps(body).encode()
  request = urllib.request.Request(
    url, data, {'Content-Type': 'application/json'}, method=method
  )
  # Not through a proxy, which knows nothing of this machine's ports.
  opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
  with opener.open(request, timeout=60) as answer:
    return json.load(answer)['value']


@contextlib.contextmanager
def window() -> Iterator[Page]:
  """A window of a browser of its own."""
  with tempfile.TemporaryDirectory(prefix='monosem_browser_') as folder:
    profile, downloads = (pathlib.Path(folder, n) for n in ('me', 'saved'))
    downloads.mkdir()
    driver = subprocess.Popen(
      [DRIVER, '--port=0'], stdout=subprocess.PIPE, text=True
    )
    try:
      port = None
      for line in driver.stdout:
        if 'started successfully on port' in line:
          port = int(line.strip(' .\n').rpartition(' ')[2])
          break
      base = f'http://127.0.0.1:{port}/session'
      options = {
        'binary': CHROMIUM,
        'args': [*_FLAGS, f'--user-data-dir={profile}'],
        'prefs': {'download.default_directory': str(downloads)},
      }
      wanted = {
        'goog:chromeOptions': options,
        'goog:loggingPrefs': {'browser': 'ALL'},
        'unhandledPromptBehavior': 'ignore',
      }
      body = {'capabilities': {'alwaysMatch': wanted}}
      session = _call('POST', base, body)['sessionId']
      page = Page(f'{base}/{session}', downloads)
      page.cdp(
        'Browser.setDownloadBehavior',
        behavior='allow',
        downloadPath=str(downloads),
      )
      yield page
      _call('DELETE', f'{base}/{session}', None)
    finally:
      driver.terminate()
      driver.wait(30)
      driver.stdout.close()


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
