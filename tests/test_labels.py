"""labels.json: what is taken, what is refused and where, and the scores."""

import json
import pathlib

import pytest
from labels_given import BAD, RUBRIC, entry, points

from monosem_jax.config.errors import UserError
from monosem_jax.features import labels as hand


def file(*entries):
  return {'format': 1, 'labels': list(entries)}


def written(tmp_path: pathlib.Path, value) -> pathlib.Path:
  path = tmp_path / 'labels.json'
  path.write_text(json.dumps(value), encoding='utf-8')
  return path


def refused(path: pathlib.Path, *args) -> str:
  with pytest.raises(UserError) as e:
    hand.load(path, *args)
  text = str(e.value)
  assert text.startswith(str(path))
  assert text.isprintable(), text
  assert len(text) < 400
  return text.removeprefix(f'{path}: ')


def test_no_file_is_no_labels(tmp_path):
  labels = hand.load(tmp_path / 'labels.json')
  assert labels == file()
  assert hand.of_set(labels, 'A/1') == {}
  assert hand.scores(labels)['blind']['features']['median'] is None


def test_a_good_file_is_taken_in_order(tmp_path):
  model = entry(
    'A/1/5', by='a model', kind='model', blind=False, rubric=None, score=0.4
  )
  given = [
    entry('A/neurons/7'),
    entry('A/1/10'),
    entry('A/1/5', 'Bottom Activations'),
    entry('A/1/5', 'Subsample Interval 10'),
    entry('A/1/5', 'Subsample Interval 2', seconds=3.5),
    model,
    entry('A/1/5', 'Top Activations', label=''),
    entry('A/1/5'),
    entry('my_model/12/5', label='x' * 2_000),
  ]
  labels = hand.load(written(tmp_path, file(*given)))
  wanted = [7, 5, 6, 4, 3, 2, 1, 0, 8]
  assert labels == file(*[given[i] for i in wanted])
  by_feature = hand.of_set(labels, 'A/1')
  assert {k: len(v) for k, v in by_feature.items()} == {5: 6, 10: 1}
  assert by_feature[5][1] == model
  assert hand.of_set(labels, 'A/neurons') == {7: [given[0]]}


def test_what_is_saved_is_read_again_the_same(tmp_path):
  path = tmp_path / 'labels.json'
  hostile = entry(label='</script>\u202e\x00"\n', by='<b>\u2028')
  labels = file(hostile, entry('A/1/2'))
  hand.save(path, labels)
  assert hand.load(path) == file(labels['labels'][1], hostile)
  assert [p.name for p in tmp_path.iterdir()] == ['labels.json']
  before = path.read_bytes()
  with pytest.raises(UserError, match='not written'):
    hand.save(path, file(entry(by='')))
  assert path.read_bytes() == before


@pytest.mark.parametrize(
  ('key', 'value'), [(k, v) for k, values in BAD.items() for v in values]
)
def test_a_wrong_value_is_refused_with_its_place(tmp_path, key, value):
  path = written(tmp_path, file(entry('A/1/1'), entry(**{key: value})))
  text = refused(path)
  assert text.startswith('labels[1]')
  assert key in text


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    *(('confidence', x) for x in (-1, 4, None, 1.5, True, '3')),
    *(('consistency', x) for x in (-1, 6, None)),
    *(('logits', x) for x in (4, None)),
    *(('separation', x) for x in (2, -1, True)),
    *(('specificity', x) for x in (4, 2.0)),
  ],
)
def test_points_beyond_the_rubric_are_refused(tmp_path, key, value):
  bad = entry(rubric=RUBRIC | {key: value})
  text = refused(written(tmp_path, file(bad)))
  assert text.startswith("labels[0] ('A/1/5'): rubric.")
  assert f'rubric.{key} is ' in text


def test_separation_counts_only_where_some_logits_do_not_fit(tmp_path):
  for separation in (0, 1):
    bad = entry(rubric=RUBRIC | dict(logits=3, separation=separation))
    text = refused(written(tmp_path, file(bad)))
    assert 'separation must be null' in text
  good = [
    entry('A/1/1', rubric=RUBRIC | dict(logits=3, separation=None)),
    entry('A/1/2', rubric=RUBRIC | dict(logits=2, separation=None)),
    entry('A/1/3', rubric=RUBRIC | dict(logits=0, separation=0)),
  ]
  assert len(hand.load(written(tmp_path, file(*good)))['labels']) == 3


