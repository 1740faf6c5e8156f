"""Libraries that the core installs without."""

import importlib.util


def lacking(*libraries: str, extra: str = 'analysis') -> str:
  """Returns which libraries to install, as the end of a sentence.

  '' if none is missing.
  """
  absent = [n for n in libraries if importlib.util.find_spec(n) is None]
  if not absent:
    return ''
  return f'needs {", ".join(absent)}: pip install monosem_jax[{extra}]'
