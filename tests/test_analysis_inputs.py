"""Which documents the analyses read, and by which halves and groups."""

import jax
import numpy as np
import program
import pytest
import runs

from monosem_jax.stages.analysis import inputs as analysis_inputs
from monosem_jax.stages.analysis.documents import GROUPS


@pytest.fixture(scope='module')
def inputs():
  return runs.inputs(runs.at(program.finished()))


def documents(inputs, context: int) -> set[int]:
  """Those of a context, by the store's own account of each token."""
  store, split = inputs.store, inputs.config.split
  [index] = store.stream_index(split, np.array([context]))
  return {
    store.locate(split, index, position).digest
    for position in range(store.context)
  }


def test_halves_are_of_disjoint_documents(inputs):
  context_C = np.arange(120)
  half_C = inputs.halves(inputs.config.split, context_C)
  of = [
    set().union(*(documents(inputs, c) for c in np.flatnonzero(half_C == half)))
    for half in (0, 1)
  ]
  assert not of[0] & of[1]
  # Neither is empty, and what is of neither holds documents of both.
  assert min((half_C == half).sum() for half in (0, 1)) > 12
  for c in np.flatnonzero(half_C < 0):
    bits = {digest >> 20 & 1 for digest in documents(inputs, c)}
    assert bits == {0, 1}


def test_batches_of_a_half_are_whole_and_of_it(inputs):
  with jax.set_mesh(inputs.mesh):
    for half in (0, 1):
      seen = []

      def labels(tokens_BT, context_B, seen=seen):
        seen.append(context_B)
        return (tokens_BT,)

      batches = list(inputs.batches('test', labels, half=half))
      assert len(batches) == len(seen) > 0
      for context_B, (tokens_BT, again_BT) in zip(seen, batches, strict=True):
        np.testing.assert_array_equal(tokens_BT, again_BT)
        want_BT = inputs.store.tokens(inputs.config.split, context_B)
        np.testing.assert_array_equal(tokens_BT, want_BT)
        assert (inputs.halves(inputs.config.split, context_B) == half).all()


def test_a_document_is_of_one_group_and_groups_are_many(inputs):
  context_C = np.arange(120)
  group_CT = inputs.groups(inputs.config.split, context_C)
  store, split, of = inputs.store, inputs.config.split, {}
  for index, group_T in zip(
    store.stream_index(split, context_C), group_CT, strict=True
  ):
    for position, group in enumerate(group_T.tolist()):
      digest = store.locate(split, index, position).digest
      assert of.setdefault(digest, group) == group
  assert group_CT.min() >= 0 and group_CT.max() < GROUPS
  assert len(set(of.values())) > min(len(of), GROUPS) / 3


def test_a_half_without_a_context_is_not_here(inputs, monkeypatch):
  monkeypatch.setattr(
    analysis_inputs.documents,
    'halves',
    lambda store, split, x: np.zeros_like(x),
  )
  with jax.set_mesh(inputs.mesh):
    assert list(inputs.batches('test', half=0))
    with pytest.raises(analysis_inputs.Unavailable, match='no whole context'):
      list(inputs.batches('test', half=1))
