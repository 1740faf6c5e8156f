"""Each source yields the documents it holds and counts what it cannot use."""

import gzip
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from absl import flags
from array_record.python import array_record_module

from monosem_jax.config.errors import UserError
from monosem_jax.config.settings import Text
from monosem_jax.text.selection import documents, is_validation, text_hash

flags.FLAGS.mark_as_parsed()

PILE_LIKE = Path(__file__).parents[2] / 'shared/data/pile_like'


def read(**changes):
  """Returns (documents, what was skipped)."""
  changes.setdefault('min_document_chars', 0)
  skipped: Counter[str] = Counter()
  return list(documents(Text(**changes), skipped)), dict(skipped)


def line(text, subset='a') -> bytes:
  record = {'text': text, 'meta': {'pile_set_name': subset}}
  return json.dumps(record).encode() + b'\n'


def zst(data: bytes) -> bytes:
  return zstandard.ZstdCompressor().compress(data)


@pytest.fixture
def jsonl(tmp_path):
  """Writes files and returns a reader of them all."""

  def write(files: dict[str, bytes], **changes):
    for name, data in files.items():
      (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / name).write_bytes(data)
    pattern = str(tmp_path / '**/*.jsonl*')
    return read(source='jsonl', paths=(pattern,), **changes)

  return write


# --- jsonl


@pytest.mark.parametrize(
  'suffix, compress', [('', bytes), ('.zst', zst), ('.gz', gzip.compress)]
)
def test_jsonl_yields_text_subset_and_origin(jsonl, suffix, compress):
  lines = line('één') + b'\n' + line('two\n', 'b') + line('last')[:-1]
  found, skipped = jsonl({f'x.jsonl{suffix}': compress(lines)})
  assert [(d.text, d.subset, d.origin) for d in found] == [
    ('één', 'a', f'x.jsonl{suffix}:1'),
    ('two\n', 'b', f'x.jsonl{suffix}:3'),
    ('last', 'a', f'x.jsonl{suffix}:4'),
  ]
  assert skipped == {}


