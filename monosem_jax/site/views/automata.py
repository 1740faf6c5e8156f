"""Features that work as finite-state machines."""

from collections.abc import Sequence

from monosem_jax.analysis.results.automata import Automata
from monosem_jax.analysis.results.numbers import to_json
from monosem_jax.site import views
from monosem_jax.site.links import Folders


def packs(folder: Folders, keys: Sequence[str]) -> dict[str, views.Pack]:
  """`automata`: all numbers of the analysis."""
  del keys
  numbers = Automata.load_if_made(folder('automata'))
  return {} if numbers is None else {'automata': (to_json(numbers), {})}
