"""Labels of features, given by people or by models.

They are stored as `labels.json` in the work directory, which the page also
reads and writes:

  {"format": 1, "labels": [{
    "feature": "A/1/3450",
    "interval": "Top Activations",   a group of examples, or null for the
                                     feature as a whole
    "label": "Arabic script",
    "by": "name of the annotator or of the language model",
    "kind": "human",                 or "model"
    "blind": true,                   whether the annotator did not know which
                                     feature or neuron it was
    "rubric": {"confidence": 3, "consistency": 5, "logits": 2,
               "separation": 1, "specificity": 3},   or null if not scored
    "score": null,                   score of a model's explanation
    "seconds": 41.5}]}               time that labelling took; optional

The rubric is the paper's, with up to 14 points. An annotator has at most one
entry for a feature and interval.
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
# Maximum points for each question. The question of separation applies only if
# some logits do not fit; otherwise its answer is null.
RUBRIC = {
  'confidence': 3,
  'consistency': 5,
  'logits': 3,
  'separation': 1,
  'specificity': 3,
}
# The paper calls an interval with more points quite interpretable.
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
  """Reads and checks labels.json; a missing file has no labels.

  Args:
    path: the file.
    sizes: number of features of each known set, such as `A/1`. The feature
      numbers of other sets are not checked.

  Raises:
    UserError: the file does not have this format; the message says where.
  """
  if not path.exists():
    return {'format': FORMAT, 'labels': []}
  try:
    found = read_json(path)
    why = _wrong(found, sizes or {})
  except RecursionError:
    why = 'nested too deeply for a file of labels'
  if why:
    raise UserError(f'{path}: {why}.')
  return {'format': FORMAT, 'labels': sorted(found['labels'], key=_place)}


def save(path: pathlib.Path, labels: Labels) -> None:
  """Writes sorted labels atomically.

  Raises:
    UserError: the disk is full, or the labels do not have the format.
  """
  why = _wrong(labels, {})
  if why:
    raise UserError(f'{path} was not written: {why}.')
  write_json(
    path, {'format': FORMAT, 'labels': sorted(labels['labels'], key=_place)}
  )


def merge(a: Labels, b: Labels) -> Labels:
  """All labels of both; `b` replaces entries of `a` with the same identity."""
  found = {_identity(entry): entry for entry in a['labels'] + b['labels']}
  return {'format': FORMAT, 'labels': sorted(found.values(), key=_place)}


def of_set(labels: Labels, name: str) -> dict[int, list[Entry]]:
  """The entries of each labelled feature of a set, by feature number."""
  found: dict[int, list[Entry]] = {}
  for entry in labels['labels']:
    own, _, number = entry['feature'].rpartition('/')
    if own == name:
      found.setdefault(int(number), []).append(entry)
  return found


def total(rubric: Mapping[str, int | None]) -> int:
  """The total points of a rubric, 0 to 14."""
  return sum(points or 0 for points in rubric.values())


def scores(labels: Labels) -> dict[str, dict[str, dict[str, Any]]]:
  """The distribution of the scores that people gave.

  Returns:
    For `blind` and other (`seen`) entries, for `features` and for `neurons`:

    features: number of features with a score.
    intervals: number of scores; each annotator's counts.
    median: median score; None without scores.
    above_8: number of scores above 8.
    by_interval: sorted `totals` and `median` of each interval with scores.
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
  """Sorts intervals: the whole feature first, then from strong to weak."""
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
  """What is wrong with a file's content, and where; None if it is valid."""
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
        why = f'has the feature, interval and annotator of labels[{first}]'
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
    return f'lacks the key {missing[0]}'

  def must(key: str, what: str) -> str:
    return f'{key} is {_short(entry[key])}; it must be {what}'

  feature, by, score = entry['feature'], entry['by'], entry['score']
  match = isinstance(feature, str) and _FEATURE.fullmatch(feature)
  if not match:
    return must('feature', 'named as A/1/3450')
  if match[1] in sizes and int(match[2]) >= sizes[match[1]]:
    return f'{match[1]} has only {sizes[match[1]]:,} features'
  if entry['interval'] is not None and not (
    isinstance(entry['interval'], str)
    and _INTERVAL.fullmatch(entry['interval'])
  ):
    return must('interval', 'the name of a group on the page, or null')
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
    return must('seconds', 'a number of at least 0')
  if entry['rubric'] is not None:
    return _wrong_rubric(entry['rubric'])
  if not entry['label'].strip() and score is None:
    return 'has neither a label nor a rubric nor a score'
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
      'rubric.separation must be null if rubric.logits has all '
      f'{RUBRIC["logits"]} points'
    )
  return None


def _is_text(value: Any, longest: int) -> bool:
  """Whether a value is text that UTF-8 can encode, and not too long."""
  if not isinstance(value, str) or len(value) > longest:
    return False
  return not any('\ud800' <= character <= '\udfff' for character in value)


def _is_number(value: Any) -> bool:
  return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _short(value: Any) -> str:
  """Any value as one short line."""
  text = ascii(value)
  return text if len(text) <= 60 else text[:57] + '...'
