"""Measures the page at any size, in a browser: run by hand, no test.

  python tests/measure_site.py --config=FILE --workdir=DIR --features=131072 \
    [--config.KEY=VALUE ...] [--full] [--out=FOLDER]

Of a finished run's main dictionary so many features are drawn, with
replacement, and shown with all that is known of each, beside a made-up map of
as many points; with --full, of those alone that fired often enough to have all
their examples, the largest there are. Printed are bytes, and milliseconds in
Chromium: until the first feature is drawn behind an empty cache, from one
feature to another, of a search, of a frame of the map.
"""

import argparse
import dataclasses
import pathlib
import random
import statistics
import sys
import tempfile
import time

import browser
import numpy as np

from monosem_jax.analysis.results.arrays import AblationEffects
from monosem_jax.config import load as config
from monosem_jax.run import Run
from monosem_jax.run.workdir import Workdir
from monosem_jax.site import export
from monosem_jax.site.exhibit import Exhibit
from monosem_jax.site.links import Links
from monosem_jax.stages import exhibits, featuresets


def drawn(e: Exhibit, features: int, full: bool) -> Exhibit:
  """A set of so many features, each one of the given set's."""
  rng = np.random.default_rng(0)
  table = e.features.table
  there_FE = table.example_stop_FE > 0
  whole_F = there_FE.all(1) if full else there_FE[:, 0]
  pick_F = rng.choice(np.flatnonzero(whole_F), features)
  room = table.example_tokens_FEW[0].size
  at_M = e.effects.at_M
  begin_F, end_F = (
    np.searchsorted(at_M, (pick_F + more) * room) for more in (0, 1)
  )
  own_M = _ranges(begin_F, end_F)
  moved_M = np.repeat((np.arange(features) - pick_F) * room, end_F - begin_F)
  effects = {name: x[own_M] for name, x in e.effects.columns().items()}
  effects['at_M'] = effects['at_M'] + moved_M
  of_F1 = e.links.of_F1
  own_L = _ranges(of_F1[pick_F], of_F1[pick_F + 1])
  counts_F = of_F1[pick_F + 1] - of_F1[pick_F]
  links = Links(
    of_F1=np.r_[0, np.cumsum(counts_F)],
    kind_M=e.links.kind_M[own_L],
    set_M=np.zeros_like(e.links.set_M[own_L]),
    feature_M=rng.integers(0, features, own_L.size).astype(np.uint32),
    value_M=e.links.value_M[own_L],
  )
  own = e.features.part(pick_F)
  meta = own.table.meta | {'features': features}
  return dataclasses.replace(
    e,
    features=dataclasses.replace(
      own, table=dataclasses.replace(own.table, meta=meta)
    ),
    document_FE=e.document_FE[pick_F],
    subset_FE=e.subset_FE[pick_F],
    links=links,
    effects=AblationEffects(**effects),
    neurons=e.neurons.part(pick_F),
  )


