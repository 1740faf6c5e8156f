"""Stage `export`: writes a dictionary in the formats of others.

anthropic    DIR/a1/3.json, as published beside the paper: `interop.anthropic`
neuronpedia  DIR/MODEL/SOURCE/..., for its bulk import: `interop.neuronpedia`
html         the page of some features in one file: `site.single`
"""

import pathlib
from collections.abc import Iterator

from monosem_jax.config.errors import UserError, nearest
from monosem_jax.config.flags import Flag
from monosem_jax.config.names import (
  SetName,
  by_run,
  main_dictionary,
  parse as parse_name,
)
from monosem_jax.device import hosts
from monosem_jax.interop import anthropic, neuronpedia
from monosem_jax.interop.feature import Feature
from monosem_jax.run import metrics
from monosem_jax.run.files import in_place_of
from monosem_jax.run.workdir import Workdir
from monosem_jax.site import single
from monosem_jax.stages import exhibits, featuresets
from monosem_jax.stages.export.records import Records
from monosem_jax.text.manifest import TOKENIZER
from monosem_jax.text.tokenizer import Tokenizer

FORMATS = ('anthropic', 'neuronpedia', 'html')
FLAGS = (
  Flag(
    name='format',
    kind=str,
    default='',
    shown='anthropic',
    help='the JSON published beside the paper; neuronpedia: the files of its '
    'bulk import; html: the page of at most 200 features in one file, which '
    'needs nothing else',
  ),
  Flag(
    name='to',
    kind=str,
    default='',
    shown='DIR',
    help='the folder to write: a new or an empty one; of html the file, '
    'FILE.html',
  ),
  Flag(
    name='run',
    kind=str,
    default='',
    shown='A/1',
    help="whose features; without it the main dictionary's",
  ),
  Flag('features', str, '', '3,100-120', 'these alone'),
)


def run(w: Workdir, *, format: str, run: str, to: str, features: str) -> None:
  """Writes the features of a dictionary or a control into a new folder or file.

  Args:
    w: the work directory.
    format: see `FORMATS`.
    run: whose features, by the paper's name: A/1; '' for the main dictionary.
    to: the folder, which must not be there, or be empty; of html the file,
      which must not be there.
    features: which of them, such as 3,17,100-120; '' for all.

  Raises:
    UserError: a flag says what cannot be, something is not made yet, `to` has
      something in it, or the disk is full.
  """
  hosts.on_first_process(lambda: _write(w, format, run, to, features))


def _write(w: Workdir, form: str, run: str, to: str, features: str) -> None:
  if form not in FORMATS:
    raise UserError(
      f'--format: unknown format {form!r}{nearest(form, FORMATS)}.'
    )
  if form == 'html':
    _write_html(w, _file(to), _name(w, run), features)
    return
  directory, name = _target(to), _name(w, run)
  if form == 'anthropic' and name.is_control and not name.is_neurons:
    raise UserError(
      f'--run: {run}: the published form shows ablations, which are made of '
      'dictionaries and neurons alone; --format=neuronpedia goes without.'
    )
  records = Records.load(w, name, strict=form == 'anthropic')
  own = records.features
  chosen = parse(features, own.count)
  if form == 'anthropic':
    # As published: of features that never fired there is nothing to be shown.
    fired = [i for i in chosen if own.table.fired_F[i] > 0]
    if not fired:
      raise UserError(
        f'export: none of these features of {own.key} ever fired.'
      )
    if len(fired) < len(chosen):
      w.log(f'export: {len(chosen) - len(fired):,} never fired: left out')
    chosen = fired
  vocabulary = Tokenizer.load(w.store / TOKENIZER).token_strings()
  try:
    with in_place_of(directory, 'export again') as scratch:
      of_each = _each(records, chosen)
      if form == 'anthropic':
        folder = own.run.replace('/', '').lower()
        anthropic.write(scratch / folder, of_each, vocabulary)
      else:
        neuronpedia.write(scratch, records.source(w), of_each, vocabulary)
  except ValueError as e:
    raise UserError(f'export: {own.run}: {e}.') from e
  except OSError as e:
    raise UserError(f'--to={directory}: {e.strerror}.') from e
  w.log(f'export: {len(chosen):,} features of {own.run} in {directory}')