@pytest.mark.parametrize(
  ('value', 'words'),
  [
    ([], 'must be {"format": 1'),
    ({'format': 1}, 'must be {"format": 1'),
    ({'format': 1, 'labels': {}}, 'must be {"format": 1'),
    ({'format': 2, 'labels': []}, 'format is 2'),
    ({'format': True, 'labels': []}, 'format is True'),
    ({'format': '1', 'labels': []}, "format is '1'"),
    ({'format': 1, 'labels': [], 'more': 0}, "unknown key 'more'"),
    (file('A/1/5'), "labels[0]: is 'A/1/5', not an object"),
    (file(entry(), entry(color='red')), "labels[1] ('A/1/5'): unknown key"),
    (file({'feature': 'A/1/5'}), "labels[0] ('A/1/5'): lacks the key interval"),
    (
      file(entry(), entry('A/1/6'), entry()),
      "labels[2] ('A/1/5'): has the feature, interval and annotator of "
      'labels[0]',
    ),
    (
      file(entry(label=' ', rubric=None)),
      'has neither a label nor a rubric nor a score',
    ),
    (file(entry(**{'<b>\n' * 99: 1})), 'unknown key'),
  ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, value, words):
  assert words in refused(written(tmp_path, value))


@pytest.mark.parametrize(
  'data',
  [b'', b'{', b'\xff\xfe', b'[' * 100_000, b'{"format":1' + b'0' * 5_000],
)
def test_what_is_no_json_is_refused(tmp_path, data):
  path = tmp_path / 'labels.json'
  path.write_bytes(data)
  with pytest.raises(UserError) as e:
    hand.load(path)
  assert str(path) in str(e.value)
  assert '\n' not in str(e.value)


def test_a_feature_that_a_known_run_has_not_got_is_refused(tmp_path):
  path = written(tmp_path, file(entry('A/1/47'), entry('B/1/999')))
  assert len(hand.load(path, {'A/1': 48})['labels']) == 2
  assert 'A/1 has only 47 features' in refused(path, {'A/1': 47})


def test_of_two_files_the_later_says_what_both_say():
  old = file(entry('A/1/1', label='old'), entry('A/1/2', label='old'))
  new = file(
    entry('A/1/2', label='new'),
    entry('A/1/2', 'Top Activations', label='new'),
    entry('A/1/2', by='Bob', label='new'),
  )
  merged = hand.merge(old, new)
  assert [
    (x['feature'], x['interval'], x['by'], x['label']) for x in merged['labels']
  ] == [
    ('A/1/1', None, 'Ada', 'old'),
    ('A/1/2', None, 'Ada', 'new'),
    ('A/1/2', None, 'Bob', 'new'),
    ('A/1/2', 'Top Activations', 'Ada', 'new'),
  ]
  assert hand.merge(merged, file()) == merged
  assert [x['label'] for x in hand.merge(new, old)['labels']].count('new') == 2


@pytest.mark.parametrize(
  ('rubric', 'wanted'),
  [
    (points(3, 5, 3, None, 3), 14),
    (points(3, 5, 2, 1, 3), 14),
    (points(3, 5, 2, 0, 3), 13),
    (points(0, 0, 0, None, 0), 0),
    (points(1, 4, 0, 1, 2), 8),
  ],
)
def test_totals_by_hand(rubric, wanted):
  assert hand.total(rubric) == wanted


def test_scores_by_hand():
  top, second = 'Top Activations', 'Subsample Interval 1'
  whole = points(3, 5, 3, None, 3)
  labels = file(
    entry('A/1/1', top, rubric=whole),  # 14
    entry('A/1/1', second, rubric=points(2, 4, 1, 1, 1)),  # 9
    entry('A/1/2', top, rubric=points(1, 4, 0, 1, 2)),  # 8
    entry('A/1/2', top, by='Bob', rubric=points(2, 2, 1, 0, 1)),  # 6
    entry('A/neurons/1', top, rubric=points(0, 0, 0, 0, 0)),  # 0
    entry('B/neurons/1', None, rubric=points(1, 1, 0, None, 1)),  # 3
    # Not blind; not scored; not a person.
    entry('A/1/2', second, blind=False, rubric=whole),
    entry('A/1/3', top, rubric=None),
    entry('A/1/3', top, by='a model', kind='model', rubric=whole, score=0.9),
  )
  scores = hand.scores(labels)
  assert scores['blind']['features'] == {
    'features': 2,
    'intervals': 4,
    'median': 8.5,
    'above_8': 2,
    'by_interval': {
      top: {'totals': [6, 8, 14], 'median': 8.0},
      second: {'totals': [9], 'median': 9.0},
    },
  }
  assert list(scores['blind']['features']['by_interval']) == [top, second]
  assert scores['blind']['neurons'] == {
    'features': 2,
    'intervals': 2,
    'median': 1.5,
    'above_8': 0,
    'by_interval': {
      'Whole feature': {'totals': [3], 'median': 3.0},
      top: {'totals': [0], 'median': 0.0},
    },
  }
  assert scores['seen']['features']['intervals'] == 1
  assert scores['seen']['features']['median'] == 14.0
  assert scores['seen']['neurons'] == {
    'features': 0,
    'intervals': 0,
    'median': None,
    'above_8': 0,
    'by_interval': {},
  }
