"""Writes the section of an analysis in report.md: question and answer.

An answer gives the controls, and intervals of 95% with their unit. Everything
comes from the numbers that the analyses wrote.
"""

from monosem_jax.analysis.results.numbers import NotMade, Numbers
from monosem_jax.stages.analysis.declaration import Analysis


def written(name: str, a: Analysis, n: Numbers, main: str) -> list[str]:
  """Returns the section of an analysis, as lines of Markdown.

  Args:
    name: name of the analysis.
    a: its declaration.
    n: its numbers, or why there are none.
    main: name of the main dictionary.
  """
  lines = [f'### {a.title}', '', a.asked, '']
  if isinstance(n, NotMade):
    return [*lines, f'Not answered: {n.why}.', '']
  lines += [*a.answer(n, main), '']
  lines += [f'![{a.title}](analysis/{name}/{a.picture})', '']
  if a.view:
    lines += [f'More on the page: [{a.view}](site/index.html#{a.view})', '']
  return lines
