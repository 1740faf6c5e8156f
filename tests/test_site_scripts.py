"""The page's scripts: which uses which, and the order that follows."""

import graphlib
import re
import shutil

import pytest

from monosem_jax.site import scripts


def folder(address: str) -> str:
  return address.split('/')[1]


@pytest.fixture
def static(tmp_path, monkeypatch):
  """A copy of the page's folder, to be changed."""
  shutil.copytree(scripts.static(), tmp_path / 'static')
  monkeypatch.setattr(scripts.resources, 'files', lambda _: tmp_path)
  return tmp_path / 'static'


def test_names_are_those_that_a_script_defines_and_uses():
  defined, used = scripts.names("""
    // monosem.comment
    'use strict';
const monosem = {};
monosem.card = (() => {
  const { data,
    dom } = monosem;
  const { href } = monosem.router;
  monosem.views.map?.there(monosem.save?.offer);
})();
monosem.views.scorecard = { title: 'monosem site' };
  """)
  assert defined == {'monosem', 'monosem.card', 'monosem.views.scorecard'}
  used -= defined
  assert {name.removeprefix('monosem.') for name in used} == {
    *('data', 'dom', 'router', 'views', 'views.map', 'views.map.there'),
    *('save', 'save.offer'),
  }


def test_every_name_is_defined_once():
  found = [
    scripts.names(scripts.text(a))
    for a in scripts.addresses()
    if a != scripts.LIVE
  ]
  defined = [name for names, _ in found for name in names]
  assert len(defined) == len(set(defined)) > 40
  # What data/live.js sets, and a key of the browser's store.
  known = {*defined, 'monosem.live', 'monosem.annotator'}
  used = {name for _, names in found for name in names}
  assert {name for name in used if name.count('.') == 1} <= known


def test_the_order_is_that_of_use():
  order = [*scripts.addresses()]
  graph = scripts.uses()
  assert len(order) == len(set(order)) == len(graph) + 2
  assert order[-1] == 'static/start.js'
  for address, others in graph.items():
    for other in others:
      assert order.index(other) < order.index(address), (other, address)
  # Read off the scripts by hand.
  assert graph['static/core/pack.js'] == []
  assert graph['static/core/panel.js'] == [
    f'static/core/{name}.js' for name in ('dom', 'pack', 'save')
  ]
  assert 'static/labels/labels.js' in graph['static/features/search.js']
  # Those that ask whether there is a server stand after what says so.
  asking = [a for a in graph if re.search(r'monosem\.live\b', scripts.text(a))]
  assert len(asking) >= 3
  assert order.index(scripts.LIVE) < min(map(order.index, asking))


def test_arrows_between_folders_go_down():
  assert arrows_up() == []


def arrows_up() -> list[tuple[str, str]]:
  return [
    (address, other)
    for address, others in scripts.uses().items()
    for other in others
    if scripts.FOLDERS.index(folder(other))
    > scripts.FOLDERS.index(folder(address))
  ]


def test_a_circle_is_found(static):
  with (static / 'core/dom.js').open('a') as file:
    file.write('monosem.save?.file();\n')
  with pytest.raises(graphlib.CycleError):
    scripts.page()


def test_an_arrow_up_is_found(static):
  with (static / 'core/save.js').open('a') as file:
    file.write('const { published } = monosem;\n')
  expected = ('static/core/save.js', 'static/features/published.js')
  assert arrows_up() == [expected]


def test_a_new_script_finds_its_place(static):
  (static / 'views/aaa.js').write_text('monosem.zzz.draw();\n')
  (static / 'views/zzz.js').write_text('monosem.zzz = {};\n')
  order = [*scripts.addresses()]
  places = [order.index(f'static/views/{name}.js') for name in ('zzz', 'aaa')]
  assert places == sorted(places)
