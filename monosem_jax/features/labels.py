"""Labels of features by people and models.

`labels.json` in the work directory, which the page writes and reads:

  {"format": 1, "labels": [{
    "feature": "A/1/3450",
    "interval": "Top Activations",   as groups of examples are named; null: of
                                     the feature as a whole
    "label": "Arabic script",
    "by": "the annotator, or the language model",
    "kind": "human",                 or "model"
    "blind": true,                   not knowing what feature or neuron it was
    "rubric": {"confidence": 3, "consistency": 5, "logits": 2,
               "separation": 1, "specificity": 3},   null: not scored
    "score": null,                   of a model's explanation
    "seconds": 41.5}]}               that it took; may be left out

The rubric is the paper's, of 14 points. Of one feature and interval an
annotator says one thing.
"""

import pathlib
import re
import sys
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from monosem_jax.config.errors import UserError
from monosem_jax.run.files import read_json, write_json

FORMAT = 1
LONGEST_LABEL = 2_000
LONGEST_NAME = 200
# Most points of each question. Separation is asked where some logits do not
# fit, and no points at all (null) is an answer.
RUBRIC = {
  'confidence': 3,
  'consistency': 5,
  'logits': 3,
  'separation': 1,
  'specificity': 3,
}
# Above this, an interval is quite interpretable (the paper).
INTERPRETABLE = 8
WHOLE = 'Whole feature'

Labels = dict[str, Any]
Entry = dict[str, Any]

_FEATURE = re.compile(
  r'([^/\x00-\x20]{1,100}/(?:[0-9]{1,9}|[a-z]{1,30}))/(0|[1-9][0-9]{0,8})'
)
_INTERVAL = re.compile(
  r'(Top) Activations|Subsample Interval ([0-9]|10)|(Bottom) Activations'
)
_REQUIRED = (
  *('feature', 'interval', 'label', 'by', 'kind', 'blind', 'rubric', 'score'),
)
_KNOWN = (*_REQUIRED, 'seconds')


def load(path: pathlib.Path, sizes: Mapping[str, int] | None = None) -> Labels:
  """Reads and checks a file of labels; there may be none.

  Args:
    path: of labels.json.
    sizes: number of features of each known set, by name (`A/1`); labels of
      other sets are not checked.

  Raises:
    UserError: it is not of this format; one line says where.
  """
  if not path.exists():
    return {'format': FORMAT, 'labels': []}
  try:
    found = read_json(path)
    why = _wrong(found, sizes or {})
  except RecursionError:
    why = 'too deeply nested to be labels'
  if why:
    raise UserError(f'{path}: {why}.')
  return {'format': FORMAT, 'labels': sorted(found['labels'], key=_place)}


def save(path: pathlib.Path, labels: Labels) -> None:
  """Writes labels in order, whole or not at all.

  Raises:
    UserError: the disk is full, or the labels are not of the format.
  """
  why = _wrong(labels, {})
  if why:
    raise UserError(f'{path} was not written: {why}.')
  write_json(
    path, {'format': FORMAT, 'labels': sorted(labels['labels'], key=_place)}
  )


def merge(a: Labels, b: Labels) -> Labels:
  """Both; where the same annotator speaks of the same, `b` is right."""
  found = {_identity(entry): entry for entry in a['labels'] + b['labels']}
  return {'format': FORMAT, 'labels': sorted(found.values(), key=_place)}


def of_set(labels: Labels, name: str) -> dict[int, list[Entry]]:
  """The entries of each labelled feature of a set: of A/1."""
  found: dict[int, list[Entry]] = {}
  for entry in labels['labels']:
    own, _, number = entry['feature'].rpartition('/')
    if own == name:
      found.setdefault(int(number), []).append(entry)
  return found


def total(rubric: Mapping[str, int | None]) -> int:
  """Points of a rubric, 0 to 14."""
  return sum(points or 0 for points in rubric.values())


def scores(labels: Labels) -> dict[str, dict[str, dict[str, Any]]]:
  """The distribution of people's scores.

  Returns:
    For `blind` entries and for the others (`seen`), of `features` and of
    `neurons` (sets so named): `features`, how many were scored; `intervals`,
    how many scores that makes (each annotator's counts); their `median`, None
    of none; `above_8`, how many are above 8; and `by_interval` the sorted
    `totals` and the `median` of each interval there is a score of.
  """
  scored = [
    x
    for x in labels['labels']
    if x['kind'] == 'human' and x['rubric'] is not None
  ]
  is_neuron = lambda x: '/neurons/' in x['feature']
  return {
    name: {
      'features': _distribution(
        x for x in scored if x['blind'] is blind and not is_neuron(x)
      ),
      'neurons': _distribution(
        x for x in scored if x['blind'] is blind and is_neuron(x)
      ),
    }
    for name, blind in (('blind', True), ('seen', False))
  }


def _distribution(entries: Iterable[Entry]) -> dict[str, Any]:
  entries = sorted(entries, key=lambda x: _rank(x['interval']))
  totals = [total(x['rubric']) for x in entries]
  by_interval: dict[str, list[int]] = {}
  for entry, points in zip(entries, totals, strict=True):
    by_interval.setdefault(entry['interval'] or WHOLE, []).append(points)
  return {
    'features': len({x['feature'] for x in entries}),
    'intervals': len(entries),
    'median': float(median(totals)) if totals else None,
    'above_8': sum(points > INTERPRETABLE for points in totals),
    'by_interval': {
      name: {'totals': sorted(found), 'median': float(median(found))}
      for name, found in by_interval.items()
    },
  }


