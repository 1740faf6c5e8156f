"""The exported page holds what the tables say, whole and the same."""

import hashlib
import pathlib
import re

import exhibits
import made_up
import numpy as np
import program
import pytest
from exhibits import REPORT, write
from made_up import (
  BEFORE,
  CUT,
  DEAD,
  FEATURES,
  TOKENS,
  VOCABULARY,
  WINDOW,
  T,
)
from taken_apart import effects_of, exported, halves, read

from monosem_jax.features import census
from monosem_jax.site import shards

# --- what is written


@pytest.fixture
def page() -> pathlib.Path:
  return exported()


def test_same_tables_give_the_same_bytes(page, tmp_path):
  write(tmp_path / 'again', scratch=tmp_path / 'analysis', keys=('A1', 'A2'))
  assert program.files(page) == program.files(tmp_path / 'again')


def test_every_file_the_page_asks_for_is_there(page):
  html = (page / 'index.html').read_text('utf-8')
  asked = re.findall(r'(?:src|href)="([^"#]+)"', html)
  assert [name for name in asked if not (page / name).is_file()] == []
  shipped = {
    p.relative_to(page).as_posix()
    for p in (page / 'static').rglob('*')
    if p.is_file()
  }
  assert shipped == {name for name in asked if name.startswith('static/')}


def test_checksums_are_those_of_all_files(page):
  lines = (page / 'checksums.txt').read_text().splitlines()
  found = dict(reversed(line.split('  ', 1)) for line in lines)
  expected = {
    name: hashlib.sha256(data).hexdigest()
    for name, data in program.files(page).items()
    if name != 'checksums.txt'
  }
  assert found == expected


def test_vocabulary_survives(page):
  assert read(page, 'vocabulary') == (VOCABULARY, {})


def test_the_index_says_what_there_is(page):
  index, _ = read(page, 'index')
  first, second = index['sets']
  assert [first['key'], second['key']] == ['A1', 'A2']
  assert [first['run'], second['run']] == ['A/1', 'A/2']
  assert first['numbers'] == REPORT['dictionaries']['A/1']
  assert second['numbers'] is None
  assert first['features'] == FEATURES
  assert first['meta']['tokens'] == TOKENS
  assert first['counts'] == {
    'dead': 1,
    'rare': 0,
    'low_mode': 9,
    'live': 56,
  }
  levels = [group.get('fraction') for group in first['groups']]
  assert levels == [None, *np.arange(1, -0.05, -0.1).round(1).tolist(), None]
  assert 'map/small' in index['views'] and 'A2/texts' in index['views']


def test_columns_are_those_of_the_list(page):
  _, found = read(page, 'A2/columns')
  table = made_up.table('A/2', 1)
  np.testing.assert_array_equal(found['fired'], table.fired_F)
  np.testing.assert_array_equal(found['max'], table.max_F)
  assert found['state'][DEAD] == census.DEAD
  assert np.flatnonzero(found['state'] == census.LOW_MODE).tolist() == [
    *range(6, FEATURES, 7)
  ]
  np.testing.assert_array_equal(found['raises'], table.logit_top_ids_FL[:, :4])


def test_a_feature_fires_on_what_leads_its_top_examples():
  table = made_up.table()
  top = np.array([[5, 9], [9, 9]])
  table.example_tokens_FEW[[10, 11], :2, BEFORE] = top
  # The second example of this one is not there.
  table.example_tokens_FEW[CUT, :2, BEFORE] = 7, 8
  found = shards.columns(exhibits.exhibit('A1', table))['fires']
  assert found[10].tolist() == [5, 9]
  assert found[11].tolist() == [9, 9]
  assert found[CUT].tolist() == [7, 7]


def test_the_most_frequent_token_comes_first():
  wide = made_up.table(top=5)
  wide.example_tokens_FEW[0, :5, BEFORE] = [4, 8, 8, 6, 8]
  wide.example_tokens_FEW[1, :5, BEFORE] = [4, 6, 8, 6, 4]
  found = shards.columns(exhibits.exhibit('A1', wide))['fires']
  assert found[0].tolist() == [8, 4, 6]
  assert found[1].tolist() == [4, 6, 8]


