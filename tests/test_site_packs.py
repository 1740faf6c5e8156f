"""Packs and effects: what they give back, and what is found broken."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
from taken_apart import effects_of

from monosem_jax.site import effects, pack

# --- packs


def test_a_pack_gives_back_what_it_was_given():
  meta = {'text': 'half\ud800 \u2028 </script>', 'none': None}
  columns = {
    'bytes': np.arange(3, dtype=np.uint8),
    'table': np.arange(6, dtype=np.float32).reshape(2, 3),
    'empty': np.zeros((0, 4), np.int32),
    'big': np.arange(5, dtype='>u2'),
  }
  build, found, arrays = pack.unpack(pack.pack('b', meta, columns))
  assert (build, found) == ('b', meta)
  assert list(arrays) == list(columns)
  for name, x in columns.items():
    np.testing.assert_array_equal(arrays[name], x)


def test_a_script_is_one_call_with_the_same_bytes():
  """Of every byte, in every order of two."""
  data = bytes(x for i in range(256) for j in range(256) for x in (i, j))
  script = pack.script('A1/0000', data)
  call = re.fullmatch(rb'monosem\.data\.arrived\("A1/0000","(.*)"\);\n', script)
  # In one line, and no quote without a backslash.
  assert re.fullmatch(rb'([^\\"\r\n]|\\[\\"rn])*', call[1])
  assert pack.unscript('A1/0000', script) == data


@pytest.mark.parametrize('kept', [0, 30, -1])
def test_a_script_that_is_cut_off_is_found(kept):
  with pytest.raises(ValueError, match=r'A1/0000\.js is incomplete'):
    pack.unscript('A1/0000', pack.script('A1/0000', b'some bytes')[:kept])


def test_a_page_that_holds_its_data_has_the_same_call_in_ascii():
  data = pack.pack('b', ['</script>'], {})
  text = pack.inline('a/"b', data)
  call = re.fullmatch(r'monosem\.data\.arrived\((.*),atob\((.*)\)\);\n', text)
  name, encoded = (json.loads(x) for x in call.groups())
  assert (name, base64.b64decode(encoded)) == ('a/"b', data)
  assert text.isascii() and '<' not in text


@pytest.mark.parametrize('kept', [0.1, 0.5, 0.99])
def test_gzip_finds_what_is_cut_off(kept):
  data = pack.pack('b', None, {'x': np.arange(999, dtype=np.uint16)})
  with pytest.raises((EOFError, zlib.error)):
    pack.unpack(data[: int(kept * len(data))])


def test_a_pack_takes_only_what_the_page_reads():
  with pytest.raises(ValueError, match='column x: int64'):
    pack.pack('b', None, {'x': np.arange(3)})
  with pytest.raises(ValueError, match='not JSON compliant'):
    pack.pack('b', float('nan'), {})


def test_effects_come_back_as_they_were():
  """Three features, the second without any; changes of all sizes, and none."""
  rng = np.random.default_rng(0)
  M, k, V = 900, 5, 4_000
  token_M = np.sort(rng.choice(5_000, M, replace=False))
  first_n1 = np.array([0, 2_000, 2_000, 5_000])
  # Down to 2**-16 of the largest, where they become 0.
  size_Mk = np.sort(2.0 ** rng.uniform(-20, 2, (M, k)))[:, ::-1]
  size_Mk[::7, 3:] = 0
  ids = lambda: rng.integers(0, V, (M, k))
  given = {
    'loss_M': rng.normal(size=M),
    'raised_ids_Mk': ids(),
    'raised_Mk': size_Mk,
    'lowered_ids_Mk': ids(),
    'lowered_Mk': -size_Mk[::-1],
  }
  part = effects.columns(token_M, first_n1, given)
  part |= {'example_of': np.arange(4), 'token_of': first_n1}
  found = effects_of(part)
  assert list(found) == token_M.tolist()
  for m, own in enumerate(found.values()):
    assert own['loss'] == np.float16(given['loss_M'][m])
    for side in ('raised', 'lowered'):
      got, values = zip(*own[side], strict=True)
      assert list(got) == given[f'{side}_ids_Mk'][m].tolist()
      np.testing.assert_allclose(
        values, given[f'{side}_Mk'][m], rtol=0.022, atol=2**-13
      )
  # The most frequent token of a feature comes first.
  own = given['raised_ids_Mk'][token_M < 2_000]
  assert (own == part['effect_raised_ids'][0]).sum() == np.bincount(
    own.ravel()
  ).max()
  assert part['effect_raised_of'][1] == part['effect_raised_of'][2] > 255


def test_no_effects_are_none():
  given = {'loss_M': np.zeros(0)}
  for side in ('raised', 'lowered'):
    given |= {
      f'{side}_ids_Mk': np.zeros((0, 5)),
      f'{side}_Mk': np.zeros((0, 5)),
    }
  part = effects.columns(np.zeros(0, int), np.array([0, 9]), given)
  assert part['effect_of'].tolist() == [0, 0]
  assert part['effect_raised_place'].shape == (5, 0)