def _ranges(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
  """The numbers from each begin up to its end, one after the other."""
  length = end - begin
  first = np.repeat(begin - np.r_[0, np.cumsum(length)[:-1]], length)
  return first + np.arange(length.sum())


def layout(features: int) -> tuple:
  """A map of as many points, in clumps."""
  rng = np.random.default_rng(1)
  centre = rng.uniform(8_000, 57_000, (400, 2))
  cluster = rng.integers(0, 400, features)
  at = centre[cluster] + rng.normal(0, 900, (features, 2))
  return {'sets': [0], 'extent': [1.0, 1.0]}, {
    'position': np.clip(at, 0, 65_535).astype(np.uint16),
    'set': np.zeros(features, np.uint8),
    'feature': np.arange(features, dtype=np.uint32),
    'cluster': cluster.astype(np.int32),
    'order': np.argsort(cluster, kind='stable').astype(np.uint32),
  }


def size(folder: pathlib.Path, *patterns: str) -> int:
  return sum(p.stat().st_size for x in patterns for p in folder.glob(x))


_FIRST = """
  const shown = () => document.querySelector('.feature .examples');
  return new Promise((done) => {
    const look = () => shown() ? done(performance.now())
      : requestAnimationFrame(look);
    look();
  });
"""
_SWITCH = """
  const [number] = arguments;
  const start = performance.now();
  location.hash = `#${monosem.data.run.main}/${number}`;
  const name = `${monosem.data.sets[0].run}/${number}`;
  return new Promise((done) => {
    const look = () =>
      document.querySelector('.feature h2')?.textContent === name &&
      document.querySelector('.feature .examples')
        ? requestAnimationFrame(() => done(performance.now() - start))
        : requestAnimationFrame(look);
    look();
  });
"""
_SEARCH = """
  const input = document.querySelector('.search input');
  const status = document.querySelector('.list [role=status]');
  const before = status.textContent;
  input.value = arguments[0];
  const start = performance.now();
  input.dispatchEvent(new Event('input'));
  return new Promise((done) => {
    const look = () => status.textContent !== before
      ? done(performance.now() - start) : setTimeout(look, 1);
    look();
  });
"""
_FRAMES = """
  const plot = monosem.scatter.of(document.querySelector('.scatter'));
  const node = document.querySelector('.scatter .above');
  const found = [];
  const pan = { key: 'ArrowRight', bubbles: true };
  return new Promise((done) => {
    const step = () => {
      if (found.length === 60) { done(found); return; }
      node.dispatchEvent(new KeyboardEvent('keydown', pan));
      requestAnimationFrame(() => {
        found.push(plot.frameMilliseconds);
        step();
      });
    };
    step();
  });
"""


def measure(url: str, features: int) -> None:
  draw = random.Random(0)
  firsts = []
  for _ in range(3):
    with browser.window() as page:
      page.open(url)
      firsts.append(page.js(_FIRST))
      if len(firsts) < 3:
        continue
      times = [page.js(_SWITCH, draw.randrange(features)) for _ in range(60)]
      near = page.js(_SEARCH, 'the')
  firsts.sort()
  print(
    f'  first feature {firsts[1]:.0f} ms ({firsts[0]:.0f} to {firsts[2]:.0f});'
    f' switching: median {statistics.median(times):.0f} ms, 95% below'
    f' {sorted(times)[56]:.0f} ms; a search {near:.0f} ms'
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--config', required=True)
  parser.add_argument('--workdir', required=True, type=pathlib.Path)
  parser.add_argument('--features', type=int, default=131_072)
  parser.add_argument('--full', action='store_true')
  parser.add_argument('--out', type=pathlib.Path)
  known, rest = parser.parse_known_args()
  overrides = [x.removeprefix('--config.') for x in rest]
  run = Run(config.load(known.config, overrides), Workdir(known.workdir))
  key, own = next(iter(featuresets.load_all(run).items()))
  found = exhibits.read(run, exhibits.folders(run), {key: own})
  e = drawn(found.exhibits[0], known.features, known.full)
  examples = (e.features.table.example_stop_FE > 0).sum() / known.features
  effects = e.effects.at_M.size / known.features
  with tempfile.TemporaryDirectory() as scratch:
    out = known.out or pathlib.Path(scratch) / 'site'
    start = time.monotonic()
    export.write(
      out,
      build='0' * 16,
      run=found.run,
      exhibits=[e],
      contexts=found.contexts,
      vocabulary=found.vocabulary,
      views={'map/small': layout(known.features)},
      pictures={},
    )
    data = out / 'data'
    index = size(data, 'index.js', 'vocabulary.js', f'{key}/columns.js')
    print(
      f'{known.features:,} features of {examples:.0f} examples and'
      f' {effects:.0f} effects each, written in'
      f' {time.monotonic() - start:.0f} s\n'
      f'  data {size(data, "**/*.js") / 1e6:,.1f} MB; of these: index, columns'
      f' and vocabulary {index / 1e6:.2f} MB, contexts'
      f' {size(data / "contexts", "*") / 1e6:.1f} MB, shards'
      f' {size(data / key, "[0-9]*.js") / known.features:,.0f} bytes a feature'
    )
    sys.stdout.flush()
    print('from disk:')
    measure((out / 'index.html').as_uri(), known.features)
    with browser.served(out) as url:
      print('from a server on this machine:')
      measure(url, known.features)
      with browser.open(f'{url}#map/small') as page:
        page.find('.scatter .above')
        times = page.js(_FRAMES)
    print(
      f'  a frame of the map: median {statistics.median(times):.1f} ms, 95%'
      f' below {sorted(times)[56]:.1f} ms'
    )


if __name__ == '__main__':
  main()
