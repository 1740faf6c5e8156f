"""Finds the systems that the paper names, by the tokens that features fire on.

The paper (finite-state automata) shows two systems. HTML's main path goes from
`<` to a tag's name, `>`, whitespace and back to `<`; ALL_CAPS_SNAKE alternates
between capitals and `_`. A feature plays a role if most of its firings are on
the role's tokens; this rule is ours.
"""

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

# Names of HTML elements, except single letters.
_TAGS = re.compile(
  'div|span|t[drh]|table|tbody|thead|ul|ol|li|br|hr|img|html|head|body|meta|'
  'link|script|style|title|form|input|button|label|select|option|section|'
  'article|header|footer|nav|main|pre|code|em|strong|font|center|iframe|svg|'
  'path|d[ldt]|h[1-6]',
  re.IGNORECASE,
)
# Tests of whether a token belongs to a role.
ROLES = {
  'open': lambda s: s.rstrip().endswith(('<', '</')),
  'tag name': lambda s: bool(_TAGS.fullmatch(s.strip())),
  'close': lambda s: bool(re.fullmatch(r'["\'/]*>', s.strip())),
  'whitespace': str.isspace,
  'capitals': lambda s: bool(re.fullmatch('[A-Z]+', s.strip())),
  'underscore': lambda s: bool(s) and not s.strip('_'),
}
# The roles of the states of each system; the first state follows the last.
SYSTEMS = {
  'HTML main path': ('open', 'tag name', 'close', 'whitespace'),
  'ALL_CAPS_SNAKE': ('capitals', 'underscore'),
}
# A feature plays a role if more than this share of its firings is on its
# tokens.
MOST = 0.5


def of_tokens(strings: Sequence[str]) -> np.ndarray:
  """Whether each token belongs to each of ROLES, in their order: role_RV."""
  return np.array([[bool(is_(s)) for s in strings] for is_ in ROLES.values()])


def players(
  role_RV: np.ndarray, fired_VX: np.ndarray, live_X: np.ndarray
) -> np.ndarray:
  """Which live features play each role: plays_RX, bool.

  Args:
    role_RV: the result of `of_tokens`.
    fired_VX: number of occurrences of each token on which each feature fires.
    live_X: the features to consider, bool.
  """
  fired_X = fired_VX.sum(0)
  share_RX = (role_RV @ fired_VX) / np.where(fired_X > 0, fired_X, 1)
  return (share_RX > MOST) & live_X


def widest(
  plays: Sequence[np.ndarray], weights: Mapping[tuple[int, int], float]
) -> tuple[tuple[int, ...], tuple[float, ...]] | int:
  """The cycle through all roles whose weakest edge is strongest.

  Args:
    plays: the features that play each role, in the order of the cycle. No
      feature plays two roles.
    weights: weights of the edges between features.

  Returns:
    The cycle's features, starting with the first role, and the weights of its
    edges; the last edge leads back to the first feature. If there is no cycle,
    the number of roles that a path from the first role can pass through.
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
