"""Checks that an analysis' results are up to date."""

from collections.abc import Set

from monosem_jax.analysis.results.numbers import FILE, why_not_made
from monosem_jax.run import Run, graph
from monosem_jax.stages import analysis as analyses


def why_not(run: Run, analysis: str, file: str, inputs: Set[str]) -> str | None:
  """Returns why an analysis' file cannot be used; None if it can.

  Args:
    run: the run of the program.
    analysis: name of the analysis.
    file: name of the file.
    inputs: names of the inputs that must not have changed since.
  """
  folder = run.workdir.analysis(analysis)
  again = f'run `monosem analysis --only={analysis}` (first delete {folder})'
  if not (folder / FILE).exists():
    return f'no {folder / file}; run `monosem analysis --only={analysis}`.'
  if reason := why_not_made(folder):
    return f'{analysis}: {reason}.'
  if not (folder / file).exists():
    return f'no {folder / file}; {again}.'
  # Controls are not inputs: they are remade with the transformer.
  if graph.changed_inputs(analyses.analysis(run, analysis)) & inputs:
    return f'{folder} is older than its inputs; {again}.'
  return None
