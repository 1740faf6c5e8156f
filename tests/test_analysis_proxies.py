"""Proxies against their definition: every string that ends at a token."""

import math

import numpy as np
import pytest

from monosem_jax.analysis import proxies
from monosem_jax.text.tokenizer import Tokenizer

FLOOR = 1e-10
# Whole characters, several, parts, parts with others; b'' separates documents.
PIECES = [
  b'',
  *('ا', 'ب', 'اب', 'א', 'אב', 'ж', '中', 'か', '가', '中か', 'A', 'C', 'G'),
  *('TT', 'ACG', 'q', 'Zc', 'ff', '9', '.', ','),
  *(' ', ' ا', ' A'),
  *(b' \xd8', b'\xa7\xd9', b'\xa7 ', b'\xb8\xad', b'\xa0\x80', b'\xd7\x90\xd7'),
]
PIECES = [p.encode() if isinstance(p, str) else p for p in PIECES]
PIECES += [bytes([b]) for b in range(256) if bytes([b]) not in PIECES]
ID = {data: i for i, data in enumerate(PIECES)}
# U+20000: four bytes, and Han.
LETTERS = 'ااببאאжж中中かが가A C G T q Z f 9 . éذ\U00020000😀ACGTACGT'


def encode(*pieces: bytes | str) -> list[int]:
  return [ID[p.encode() if isinstance(p, str) else p] for p in pieces]


def contexts(seed: int, C: int = 30, T: int = 11) -> np.ndarray:
  """Random documents, cut into random pieces, joined and cut into contexts."""
  rng = np.random.default_rng(seed)
  ids = []
  while len(ids) < C * T:
    data = ''.join(rng.choice(list(LETTERS), rng.integers(1, 14))).encode()
    while data:
      fitting = [p for p in PIECES[1:] if data.startswith(p)]
      piece = fitting[rng.integers(len(fitting))]
      ids.append(ID[piece])
      data = data[len(piece) :]
    ids.append(0)
  return np.array(ids[: C * T], np.uint16).reshape(C, T)


def counts(tokens_CT: np.ndarray) -> np.ndarray:
  return np.bincount(tokens_CT.reshape(-1), minlength=len(PIECES))


def documents(tokens_CT: np.ndarray):
  """The parts of documents in contexts: context, first position, tokens."""
  for c, row in enumerate(tokens_CT.tolist()):
    begin = 0
    for t, token in enumerate([*row, 0]):
      if token == 0:
        yield c, begin, row[begin:t]
        begin = t + 1


def characters(data: bytes) -> list[str]:
  """Of every byte the character it is part of; none if that was cut."""
  found = []
  while data:
    for n in (1, 2, 3, 4):
      try:
        found += [data[:n].decode()] * n
        data = data[n:]
        break
      except UnicodeDecodeError:
        pass
    else:
      found.append('')
      data = data[1:]
  return found


def of_script(text: str, name: str) -> bool:
  return all(
    any(first <= ord(char) <= last for first, last in proxies.SCRIPTS[name])
    for char in text
  )


def occurrences(tokens_CT: np.ndarray, name: str):
  """Of every token that was not cut: whether its characters are of a script."""
  for _, _, tokens in documents(tokens_CT):
    chars = characters(b''.join(PIECES[i] for i in tokens))
    at = 0
    for token in tokens:
      own = chars[at : at + len(PIECES[token])]
      at += len(PIECES[token])
      if all(own):
        yield token, of_script(''.join(own), name)


