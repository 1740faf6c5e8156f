"""The page's JSON of a feature is what `monosem export` writes of it."""

import dataclasses
import json
import shutil

import browser
import numpy as np
import program
import pytest
import runs

from monosem_jax.config import settings
from monosem_jax.features.table import FeatureTable
from monosem_jax.run import Run
from monosem_jax.stages import export, site

pytestmark = browser.needed

NAMES = {'A1': 'A/1', 'A_neurons': 'A/neurons'}
# Numbers that the page keeps as float16, but for these: to 0.01 nats, and to
# 2.2% (none below 2**-16 of the largest); both ends round to 4 digits, of which
# the last may fall to the other side.
HALF = {'rtol': 2e-3, 'atol': 1e-6}
CLOSE = {
  'residual_loss': {'rtol': 2e-3, 'atol': 6e-3},
  'logit_ablation_values': {'rtol': 0.023, 'atol': 1e-5},
}


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> Run:
  root = tmp_path_factory.mktemp('finished') / 'run'
  shutil.copytree(program.finished(), root)
  run = runs.at(root)
  site.execute(run)
  return run


@pytest.fixture(scope='module')
def exported(run, tmp_path_factory) -> dict[str, dict[int, dict]]:
  """What the program writes of every feature that fired."""
  folder = tmp_path_factory.mktemp('exported')
  found = {}
  for key, name in NAMES.items():
    to = folder / key
    flags = {'format': 'anthropic', 'run': name, 'to': str(to), 'features': ''}
    export.execute(run, **flags)
    files = (to / name.replace('/', '').lower()).iterdir()
    found[key] = {int(p.stem): json.loads(p.read_bytes()) for p in files}
  return found


def opened(page: browser.Page, run: Run, place: str) -> browser.Page:
  page.open(f'{(run.workdir.site / "index.html").as_uri()}#{place}')
  page.find('article.feature h2')
  return page


def buttons(page: browser.Page) -> list[str]:
  return page.texts('.featurehead .tools button')


def saved(page: browser.Page, key: str, number: int) -> dict:
  """What the button gives to be saved."""
  assert buttons(page).count('JSON') == 1
  page.js("""
    Array.from(document.querySelectorAll('.featurehead .tools button'))
      .find((node) => node.textContent === 'JSON').click();
  """)
  name = f'{NAMES[key].replace("/", "-")}-{number}.json'
  data = page.downloaded(name)
  (page.downloads / name).unlink()
  return json.loads(data, parse_constant=lambda word: pytest.fail(word))


def same(found, wanted, where: str = '') -> None:
  """Equal names, order, lengths, strings and integers; numbers close."""
  if isinstance(wanted, dict):
    assert list(found) == list(wanted), where
    for name in wanted:
      same(found[name], wanted[name], f'{where}.{name}')
  elif isinstance(wanted, list):
    assert isinstance(found, list) and len(found) == len(wanted), where
    for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
      same(one, other, f'{where}[{i}]')
  elif isinstance(wanted, float) or isinstance(found, float):
    [close] = [x for name, x in CLOSE.items() if name in where] or [HALF]
    np.testing.assert_allclose(found, wanted, **close, err_msg=where)
  else:
    assert type(found) is type(wanted) and found == wanted, where


def kinds(run: Run, key: str = 'A1') -> dict[str, list[int]]:
  """Features by what there is of them."""
  t = FeatureTable.load(run.workdir.features(key))
  levels = slice(t.meta['groups'][1]['start'], t.meta['groups'][-1]['start'])
  whole_F = (t.example_stop_FE[:, levels] > 0).any(1)
  fired_F = t.fired_F > 0
  found = {
    'whole': whole_F & fired_F,
    'without intervals': ~whole_F & fired_F,
    'dead': ~fired_F,
  }
  found = {name: np.flatnonzero(x).tolist() for name, x in found.items()}
  assert all(found.values())
  return found


@pytest.mark.parametrize('kind', ['whole', 'without intervals'])
def test_the_button_saves_what_the_program_writes(run, exported, window, kind):
  for number in kinds(run)[kind][:4]:
    page = opened(window, run, f'A1/{number}')
    wanted = exported['A1'][number]
    assert (len(wanted['examples_quantiles']) > 1) == (kind == 'whole')
    same(saved(page, 'A1', number), wanted, f'A1/{number}')
    assert page.console() == []


@pytest.mark.parametrize('key', NAMES)
def test_so_does_the_page_for_every_feature(run, exported, window, key):
  page = opened(window, run, f'{key}/0')
  assert len(exported[key]) > 25
  for number, wanted in exported[key].items():
    text = page.js(
      """
      const [key, number] = arguments;
      return monosem.record.feature(key, number).then((record) =>
        monosem.published.feature(monosem.data.set(key), record))
        .then(JSON.stringify);
      """,
      key,
      number,
    )
    same(json.loads(text), wanted, f'{key}/{number}')


def test_of_a_feature_that_never_fired_nothing_is_to_be_saved(
  run, exported, window
):
  for number in kinds(run)['dead']:
    page = opened(window, run, f'A1/{number}')
    assert number not in exported['A1']
    assert 'JSON' not in buttons(page)
    assert 'never fired' in page.text()


def test_without_ablations_nothing_is_to_be_saved(run, tmp_path, window):
  """As the program refuses to export it."""
  shutil.copytree(run.workdir.root, tmp_path / 'run')
  (tmp_path / 'run/analysis/ablation/A1_residual.npz').unlink()
  run = runs.at(tmp_path / 'run')
  site.execute(run)
  assert 'JSON' not in buttons(opened(window, run, 'A1/0'))
  # Neurons leave nothing unexplained.
  assert 'JSON' in buttons(opened(window, run, 'A_neurons/0'))


def test_what_the_page_has_not_got_is_no_number(
  run, exported, tmp_path, window
):
  """A page with few contexts knows the residuals of those alone."""
  shutil.copytree(run.workdir.root, tmp_path / 'run')
  c = dataclasses.replace(
    run.config, site=settings.Site(context_tokens=12 * 16)
  )
  run = dataclasses.replace(runs.at(tmp_path / 'run'), config=c)
  site.execute(run)
  number = kinds(run)['whole'][0]
  page = opened(window, run, f'A1/{number}')
  kept = set(
    page.js(
      'return monosem.data.load("contexts/numbers")'
      '.then(({ number }) => Array.from(number))'
    )
  )
  assert len(kept) == 12
  found, wanted = saved(page, 'A1', number), exported['A1'][number]
  unknown = 0
  for group, other in zip(
    found['examples_quantiles'], wanted['examples_quantiles'], strict=True
  ):
    for own, known in zip(group['examples'], other['examples'], strict=True):
      values = own['ablations']['residual_loss_ablation']
      context, position = divmod(known['datapoint_ind'], 16)
      first = position - known['train_token_ind']
      for i, value in enumerate(values):
        if context not in kept and first + i > 0:
          assert value is None
          values[i] = known['ablations']['residual_loss_ablation'][i]
          unknown += 1
  assert unknown > 0
  same(found, wanted)
