"""What analyses leave for the page, for exports and for each other.

`arrays` has their arrays, `numbers` how numbers are saved and loaded, and the
other modules have the numbers of the analyses. All of it starts without jax.
"""

import dataclasses
import pathlib
import typing
from collections.abc import Callable, Sequence
from typing import Self

from monosem_jax.analysis.results.automata import Automata
from monosem_jax.analysis.results.density import Density
from monosem_jax.analysis.results.features import (
  Ablation,
  ExampleTexts,
  Logits,
  NearestRows,
  Neurons,
)
from monosem_jax.analysis.results.geometry import Geometry
from monosem_jax.analysis.results.numbers import FILE, NotMade, from_json
from monosem_jax.analysis.results.preserved import Preserved
from monosem_jax.analysis.results.proxies import Proxies
from monosem_jax.analysis.results.relations import Splitting, Universality
from monosem_jax.analysis.results.steering import Steering
from monosem_jax.run.files import read_json


@dataclasses.dataclass(frozen=True)
class Results:
  """The numbers of all analyses; None of those that were not asked for."""

  density: Density | NotMade | None = None
  preserved: Preserved | NotMade | None = None
  logits: Logits | NotMade | None = None
  ablation: Ablation | NotMade | None = None
  neurons: Neurons | NotMade | None = None
  neighbours: NearestRows | NotMade | None = None
  texts: ExampleTexts | NotMade | None = None
  proxies: Proxies | NotMade | None = None
  steering: Steering | NotMade | None = None
  universality: Universality | NotMade | None = None
  splitting: Splitting | NotMade | None = None
  geometry: Geometry | NotMade | None = None
  automata: Automata | NotMade | None = None

  @classmethod
  def load(
    cls, folder: Callable[[str], pathlib.Path], names: Sequence[str]
  ) -> Self:
    """Reads the numbers of some analyses, of which `folder` gives the folders.

    Raises:
      UserError: a file is missing, or not of its form.
    """
    kinds, found = typing.get_type_hints(cls), {}
    for name in names:
      path = folder(name) / FILE
      found[name] = from_json(kinds[name], read_json(path), path)
    return cls(**found)