def by_definition(
  tokens_CT: np.ndarray, count: np.ndarray, name: str
) -> np.ndarray:
  """The score of every token, from all strings that end at it."""
  total = count[1:].sum()
  score_CT = np.full(tokens_CT.shape, -np.inf)
  if name in proxies.SCRIPTS:
    seen = [*occurrences(tokens_CT, name)]
    share = np.mean([own for _, own in seen])
    fraction = {
      i: np.mean([own for j, own in seen if j == i] or [share])
      for i in np.unique(tokens_CT)
    }

  def ratio(string: list[int]) -> float:
    data = b''.join(PIECES[i] for i in string)
    if name in proxies.ALPHABETS:
      alphabet = proxies.ALPHABETS[name]
      if len(string) < alphabet.least:
        return -np.inf
      size = len(alphabet.characters)
      p = [1 / size if b in alphabet.characters else FLOOR for b in data]
      return np.log(p).sum() - sum(math.log(count[i] / total) for i in string)
    try:
      p = float(of_script(data.decode(), name))
    except UnicodeDecodeError:
      p = fraction[string[0]] if len(string) == 1 else 0.0
    return math.log(max(p, FLOOR) / share)

  for c, begin, tokens in documents(tokens_CT):
    for t in range(len(tokens)):
      score_CT[c, begin + t] = max(
        ratio(tokens[first : t + 1]) for first in range(t + 1)
      )
  return score_CT


def fitted(tokens_CT: np.ndarray, **given) -> proxies.Proxies:
  return proxies.estimate(PIECES, counts(tokens_CT), [tokens_CT], **given)


@pytest.mark.parametrize('seed', range(5))
def test_a_score_is_the_largest_of_all_strings_that_end_there(seed):
  tokens = contexts(seed)
  count = counts(tokens)
  count[ID[b'.']] += 2_000  # elsewhere in the corpus
  px = proxies.estimate(PIECES, count, [tokens])
  found = proxies.score(px, tokens)
  assert len(found) > 6
  assert {*found, *px.absent} == {*proxies.ALPHABETS, *proxies.SCRIPTS}
  for name, score_CT in found.items():
    want = by_definition(tokens, count, name)
    np.testing.assert_allclose(score_CT, want, rtol=1e-5, atol=1e-5)
    assert (want > 0).any() and (want < 0).any(), name
    if name in proxies.SCRIPTS:
      own = [own for _, own in occurrences(tokens, name)]
      assert px.share[name] == np.mean(own)
    else:
      assert px.share[name] == (want > 0).sum() / (tokens > 0).sum()


def test_base64_by_hand():
  tokens = np.array([encode('q', 'Zc', '.', 'q'), encode('.', '.', '.', 'G')])
  count = np.zeros(len(PIECES), int)
  count[encode('.', 'q', 'Zc')] = 8_890, 1_000, 100
  count[ID[b'']] = 500  # no text
  count[ID[b'9']] = 10
  px = proxies.estimate(PIECES, count, [tokens])
  found = proxies.score(px, tokens)['base64']
  # A frequent token is likelier by chance, a rare one as base64; a string of
  # both is better than the second alone only if the first helps.
  q, zc = math.log(1 / 64 / 0.1), math.log(1 / 64**2 / 0.01)
  dot, never = math.log(1e-10 / 0.889), math.log(1 / 64 / 0.0001)
  np.testing.assert_allclose(found[0], [q, zc, dot, q], rtol=1e-6)
  np.testing.assert_allclose(found[1], [dot] * 3 + [never], rtol=1e-6)
  assert q < 0 and zc < 0 and never > 0
  assert px.share['base64'] == 1 / 8
  rarer = np.where(count == 1_000, 10, count)
  px = proxies.estimate(PIECES, rarer, [tokens])
  found = proxies.score(px, tokens)['base64'][0]
  q, zc = math.log(9_010 / 10 / 64), math.log(9_010 / 100 / 64**2)
  assert q > 0 > zc
  np.testing.assert_allclose(found[[0, 1, 3]], [q, q + zc, q], rtol=1e-6)


def test_dna_takes_two_tokens():
  text = encode('A', 'C', '.', 'G', b'', 'G', 'TT')
  tokens = np.array([text + encode('.') * 9])
  found = proxies.score(fitted(tokens), tokens)['dna'][0]
  p = lambda n: math.log(15 / n)  # of 15 tokens, the separator is none
  ac = 2 * math.log(1 / 4) + 2 * p(1)
  gtt = 3 * math.log(1 / 4) + p(2) + p(1)
  assert found[0] == found[4] == found[5] == -np.inf
  np.testing.assert_allclose(found[[1, 6]], [ac, gtt], rtol=1e-6)
  assert ac > 0 and found[2] < -10 and found[3] < -10


