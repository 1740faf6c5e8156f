"""Labels by hand, sound and broken."""

RUBRIC = dict(
  confidence=3, consistency=5, logits=2, separation=1, specificity=3
)


def entry(feature='A/1/5', interval=None, by='Ada', **more):
  return {
    'feature': feature,
    'interval': interval,
    'label': 'Arabic',
    'by': by,
    'kind': 'human',
    'blind': True,
    'rubric': dict(RUBRIC),
    'score': None,
  } | more


BAD = {
  'feature': [
    *(None, 5, 'A1/5', 'A/1', 'A/1/05', 'A/1/-1', 'A/1/5 ', '/1/5'),
    *('A/1/5/6', 'A/1/٣', 'A/neurons7/1', 'a b/1/5', 'A/1/5\n'),
  ],
  'interval': ['', 'top', 'Subsample Interval 11', 'Subsample Interval 01', 0],
  'label': [None, 3, 'x' * 2_001, 'half\ud800', ['a']],
  'by': [None, '', '  ', 'x' * 201, 7],
  'kind': ['Human', None, [], 1],
  'blind': [None, 0, 1, 'true'],
  'rubric': [[], {}, 14, RUBRIC | {'more': 1}, {'confidence': 3}],
  'score': ['0.5', True, float('nan'), float('inf'), 10**400, []],
  'seconds': [None, -1, '3', False],
}


def points(confidence, consistency, logits, separation, specificity):
  return dict(
    confidence=confidence,
    consistency=consistency,
    logits=logits,
    separation=separation,
    specificity=specificity,
  )
