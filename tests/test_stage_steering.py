"""The analysis `steering` of a finished run: what its numbers say together."""

import json
import math

import numpy as np
import program
import pytest


@pytest.fixture(scope='module')
def found():
  path = program.finished() / 'analysis' / 'steering' / 'numbers.json'
  return json.loads(path.read_text())


def test_every_arm_is_there_or_it_is_said_why(found):
  features = [row['feature'] for row in found['features'].values()]
  assert len(set(features)) == len(features) > 0
  for row in found['features'].values():
    arms = {'pinned', 'neuron', 'difference', 'control'} - set(row['not_here'])
    for key in ('kl', 'norm'):
      assert set(row[key]) == arms
    assert set(row['log_odds']) == set(row['loss']) == arms | {'unpinned'}
    assert (row['neuron'] is None) == ('neuron' in row['not_here'])
    assert found['notes']['matched'] and found['notes']['equal_kl']


def test_changes_are_of_one_norm_and_texts_are_counted(found):
  for name, row in found['features'].items():
    one = row['doses'].index(1)
    want = row['norm']['pinned']['mean'][one]
    assert want > 0
    for arm in ('difference', 'control'):
      if arm in row['norm']:
        got = row['norm'][arm]['mean'][one]
        assert got == pytest.approx(want, rel=1e-3)
    # No closer than the median lets it.
    if 'neuron' in row['norm']:
      assert row['norm']['neuron']['mean'][one] >= want * (1 - 1e-3)
    share = row['share'][name]
    assert share['pinned']['n'] == found['samples'] == 2
    assert share['unpinned']['n'] == found['samples'] * len(row['doses'])
    for arm, x in row['share'][name].items():
      assert (np.array(x['mean']) >= 0).all(), arm
      assert x['unit'] == 'samples'
    assert all(math.isfinite(x) for x in row['loss']['pinned']['mean'])
    assert all(x > -1e-6 for x in row['kl']['pinned']['mean'])


def test_leads_are_those_of_the_rows(found):
  rows = found['features'].values()
  for arm in ('neuron', 'difference', 'control'):
    leads = []
    for row in rows:
      own = row['at_maximum']['share']['pinned']['mean']
      other = row['at_maximum']['share_at_equal_kl'].get(arm)
      if other and other['mean'] is not None:
        leads.append(own - other['mean'])
    ahead = found['ahead'][arm]
    assert ahead['features'] == len(leads)
    assert ahead['ahead'] + ahead['behind'] <= len(leads)
    if leads:
      assert ahead['mean_lead'] == pytest.approx(np.mean(leads))


def test_share_against_kl_is_drawn(found):
  folder = program.finished() / 'analysis' / 'steering'
  for name in found['features']:
    for key in ('kl', 'share', 'log_odds', 'loss'):
      picture = folder / f'{name}_{key}.png'
      assert picture.read_bytes().startswith(b'\x89PNG')