def test_parts_of_characters_by_hand():
  alef, beth = 'ا', 'א'  # d8 a7, d7 90
  tokens = np.array(
    [
      encode(b'\xd8', b'\xa7', b'\xc3', b'\xa7', '.', '.'),  # alef, ç
      encode(b'\xd8', b'\xa7', alef, ' ا', b' \xd8', b'\xa7'),
      encode(beth, beth, '.', '.', '.', b'\xd8'),  # cut: says nothing
      encode(b'\xa7', beth, alef, '.', ' ', alef),
    ]
  )
  # Whole: 22 tokens; Arabic: twice d8 a7, three alefs, and the last a7.
  share = 8 / 22
  found = proxies.score(fitted(tokens), tokens)['arabic']
  never, always = math.log(FLOOR / share), -math.log(share)
  # Of four a7 that are not cut three are Arabic; all d8 are; ' \xd8' never is,
  # a space being of no script.
  a7 = math.log(3 / 4 / share)
  want = [
    [always, always, never, a7, never, never],
    [always, always, always, never, never, a7],
    [never, never, never, never, never, always],
    [a7, never, always, never, never, always],
  ]
  np.testing.assert_allclose(found, want, rtol=1e-6)


def test_a_leading_space_may_be_overlooked():
  pieces = ('ا', ' ا', b' \xd8', b'\xa7', ' A', ' ', 'A')
  tokens = np.array([encode(*pieces)])
  strict, loose = (
    proxies.estimate(PIECES, counts(tokens), [tokens], overlook_space=overlook)
    for overlook in (False, True)
  )
  assert strict.share['arabic'] == 2 / 7 and loose.share['arabic'] == 4 / 7
  on = proxies.score(strict, tokens)['arabic'][0] > 0
  np.testing.assert_array_equal(on, [1, 0, 0, 1, 0, 0, 0])
  on = proxies.score(loose, tokens)['arabic'][0] > 0
  np.testing.assert_array_equal(on, [1, 1, 1, 1, 0, 0, 0])
  # Alphabets take their strings as they are.
  tokens = contexts(0)
  dna = [
    proxies.score(fitted(tokens, overlook_space=overlook), tokens)['dna']
    for overlook in (False, True)
  ]
  np.testing.assert_array_equal(*dna)


def test_a_string_stays_in_its_document_and_context():
  two, apart = encode(b'\xd8', b'\xa7'), encode(b'\xd8', b'', b'\xa7')
  tokens = np.array([[*two, *apart], encode('q', b'', 'q', 'q', b'\xd8')])
  cut = np.array([encode(b'\xa7', '.', '.', '.', '.')])
  px = proxies.estimate(PIECES, counts(tokens), [tokens, cut])
  found = proxies.score(px, tokens)
  # What is cut has no say in the share of its kind, and is no string.
  assert px.share['arabic'] == 2 / 9
  whole = -math.log(px.share['arabic'])
  np.testing.assert_allclose(
    found['arabic'][0], [whole] * 2 + [whole, -np.inf, whole]
  )
  count = np.full(len(PIECES), 10**4)  # all are rare
  px = proxies.estimate(PIECES, count, [tokens])
  q, none, again, both, _ = proxies.score(px, tokens)['base64'][1]
  assert q == again > 0 and np.isneginf(none)
  np.testing.assert_allclose(both, 2 * q, rtol=1e-6)


def test_what_was_never_seen_whole_says_nothing():
  tokens = np.array([encode('ا', b'\xd8', b'', '.')])
  found = proxies.score(fitted(tokens), tokens)
  assert found['arabic'][0, 1] == 0
  unseen = np.array([encode('q', b'\xa7', b'\xd7', 'א')])
  found = proxies.score(fitted(tokens), unseen)
  assert all(np.isfinite(x).all() for x in found.values())
  assert found['arabic'][0, 3] < -20