def _write_html(
  w: Workdir, path: pathlib.Path, name: SetName, features: str
) -> None:
  found = featuresets.load_all(w)
  key, run = name.key, name.run
  if key not in found:
    raise UserError(
      f'--run: {run}: the page shows dictionaries and neurons that have a '
      f'feature table, and there is none in {w.features(key)}.'
    )
  chosen = parse(features, found[key].count)
  if len(chosen) > single.MOST:
    raise UserError(
      f'--features: {len(chosen):,} features of {run}; one file holds '
      f'{single.MOST} at most. Name fewer, or share the folder {w.site}.'
    )
  shown = exhibits.read(w, exhibits.folders(w), found, {key: chosen})
  try:
    single.write(
      path,
      build=shown.build,
      run=shown.run,
      exhibits=shown.exhibits,
      contexts=shown.contexts,
      vocabulary=shown.vocabulary,
      key=key,
      chosen=chosen,
    )
  except OSError as e:
    raise UserError(f'--to={path}: {e.strerror}.') from e
  size = path.stat().st_size / 1e6
  w.log(f'export: {len(chosen):,} features of {run} in {path}, {size:.1f} MB')


def _each(records: Records, chosen: list[int]) -> Iterator[Feature]:
  """One feature after the other, with a progress line."""
  bar = metrics.progress(
    f'export/{records.features.key}', total=len(chosen), unit='feature'
  )
  try:
    for i in chosen:
      yield records.feature(i)
      bar.update(1)
  finally:
    bar.close()


def parse(text: str, count: int) -> list[int]:
  """Reads numbers of features and ranges of them, both ends included.

  Args:
    text: such as 3,17,100-120; '' for all.
    count: how many features there are.

  Returns:
    Them, rising, each once.

  Raises:
    UserError: a part is neither, or names a feature that is not there.
  """
  if not text:
    return list(range(count))
  found: set[int] = set()
  for part in (x.strip() for x in text.split(',')):
    first, dash, last = (x.strip() for x in part.partition('-'))
    last = last if dash else first
    if not (_number(first) and _number(last) and int(first) <= int(last)):
      raise UserError(
        f'--features: {part!r} is neither a number nor a range, such as 3 or '
        '100-120.'
      )
    if int(last) >= count:
      raise UserError(
        f'--features: {part}: there are {count:,} features, 0 to {count - 1}.'
      )
    found.update(range(int(first), int(last) + 1))
  return sorted(found)


def _number(text: str) -> bool:
  return text.isascii() and text.isdecimal()


def _name(w: Workdir, run: str) -> SetName:
  """The set of a run by the paper's name of it, A/1."""
  if not w.config.dictionaries:
    raise UserError('export: the config names no dictionary.')
  if not run:
    return parse_name(main_dictionary(w.config))
  known = by_run(w.config)
  if run not in known:
    raise UserError(f'--run: unknown run {run!r}{nearest(run, known)}.')
  return known[run]


def _file(to: str) -> pathlib.Path:
  """The file to write, which is not there yet."""
  if not to.endswith('.html'):
    raise UserError('--to=FILE.html is needed: the file to write.')
  path = pathlib.Path(to).absolute()
  if path.exists():
    raise UserError(f'--to: {path} is there; name another, or remove it.')
  return path


def _target(to: str) -> pathlib.Path:
  """The folder to write, which nothing of the user's is in the way of."""
  if not to:
    raise UserError('--to=DIR is needed: the folder to write.')
  directory = pathlib.Path(to).absolute()
  if directory.exists() and not directory.is_dir():
    raise UserError(f'--to: {directory} is a file, not a folder.')
  if directory.exists() and any(directory.iterdir()):
    raise UserError(
      f'--to: {directory} is not empty; name another folder, or empty it.'
    )
  for end in ('.new', '.old'):
    other = directory.with_name(directory.name + end)
    if other.exists():
      raise UserError(
        f'--to: {other} is in the way: what an export left that was killed, or '
        'yours. Remove it, or name another folder.'
      )
  return directory
