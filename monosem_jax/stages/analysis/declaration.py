"""The declaration of an analysis, and the list of all analyses."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from monosem_jax.analysis.results.numbers import Numbers
from monosem_jax.config import choices
from monosem_jax.stages.analysis.inputs import AnalysisInputs


@dataclasses.dataclass(frozen=True)
class Analysis:
  """An analysis, and its section in the report.

  Attributes:
    order: analyses are made and reported in rising order.
    make: `make(inputs, out)` writes tables (.npz) and pictures into the folder
      `out`, and returns the numbers, or raises `Unavailable`.
    numbers: the class of the numbers.
    title: title of the section.
    asked: the question that the section answers.
    answer: `answer(numbers, main) -> lines` of Markdown; `main` is the name of
      the main dictionary.
    picture: a file in the analysis' folder.
    view: the view of the page with details, as in its address; '' if the answer
      links to its own pages.
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
  """Returns the `ANALYSIS` of each module of this package, in order."""
  found = choices.declared(__package__, 'ANALYSIS')
  return dict(sorted(found.items(), key=lambda item: item[1].order))
