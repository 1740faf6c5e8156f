"""What the core installs without."""

import importlib.util


def lacking(*libraries: str, extra: str = 'analysis') -> str:
  """What is to be installed for these, as a sentence's end; '' for nothing."""
  absent = [n for n in libraries if importlib.util.find_spec(n) is None]
  if not absent:
    return ''
  return f'needs {", ".join(absent)}: pip install monosem_jax[{extra}]'
