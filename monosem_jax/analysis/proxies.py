"""Proxies: what a feature seems to detect, computed from the text alone.

As in the paper (feature deep dives, proxies), a token's score is the largest
log P(s|context) / P(s) over strings s of consecutive tokens that end at it,
within its document and context. P(s) is the product of the tokens' unigram
probabilities. The proxy is on for tokens with a positive score.

Alphabets (base64, DNA, hex): P(s|context) is a product over characters, so the
log ratio is a sum over tokens. The largest sum that ends at a token follows
Kadane's recurrence, best_t = ratio_t + max(best_{t-1}, 0), without a bound on
the length of s.

Scripts (Arabic, Hebrew, ...): by Bayes' rule the ratio is
P(script|s) / P(script), where P(script|s) is 1 if all characters of s belong to
the script and a floor if not. If all characters of some s belong, so do those
of its shortest suffix that starts at a character boundary. So only that suffix
is examined. A single token that holds part of a character gets the share of its
own occurrences whose characters belong to the script. Spaces and punctuation
that scripts share belong to no script.

Our choices where the paper is silent:

  - hex is lower-case;
  - a byte outside an alphabet counts like a character outside it;
  - a token that never occurs counts as seen once;
  - a part of a character that was never seen whole has a ratio of 1;
  - P(script) is the share of tokens whose characters all belong to the script;
  - a script's blocks are those of the language's letters, with the
    compatibility forms of Arabic and Han.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Blocks = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Alphabet:
  """Equally likely characters.

  Attributes:
    characters: the characters.
    least: minimum number of tokens of a string.
  """

  characters: bytes
  least: int = 1


_DIGITS, _LOWER = b'0123456789', b'abcdefghijklmnopqrstuvwxyz'
ALPHABETS: Mapping[str, Alphabet] = {
  'base64': Alphabet(_DIGITS + _LOWER + _LOWER.upper() + b'+/'),
  'dna': Alphabet(b'ACGT', least=2),
  'hex': Alphabet(_DIGITS + b'abcdef'),
}
# Unicode blocks, by first and last code point. The last Arabic block leaves out
# its U+FEFF, which is the byte order mark.
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
# Length of a UTF-8 character by its first byte; 0 for bytes that start none.
_LENGTH = np.zeros(256, np.int32)
_LENGTH[:0x80], _LENGTH[0xC2:0xE0] = 1, 2
_LENGTH[0xE0:0xF0], _LENGTH[0xF0:0xF5] = 3, 4


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The bytes of all tokens, concatenated.

  Attributes:
    byte_U: the bytes.
    begin_V: index of each token's first byte.
    length_V: number of bytes of each token.
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
  """The proxies of a corpus, made by `estimate` and used by `score`.

  Attributes:
    vocabulary: the bytes in which scripts are detected; tokens without bytes
      separate documents.
    alphabets: the alphabets that occur in the corpus, by name.
    scripts: the scripts that occur in the corpus, by name.
    ratio_V: log P(token|context) / P(token), by name. For scripts it covers
      only tokens with parts of characters.
    share: P(script) of each script, and the share of tokens with the proxy on
      for each alphabet.
    absent: why a proxy is missing, by name.
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
  """Estimates the statistics of a corpus that the proxies need.

  Args:
    token_bytes: the bytes of each token, which may be part of a character;
      empty for tokens that separate documents.
    count_V: number of occurrences of each token.
    batches: a sample of contexts, tokens_CT each.
    alphabets: alphabets by name.
    scripts: scripts by name.
    floor: the probability of a character outside the alphabet or script.
    overlook_space: for scripts, whether to ignore the leading space of a token.
      The paper does not. With a tokenizer that keeps the space with the word
      after it, the first token of many words would not count as its script.
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
    # Tokens of whole characters need no estimate: `score` examines them.
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
      name: f'absent from this corpus: on for 0 of {tokens:,} tokens'
      for name in (*alphabets, *scripts)
      if not share[name] > 0
    },
  )


def score(proxies: Proxies, tokens_CT: np.ndarray) -> dict[str, np.ndarray]:
  """The score of every token by every proxy that the corpus has.

  It takes some 200 bytes of memory per token.

  Args:
    proxies: the proxies of the corpus.
    tokens_CT: contexts.

  Returns:
    score_CT by name, float32. It is -inf for tokens at which no string ends:
    separators, and tokens with too few tokens before them.
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
  """The largest sum over `least` or more tokens that ends at each, [C, T]."""
  ratio_TC = ratio_V[tokens_CT.T]
  best_TC = ratio_TC.copy()
  for t in range(1, len(best_TC)):
    best_TC[t] += np.maximum(best_TC[t - 1], 0)
  # Each pass raises the minimum length by one: a token is added to the best
  # string that ends before it.
  for _ in range(least - 1):
    best_TC[1:] = ratio_TC[1:] + best_TC[:-1]
    best_TC[0] = -np.inf
  return best_TC.T.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Characters:
  """The N characters of the M tokens of some contexts that have bytes.

  Attributes:
    code_N: code points; -1 for characters that are cut by the end of a document
      or context.
    token_M: token ids.
    at_M: index of each token in tokens_CT, flattened.
    first_M: first character of which the token has a part.
    last_M: last character of which the token has a part.
    string_M: first character of the nearest token, itself or before it, that
      starts at a character boundary.
    ends_M: whether the token ends at a character boundary.
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
    """Whether is_N holds for all characters from from_M to a token's last."""
    others_N = np.concatenate([[0], np.cumsum(~is_N, dtype=np.int32)])
    return others_N[from_M] == others_N[self.last_M + 1]


def _code_points(byte_U: np.ndarray, begin_N: np.ndarray) -> np.ndarray:
  """Decodes UTF-8: [N], int32; -1 for characters with a wrong byte count."""
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
