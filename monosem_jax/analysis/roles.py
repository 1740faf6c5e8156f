"""Systems that the paper names, looked for by the tokens that features fire on.

The paper (finite-state automata) shows HTML's main path, `<` to a tag's name to
`>` to whitespace and back to `<`, and ALL_CAPS_SNAKE, capitals and `_` in turn.
A feature plays a role if most of its firings are on the role's tokens; the rule
is ours.
"""

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

# Names of elements that are no single letters.
_TAGS = re.compile(
  'div|span|t[drh]|table|tbody|thead|ul|ol|li|br|hr|img|html|head|body|meta|'
  'link|script|style|title|form|input|button|label|select|option|section|'
  'article|header|footer|nav|main|pre|code|em|strong|font|center|iframe|svg|'
  'path|d[ldt]|h[1-6]',
  re.IGNORECASE,
)
ROLES = {
  'open': lambda s: s.rstrip().endswith(('<', '</')),
  'tag name': lambda s: bool(_TAGS.fullmatch(s.strip())),
  'close': lambda s: bool(re.fullmatch(r'["\'/]*>', s.strip())),
  'whitespace': str.isspace,
  'capitals': lambda s: bool(re.fullmatch('[A-Z]+', s.strip())),
  'underscore': lambda s: bool(s) and not s.strip('_'),
}
# Each system by the roles of its states; the first one follows on the last.
SYSTEMS = {
  'HTML main path': ('open', 'tag name', 'close', 'whitespace'),
  'ALL_CAPS_SNAKE': ('capitals', 'underscore'),
}
# The share of a feature's firings on a role's tokens above which it plays it.
MOST = 0.5


def of_tokens(strings: Sequence[str]) -> np.ndarray:
  """Which of V tokens are of each of R roles, as ROLES has them: role_RV."""
  return np.array([[bool(is_(s)) for s in strings] for is_ in ROLES.values()])


def players(
  role_RV: np.ndarray, fired_VX: np.ndarray, live_X: np.ndarray
) -> np.ndarray:
  """Which live features play each role: plays_RX, bool.

  Args:
    role_RV: of `of_tokens`.
    fired_VX: on how many tokens of each kind each feature fires.
    live_X: the features that take part.
  """
  fired_X = fired_VX.sum(0)
  share_RX = (role_RV @ fired_VX) / np.where(fired_X > 0, fired_X, 1)
  return (share_RX > MOST) & live_X


def widest(
  plays: Sequence[np.ndarray], weights: Mapping[tuple[int, int], float]
) -> tuple[tuple[int, ...], tuple[float, ...]] | int:
  """The cycle through roles whose weakest edge is the strongest.

  Args:
    plays: the features of each role, in the order of the cycle; each plays
      one.
    weights: of the edges between features.

  Returns:
    Its nodes, the first role's first, and the weights of their edges, the last
    one's back to the first. Where there is none: how many roles can be led
    through, from the first.
  """
  ahead: dict[int, list[int]] = {}
  for i, j in weights:
    ahead.setdefault(i, []).append(j)
  found: list[tuple[float, tuple[int, ...]]] = []
  reached = 0
  for start in map(int, plays[0]):
    best: dict[int, tuple[float, tuple[int, ...]]] = {start: (np.inf, (start,))}
    reached = max(reached, 1)
    for n, role in enumerate([*plays[1:], np.array([start])]):
      own = {int(i) for i in role}
      further: dict[int, tuple[float, tuple[int, ...]]] = {}
      for i, (weakest, path) in best.items():
        for j in own.intersection(ahead.get(i, ())):
          w = min(weakest, weights[i, j])
          if j not in further or w > further[j][0]:
            further[j] = w, (*path, j)
      best = further
      if best and n < len(plays) - 1:
        reached = max(reached, n + 2)
    if start in best:
      found.append(best[start])
  if not found:
    return reached
  _, path = max(found)
  links = itertools.pairwise(path)
  return path[:-1], tuple(weights[link] for link in links)
