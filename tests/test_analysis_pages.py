"""Texts of strangers on our Markdown pages, and the scorecard."""

import dataclasses
import re
import types

import analysed
import pytest

from monosem_jax.analysis import scorecard
from monosem_jax.analysis.results.density import Census, Density, SetDensity
from monosem_jax.analysis.results.features import Words
from monosem_jax.analysis.results.numbers import NotMade
from monosem_jax.analysis.results.preserved import (
  Figures,
  Measured,
  Preserved,
  Run,
)
from monosem_jax.analysis.results.proxies import (
  Best,
  Companion,
  Dive,
  Overlap,
  Proxies,
  SetBests,
)
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


def overlap(feature: str, **changes) -> Overlap:
  own = analysed.blank(
    Overlap,
    feature=feature,
    tokens=5_000,
    edges=[0.0, 2.5],
    specificity=[0.01, 0.25, float('nan')],
    r=0.7,
    r_interval=(0.6, 0.8),
    sensitivity=0.5,
    sensitivity_interval=(0.4, 0.55),
    activation_on=0.81,
    activation_on_interval=None,
    average_precision=0.66,
    average_precision_interval=(0.5, 0.7),
    f1=0.6,
    f1_interval=(0.5, 0.65),
  )
  return dataclasses.replace(own, **changes)


def dive(neuron: str | None):
  overlaps = {'A/1': overlap('A/1/5')}
  if neuron:
    overlaps['A/neurons'] = overlap(neuron, r=0.2, r_interval=(0.1, 0.3))
  numbers = analysed.blank(
    Dive,
    feature='A/1/5',
    r=0.7,
    neuron=neuron,
    base_rate=0.0123,
    density=1e-3,
    words=Words(fires_on=['x'], predicts=[]),
    predicted_on=3,
    predicted=10,
    coefficients={'7': 0.5},
    twin=None,
    companions=[Companion('A/1/6', 0.1, Words(fires_on=[], predicts=[]))],
    overlap=overlaps,
  )
  inputs = types.SimpleNamespace(
    main=types.SimpleNamespace(run='A/1', model='A')
  )
  return pages.dive('dna', numbers, inputs)


def test_a_dive_has_the_best_neuron_beside_the_feature():
  text = dive('A/neurons/3')
  assert '| | feature A/1/5 | best neuron A/neurons/3 |' in text
  assert '| 0.70 (0.60 to 0.80) | 0.20 (0.10 to 0.30) |' in text
  assert '| 50.0% (40.0% to 55.0%) | 50.0% (40.0% to 55.0%) |' in text
  assert '| 81.0% | 81.0% |' in text  # no interval
  assert '| silent | 1.0% | 1.0% |' in text
  assert '| 1 of 2 | 25.0% (0.00) | 25.0% (0.00) |' in text
  assert '| 2 of 2 | - (2.50) | - (2.50) |' in text
  assert '1.230%' in text and '5,000 tokens' in text
  assert 'dna_neuron_counts.png' in text
  # A column for each side in every row.
  tables = [line for line in text.splitlines() if line.startswith('|')]
  assert {line.count('|') for line in tables} == {4}


def test_a_dive_without_neurons_says_none():
  text = dive(None)
  assert '| 0.70 (0.60 to 0.80) | - |' in text
  assert '| 1 of 2 | 25.0% (0.00) | - |' in text
  assert 'dna_neuron' not in text and 'None' not in text


def made() -> scorecard.Results:
  blank = analysed.blank
  recovered = blank(Figures, loss_recovered=0.5, l0=3.0, tokens=2_048)
  census = blank(
    Census,
    **{'features': 40, 'tokens': 1_000},
    **{'dead': 10, 'rare': 0, 'low_mode': 0, 'live': 30},
    ultralow=None,
    ultralow_reason='too few',
    above_1_percent=2,
    median_density=1e-3,
  )
  best = {'dna': Best(0, 0.8, 0.7), 'base64': Best(1, 0.4, 0.3)}
  return scorecard.Results(
    preserved=blank(
      Preserved,
      sets={
        'A/1': blank(
          Run,
          found=blank(
            Measured, whole=recovered, loss_recovered_interval=(0.4, 0.55)
          ),
        )
      },
    ),
    density=blank(Density, sets={'A/1': SetDensity(census, None)}),
    universality=NotMade('no other model'),
    proxies=blank(
      Proxies,
      absent={'arabic': 'absent from this corpus'},
      sets={'A/1': SetBests(best | {'hebrew': None}, {})},
    ),
  )


def test_no_row_is_filled_that_was_not_measured():
  rows = scorecard.rows(made(), 'A/1', 'A', ('A/2', 512))
  found = {row.what: row for row in rows}
  assert found['loss recovered'].run == 0.5
  assert found['dead features'].run == 0.25
  assert found['DNA feature: correlation with its proxy'].run == 0.7
  for what, why in (
    ('ultralow-density features', 'too few'),
    ('single-token features', 'neurons was not run'),
    ('nearest feature of the other model, median correlation', 'no other'),
    ('Arabic feature: correlation with its proxy', 'absent'),
    ('Hebrew feature: correlation with its proxy', 'no feature correlates'),
    ('loss recovered, 131,072 features', 'A/2, with 512 features'),
  ):
    assert found[what].run is None
    assert why in found[what].why
  text = scorecard.table(rows, {'tokens': '9'})
  assert (
    '| loss recovered | 79.0% | 50.0% | 40.0% to 55.0% | 2,048 tokens |' in text
  )
  assert 'tokens 9' in text
