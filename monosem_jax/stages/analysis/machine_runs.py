"""Where machines run through held-out text, and where their features fire."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from monosem_jax.analysis import following
from monosem_jax.device import mesh as meshes
from monosem_jax.stages.analysis.inputs import AnalysisInputs, activations, part
from monosem_jax.stages.analysis.machine_text import SPLIT, batches

# Tokens of an excerpt, at most; tokens shown before and after the run.
_LONGEST, _AROUND = 24, 4


@dataclasses.dataclass
class _Run:
  """The longest run of a machine so far: up to where, in which context."""

  length: int = 1
  context: int = -1
  position: int = -1
  node: int = -1


def runs(
  inputs: AnalysisInputs,
  machines: Sequence[tuple[tuple[int, ...], bool]],
  most: int,
) -> tuple[list[dict | None], dict[int, tuple[np.ndarray, np.ndarray]]]:
  """Where machines run through held-out text, and where their features fire.

  Args:
    inputs: the run.
    machines: the nodes of each, and whether the first follows on the last.
    most: contexts of each feature that are kept.

  Returns:
    Of each machine the longest run, None of fewer than two tokens; and of each
    feature contexts in which it fires, with a random position of each.
  """
  main, rng = inputs.main, np.random.default_rng(inputs.config.seed)
  own = np.unique([i for nodes, _ in machines for i in nodes]).astype(np.int64)
  if not own.size:
    return [], {}
  args = inputs.lm(main.model), part(main.sae, own)
  of = activations(inputs.dot)
  fires = jax.jit(lambda args, tokens_BT: of(args, (tokens_BT,)) > 0)
  best = [_Run() for _ in machines]
  places: dict[int, list[tuple[int, int]]] = {int(i): [] for i in own}
  for tokens_BT, context_B in batches(inputs, 'runs'):
    fires_NX = meshes.fetch(fires(args, inputs.put(tokens_BT)))
    # A run ends with its document.
    open_BT1 = (tokens_BT != inputs.store.tokenizer.separator)[..., None]
    fires_BTX = fires_NX.reshape(*tokens_BT.shape, -1) & open_BT1
    for run, (nodes, closes) in zip(best, machines, strict=True):
      at_n = np.searchsorted(own, nodes)
      length_BTn = np.asarray(following.in_turn(fires_BTX[..., at_n], closes))
      if length_BTn.max() > run.length:
        b, t, n = np.unravel_index(length_BTn.argmax(), length_BTn.shape)
        run.length = int(length_BTn[b, t, n])
        run.context, run.position, run.node = int(context_B[b]), int(t), int(n)
    for x, i in enumerate(own.tolist()):
      if len(places[i]) < most:
        chance_BT = rng.random(tokens_BT.shape) * fires_BTX[..., x]
        for b in np.flatnonzero(fires_BTX[..., x].any(1)):
          places[i].append((int(context_B[b]), int(chance_BT[b].argmax())))
  found = {
    i: tuple(np.array(own_C[:most], np.int64).reshape(-1, 2).T)
    for i, own_C in places.items()
  }
  told = [
    _excerpt(inputs, run, len(nodes), closes)
    for run, (nodes, closes) in zip(best, machines, strict=True)
  ]
  return told, found


def _excerpt(
  inputs: AnalysisInputs, run: _Run, n: int, closes: bool
) -> dict | None:
  """The end of a run, with what stands around it."""
  if run.context < 0:
    return None
  store, context = inputs.store, np.array([run.context])
  [tokens_T] = store.tokens(SPLIT, context)
  shown = min(run.length, _LONGEST)
  first = run.position - shown + 1
  cut = slice(max(first - _AROUND, 0), run.position + 1 + _AROUND)
  at_t = np.arange(tokens_T.size)[cut]
  inside_t = (at_t >= first) & (at_t <= run.position)
  node_t = np.where(inside_t, (run.node - (run.position - at_t)) % n, -1)
  [index] = store.stream_index(SPLIT, context)
  return {
    'length': run.length,
    # Each of its features, and a machine that closes back to its first.
    'whole': run.length >= n + closes,
    'subset': store.locate(SPLIT, index, run.position).subset,
    'text': store.tokenizer.decode(tokens_T[cut].tolist()),
    'tokens': [inputs.vocabulary[i] for i in tokens_T[cut]],
    'nodes': node_t.tolist(),
  }