def test_what_a_corpus_has_not_is_absent_and_not_0():
  tokens = np.array([encode('.', ',', ' ', 'ا'), encode('.', ',', ' ', b'')])
  px = fitted(tokens)
  assert set(proxies.score(px, tokens)) == {'arabic'}
  assert set(px.absent) == ({*proxies.ALPHABETS, *proxies.SCRIPTS} - {'arabic'})
  assert px.absent['hebrew'] == 'absent from this corpus: on for 0 of 7 tokens'
  nothing = fitted(np.zeros((2, 4), np.uint16))
  assert len(nothing.absent) == 9
  assert proxies.score(nothing, tokens) == {}


def test_a_corpus_may_come_in_parts_and_have_its_own_proxies():
  tokens = contexts(9)
  given = {
    'alphabets': {'rna': proxies.Alphabet(b'ACGU', least=3)},
    'scripts': {'capitals': ((65, 90),)},
  }
  whole = proxies.score(fitted(tokens, **given), tokens)
  parts = proxies.estimate(
    PIECES,
    counts(tokens),
    (tokens[i : i + 7] for i in range(0, 30, 7)),
    **given,
  )
  assert set(whole) == {'rna', 'capitals'}
  assert np.isneginf(whole['rna'][:, :2]).all()
  for name, x in proxies.score(parts, tokens).items():
    np.testing.assert_array_equal(x, whole[name])
  lower = proxies.score(fitted(tokens, floor=1e-20, **given), tokens)
  for name, x in lower.items():
    assert x[np.isfinite(x)].min() < whole[name][np.isfinite(x)].min() - 20


def test_scripts_have_their_characters_to_the_first_and_last():
  members = {
    'arabic': '\u0600،ا\u06ff\u0750\u077f\ufefc',
    'hebrew': '\u0590א\u05ff',
    'cyrillic': '\u0400я\u052f',
    'hangul': '\u1100ㄱ\uac00\ud7a3',
    'kana': '\u3040かーカ\u30ff',
    'han': '\u4e00中\u9fff\u3400\U00020000',
    'none': ' a9é\u03ff\u058f\u0700\u3000。\u3200😀',
  }
  texts = [char for chars in members.values() for char in chars]
  tokens = np.zeros((len(texts), 4), np.uint16)
  for row, char in zip(tokens, texts, strict=True):
    row[: len(char.encode())] = [ID[bytes([b])] for b in char.encode()]
  px = fitted(tokens)
  for name, score_CT in proxies.score(px, tokens).items():
    if name in proxies.SCRIPTS:
      most = np.isclose(score_CT.max(1), -math.log(px.share[name]))
      found = ''.join(c for c, own in zip(texts, most, strict=True) if own)
      assert found == members[name]


def test_what_is_no_text_is_of_no_script():
  # Beyond Unicode's last code point; and the byte order mark, which stands in
  # an Arabic block.
  beyond, mark = [bytes([b]) for b in b'\xf4\xbf\xbf\xbf'], '\ufeff'.encode()
  tokens = np.array([encode(*beyond, *(bytes([b]) for b in mark), 'ا')])
  px = fitted(tokens)
  assert px.share == {'arabic': 1 / 4}  # of the mark's parts, and the letter
  found = proxies.score(px, tokens)['arabic'][0]
  # Of \xbf, beyond and in the mark, what is known is the mark's alone.
  never = math.log(FLOOR * 4)
  want = [0, never, never, never, never, never, never, math.log(4)]
  np.testing.assert_allclose(found, want, rtol=1e-6)


def test_tokens_of_a_tokenizer():
  arabic = 'السلامعليكم'
  texts = [f'plain words and more of them {arabic}'] * 20
  tokenizer = Tokenizer.train(texts, 262)
  ids = tokenizer.encode_batch(texts[:1])[0]
  pieces = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
  count = np.bincount(ids, minlength=len(pieces))
  px = proxies.estimate(pieces, count, [ids[None]])
  on = proxies.score(px, ids[None])['arabic'][0] > 0
  text = b''.join(pieces[i] for i, is_on in zip(ids, on, strict=True) if is_on)
  assert arabic[1:] in text.decode('utf-8', 'ignore')
  assert not any(byte < 128 for byte in text)