def _identity(entry: Entry) -> tuple[str, str | None, str]:
  return entry['feature'], entry['interval'], entry['by']


def _rank(interval: str | None) -> int:
  """Where an interval stands: the whole, the strongest, down to the weakest."""
  if interval is None:
    return -2
  found = _INTERVAL.fullmatch(interval)
  assert found is not None, 'labels are checked where they are read'
  top, number, bottom = found.groups()
  return -1 if top else 11 if bottom else int(number)


def _place(entry: Entry) -> tuple:
  name, _, number = entry['feature'].rpartition('/')
  return name, int(number), _rank(entry['interval']), entry['by']


def _wrong(found: Any, sizes: Mapping[str, int]) -> str | None:
  """What is wrong with a file's value, and where; None if nothing is."""
  if not isinstance(found, dict) or not isinstance(found.get('labels'), list):
    return 'must be {"format": 1, "labels": [...]}'
  if type(found.get('format')) is not int or found['format'] != FORMAT:
    return f'format is {_short(found.get("format"))}; this reads format 1'
  if unknown := set(found) - {'format', 'labels'}:
    return f'unknown key {_short(min(unknown))}'
  seen: dict[tuple, int] = {}
  for i, entry in enumerate(found['labels']):
    why = _wrong_entry(entry, sizes)
    if not why:
      first = seen.setdefault(_identity(entry), i)
      if first != i:
        why = f'says the same again as labels[{first}], by feature, interval '
        why += 'and annotator'
    if why:
      name = entry.get('feature') if isinstance(entry, dict) else None
      of = f' ({_short(name)})' if isinstance(name, str) else ''
      return f'labels[{i}]{of}: {why}'
  return None


def _wrong_entry(entry: Any, sizes: Mapping[str, int]) -> str | None:
  if not isinstance(entry, dict):
    return f'is {_short(entry)}, not an object'
  if unknown := set(entry) - set(_KNOWN):
    return f'unknown key {_short(min(unknown))}'
  if missing := [key for key in _REQUIRED if key not in entry]:
    return f'has no {missing[0]}'

  def must(key: str, what: str) -> str:
    return f'{key} is {_short(entry[key])}; it must be {what}'

  feature, by, score = entry['feature'], entry['by'], entry['score']
  match = isinstance(feature, str) and _FEATURE.fullmatch(feature)
  if not match:
    return must('feature', 'named as A/1/3450')
  if match[1] in sizes and int(match[2]) >= sizes[match[1]]:
    return f'{match[1]} has {sizes[match[1]]:,} features only'
  if entry['interval'] is not None and not (
    isinstance(entry['interval'], str)
    and _INTERVAL.fullmatch(entry['interval'])
  ):
    return must('interval', "a group's name as the page has it, or null")
  if not _is_text(entry['label'], LONGEST_LABEL):
    return must('label', f'text of at most {LONGEST_LABEL:,} characters')
  if not _is_text(by, LONGEST_NAME) or not by.strip():
    return must('by', f'a name of 1 to {LONGEST_NAME} characters')
  if entry['kind'] not in ('human', 'model'):
    return must('kind', '"human" or "model"')
  if not isinstance(entry['blind'], bool):
    return must('blind', 'true or false')
  if score is not None and not _is_number(score):
    return must('score', 'a number or null')
  if 'seconds' in entry and not (
    _is_number(entry['seconds']) and entry['seconds'] >= 0
  ):
    return must('seconds', 'a number from 0')
  if entry['rubric'] is not None:
    return _wrong_rubric(entry['rubric'])
  if not entry['label'].strip() and score is None:
    return 'says nothing: neither label nor rubric nor score'
  return None


def _wrong_rubric(rubric: Any) -> str | None:
  if not isinstance(rubric, dict) or set(rubric) != set(RUBRIC):
    return f'rubric must have {", ".join(RUBRIC)}, or be null'
  for key, most in RUBRIC.items():
    points = rubric[key]
    if key == 'separation' and points is None:
      continue
    if type(points) is not int or not 0 <= points <= most:
      or_null = ' or null' if key == 'separation' else ''
      return (
        f'rubric.{key} is {_short(points)}; it must be a whole number from 0 '
        f'to {most}{or_null}'
      )
  if rubric['logits'] == RUBRIC['logits'] and rubric['separation'] is not None:
    return (
      'rubric.separation must be null where rubric.logits has all '
      f'{RUBRIC["logits"]} points'
    )
  return None


def _is_text(value: Any, longest: int) -> bool:
  """Whether it is text that UTF-8 can hold, and not too long."""
  if not isinstance(value, str) or len(value) > longest:
    return False
  return not any('\ud800' <= character <= '\udfff' for character in value)


def _is_number(value: Any) -> bool:
  return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _short(value: Any) -> str:
  """A value as one line of some characters, whatever it is."""
  text = ascii(value)
  return text if len(text) <= 60 else text[:57] + '...'
