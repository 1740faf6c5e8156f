"""What a store says about its tokens is true."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from stores import TOKENIZER, content, random_texts, settings_for

from monosem_jax.config.errors import UserError
from monosem_jax.config.settings import Text, Tokenizer
from monosem_jax.text.store import TokenStore, write_store

flags.FLAGS.mark_as_parsed()
PILE_LIKE = Path(__file__).parents[2] / 'shared/data/pile_like'


@pytest.fixture(scope='module')
def texts() -> list[str]:
  texts = random_texts(500)
  # Duplicates, also of what is said of a separator.
  return [*texts, 'a <|sep|> b', *texts[:50]]


@pytest.fixture(scope='module')
def store(tmp_path_factory, texts) -> TokenStore:
  folder = tmp_path_factory.mktemp('store')
  said: list[str] = []
  text = settings_for(folder / 'corpus', texts)
  manifest = write_store(folder / 'deep/store', text, TOKENIZER, said.append)
  assert said
  opened = TokenStore.open(folder / 'deep/store')
  assert opened.manifest == manifest
  return opened


def contexts(store: TokenStore, split: str):
  """Yields (stream index, tokens) of every stored context."""
  each = store.contexts_per_record
  for record in range(store.n_contexts(split) // each):
    tokens, stream_index = store.read(split, record)
    assert tokens.shape == (each, store.context)
    assert (tokens.dtype, stream_index.dtype) == (np.uint16, np.int64)
    yield from zip(stream_index, tokens, strict=True)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_every_token_is_where_the_store_says(store, texts, split):
  found: dict[int, dict[int, int]] = defaultdict(dict)
  places = {}
  for index, tokens in contexts(store, split):
    documents = store.document_of(split, index, np.arange(store.context))
    for position, token in enumerate(tokens):
      place = store.locate(split, index, position)
      assert place.document == documents[position]
      assert place.offset not in found[place.document]
      found[place.document][place.offset] = int(token)
      places[place.document] = place
  whole = 0
  for document, by_offset in found.items():
    place = places[document]
    name, line = place.origin.split(':')
    assert name == 'x.jsonl'
    text = texts[int(line) - 1]
    assert place.subset == f's{(int(line) - 1) % 3}'
    digest = hashlib.sha256(text.encode()).digest()[:8]
    assert place.digest == int.from_bytes(digest, 'big')
    ids = [*store.tokenizer.encode_batch([text])[0], store.tokenizer.separator]
    assert by_offset == {offset: ids[offset] for offset in by_offset}
    if len(by_offset) == len(ids):
      whole += 1
      tokens = [by_offset[offset] for offset in range(len(ids) - 1)]
      assert store.tokenizer.decode(tokens) == text
  # Only what was dropped to fill contexts and records is missing.
  assert whole >= store.manifest['splits'][split]['documents'] - 6


def test_splits_share_no_text_and_duplicates_stay_together(store):
  train, val = store.tables['train'].digest_D, store.tables['val'].digest_D
  assert not set(train) & set(val)
  assert len(train) + len(val) == 551
  assert len(set(train)) + len(set(val)) == 501
  assert abs(len(val) / 551 - 0.2) < 0.06


def test_manifest_adds_up(store):
  manifest = store.manifest
  for split, entry in manifest['splits'].items():
    by_subset = [counts[split] for counts in manifest['subsets'].values()]
    for what in ('documents', 'tokens'):
      assert sum(counts[what] for counts in by_subset) == entry[what]
    stored = entry['contexts'] * store.context
    assert entry['tokens'] == stored + entry['dropped_tokens']
    assert entry['dropped_tokens'] < 5 * store.context
    assert entry['contexts'] == store.n_contexts(split)
    for file in entry['files']:
      data = (store.directory / file['name']).read_bytes()
      assert file['bytes'] == len(data)
      assert file['sha256'] == hashlib.sha256(data).hexdigest()
  assert sorted(store.subset_names) == ['s0', 's1', 's2']
  assert manifest['tokenizer']['vocab_size'] == 320
  assert str(store.directory.parents[1]) not in json.dumps(manifest)


def test_contexts_are_permuted_and_found_again(store):
  order = [int(index) for index, _ in contexts(store, 'train')]
  assert len(set(order)) == len(order)
  assert order != sorted(order)
  some = np.array([[5, 0], [len(order) - 1, 5]])
  expected = np.array(order)[some]
  np.testing.assert_array_equal(store.stream_index('train', some), expected)


def test_document_subset_names_the_subset(store):
  subset = store.document_subset('train')
  place = store.locate('train', 3, 2)
  assert store.subset_names[subset[place.document]] == place.subset


def test_the_same_text_gives_the_same_bytes(store, texts, tmp_path):
  text = settings_for(tmp_path / 'elsewhere', texts)
  (tmp_path / 'store').mkdir()
  write_store(tmp_path / 'store', text, TOKENIZER)
  assert content(tmp_path / 'store') == content(store.directory)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    'elsewhere',
    'store',
  ]


def test_what_changes_the_tokens_changes_the_hash(store, texts, tmp_path):
  text = settings_for(tmp_path / 'corpus', texts)
  hashes = {store.manifest['sha256']}
  for i, change in enumerate(
    [{'seed': 1}, {'context': 8}, {'val_fraction': 0.3}, {'keep': {'s0': 0.5}}]
  ):
    changed = dataclasses.replace(text, **change)
    manifest = write_store(tmp_path / f'{i}', changed, TOKENIZER)
    hashes.add(manifest['sha256'])
  assert len(hashes) == 5


def test_an_existing_tokenizer_is_used(store, texts, tmp_path):
  path = str(store.directory / 'tokenizer.json')
  text = settings_for(tmp_path / 'corpus', texts)
  manifest = write_store(tmp_path / 'store', text, Tokenizer(path=path))
  assert manifest['sha256'] == store.manifest['sha256']


def test_skipped_documents_are_reported(tmp_path, texts):
  text = settings_for(
    tmp_path / 'corpus', texts, min_document_chars=20, keep={'s1': 0.5}
  )
  skipped = write_store(tmp_path / 'store', text, TOKENIZER)['skipped']
  assert skipped['short'] == sum(len(text) < 20 for text in texts)
  assert 0 < skipped['keep'] < 200


# --- refusals


@pytest.mark.parametrize(
  'changes, split',
  [
    ({'val_fraction': 0.0}, 'val'),
    ({'min_document_chars': 10_000}, 'train'),
    ({'contexts_per_record': 10_000}, 'train'),
  ],
)
def test_too_little_text(tmp_path, texts, changes, split):
  text = settings_for(tmp_path / 'corpus', texts, **changes)
  advice = r'contexts_per_record=.*val_fraction, or add text'
  with pytest.raises(UserError, match=rf'The {split} split.*tokens.*{advice}'):
    write_store(tmp_path / 'store', text, TOKENIZER)
  assert [path.name for path in tmp_path.iterdir()] == ['corpus']


def test_a_folder_in_use_is_not_overwritten(store, texts, tmp_path):
  text = settings_for(tmp_path / 'corpus', texts)
  with pytest.raises(UserError, match='already contains files'):
    write_store(store.directory, text, TOKENIZER)
  with pytest.raises(UserError, match='is not a folder'):
    write_store(tmp_path / 'corpus/x.jsonl', text, TOKENIZER)
  with pytest.raises(UserError, match='cannot be created'):
    write_store(tmp_path / 'corpus/x.jsonl/store', text, TOKENIZER)


def test_incomplete_and_corrupt_stores_are_refused(store, tmp_path):
  with pytest.raises(UserError, match='does not contain a token store'):
    TokenStore.open(tmp_path / 'absent')

  @contextlib.contextmanager
  def broken(name: str, message: str):
    copy = tmp_path / 'copy'
    shutil.copytree(store.directory, copy)
    yield copy / name
    with pytest.raises(UserError, match=message):
      TokenStore.open(copy)
    shutil.rmtree(copy)

  record_file = store.manifest['splits']['val']['files'][0]['name']
  for name in (record_file, 'documents.npz', 'tokenizer.json'):
    with broken(name, name) as path:
      path.unlink()
  for name in (record_file, 'documents.npz'):
    with broken(name, f'{name} has .* bytes instead of') as path:
      path.write_bytes(path.read_bytes()[:-1])
  for data in (b'', b'{"format": 1}', b'\xff', b'[]'):
    with broken('manifest.json', 'corrupt') as path:
      path.write_bytes(data)
  with broken('manifest.json', 'format 99') as path:
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
  with broken('documents.npz', r'documents\.npz is corrupt') as path:
    path.write_bytes(bytes(len(path.read_bytes())))
  with broken('tokenizer.json', 'not the tokenizer') as path:
    store.tokenizer.train(['other'], 300).save(path)


# --- other sources end to end


def test_installed_says_what_it_read(tmp_path, monkeypatch):
  import sysconfig

  folder = tmp_path / 'lib'
  folder.mkdir()
  for i, text in enumerate(random_texts(200)):
    (folder / f'{i}.py').write_text(text)
  packages = tmp_path / 'packages'
  packages.mkdir()
  paths = {'stdlib': folder, 'purelib': packages, 'platlib': packages}
  paths = {name: str(path) for name, path in paths.items()}
  monkeypatch.setattr(sysconfig, 'get_paths', lambda: paths)
  text = Text(
    min_document_chars=0, context=16, contexts_per_record=2, val_fraction=0.2
  )
  manifest = write_store(tmp_path / 'store', text, TOKENIZER)
  source = manifest['source']
  assert source['files'] == 200
  assert source['python'].count('.') == 2
  assert f'numpy=={np.__version__}' in source['distributions']
  place = TokenStore.open(tmp_path / 'store').locate('train', 0, 0)
  assert place.origin.startswith('stdlib/')
  assert place.subset == 'py'


def test_pile_like(tmp_path):
  if not (PILE_LIKE / 'val.jsonl.zst').is_file():
    pytest.skip('the pile_like data is not beside this checkout')
  text = Text('jsonl', (str(PILE_LIKE / 'val*.jsonl.zst'),))
  tokenizer = Tokenizer(vocab_size=512, sample_chars=300_000)
  manifest = write_store(tmp_path / 'store', text, tokenizer)
  assert len(manifest['subsets']) == 25
  store = TokenStore.open(tmp_path / 'store')
  tokens, _ = store.read('val', 0)
  assert len(set(store.tokenizer.decode(tokens.ravel()))) > 50
