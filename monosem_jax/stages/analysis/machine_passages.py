"""Passages of held-out text on which a machine's features fire in turn."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from monosem_jax.analysis import following
from monosem_jax.device import mesh as meshes
from monosem_jax.stages.analysis.inputs import AnalysisInputs, activations, part
from monosem_jax.stages.analysis.machine_text import SPLIT, batches

# The most tokens of an excerpt; the tokens shown before and after it.
_LONGEST, _AROUND = 24, 4


@dataclasses.dataclass
class _Passage:
  """The longest passage of a machine so far: its context and where it ends."""

  length: int = 1
  context: int = -1
  position: int = -1
  node: int = -1


def passages(
  inputs: AnalysisInputs,
  machines: Sequence[tuple[tuple[int, ...], bool]],
  most: int,
) -> tuple[list[dict | None], dict[int, tuple[np.ndarray, np.ndarray]]]:
  """Finds where machines' features fire in turn, and where each one fires.

  Args:
    inputs: the inputs of the analyses.
    machines: the nodes of each machine, and whether the first node follows on
      the last.
    most: the most contexts to keep per feature.

  Returns:
    The longest passage of each machine, or None if it has fewer than two
    tokens. Then, by feature, contexts in which it fires, and a random position
    in each.
  """
  main, rng = inputs.main, np.random.default_rng(inputs.config.seed)
  own = np.unique([i for nodes, _ in machines for i in nodes]).astype(np.int64)
  if not own.size:
    return [], {}
  args = inputs.lm(main.model), part(main.sae, own)
  of = activations(inputs.dot)
  fires = jax.jit(lambda args, tokens_BT: of(args, (tokens_BT,)) > 0)
  best = [_Passage() for _ in machines]
  places: dict[int, list[tuple[int, int]]] = {int(i): [] for i in own}
  for tokens_BT, context_B in batches(inputs, 'passages'):
    fires_NX = meshes.fetch(fires(args, inputs.put(tokens_BT)))
    # A passage ends with its document.
    open_BT1 = (tokens_BT != inputs.store.tokenizer.separator)[..., None]
    fires_BTX = fires_NX.reshape(*tokens_BT.shape, -1) & open_BT1
    for passage, (nodes, closes) in zip(best, machines, strict=True):
      at_n = np.searchsorted(own, nodes)
      length_BTn = np.asarray(following.in_turn(fires_BTX[..., at_n], closes))
      if length_BTn.max() > passage.length:
        b, t, n = np.unravel_index(length_BTn.argmax(), length_BTn.shape)
        passage.length = int(length_BTn[b, t, n])
        passage.context, passage.position, passage.node = (
          int(context_B[b]),
          int(t),
          int(n),
        )
    for x, i in enumerate(own.tolist()):
      if len(places[i]) < most:
        chance_BT = rng.random(tokens_BT.shape) * fires_BTX[..., x]
        for b in np.flatnonzero(fires_BTX[..., x].any(1)):
          places[i].append((int(context_B[b]), int(chance_BT[b].argmax())))
  found = {}
  for i, own_C in places.items():
    kept_C2 = np.array(own_C[:most], np.int64).reshape(-1, 2)
    found[i] = kept_C2[:, 0], kept_C2[:, 1]
  told = [
    _excerpt(inputs, passage, len(nodes), closes)
    for passage, (nodes, closes) in zip(best, machines, strict=True)
  ]
  return told, found


def _excerpt(
  inputs: AnalysisInputs, passage: _Passage, n: int, closes: bool
) -> dict | None:
  """Returns the end of a passage and the tokens around it."""
  if passage.context < 0:
    return None
  store, context = inputs.store, np.array([passage.context])
  [tokens_T] = store.tokens(SPLIT, context)
  shown = min(passage.length, _LONGEST)
  first = passage.position - shown + 1
  cut = slice(max(first - _AROUND, 0), passage.position + 1 + _AROUND)
  at_t = np.arange(tokens_T.size)[cut]
  inside_t = (at_t >= first) & (at_t <= passage.position)
  node_t = np.where(
    inside_t, (passage.node - (passage.position - at_t)) % n, -1
  )
  [index] = store.stream_index(SPLIT, context)
  return {
    'length': passage.length,
    # Each of its features, and a machine that closes back to its first.
    'whole': passage.length >= n + closes,
    'subset': store.locate(SPLIT, index, passage.position).subset,
    'text': store.tokenizer.decode(tokens_T[cut].tolist()),
    'tokens': [inputs.vocabulary[i] for i in tokens_T[cut]],
    'nodes': node_t.tolist(),
  }
