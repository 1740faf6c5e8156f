"""What an analysis declares of itself, and which analyses there are."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from monosem_jax.analysis.results.numbers import Numbers
from monosem_jax.config import choices
from monosem_jax.stages.analysis.inputs import AnalysisInputs


@dataclasses.dataclass(frozen=True)
class Analysis:
  """An analysis, and how the report tells it.

  Attributes:
    order: analyses are made and told by rising order.
    make: `make(inputs, out)` writes tables (.npz) and pictures into the folder
      `out`, and returns the numbers, or raises `Unavailable`.
    numbers: their class.
    title: of its section in the report.
    asked: the question.
    answer: `answer(numbers, main) -> lines` of Markdown; `main` is the run that
      most is about.
    picture: a file of the analysis' folder.
    view: of the page that shows more, as its address has it; '' where the
      answer links to pages of its own.
    needs: the analyses whose results it reads.
  """

  order: int
  make: Callable[[AnalysisInputs, pathlib.Path], Numbers]
  numbers: type[Numbers]
  title: str
  asked: str
  answer: Callable[..., list[str]]
  picture: str
  view: str = ''
  needs: tuple[str, ...] = ()


@functools.cache
def analyses() -> dict[str, Analysis]:
  """What the modules of this package declare as `ANALYSIS`, by order."""
  found = choices.declared(__package__, 'ANALYSIS')
  return dict(sorted(found.items(), key=lambda item: item[1].order))
