"""Sources besides jsonl: folders, what is installed, and formats of others."""

import os
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
from array_record.python import array_record_module
from documents import PILE_LIKE, line, read

from monosem_jax.config.errors import UserError
from monosem_jax.config.settings import Text
from monosem_jax.text.selection import documents

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
  with pytest.raises(
    UserError, match=r"no readable split 'trn'.*splits: train"
  ):
    read(paths=('tiny_text',), tfds_split='trn', **source)
  with pytest.raises(
    UserError, match="does not know the dataset 'no_such_text'"
  ):
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
