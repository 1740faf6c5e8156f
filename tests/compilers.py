"""The compilers of accelerators that are not here."""

import importlib.util
import platform

import pytest


def compilers() -> str:
  """Why there are none; empty if there are."""
  if platform.system() != 'Linux' or platform.machine() != 'x86_64':
    return 'the compilers are for Linux on x86-64'
  for module in ('libtpu', 'jax_cuda13_plugin'):
    if importlib.util.find_spec(module) is None:
      return f'{module} is not installed: pip install monosem_jax[targets]'
  return ''


needs_compilers = pytest.mark.skipif(bool(compilers()), reason=compilers())
