"""Text survives the tokenizer exactly, whatever the text."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from monosem_jax.config.errors import UserError
from monosem_jax.text.tokenizer import Tokenizer

WORDS = ['the', 'cat', 'für', 'עברית', '中文字', 'return', '=', '😀']
LETTERS = 'etaoin shrdlu'


def corpus(seed: int = 0, n: int = 200) -> list[str]:
  rng = random.Random(seed)
  nonsense = [''.join(rng.choices(LETTERS, k=6)) for _ in range(90)]
  words = WORDS * 4 + nonsense
  return [' '.join(rng.choices(words, k=30)) + '\n' for _ in range(n)]


def random_text(rng: random.Random) -> str:
  ranges = [
    (0, 0x20), (0x20, 0x7F), (0x80, 0x800), (0x800, 0xD800),
    (0xE000, 0x10000), (0x10000, 0x110000), (0x202A, 0x202F), (0x200B, 0x2010),
    (0x1F300, 0x1F700),
  ]  # fmt: skip
  pieces = []
  for _ in range(rng.randint(0, 60)):
    if rng.random() < 0.1:
      pieces.append(rng.choice(['<|sep|>', '<|endoftext|>', '\0', ' ' * 50]))
    else:
      pieces.append(chr(rng.randrange(*rng.choice(ranges))))
  return ''.join(pieces)


@pytest.fixture(scope='module')
def trained() -> Tokenizer:
  return Tokenizer.train(corpus(), 400)


def foreign(path: Path, special: list[str], **changes) -> Path:
  """A tokenizer.json as other projects write them."""
  inner = tokenizers.Tokenizer(models.BPE())
  inner.pre_tokenizer = changes.get(
    'pre_tokenizer', pre_tokenizers.ByteLevel(add_prefix_space=False)
  )
  inner.decoder = decoders.ByteLevel()
  if 'normalizer' in changes:
    inner.normalizer = changes['normalizer']
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  trainer = trainers.BpeTrainer(
    vocab_size=400,
    special_tokens=special,
    initial_alphabet=alphabet,
    show_progress=False,
  )
  inner.train_from_iterator(corpus(), trainer)
  inner.add_tokens(changes.get('added', []))
  inner.save(str(path))
  return path


def assert_round_trips(tokenizer: Tokenizer, texts: list[str]) -> None:
  encoded = tokenizer.encode_batch(texts)
  for text, ids in zip(texts, encoded, strict=True):
    assert tokenizer.decode(ids) == text
    assert tokenizer.separator not in ids
    joined = b''.join(tokenizer.token_bytes(id) for id in ids)
    assert joined == text.encode('utf-8')


def test_any_text_round_trips(trained):
  rng = random.Random(1)
  texts = [random_text(rng) for _ in range(500)]
  texts += ['', '<|sep|>', ' ' * 20_000, '\n\t ' * 5_000, 'x' * 20_000]
  texts += ['a<|sep|>b<|sep|><|sep|>', '<|s', 'ep|>']
  assert_round_trips(trained, texts)


def test_ids_fit_and_vocabulary_is_whole(trained):
  assert trained.vocab_size == 400
  assert trained.separator < 400
  ids = trained.encode_batch(corpus())[0]
  assert ids.dtype == np.uint16
  assert ids.max() < 400
  # Every byte can be encoded, also one never seen in training.
  one_byte = {trained.token_bytes(id) for id in range(400)}
  assert {bytes([byte]) for byte in range(256)} <= one_byte
  assert trained.token_bytes(trained.separator) == b''


def test_display_of_partial_characters_and_separator(trained):
  strings = trained.token_strings()
  assert len(strings) == trained.vocab_size
  assert strings[trained.separator] == '<|sep|>'
  assert r'\xd8' in strings
  assert ' the' in strings
  half = next(
    id for id in range(400) if trained.token_bytes(id) == b'\xd7'
  )  # first byte of a Hebrew letter
  assert trained.decode([half]) == '\ufffd'


def test_save_and_load_give_the_same_tokenizer(trained, tmp_path):
  path = tmp_path / 'tokenizer.json'
  trained.save(path)
  loaded = Tokenizer.load(path)
  assert loaded.sha256 == trained.sha256
  assert loaded.separator == trained.separator
  assert loaded.token_strings() == trained.token_strings()
  rng = random.Random(2)
  assert_round_trips(loaded, [random_text(rng) for _ in range(200)])


def test_training_is_the_same_in_another_process(trained):
  script = (
    'import test_text_tokenizer as t\n'
    'print(t.Tokenizer.train(t.corpus(), 400).sha256)'
  )
  done = subprocess.run(
    [sys.executable, '-c', script],
    cwd=Path(__file__).parent,
    env={'PYTHONPATH': str(Path(__file__).parents[1]), 'PYTHONHASHSEED': '7'},
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == trained.sha256


def test_a_small_sample_gives_a_smaller_vocabulary():
  tokenizer = Tokenizer.train(['tiny'], 5_000)
  assert tokenizer.vocab_size == 257
  assert_round_trips(tokenizer, ['anything 😀'])


@pytest.mark.parametrize('size', [256, 65_537])
def test_vocabulary_size_out_of_range(size):
  with pytest.raises(UserError, match=r'vocab_size.*257.*65536'):
    Tokenizer.train([], size)


@pytest.mark.parametrize(
  'special, separator',
  [
    (['<|endoftext|>'], '<|endoftext|>'),
    (['<pad>', '</s>'], '</s>'),
    (['<eos>'], '<eos>'),
    (['<|endoftext|>', '<|sep|>'], '<|sep|>'),
    ([], '<|sep|>'),
  ],
)
def test_a_foreign_tokenizer_brings_its_separator(tmp_path, special, separator):
  tokenizer = Tokenizer.load(foreign(tmp_path / 't.json', special))
  assert tokenizer.token_strings()[tokenizer.separator] == separator
  if not special:
    assert tokenizer.separator == tokenizer.vocab_size - 1 == 400
  assert_round_trips(tokenizer, [f'a {separator} b', *special, *corpus(3, 5)])
  tokenizer.save(tmp_path / 'again.json')
  assert Tokenizer.load(tmp_path / 'again.json').sha256 == tokenizer.sha256


def test_a_foreign_tokenizer_may_add_plain_tokens(tmp_path):
  path = foreign(
    tmp_path / 't.json', ['<eos>'], added=['\t\t', '中文', '<eos>']
  )
  texts = ['a\t\tb\t\t\tc', '中文字', '<eos>']
  assert_round_trips(Tokenizer.load(path), texts)


@pytest.mark.parametrize(
  'changes',
  [
    {'normalizer': normalizers.Lowercase()},
    {'normalizer': normalizers.NFKC()},
    {'pre_tokenizer': pre_tokenizers.ByteLevel(add_prefix_space=True)},
    {'pre_tokenizer': pre_tokenizers.Whitespace()},
  ],
)
def test_a_tokenizer_that_loses_text_is_refused(tmp_path, changes):
  path = foreign(tmp_path / 't.json', ['<eos>'], **changes)
  with pytest.raises(
    UserError, match='does not decode to the text that it encoded'
  ):
    Tokenizer.load(path)


def test_a_tokenizer_too_large_is_refused(tmp_path):
  vocab = {f't{i}': i for i in range(70_000)}
  inner = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[]))
  inner.save(str(tmp_path / 't.json'))
  with pytest.raises(UserError, match='at most 65536'):
    Tokenizer.load(tmp_path / 't.json')


def test_missing_and_corrupt_files(tmp_path):
  with pytest.raises(UserError, match='cannot be read'):
    Tokenizer.load(tmp_path / 'absent.json')
  for content in (b'{"model": 3}', b'', b'\xff\xfe', b'[1'):
    (tmp_path / 'bad.json').write_bytes(content)
    with pytest.raises(UserError, match=r'bad\.json'):
      Tokenizer.load(tmp_path / 'bad.json')
