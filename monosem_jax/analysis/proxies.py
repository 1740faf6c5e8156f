"""What a feature seems to be about, as a computation on the text alone.

As the paper (feature deep dives, proxies): a token's score is the largest
log P(s|context) / P(s) of the strings s of consecutive tokens that end at it,
inside its document and context. P(s) is the product of the tokens' unigram
probabilities. The proxy is on where the score is above 0.

Alphabets (base64, DNA, hex): P(s|context) is a product over characters, so the
ratio is a sum over tokens, and the largest sum that ends at a token is Kadane's
recurrence: best_t = ratio_t + max(best_{t-1}, 0). No bound on length is needed.

Scripts (Arabic, Hebrew, ...): by Bayes the ratio is P(script|s) / P(script),
and P(script|s) is 1 if all characters of s are of the script, a floor if not.
If those of any s are, so are those of the shortest end of s that begins where a
character does: only that one is looked at. A single token with a part of a
character has the share of its own occurrences whose characters are of the
script. Space and punctuation that scripts share are of none.

Our choices where the paper is silent: hex is lower-case; a byte outside an
alphabet counts like a character; a token never counted is taken as seen once; a
part of a character never seen whole says nothing, a ratio of 1; P(script) is
the share of tokens all of whose characters are of the script; its blocks are
those of the language's letters, compatibility forms of Arabic and Han included.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Blocks = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Alphabet:
  """Characters that are drawn evenly, in strings of so many tokens at least."""

  characters: bytes
  least: int = 1


_DIGITS, _LOWER = b'0123456789', b'abcdefghijklmnopqrstuvwxyz'
ALPHABETS: Mapping[str, Alphabet] = {
  'base64': Alphabet(_DIGITS + _LOWER + _LOWER.upper() + b'+/'),
  'dna': Alphabet(b'ACGT', least=2),
  'hex': Alphabet(_DIGITS + b'abcdef'),
}
# Unicode blocks, first and last code point. U+FEFF, which ends the last Arabic
# one, is the byte order mark.
SCRIPTS: Mapping[str, Blocks] = {
  'arabic': (
    *((0x600, 0x6FF), (0x750, 0x77F), (0x870, 0x8FF)),
    *((0xFB50, 0xFDFF), (0xFE70, 0xFEFE)),
  ),
  'hebrew': ((0x590, 0x5FF),),
  'cyrillic': (
    *((0x400, 0x52F), (0x1C80, 0x1C8F)),
    *((0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
  ),
  'hangul': (
    *((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F)),
    (0xAC00, 0xD7FF),
  ),
  'kana': ((0x3040, 0x30FF), (0x31F0, 0x31FF)),
  'han': (
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)),
    (0x20000, 0x323AF),
  ),
}
_CODES = 0x110000
# Of the first byte of a character: its bytes, 0 for one that begins none.
_LENGTH = np.zeros(256, np.int32)
_LENGTH[:0x80], _LENGTH[0xC2:0xE0] = 1, 2
_LENGTH[0xE0:0xF0], _LENGTH[0xF0:0xF5] = 3, 4


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The bytes of all tokens, one after another.

  Attributes:
    byte_U: the bytes.
    begin_V, length_V: where those of a token begin, and how many they are.
  """

  byte_U: np.ndarray
  begin_V: np.ndarray
  length_V: np.ndarray

  @classmethod
  def of(cls, token_bytes: Sequence[bytes]) -> 'Vocabulary':
    length_V = np.array([len(data) for data in token_bytes])
    byte_U = np.frombuffer(b''.join(token_bytes), np.uint8)
    return cls(byte_U, np.cumsum(length_V) - length_V, length_V)


@dataclasses.dataclass(frozen=True)
class Proxies:
  """The proxies of a corpus, made by `estimate`, for `score`.

  Attributes:
    vocabulary: the tokens as scripts are looked for in them; those without
      bytes separate documents.
    alphabets, scripts: those that the corpus has, by name.
    ratio_V: by name, log P(token|context) / P(token); of a script's whole
      characters nothing is said here.
    share: by name: of a script P(script), of an alphabet the share of tokens
      on which the proxy is on.
    absent: by name, why there is no such proxy.
  """

  vocabulary: Vocabulary
  alphabets: Mapping[str, Alphabet]
  scripts: Mapping[str, Blocks]
  ratio_V: Mapping[str, np.ndarray]
  share: Mapping[str, float]
  absent: Mapping[str, str]


