"""Effects of pinning a machine's features: on the next one, and in walks."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import transitions
from monosem_jax.device import mesh as meshes
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.analysis.machine_text import SPLIT, Edge
from monosem_jax.transformer.sample import choose


def effects(
  inputs: AnalysisInputs,
  edges: Sequence[Edge],
  shares: Mapping[int, np.ndarray],
  places: Mapping[int, tuple[np.ndarray, np.ndarray]],
) -> dict[Edge, dict[str, Any]]:
  """Measures how pinning and ablating a source changes its targets' firing.

  A source is ablated where it fires, and pinned at random positions of other
  held-out contexts.

  Args:
    inputs: the inputs of the analyses.
    edges: edges between the main dictionary's features.
    shares: by target, P(fires | token), share_V.
    places: by source, held-out contexts in which it fires, and the positions.

  Returns:
    By edge, the changes of probability `pinned` and `ablated`, their standard
    errors over contexts `pinned_se` and `ablated_se`, and `contexts`, the
    number of contexts of each.
  """
  c, main, store = inputs.config.automata, inputs.main, inputs.store
  lm, rng = inputs.lm(main.model), np.random.default_rng(inputs.config.seed)
  targets: dict[int, list[int]] = {}
  for i, j in sorted(set(edges)):
    targets.setdefault(i, []).append(j)
  widest = max(map(len, targets.values()), default=0)
  there = min(c.contexts, store.n_contexts(SPLIT))
  any_C, T = np.arange(there), store.context
  at_C = rng.integers(1, T, there)
  told = inputs.progress(f'automata/{main.key}/effects')
  found = {}
  for n, (i, own) in enumerate(targets.items()):
    padded = (own + own[:1] * widest)[:widest]
    share_Vn = np.stack([shares[j] for j in padded], 1)

    def effect(context_C, at_C, value, i=i, share_Vn=share_Vn):
      # Padded, so that all calls have one shape.
      blank = c.contexts - len(context_C)
      tokens_CT = np.zeros((c.contexts, T), np.int32)
      if len(context_C):
        tokens_CT[: len(context_C)] = store.tokens(SPLIT, context_C)
      at_C = np.concatenate([at_C, np.full(blank, -1)])
      return meshes.fetch(
        transitions.effect(
          lm,
          main.sae,
          inputs.dot,
          jnp.asarray(tokens_CT),
          jnp.asarray(at_C, jnp.int32),
          jnp.asarray(i, jnp.int32),
          jnp.asarray(value, jnp.float32),
          jnp.asarray(share_Vn, jnp.float32),
        )
      )

    pinned = effect(any_C, at_C, c.strength * main.table.max_F[i])
    ablated = effect(*places[i], 0.0)
    for k, j in enumerate(own):
      found[i, j] = {
        'pinned': float(pinned[0][k]),
        'pinned_se': float(pinned[1][k]),
        'ablated': float(ablated[0][k]) if ablated[2] else None,
        'ablated_se': float(ablated[1][k]) if ablated[2] else None,
        'contexts': [int(pinned[2]), int(ablated[2])],
      }
    told(n + 1, len(targets))
  return found


def walks(
  inputs: AnalysisInputs, machines: Sequence[tuple[int, ...]]
) -> list[dict]:
  """Samples texts while each machine's features are pinned in turn.

  Unpinned texts of the same prompts and random numbers are the control.
  """
  if not machines:
    return []
  c, main, store = inputs.config.automata, inputs.main, inputs.store
  longest = max(map(len, machines))
  nodes_Bn = np.full((len(machines), longest), -1, np.int32)
  for b, nodes in enumerate(machines):
    nodes_Bn[b, : len(nodes)] = nodes
  nodes_Bn = np.repeat(nodes_Bn, c.walks, 0)
  # A text starts with the token on which the first feature fires most.
  first_B = main.table.example_tokens_FEW[
    nodes_Bn[:, 0], 0, main.table.meta['before']
  ].astype(np.int32)
  prompt_BT = np.stack(
    [np.full_like(first_B, store.tokenizer.separator), first_B], 1
  )
  value_Bn = c.strength * main.table.max_F[nodes_Bn]
  (tokens_BT, node_BL), (_, free_BL) = (
    meshes.fetch(
      transitions.walk(
        inputs.lm(main.model),
        main.sae,
        inputs.dot,
        choose,
        jnp.asarray(nodes_Bn),
        jnp.asarray(value_Bn, jnp.float32),
        jnp.asarray(prompt_BT),
        jax.random.key(inputs.config.seed),
        min(c.walk, store.context - 2),
        pinned=pinned,
      )
    )
    for pinned in (True, False)
  )

  def on_machine(node_WL) -> tuple[float, float | None]:
    share_W = (node_WL >= 0).mean(1)
    W = len(share_W)
    error = share_W.std(ddof=1) / np.sqrt(W) if W > 1 else None
    return float(share_W.mean()), error

  found = []
  for b in range(0, len(nodes_Bn), c.walks):
    own, row_T = slice(b, b + c.walks), tokens_BT[b, 1:]
    on, on_se = on_machine(node_BL[own])
    free, free_se = on_machine(free_BL[own])
    found.append(
      {
        'text': store.tokenizer.decode(row_T.tolist()),
        'tokens': [inputs.vocabulary[i] for i in row_T],
        'nodes': [0, *node_BL[b].tolist()],
        'on_machine': on,
        'on_machine_se': on_se,
        'unpinned': free,
        'unpinned_se': free_se,
        'walks': c.walks,
      }
    )
  return found
