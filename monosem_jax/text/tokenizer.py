"""A byte-level BPE tokenizer, which decodes exactly what it encoded."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from monosem_jax.config.errors import UserError

SEPARATOR = '<|sep|>'
# An imported tokenizer separates documents by its own end-of-text token.
_SEPARATORS = (SEPARATOR, '<|endoftext|>', '</s>', '<eos>')
# At least one id per byte and the separator; ids are stored as uint16.
MIN_VOCAB, MAX_VOCAB = 257, 65_536


def _bytes_of_chars() -> dict[str, int]:
  """Returns GPT-2's map from the characters that represent bytes to bytes."""
  plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
  rest = [byte for byte in range(256) if byte not in plain]
  chars = {chr(byte): byte for byte in plain}
  return chars | {chr(256 + i): byte for i, byte in enumerate(rest)}


_BYTES = _bytes_of_chars()


class Tokenizer:
  """Converts text to token ids and back.

  Attributes:
    vocab_size: V, including the separator; all ids are smaller.
    separator: id of the token between documents. Text never encodes to it, not
      even text that spells it.
    sha256: hash of the tokenizer's JSON, which identifies the tokenizer.
  """

  def __init__(self, inner: tokenizers.Tokenizer, separator: str):
    # These are not part of the JSON and must not depend on its origin.
    inner.encode_special_tokens = True
    inner.no_padding()
    inner.no_truncation()
    self._inner = inner
    vocab = inner.get_vocab(with_added_tokens=True)
    added = {id for id in inner.get_added_tokens_decoder()}
    self.vocab_size = max(vocab.values()) + 1
    self.separator = vocab[separator]
    self.sha256 = hashlib.sha256(inner.to_str().encode('utf-8')).hexdigest()
    self._token_bytes = [b''] * self.vocab_size
    for token, id in vocab.items():
      if id == self.separator:
        continue
      if id in added or not all(char in _BYTES for char in token):
        self._token_bytes[id] = token.encode('utf-8')
      else:
        self._token_bytes[id] = bytes(_BYTES[char] for char in token)

  @classmethod
  def train(cls, texts: Iterable[str], vocab_size: int) -> 'Tokenizer':
    """Trains a tokenizer; the same texts give the same tokenizer.

    Returns:
      A tokenizer with `vocab_size` tokens, or fewer if the texts are too small.

    Raises:
      UserError: `vocab_size` is not between 257 and 65,536.
    """
    if not MIN_VOCAB <= vocab_size <= MAX_VOCAB:
      raise UserError(
        f'tokenizer.vocab_size: {vocab_size} is not between {MIN_VOCAB} (256 '
        f'bytes and the separator) and {MAX_VOCAB} (ids are stored as uint16).'
      )
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
      vocab_size=vocab_size,
      # A pair that occurs once does not deserve a token.
      min_frequency=2,
      special_tokens=[SEPARATOR],
      # Every byte has an id, whatever the texts. The trainer sorts them.
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return cls(inner, SEPARATOR)

  @classmethod
  def load(cls, path: str | Path) -> 'Tokenizer':
    """Reads a tokenizer.json.

    The separator is `<|sep|>`, or else `<|endoftext|>`, `</s>` or `<eos>`. A
    tokenizer without any of these gets `<|sep|>` as a new last id.

    Raises:
      UserError: the file is missing or corrupt, the tokenizer has too many
        tokens, or it does not decode to the text that it encoded.
    """
    path = Path(path)
    try:
      inner = tokenizers.Tokenizer.from_str(path.read_text('utf-8'))
    except OSError as e:
      raise UserError(f'tokenizer {path} cannot be read: {e.strerror}.') from e
    # The library raises bare Exceptions.
    except Exception as e:
      raise UserError(
        f'tokenizer {path} is not a readable tokenizer.json: {e}'
      ) from e
    known = [
      name for name in _SEPARATORS if inner.token_to_id(name) is not None
    ]
    separator = known[0] if known else SEPARATOR
    # As a special token, it is not matched by text that spells it.
    inner.add_special_tokens([separator])
    tokenizer = cls(inner, separator)
    if tokenizer.vocab_size > MAX_VOCAB:
      raise UserError(
        f'tokenizer {path} has {tokenizer.vocab_size} tokens; at most '
        f'{MAX_VOCAB} fit (ids are stored as uint16).'
      )
    tokenizer._check_round_trip(path, separator)
    return tokenizer

  def _check_round_trip(self, path: Path, separator: str) -> None:
    probe = (
      f'Probe  of\tround trip\r\n\n\x00\x7f é e\u0301 ﬁ Ǆ 中文 עברית 😀\ufeff'
      f' {separator}x <s> ½ \U0010fffd \n'
    )
    ids = self.encode_batch([probe])[0]
    if self.separator in ids or self.decode(ids) != probe:
      raise UserError(
        f'tokenizer {path} does not decode to the text that it encoded: it is '
        'not a byte-level BPE, or it normalizes text. Use a byte-level BPE '
        "such as GPT-2's, or leave tokenizer.path empty to train one."
      )

  def save(self, path: str | Path) -> None:
    """Writes the JSON that `load` reads and `sha256` hashes."""
    Path(path).write_text(self._inner.to_str(), 'utf-8')

  def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Returns the ids of each text, uint16, without separators."""
    encodings = self._inner.encode_batch_fast(texts, add_special_tokens=False)
    return [np.array(encoding.ids, np.uint16) for encoding in encodings]

  def decode(self, ids: Iterable[int]) -> str:
    """Returns the text of ids; incomplete characters become U+FFFD."""
    data = b''.join(self._token_bytes[id] for id in ids)
    return data.decode('utf-8', 'replace')

  def token_bytes(self, id: int) -> bytes:
    """Returns the bytes of a token; empty for the separator."""
    return self._token_bytes[id]

  def token_strings(self) -> list[str]:
    r"""Returns all tokens for display, [V].

    Bytes of incomplete characters are shown as in `\xd8`, and the separator is
    shown by its name.
    """
    strings = [
      data.decode('utf-8', 'backslashreplace') for data in self._token_bytes
    ]
    name = self._inner.id_to_token(self.separator)
    assert name is not None, 'every tokenizer has a separator'
    strings[self.separator] = name
    return strings