def estimate(
  token_bytes: Sequence[bytes],
  count_V: np.ndarray,
  batches: Iterable[np.ndarray],
  alphabets: Mapping[str, Alphabet] = ALPHABETS,
  scripts: Mapping[str, Blocks] = SCRIPTS,
  floor: float = 1e-10,
  overlook_space: bool = False,
) -> Proxies:
  """Estimates what the proxies need to know of a corpus.

  Args:
    token_bytes: of every token id, parts of characters as they are; none for
      what separates documents.
    count_V: how often each token occurs.
    batches: a sample of contexts, tokens_CT each.
    alphabets, scripts: by name.
    floor: the probability of a character that does not belong.
    overlook_space: for scripts, whether of a token that begins with a space
      only the rest is looked at. Not so in the paper; a tokenizer that keeps
      the space with the word after it has many words of a script begin with a
      token that is not of it.
  """
  V = len(token_bytes)
  letters = lambda data: data[1:] if data[:1] == b' ' and data[1:] else data
  of_scripts = [letters(x) if overlook_space else x for x in token_bytes]
  vocabulary = Vocabulary.of(of_scripts)
  text_V = vocabulary.length_V > 0
  log_p_V = np.log(np.maximum(count_V, 1) / max(count_V[text_V].sum(), 1))
  ratio_V = {}
  for name, alphabet in alphabets.items():
    inside_V = np.array(
      [
        sum(byte in alphabet.characters for byte in data)
        for data in token_bytes
      ]
    )
    outside_V = np.array([len(data) for data in token_bytes]) - inside_V
    log_V = outside_V * np.log(floor)
    log_V = log_V - inside_V * np.log(len(alphabet.characters))
    ratio_V[name] = np.where(text_V, log_V - log_p_V, -np.inf)
  on = dict.fromkeys(alphabets, 0)
  own_V = {name: np.zeros(V, np.int64) for name in scripts}
  known_V = np.zeros(V, np.int64)
  tokens = 0
  for tokens_CT in batches:
    for name, alphabet in alphabets.items():
      on[name] += (_largest(ratio_V[name], tokens_CT, alphabet.least) > 0).sum()
    text = _Characters.of(vocabulary, tokens_CT)
    whole_M = text.all_of(text.code_N >= 0, text.first_M)
    known_V += np.bincount(text.token_M[whole_M], minlength=V)
    for name, blocks in scripts.items():
      own_M = text.all_of(_within(text.code_N, blocks), text.first_M)
      own_V[name] += np.bincount(text.token_M[own_M], minlength=V)
    tokens += text.token_M.size
  share = {name: int(n) / max(tokens, 1) for name, n in on.items()}
  whole_V = np.array([_is_whole(data) for data in token_bytes])
  for name in scripts:
    share[name] = own_V[name].sum() / max(known_V.sum(), 1)
    # Alone, a token of whole characters is of the script or not: `score` sees.
    fraction_V = own_V[name] / np.maximum(known_V, 1)
    fraction_V = np.where(known_V > 0, fraction_V, share[name])
    fraction_V = np.maximum(np.where(whole_V, 0, fraction_V), floor)
    ratio_V[name] = np.log(fraction_V) - np.log(share[name] or 1)
  present = lambda named: {n: x for n, x in named.items() if share[n] > 0}
  return Proxies(
    vocabulary=vocabulary,
    alphabets=present(alphabets),
    scripts=present(scripts),
    ratio_V=present(ratio_V),
    share=present(share),
    absent={
      name: f'absent from this corpus: on none of {tokens:,} tokens'
      for name in (*alphabets, *scripts)
      if not share[name] > 0
    },
  )


def score(proxies: Proxies, tokens_CT: np.ndarray) -> dict[str, np.ndarray]:
  """The score of every token by every proxy that the corpus has.

  Takes some 200 bytes of memory per token.

  Args:
    proxies: of the corpus.
    tokens_CT: contexts.

  Returns:
    By name, score_CT, float32; -inf where no string ends: on what separates
    documents, and where there are fewer tokens than a string must have.
  """
  found = {
    name: _largest(proxies.ratio_V[name], tokens_CT, alphabet.least)
    for name, alphabet in proxies.alphabets.items()
  }
  text = _Characters.of(proxies.vocabulary, tokens_CT)
  for name, blocks in proxies.scripts.items():
    own_M = text.all_of(_within(text.code_N, blocks), text.string_M)
    score_M = proxies.ratio_V[name][text.token_M]
    score_M[own_M & text.ends_M] = -np.log(proxies.share[name])
    found[name] = np.full(tokens_CT.shape, -np.inf, np.float32)
    found[name].reshape(-1)[text.at_M] = score_M
  return found


