"""A token store is whole or absent: kills and full disks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import disks
import pytest
from stores import TOKENIZER, content, random_texts, settings_for

from monosem_jax.config.errors import UserError
from monosem_jax.text.store import TokenStore, write_store

# --- kills and full disks

# A process that kills itself with SIGKILL at the moment it is told.
KILLED = """
import os, signal, sys
from monosem_jax.config.settings import Text, Tokenizer
from monosem_jax.text.store import write_store
from monosem_jax.text.tokenizer import Tokenizer as Encoder

moment, text, directory = sys.argv[1], eval(sys.argv[2]), sys.argv[3]

def die(*args, **kwargs):
  os.kill(os.getpid(), signal.SIGKILL)

def progress(line):
  if line.startswith(moment):
    die()

calls = 0
encode = Encoder.encode_batch
def encode_batch(self, texts):
  global calls
  calls += moment == 'second batch' and len(texts) > 1
  return die() if calls == 2 else encode(self, texts)
Encoder.encode_batch = encode_batch

if moment == 'rename':
  os.replace = die
write_store(directory, text, Tokenizer(vocab_size=320, sample_chars=20_000),
  progress)
"""


def test_after_a_kill_nothing_half_done_is_mistaken_for_a_store(tmp_path):
  # Several batches of encoding.
  text = settings_for(tmp_path / 'corpus', random_texts(9_000))
  write_store(tmp_path / 'whole', text, TOKENIZER)
  whole = content(tmp_path / 'whole')
  target = tmp_path / 'store'
  moments = ['reading', 'training', 'second batch', 'packing val', 'rename']
  for moment in moments:
    done = subprocess.run(
      [sys.executable, '-c', KILLED, moment, repr(text), str(target)],
      env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])},
      check=False,
    )
    assert done.returncode == -signal.SIGKILL, moment
    assert not target.exists(), moment
    assert list(tmp_path.glob('.store*')), moment
    with pytest.raises(UserError, match='does not contain a token store'):
      TokenStore.open(target)
  write_store(target, text, TOKENIZER)
  assert content(target) == whole
  assert not list(tmp_path.glob('.store*'))


@pytest.fixture
def tiny_disk(tmp_path):
  """A file system of 1 MB."""
  with disks.small(tmp_path / 'disk', '1m') as disk:
    yield disk


@pytest.mark.parametrize('n', [9_000, 2_500])
def test_a_full_disk_is_said_and_cleaned_up(tmp_path, tiny_disk, n):
  """Full while encoding; or known, before packing, not to suffice."""
  text = settings_for(tmp_path / 'corpus', random_texts(n))
  with pytest.raises(UserError, match=rf'{tiny_disk} is full.*needs .* MB'):
    write_store(tiny_disk / 'store', text, TOKENIZER)
  assert list(tiny_disk.iterdir()) == []


def test_a_disk_that_another_fills_while_packing(tmp_path, tiny_disk):
  text = settings_for(tmp_path / 'corpus', random_texts(1_500))

  def fill(line: str) -> None:
    if line.startswith('packing train'):
      disks.fill_slowly(tiny_disk)

  with pytest.raises(UserError, match=f'{tiny_disk} is full'):
    write_store(tiny_disk / 'store', text, TOKENIZER, fill)
  assert [path.name for path in tiny_disk.iterdir()] == ['fill']
