"""Results of analyses: whether they are of what is there now."""

from collections.abc import Set

from monosem_jax.analysis.results.numbers import FILE, why_not_made
from monosem_jax.run import Run, graph
from monosem_jax.stages import analysis as analyses


def why_not(run: Run, analysis: str, file: str, inputs: Set[str]) -> str | None:
  """Why an analysis' file cannot be used; None if it can.

  Args:
    run: the run of the program.
    analysis: its name.
    file: the file's.
    inputs: names of what must be as it was when the analysis was made.
  """
  folder = run.workdir.analysis(analysis)
  again = f'run `monosem analysis --only={analysis}` (first delete {folder})'
  if not (folder / FILE).exists():
    return f'no {folder / file}; run `monosem analysis --only={analysis}`.'
  if reason := why_not_made(folder):
    return f'{analysis}: {reason}.'
  if not (folder / file).exists():
    return f'no {folder / file}; {again}.'
  # Controls are none of its inputs: they are made anew with the transformer.
  if graph.changed_inputs(analyses.analysis(run, analysis)) & inputs:
    return f'{folder} was made before what is there now; {again}.'
  return None