def test_shards_hold_every_feature(page):
  table = made_up.table()
  parts = [read(page, f'A1/{k:04d}')[1] for k in range(2)]
  assert not (page / 'data/A1/0002.js').exists()
  for name, expected in (
    ('histogram', table.histogram_FH),
    ('logit_histogram', table.logit_histogram_FH),
    ('sampled', table.sampled_F),
    ('sample_max', table.sample_max_F),
    ('logit_range', table.logit_range_F2),
    ('raised_ids', table.logit_top_ids_FL),
    ('lowered_ids', table.logit_bottom_ids_FL),
  ):
    found = np.concatenate([part[name] for part in parts])
    np.testing.assert_array_equal(found, expected)
  for name, expected in (
    ('raised', table.logit_top_FL),
    ('lowered', table.logit_bottom_FL),
  ):
    found = np.concatenate([halves(part[name]) for part in parts])
    np.testing.assert_allclose(found, expected, rtol=6e-4, atol=1e-7)


def test_examples_and_effects_stand_where_they_belong(page):
  """Every example of every feature, one by one, by a loop."""
  table, contexts = made_up.table(), made_up.contexts()
  ablated = made_up.effects(table)
  E = table.example_stop_FE.shape[1]
  group_E = [g for g, x in enumerate(made_up.GROUPS) for _ in range(x['count'])]
  for k in range(2):
    _, part = read(page, f'A1/{k:04d}')
    found = effects_of(part)
    for n in range(len(part['sampled'])):
      i, e = 64 * k + n, int(part['example_of'][n])
      for j in range(E):
        start, stop = table.example_start_FE[i, j], table.example_stop_FE[i, j]
        if start == stop:
          continue
        begin, end = part['token_of'][e], part['token_of'][e + 1]
        tokens = table.example_tokens_FEW[i, j, start:stop].tolist()
        assert part['tokens'][begin:end].tolist() == tokens
        acts = table.example_acts_FEW[i, j, start:stop]
        assert halves(part['acts'][begin:end]).tolist() == acts.tolist()
        context = table.example_context_FE[i, j]
        position = table.example_position_FE[i, j]
        assert part['group'][e] == group_E[j]
        assert part['context'][e] == context
        assert part['position'][e] == position
        assert part['own'][e] == BEFORE - start
        spans = range(*contexts.span_of_C1[context : context + 2])
        own = max(s for s in spans if contexts.position_S[s] <= position)
        assert part['subset'][e] == contexts.subset_S[own]
        for w in range(start, stop):
          [m] = np.flatnonzero(
            ablated.at_M == (i * E + j) * WINDOW + w
          ).tolist() or [None]
          of_token = found.pop(int(begin + w - start), None)
          assert (m is not None) == (of_token is not None)
          if m is None:
            continue
          loss = float(ablated.loss_M[m])
          assert of_token['loss'] == loss
          for side in ('raised', 'lowered'):
            ids, values = zip(*of_token[side], strict=True)
            assert list(ids) == ablated.columns()[f'{side}_ids_Mk'][m].tolist()
            np.testing.assert_allclose(
              values, ablated.columns()[f'{side}_Mk'][m], 0.022
            )
        e += 1
      assert e == part['example_of'][n + 1]
    assert found == {}


def test_alignment_is_that_of_the_decoder_row(page):
  rows_FA = exhibits.rows('A1')
  _, part = read(page, 'A1/0001')
  for n, row in enumerate(rows_FA[64:]):
    order = sorted(range(row.size), key=lambda a, r=row: -abs(r[a]))[:3]
    assert part['aligned_ids'][n].tolist() == order
    found = halves(part['aligned'][n])
    np.testing.assert_allclose(found, row[order], rtol=1e-3)
    share = np.abs(row[order]) / np.abs(row).sum()
    found = halves(part['aligned_share'][n])
    np.testing.assert_allclose(found, share, rtol=1e-3)


def test_contexts_hold_their_documents(page):
  c = made_up.contexts()
  _, numbers = read(page, 'contexts/numbers')
  assert numbers['number'].tolist() == c.number_C.tolist()
  _, found = read(page, 'contexts/0000')
  np.testing.assert_array_equal(found['tokens'], c.tokens_CT)
  np.testing.assert_array_equal(found['span_of'], c.span_of_C1)
  for name in ('position', 'document', 'subset', 'offset'):
    expected = getattr(c, f'{name}_S')
    np.testing.assert_array_equal(found[f'span_{name}'], expected)
  _, extra = read(page, 'A1/residual/0000')
  assert extra['residual'].shape == (made_up.CONTEXTS, T)


def test_what_is_not_finite_stays_so(tmp_path):
  table = made_up.table()
  table.example_acts_FEW[0, 0, BEFORE] = np.inf
  found = shards.shard(exhibits.exhibit('A1', table), 0, 64)
  assert halves(found['acts'])[BEFORE] == np.inf
