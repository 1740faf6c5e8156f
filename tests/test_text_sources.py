"""Documents from jsonl, and which of a source are kept."""

import gzip
import os
import re
from collections import Counter

import pytest
from absl import flags
from documents import line, read, zst

from monosem_jax.config.errors import UserError
from monosem_jax.text.selection import is_validation, text_hash

flags.FLAGS.mark_as_parsed()


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
  with pytest.raises(UserError, match=r'x\.csv is not a \.jsonl'):
    read(source='jsonl', paths=(str(tmp_path / '*'),))