def test_jsonl_files_in_sorted_order_once_each(jsonl, tmp_path):
  for name in ('b/1.jsonl', 'a/2.jsonl', 'a/1.jsonl'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(line(name))
  paths = (str(tmp_path / 'b/*.jsonl'), str(tmp_path / '**/*.jsonl'))
  found, _ = read(source='jsonl', paths=paths)
  assert [d.text for d in found] == ['a/1.jsonl', 'a/2.jsonl', 'b/1.jsonl']
  assert found[0].origin == 'a/1.jsonl:1'


@pytest.mark.parametrize(
  'suffix, compress', [('.zst', zst), ('.gz', gzip.compress)]
)
def test_several_compressed_frames_are_one_file(jsonl, suffix, compress):
  data = compress(line('one')) + compress(b'') + compress(line('two'))
  found, skipped = jsonl({f'x.jsonl{suffix}': data})
  assert [d.text for d in found] == ['one', 'two']
  assert skipped == {}


BAD_LINES = {
  'corrupt line': b'{"text": "cut off',
  'no text field': b'{"texts": "a"}',
  'undecodable': b'{"text": "\xff"}',
  'lone surrogate': b'{"text": "\\ud800"}',
}


@pytest.mark.parametrize('reason, bad', BAD_LINES.items())
def test_bad_lines_are_counted_or_refused(jsonl, reason, bad):
  files = {'x.jsonl': line('good') + bad + b'\n' + line('also')}
  found, skipped = jsonl(files)
  assert [d.text for d in found] == ['good', 'also']
  assert skipped == {reason: 1}
  with pytest.raises(UserError, match=rf'x\.jsonl:2: {reason}'):
    jsonl(files, strict=True)


@pytest.mark.parametrize(
  'record', [b'3', b'[]', b'null', b'{"text": 3}', b'{"text": null}']
)
def test_records_without_text(jsonl, record):
  assert jsonl({'x.jsonl': record}) == ([], {'no text field': 1})


def test_deep_nesting_is_a_corrupt_line(jsonl):
  found, skipped = jsonl({'x.jsonl': b'[' * 200_000 + b'\n' + line('good')})
  assert [d.text for d in found] == ['good']
  assert skipped == {'corrupt line': 1}


def incompressible(n: int) -> list[str]:
  return [f'{i} {os.urandom(40).hex()}' for i in range(n)]


@pytest.mark.parametrize(
  'suffix, compress', [('.zst', zst), ('.gz', gzip.compress)]
)
@pytest.mark.parametrize('kept', [0.999, 0.5, 0.01])
def test_a_truncated_file_gives_its_whole_lines(jsonl, suffix, compress, kept):
  texts = incompressible(6_000)
  data = compress(b''.join(map(line, texts)))
  files = {f'x.jsonl{suffix}': data[: int(len(data) * kept)]}
  found, skipped = jsonl(files)
  assert [d.text for d in found] == texts[: len(found)]
  assert skipped == {'truncated file': 1}
  # All but the block that was cut, and the line across its border.
  assert len(found) > 6_000 * kept - 1_500
  with pytest.raises(UserError, match=r'x\.jsonl.*truncated'):
    jsonl(files, strict=True)


@pytest.mark.parametrize(
  'suffix, compress', [('.zst', zst), ('.gz', gzip.compress)]
)
def test_a_corrupt_file_is_counted(jsonl, suffix, compress):
  data = compress(line('one')) + b'this is no frame' * 10
  found, skipped = jsonl({f'x.jsonl{suffix}': data})
  assert [d.text for d in found] == ['one']
  assert skipped == {'corrupt file': 1}


def test_subset_missing_nested_or_not_text(jsonl):
  lines = b'{"text": "1"}\n{"text": "2", "meta": {"pile_set_name": 7}}\n'
  lines += b'{"text": "3", "meta": 3}\n'
  found, _ = jsonl({'x.jsonl': lines})
  assert [d.subset for d in found] == ['unknown', '7', 'unknown']
  found, _ = jsonl(
    {'x.jsonl': b'{"a": {"b": "deep"}, "s": "x"}\n'},
    text_field='a.b',
    subset_field='s',
  )
  assert [(d.text, d.subset) for d in found] == [('deep', 'x')]


# --- the filter


def test_short_documents_are_skipped_and_long_ones_cut(jsonl):
  texts = ['x' * 9, 'aaaa\nbbbb\ncccc\n', 'y' * 30, 'z' * 14]
  files = {'x.jsonl': b''.join(map(line, texts))}
  found, skipped = jsonl(files, min_document_chars=10, max_document_chars=14)
  assert [d.text for d in found] == ['aaaa\nbbbb\n', 'y' * 14, 'z' * 14]
  assert skipped == {'short': 1, 'cut': 2}


def test_keep_is_a_fraction_of_each_subset_and_repeats(jsonl):
  lines = [line(f'{i} text', 'ab'[i % 2]) for i in range(4_000)]
  files = {'x.jsonl': b''.join(lines)}
  found, skipped = jsonl(files, keep={'a': 0.25, '*': 0.75})
  counts = Counter(d.subset for d in found)
  assert abs(counts['a'] - 500) < 80
  assert abs(counts['b'] - 1_500) < 80
  assert skipped == {'keep': 4_000 - len(found)}
  assert jsonl(files, keep={'a': 0.25, '*': 0.75})[0] == found
  # More of a subset holds the fewer; the split does not depend on it.
  more, _ = jsonl(files, keep={'a': 0.5})
  assert {d.text for d in found if d.subset == 'a'} < {d.text for d in more}
  held = [is_validation(text_hash(d.text), 0.3) for d in found]
  assert abs(sum(held) / len(held) - 0.3) < 0.05


def test_keep_all_none_and_a_subset_that_is_not_there(jsonl):
  files = {'x.jsonl': line('1', 'wiki') + line('2', 'code')}
  found, _ = jsonl(files, keep={'wiki': 1.0, '*': 0.0})
  assert [d.text for d in found] == ['1']
  with pytest.raises(UserError, match=r"'wkii'.*did you mean 'wiki'"):
    jsonl(files, keep={'wkii': 0.5})


def test_unknown_source_names_the_nearest():
  with pytest.raises(UserError, match=r"'jsnl'.*did you mean 'jsonl'"):
    read(source='jsnl')


@pytest.mark.parametrize('source', ['jsonl', 'array_record', 'parquet'])
def test_globs_that_match_nothing_are_named(tmp_path, source):
  if source == 'parquet':
    pytest.importorskip('pyarrow')
  pattern = str(tmp_path / 'absent-*.x')
  with pytest.raises(UserError, match=re.escape('absent-*.x')):
    read(source=source, paths=(pattern,))
  # Nor does a folder.
  with pytest.raises(UserError, match='no file matches'):
    read(source=source, paths=(str(tmp_path),))
  with pytest.raises(UserError, match=r'needs text\.paths'):
    read(source=source)


def test_jsonl_refuses_other_suffixes(tmp_path):
  (tmp_path / 'x.csv').write_text('a,b')
  with pytest.raises(UserError, match=r'x\.csv is no \.jsonl'):
    read(source='jsonl', paths=(str(tmp_path / '*'),))


# --- text folders


def test_text_folders(tmp_path):
  root = tmp_path / 'books'
  for name in (
    'z.txt',
    'en/a.txt',
    'en/deep/b.md',
    'de/c.txt',
    'de/d.pdf',
    'site-packages/e.txt',
  ):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(name)
  (root / 'bad.txt').write_bytes(b'\xff')
  outside = tmp_path / 'outside'
  outside.mkdir()
  (outside / 'secret.txt').write_text('secret')
  (root / 'link').symlink_to(outside)
  (root / 'link.txt').symlink_to(outside / 'secret.txt')
  found, skipped = read(source='text', paths=(str(root),))
  assert [(d.text, d.subset, d.origin) for d in found] == [
    ('z.txt', 'text', 'books/z.txt'),
    ('de/c.txt', 'de', 'books/de/c.txt'),
    ('en/a.txt', 'en', 'books/en/a.txt'),
    ('en/deep/b.md', 'en', 'books/en/deep/b.md'),
    ('site-packages/e.txt', 'site-packages', 'books/site-packages/e.txt'),
  ]
  assert skipped == {'undecodable': 1}
  with pytest.raises(UserError, match=r'bad\.txt: undecodable'):
    read(source='text', paths=(str(root),), strict=True)
  with pytest.raises(UserError, match='is not a folder'):
    read(source='text', paths=(str(root / 'z.txt'),))
  with pytest.raises(UserError, match=r'no \.txt or \.md'):
    (tmp_path / 'empty').mkdir()
    read(source='text', paths=(str(tmp_path / 'empty'),))


# --- installed


def test_installed_reads_the_installation_and_nothing_else():
  iterator = documents(Text(), Counter())
  seen = [next(iterator) for _ in range(300)]
  stdlib = Path(sysconfig.get_paths()['stdlib'])
  for document in seen:
    label, _, name = document.origin.partition('/')
    assert label == 'stdlib'
    assert 'site-packages' not in name
    assert '__pycache__' not in name
    assert document.subset == name.rsplit('.', 1)[1]
    original = (stdlib / name).read_bytes().decode('utf-8')
    assert original.startswith(document.text)
  again = documents(Text(), Counter())
  assert [next(again) for _ in range(300)] == seen


def test_installed_labels_packages_and_leaks_no_path(monkeypatch, tmp_path):
  roots = {
    'stdlib': tmp_path / 'lib',
    'purelib': tmp_path / 'lib/site-packages',
  }
  roots['platlib'] = roots['purelib']
  for path in (roots['stdlib'] / 'json', roots['purelib'] / 'numpy'):
    path.mkdir(parents=True)
    (path / 'core.py').write_text(f'# {path.name}')
  (roots['stdlib'] / 'latin.py').write_bytes(b'# \xe9')
  (roots['stdlib'] / 'lib.so').write_bytes(b'text')
  (roots['stdlib'] / 'up.py').symlink_to(roots['purelib'] / 'numpy/core.py')
  paths = {name: str(path) for name, path in roots.items()}
  monkeypatch.setattr(sysconfig, 'get_paths', lambda: paths)
  found, skipped = read(source='installed', strict=True)
  assert [d.origin for d in found] == [
    'stdlib/json/core.py',
    'site-packages/numpy/core.py',
  ]
  assert skipped == {'undecodable': 1}


# --- array_record


def array_record(path: Path, records: list[bytes]) -> None:
  writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
  for record in records:
    writer.write(record)
  writer.close()


def test_array_record_holds_text_or_json(tmp_path):
  records = ['plain ü'.encode(), line('json', 'b'), b'{not json}', b'\xff']
  records += [b'{"other": 1}'] + [b'%d' % i for i in range(600)]
  array_record(tmp_path / 'x.ar', records)
  found, skipped = read(source='array_record', paths=(str(tmp_path / '*'),))
  assert [(d.text, d.subset) for d in found[:4]] == [
    ('plain ü', 'unknown'),
    ('json', 'b'),
    ('{not json}', 'unknown'),
    ('{"other": 1}', 'unknown'),
  ]
  assert [d.text for d in found[4:]] == [str(i) for i in range(600)]
  assert found[-1].origin == 'x.ar:604'
  assert skipped == {'undecodable': 1}


def test_a_corrupt_array_record_is_counted(tmp_path):
  path = tmp_path / 'x.ar'
  array_record(path, [os.urandom(500).hex().encode() for _ in range(300)])
  path.write_bytes(path.read_bytes()[:100_000])
  assert read(source='array_record', paths=(str(path),)) == (
    [],
    {'corrupt file': 1},
  )
  with pytest.raises(UserError, match=r'x\.ar.*corrupt'):
    read(source='array_record', paths=(str(path),), strict=True)


# --- parquet


def test_parquet(tmp_path):
  pa = pytest.importorskip('pyarrow')
  from pyarrow import parquet

  rows = [
    {'text': f'row {i} é', 'meta': {'pile_set_name': 'ab'[i % 2]}, 'x': i}
    for i in range(600)
  ]
  rows += [{'text': None, 'meta': None, 'x': 0}]
  rows += [{'text': 'end', 'meta': None, 'x': 0}]
  path = tmp_path / 'x.parquet'
  parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
  found, skipped = read(source='parquet', paths=(str(path),))
  assert [d.text for d in found] == [row['text'] for row in rows if row['text']]
  assert [d.subset for d in found[:2]] == ['a', 'b']
  assert (found[-1].subset, found[-1].origin) == ('unknown', 'x.parquet:601')
  assert skipped == {'no text field': 1}
  with pytest.raises(UserError, match=r"no column 'body'.*text"):
    read(source='parquet', paths=(str(path),), text_field='body')
  path.write_bytes(path.read_bytes()[:500])
  assert read(source='parquet', paths=(str(path),))[1] == {'corrupt file': 1}


def test_parquet_without_pyarrow(monkeypatch):
  monkeypatch.setitem(sys.modules, 'pyarrow', None)
  with pytest.raises(UserError, match=r'pip install monosem_jax\[parquet\]'):
    read(source='parquet', paths=('x',))


# --- tfds


PREPARE = """
import sys
import tensorflow_datasets as tfds

class TinyText(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    text = tfds.features.Text()
    meta = tfds.features.FeaturesDict({'pile_set_name': text})
    features = tfds.features.FeaturesDict({'text': text, 'meta': meta})
    return tfds.core.DatasetInfo(builder=self, features=features)

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for i in range(300):
      yield i, {'text': f'doc {i} é', 'meta': {'pile_set_name': 'ab'[i % 2]}}

tfds.disable_progress_bar()
"""
PREPARED = PREPARE + (
  "tfds.builder('tiny_text', data_dir=sys.argv[1], file_format='array_record')"
  '.download_and_prepare()'
)


def test_tfds_end_to_end_without_tensorflow(tmp_path):
  # In a process of its own: no code knows the data set when it is read here.
  subprocess.run(
    [sys.executable, '-c', PREPARED, str(tmp_path)],
    check=True,
    capture_output=True,
  )
  source = {'source': 'tfds', 'tfds_dir': str(tmp_path)}
  found, skipped = read(paths=('tiny_text',), **source)
  assert {d.text for d in found} == {f'doc {i} é' for i in range(300)}
  assert all(d.subset == 'ab'[int(d.text.split()[1]) % 2] for d in found)
  assert found[7].origin == 'tiny_text/train:7'
  assert skipped == {}
  assert 'tensorflow' not in sys.modules
  half, _ = read(paths=('tiny_text',), tfds_split='train[:50%]', **source)
  assert half == [
    type(d)(d.text, d.subset, d.origin.replace('train', 'train[:50%]'))
    for d in found[:150]
  ]
  with pytest.raises(UserError, match=r"tfds_split: 'trn'.*splits: train"):
    read(paths=('tiny_text',), tfds_split='trn', **source)
  with pytest.raises(UserError, match="no data set 'no_such_text'"):
    read(paths=('no_such_text',), **source)


def test_tfds_prepares_only_when_told(tmp_path):
  script = PREPARE + (
    'from absl import flags\n'
    'flags.FLAGS.mark_as_parsed()\n'
    'from collections import Counter\n'
    'from monosem_jax.config.errors import UserError\n'
    'from monosem_jax.config.settings import Text\n'
    'from monosem_jax.text.selection import documents\n'
    "text = Text('tfds', ('tiny_text',), tfds_dir=sys.argv[1],\n"
    '  min_document_chars=0, tfds_prepare=bool(int(sys.argv[2])))\n'
    'try:\n'
    '  print(len(list(documents(text, Counter()))))\n'
    'except UserError as e:\n'
    '  print(e)\n'
  )

  def run(prepare: str) -> str:
    done = subprocess.run(
      [sys.executable, '-c', script, str(tmp_path), prepare],
      env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])},
      check=True,
      capture_output=True,
      text=True,
    )
    return done.stdout

  said = run('0')
  assert 'not prepared' in said
  assert 'tfds_prepare=True' in said
  assert list(tmp_path.rglob('*.array_record*')) == []
  assert run('1').splitlines()[-1] == '300'


# --- a real corpus in The Pile's format


def test_pile_like():
  if not (PILE_LIKE / 'val.jsonl.zst').is_file():
    pytest.skip('the pile_like data is not beside this checkout')
  path = str(PILE_LIKE / 'val*.jsonl.zst')
  found, skipped = read(source='jsonl', paths=(path,))
  assert skipped == {}
  assert len({d.subset for d in found}) == 25
  assert min(len(d.text) for d in found) >= 200
  assert sum(len(d.text.encode()) for d in found) > 9e6
