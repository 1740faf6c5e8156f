"""Numbers of analyses: dataclasses, and the JSON that they stand for."""

import dataclasses
import json
from typing import Annotated, Any

import analysed
import numpy as np
import program
import pytest

from monosem_jax.analysis.results.numbers import (
  Inline,
  Interval,
  Key,
  NotMade,
  Numbers,
  Reason,
  from_json,
  to_json,
)
from monosem_jax.config.errors import UserError
from monosem_jax.stages.analysis.declaration import analyses


@dataclasses.dataclass(frozen=True)
class Inside:
  x: float | None
  x_interval: Interval


@dataclasses.dataclass(frozen=True)
class Other:
  y: int


@dataclasses.dataclass(frozen=True)
class Form(Numbers):
  source: Annotated[str, Key('from')]
  within: Inline[Inside]
  more: Inline[Other | None]
  either: Inside | Reason
  by_name: dict[str, Reason | dict[str, int]]
  listed: list[Other]
  pair: tuple[int, float]
  on: bool
  anything: Any


VALUE = {
  'from': 'A/1',
  'x': 0.5,
  'x_interval': [0.25, 1],
  'y': 3,
  'either': {'reason': 'too few'},
  'by_name': {'a': {'reason': 'none'}, 'b': {'c': 4}},
  'listed': [{'y': 1}, {'y': 2}],
  'pair': [1, 2.5],
  'on': True,
  'anything': {'from': [None, 'x']},
}
FORM = Form(
  source='A/1',
  within=Inside(0.5, (0.25, 1)),
  more=Other(3),
  either=Reason('too few'),
  by_name={'a': Reason('none'), 'b': {'c': 4}},
  listed=[Other(1), Other(2)],
  pair=(1, 2.5),
  on=True,
  anything={'from': [None, 'x']},
)


def test_every_form_is_read_and_written_in_its_order(tmp_path):
  assert from_json(Form, VALUE, tmp_path) == FORM
  assert json.dumps(to_json(FORM)) == json.dumps(VALUE)
  FORM.save(tmp_path)
  assert Form.load(tmp_path) == Form.load_if_made(tmp_path) == FORM


def test_keys_that_are_not_there_are_none_and_stay_away(tmp_path):
  value = {k: x for k, x in VALUE.items() if k != 'y'}
  found = from_json(Form, value, tmp_path)
  assert found == dataclasses.replace(FORM, more=None)
  assert to_json(found) == value
  # A key that the class does not know is of a later version.
  assert from_json(Form, VALUE | {'later': 1}, tmp_path) == FORM


def test_arrays_are_lists_and_what_is_no_number_is_null():
  found = to_json(
    {
      1: np.array([[1.5, np.nan], [np.inf, 0]], np.float32),
      'n': (np.int64(3), np.bool_(True), np.float64(0.25)),
    }
  )
  assert found == {'1': [[1.5, None], [None, 0]], 'n': [3, True, 0.25]}
  assert [type(x) for x in found['n']] == [int, bool, float]


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'from': None}, 'from is NoneType, not str'),
    ({'x': 'high'}, 'x is str, not float or NoneType'),
    ({'x': True}, 'x is bool, not float'),
    ({'on': 1}, 'on is int, not bool'),
    ({'y': 2.5}, 'y is float, not int'),
    ({'either': {}}, 'either.x is missing'),
    ({'either': {'reason': 5}}, 'either.reason is int, not str'),
    ({'by_name': {'b': {'c': 'd'}}}, 'by_name.b.c is str, not int'),
    ({'listed': [{'y': 1}, {}]}, 'listed[1].y is missing'),
    ({'listed': {}}, 'listed is dict, not list'),
    ({'pair': [1]}, 'pair has 1 values, not 2'),
  ],
)
def test_a_file_that_is_not_of_its_form_is_refused(changes, said, tmp_path):
  (tmp_path / 'numbers.json').write_text(json.dumps(VALUE | changes))
  with pytest.raises(UserError, match='run its stage again') as told:
    Form.load(tmp_path)
  assert said in str(told.value) and str(tmp_path) in str(told.value)


@pytest.mark.parametrize('lacking', ['from', 'x', 'listed'])
def test_a_key_that_is_lacking_is_named(lacking, tmp_path):
  value = {k: x for k, x in VALUE.items() if k != lacking}
  (tmp_path / 'numbers.json').write_text(json.dumps(value))
  with pytest.raises(UserError, match=f': {lacking} is missing;'):
    Form.load(tmp_path)


def test_what_is_not_made_says_why(tmp_path):
  assert Form.load_if_made(tmp_path) is None
  NotMade('one size only').save(tmp_path)
  told = json.loads((tmp_path / 'numbers.json').read_text())
  assert told == {'not_here': 'one size only'}
  assert Form.load(tmp_path) == NotMade('one size only')
  assert Form.load_if_made(tmp_path) is None


@pytest.mark.parametrize('name', analyses())
def test_the_numbers_of_a_run_are_written_as_they_were(name, tmp_path):
  folder = program.finished() / 'analysis' / name
  analyses()[name].numbers.load(folder).save(tmp_path)
  written, path = tmp_path / 'numbers.json', folder / 'numbers.json'
  assert written.read_bytes() == path.read_bytes()


@pytest.mark.parametrize('name', analyses())
def test_every_kind_of_numbers_can_be_empty(name, tmp_path):
  kind = analyses()[name].numbers
  numbers = analysed.blank(kind)
  numbers.save(tmp_path)
  assert kind.load(tmp_path) == numbers
