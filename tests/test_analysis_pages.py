"""Texts of strangers on our Markdown pages, and the scorecard."""

import re

import pytest

from monosem_jax.analysis import scorecard
from monosem_jax.stages.analysis import pages


@pytest.mark.parametrize(
  'text',
  ['x', '', '`', 'a``b', '```\n# h', '<script>', '|', '[a](b)', '\x00\u202e'],
)
def test_a_token_is_shown_and_does_nothing(text):
  shown = pages.code(text)
  fence = re.match('`+', shown)[0]
  inside = shown[len(fence) : -len(fence)]
  assert shown.endswith(fence)
  # Nothing inside ends the fence, and it is one line.
  assert all(len(run) != len(fence) for run in re.findall('`+', inside))
  assert inside.isprintable()
  for c in text:
    assert (c if c.isprintable() else repr(c)[1:-1]) in inside


def numbers(**changes):
  found = {
    'preserved': {
      'runs': {
        'A/1': {
          'loss_recovered': 0.5,
          'loss_recovered_interval': [0.4, 0.55],
          'l0': 3.0,
          'tokens': 2_048,
        }
      }
    },
    'density': {
      'runs': {
        'A/1': {
          'features': 40,
          'tokens': 1_000,
          'dead': 10,
          'rare': 0,
          'low_mode': 0,
          'ultralow': None,
          'ultralow_reason': 'too few',
          'live': 30,
          'above_1_percent': 2,
          'median_density': 1e-3,
        }
      }
    },
    'universality': {'not_here': 'no other model'},
    'proxies': {
      'absent': {'arabic': 'absent from this corpus'},
      'runs': {
        'A/1': {
          'proxies': {
            'dna': {'reported': 0.7},
            'base64': {'reported': 0.3},
            'hebrew': None,
          }
        }
      },
    },
  }
  return found | changes


def test_no_row_is_filled_that_was_not_measured():
  rows = scorecard.rows(numbers(), 'A/1', 'A', ('A/2', 512))
  found = {row.what: row for row in rows}
  assert found['loss recovered'].run == 0.5
  assert found['dead features'].run == 0.25
  assert found['DNA feature: correlation with its proxy'].run == 0.7
  for what, why in (
    ('ultralow-density features', 'too few'),
    ('single-token features', 'neurons was not made'),
    ('nearest feature of the other model, median correlation', 'no other'),
    ('Arabic feature: correlation with its proxy', 'absent'),
    ('Hebrew feature: correlation with its proxy', 'no feature goes'),
    ('loss recovered, 131,072 features', 'A/2 of 512'),
  ):
    assert found[what].run is None
    assert why in found[what].why
  text = scorecard.table(rows, {'tokens': '9'})
  assert (
    '| loss recovered | 79.0% | 50.0% | 40.0% to 55.0% | 2,048 tokens |' in text
  )
  assert 'tokens 9' in text
