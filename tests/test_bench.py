"""Which documents the analyses read, and by which halves and groups."""

import jax
import numpy as np
import program
import pytest

from monosem_jax.config import load as configs
from monosem_jax.device import mesh as meshes
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages.analysis import bench as benches
from monosem_jax.stages.analysis.documents import GROUPS
from monosem_jax.text.store import TokenStore


@pytest.fixture(scope='module')
def bench():
  w = Workdir(program.finished(), configs.load(str(program.config())))
  mesh = meshes.make_mesh(w.config.mesh)
  return benches.Bench(w, TokenStore.open(w.store), mesh)


def documents(bench, context: int) -> set[int]:
  """Those of a context, by the store's own account of each token."""
  store, split = bench.store, bench.config.split
  [index] = store.stream_index(split, np.array([context]))
  return {
    store.locate(split, index, position).digest
    for position in range(store.context)
  }


def test_halves_are_of_disjoint_documents(bench):
  context_C = np.arange(120)
  half_C = bench.halves(bench.config.split, context_C)
  of = [
    set().union(*(documents(bench, c) for c in np.flatnonzero(half_C == half)))
    for half in (0, 1)
  ]
  assert not of[0] & of[1]
  # Neither is empty, and what is of neither holds documents of both.
  assert min((half_C == half).sum() for half in (0, 1)) > 12
  for c in np.flatnonzero(half_C < 0):
    bits = {digest >> 20 & 1 for digest in documents(bench, c)}
    assert bits == {0, 1}


def test_batches_of_a_half_are_whole_and_of_it(bench):
  with jax.set_mesh(bench.mesh):
    for half in (0, 1):
      seen = []

      def labels(tokens_BT, context_B, seen=seen):
        seen.append(context_B)
        return (tokens_BT,)

      batches = list(bench.batches('test', labels, half=half))
      assert len(batches) == len(seen) > 0
      for context_B, (tokens_BT, again_BT) in zip(seen, batches, strict=True):
        np.testing.assert_array_equal(tokens_BT, again_BT)
        want_BT = bench.store.tokens(bench.config.split, context_B)
        np.testing.assert_array_equal(tokens_BT, want_BT)
        assert (bench.halves(bench.config.split, context_B) == half).all()


def test_a_document_is_of_one_group_and_groups_are_many(bench):
  context_C = np.arange(120)
  group_CT = bench.groups(bench.config.split, context_C)
  store, split, of = bench.store, bench.config.split, {}
  for index, group_T in zip(
    store.stream_index(split, context_C), group_CT, strict=True
  ):
    for position, group in enumerate(group_T.tolist()):
      digest = store.locate(split, index, position).digest
      assert of.setdefault(digest, group) == group
  assert group_CT.min() >= 0 and group_CT.max() < GROUPS
  assert len(set(of.values())) > min(len(of), GROUPS) / 3


def test_a_half_without_a_context_is_not_here(bench, monkeypatch):
  monkeypatch.setattr(
    benches.documents, 'halves', lambda store, split, x: np.zeros_like(x)
  )
  with jax.set_mesh(bench.mesh):
    assert list(bench.batches('test', half=0))
    with pytest.raises(benches.Unavailable, match='no whole context'):
      list(bench.batches('test', half=1))
