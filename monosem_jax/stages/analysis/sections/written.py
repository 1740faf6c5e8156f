"""A section of report.md for every analysis: what was asked, and the answer.

Each answer stands beside its control, with an interval of 95% and what it is
over; all of it is read from the numbers that the analyses wrote.
"""

from monosem_jax.analysis.results.numbers import NotMade, Numbers
from monosem_jax.stages.analysis.declaration import Analysis


def written(name: str, a: Analysis, n: Numbers, main: str) -> list[str]:
  """The section of an analysis, as lines of Markdown.

  Args:
    name: of the analysis.
    a: what it declares.
    n: its numbers, or why there are none.
    main: the run that most is about.
  """
  lines = [f'### {a.title}', '', a.asked, '']
  if isinstance(n, NotMade):
    return [*lines, f'Not answered: {n.why}.', '']
  lines += [*a.answer(n, main), '']
  lines += [f'![{a.title}](analysis/{name}/{a.picture})', '']
  if a.view:
    lines += [f'More on the page: [{a.view}](site/index.html#{a.view})', '']
  return lines