def _largest(
  ratio_V: np.ndarray, tokens_CT: np.ndarray, least: int
) -> np.ndarray:
  """The largest sums over `least` or more tokens that end at each, [C, T]."""
  ratio_TC = ratio_V[tokens_CT.T]
  best_TC = ratio_TC.copy()
  for t in range(1, len(best_TC)):
    best_TC[t] += np.maximum(best_TC[t - 1], 0)
  # Of one token more at least: the token, and the best that ends before it.
  for _ in range(least - 1):
    best_TC[1:] = ratio_TC[1:] + best_TC[:-1]
    best_TC[0] = -np.inf
  return best_TC.T.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Characters:
  """The N characters of M tokens (all that have bytes) of contexts.

  Attributes:
    code_N: code points; -1 for what is not whole in its document and context.
    token_M, at_M: the token, and where it stands in tokens_CT, flat.
    first_M, last_M: the first and last character that it has a part of.
    string_M: first character of the nearest token, itself or one before, that
      begins with the beginning of a character.
    ends_M: whether it ends with the end of one.
  """

  code_N: np.ndarray
  token_M: np.ndarray
  at_M: np.ndarray
  first_M: np.ndarray
  last_M: np.ndarray
  string_M: np.ndarray
  ends_M: np.ndarray

  @classmethod
  def of(cls, vocabulary: Vocabulary, tokens_CT: np.ndarray) -> '_Characters':
    there_CT = vocabulary.length_V[tokens_CT] > 0
    cut_CT = np.ones(tokens_CT.shape, bool)
    cut_CT[:, 1:] = ~there_CT[:, :-1]
    at_M = np.flatnonzero(there_CT)
    token_M, cut_M = tokens_CT.reshape(-1)[at_M], cut_CT.reshape(-1)[at_M]
    length_M = vocabulary.length_V[token_M]
    end_M = np.cumsum(length_M)
    begin_M = end_M - length_M
    from_U = np.repeat(vocabulary.begin_V[token_M] - begin_M, length_M)
    byte_U = vocabulary.byte_U[from_U + np.arange(from_U.size)]
    begins_U = (byte_U & 0xC0) != 0x80
    begins_U[begin_M[cut_M]] = True
    number_U = np.cumsum(begins_U, dtype=np.int32) - 1
    begins_M = begins_U[begin_M]
    nearest_M = np.maximum.accumulate(
      np.where(begins_M, np.arange(begins_M.size), 0)
    )
    first_M = number_U[begin_M]
    return cls(
      code_N=_code_points(byte_U, np.flatnonzero(begins_U)),
      token_M=token_M,
      at_M=at_M,
      first_M=first_M,
      last_M=number_U[end_M - 1],
      string_M=first_M[nearest_M],
      ends_M=np.append(begins_M[1:], True)[: begins_M.size],
    )

  def all_of(self, is_N: np.ndarray, from_M: np.ndarray) -> np.ndarray:
    """Whether all characters from one on to a token's last one are such."""
    others_N = np.concatenate([[0], np.cumsum(~is_N, dtype=np.int32)])
    return others_N[from_M] == others_N[self.last_M + 1]


def _code_points(byte_U: np.ndarray, begin_N: np.ndarray) -> np.ndarray:
  """UTF-8 decoded, [N], int32; -1 where bytes are missing or too many."""
  lead_N = byte_U[begin_N].astype(np.int32)
  length_N = _LENGTH[lead_N]
  code_N = np.where(length_N == 1, lead_N, lead_N & (0x7F >> length_N))
  for i in (1, 2, 3):
    (more,) = np.nonzero((length_N > i) & (begin_N + i < byte_U.size))
    code_N[more] = (code_N[more] << 6) | (byte_U[begin_N[more] + i] & 0x3F)
  whole_N = np.diff(begin_N, append=byte_U.size) == length_N
  return np.where(whole_N & (code_N < _CODES), code_N, -1)


def _within(code_N: np.ndarray, blocks: Blocks) -> np.ndarray:
  table = np.zeros(_CODES + 1, bool)  # the last one is for -1
  for first, last in blocks:
    table[first : last + 1] = True
  return table[code_N]


def _is_whole(data: bytes) -> bool:
  try:
    data.decode('utf-8')
  except UnicodeDecodeError:
    return False
  return True
