"""The live page in a browser, before the server of a finished run."""

import pathlib
import re
import shlex
import shutil
import time

import browser
import program
import pytest
import runs

from monosem_jax.run import Run
from monosem_jax.stages import live, loaded, serve, site

pytestmark = browser.needed


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> Run:
  root = tmp_path_factory.mktemp('live') / 'run'
  shutil.copytree(program.finished(), root)
  run = runs.at(root)
  site.execute(run)
  return run


@pytest.fixture(scope='module')
def url(run):
  serving = serve.start(run, 0)
  yield serving.url
  serving.close()


@pytest.fixture(scope='module')
def window():
  with browser.window() as page:
    yield page


def said(page: browser.Page, pattern: str) -> str:
  """What the status line says once it is like this."""
  return page.until(
    'const text = document.querySelector("#main [role=status]").textContent;'
    'return new RegExp(arguments[0]).test(text) && text',
    pattern,
  )


def test_the_same_page_lights_up(window, url, run):
  page = window.view(url)
  assert {'Probe', 'Steer'} <= set(page.texts('#views a'))
  page.find('.elsewhere a')
  assert page.texts('.elsewhere a')[-2:] == ['Steer with it', 'Probe a text']
  assert page.console() == []
  page = window.view((run.workdir.site / 'index.html').as_uri())
  assert not {'Probe', 'Steer'} & set(page.texts('#views a'))
  page.find('.examples')
  assert 'Steer with it' not in page.texts('.elsewhere a')


def test_a_text_is_probed(window, url, run):
  """Against the engine, asked without a server."""
  models = loaded.load(run)
  engine = live.Engine(models, models.tokenizer.token_strings())
  text = 'abc <b>def</b> ghi'
  expected = engine.probe(live.requests.Probe('A1', text))
  page = window.view(f'{url}#probe')
  page.keys(*text, css='textarea')
  page.click('.strip button')
  said(page, r'^\d+ tokens in')
  assert len(page.texts('.result .line .token')) == len(expected['tokens'])
  firing = expected['firing'][:-1]
  t = firing.index(max(firing))
  assert firing[t] > 1
  page.click(f'.result .line .token:nth-child({t + 1})')
  page.find('.detail .relatives')
  lists = page.js(
    'return Array.from(document.querySelectorAll(".detail .relatives"),'
    ' (list) => Array.from(list.querySelectorAll("a"), (a) => a.textContent))'
  )
  for shown, column in zip(lists, (1, 2, 3), strict=True):
    order = sorted(expected['active'][t], key=lambda row: -row[column])
    assert shown == [f'A/1/{row[0]}' for row in order]
  assert page.texts('b') == []
  # The address brings it back.
  again = page.js('return location.href')
  window.view(again)
  page.find('.detail .relatives')
  assert len(page.texts('.result .line .token')) == len(expected['tokens'])
  assert page.console() == []


def test_a_pinned_feature_steers(window, url, run):
  """The command that the page gives says what the page has shown."""
  page = window.view(f'{url}#steer?pins=A%2F1%2F0%3D2&tokens=6&seed=3')
  page.find('.pin .slider')
  page.until('return document.querySelector(".pin .gist a")?.textContent')
  page.js(
    'Array.from(document.querySelectorAll(".strip button")).find((node) =>'
    ' node.textContent === "Generate").click()'
  )
  said(page, '^done in')
  counts = page.js(
    'return Array.from(document.querySelectorAll(".speech .line"),'
    ' (line) => line.children.length)'
  )
  assert counts == [6, 6]
  [command] = page.texts('code.command')
  given = shlex.split(command)
  assert given[:2] == ['monosem', 'sample']
  assert '--pin=A/1/0=2max' in given and '--seed=3' in given
  flags = [x for x in given[2:] if not x.startswith(('--config', '--workdir'))]
  printed = program.run('sample', run.workdir.root, *flags).stdout
  spoken = page.js(
    'return Array.from(document.querySelectorAll(".speech .line"),'
    ' (line) => Array.from(line.children, (node) => node.textContent).join(""))'
  )
  for text, name in zip(spoken, ('unpinned', 'pinned'), strict=True):
    [line] = [x for x in printed.splitlines() if x.startswith(f'1 {name}')]
    # What has whole characters in both reads alike.
    letters = lambda x: re.sub(r'[^a-p ]', '', x)
    kept = line.split(maxsplit=2)[2].strip('\'"')
    if kept.isascii() and '\\' not in kept and '\\' not in text:
      assert letters(text) == letters(kept)
  assert page.console() == []


def test_ablating_and_stopping_work_by_hand(window, url, monkeypatch):
  # Slow enough that there is something to stop: 5 s in all.
  extend = live.sampling.extend

  def slowly(*args, **kwargs):
    time.sleep(0.02)
    return extend(*args, **kwargs)

  monkeypatch.setattr(live.sampling, 'extend', slowly)
  page = window.view(f'{url}#steer?pins=A%2F1%2F0%3D2&tokens=256')
  page.find('.pin')
  press = (
    'Array.from(document.querySelectorAll("#main button")).find((node) =>'
    ' node.textContent === arguments[0]).click()'
  )
  page.js(press, 'ablate')
  assert 'pins=A%2F1%2F0%3D0' in page.hash
  page.js(press, 'Generate')
  page.find('.speech .line .token')
  page.js(press, 'Stop')
  said(page, '^stopped$')
  assert 0 < len(page.texts('.speech .line .token')) < 512
  page.js(press, '×')
  assert page.texts('.pin') == []


def test_what_cannot_be_is_said_where_it_was_asked(window, url):
  page = window.view(f'{url}#steer?pins=A%2F1%2F999%3D2')
  page.find('.pin')
  page.js(
    'Array.from(document.querySelectorAll(".strip button")).find((node) =>'
    ' node.textContent === "Generate").click()'
  )
  assert '48 features' in said(page, 'features')


def test_a_server_that_is_gone_is_said(window, run):
  serving = serve.start(run, 0)
  page = window.view(f'{serving.url}#probe')
  serving.close()
  page.keys('a', css='textarea')
  page.click('.strip button')
  assert said(page, 'gone') == 'the server is gone.'
  page.console()


def test_the_frame_of_a_notebook_shows_it(window, url, tmp_path):
  """Jupyter's frame: another page's, from elsewhere."""
  (tmp_path / 'notebook.html').write_text(
    f'<!doctype html><iframe src="{url}" width=1000 height=600></iframe>'
  )
  with browser.served(pathlib.Path(tmp_path)) as elsewhere:
    window.open(f'{elsewhere}notebook.html')
    window.js('return new Promise((done) => setTimeout(done, 1500))')
    window.driver.switch_to.frame(0)
    window.find('#main .view .panes')
    window.driver.switch_to.default_content()
