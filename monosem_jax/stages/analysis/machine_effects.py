"""What pinning the features of machines does: to the next one, and in walks."""

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
  """By how much likelier each target fires when its source is pinned.

  Args:
    inputs: the run.
    edges: of the main dictionary's features.
    shares: P(fires | token) of each target, share_V.
    places: held-out contexts in which each source fires, and where: there it is
      ablated. It is pinned in other held-out contexts, at random positions.

  Returns:
    Of each edge `pinned` and `ablated`, probabilities, `pinned_se` and
    `ablated_se` over contexts, and `contexts`, how many each.
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
      # Filled up to one shape.
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
  """Texts of each machine, sampled while its features are pinned in turn.

  Beside them stand texts of the same prompts and draws, without pins: how much
  of a text is on the machine anyway.
  """
  if not machines:
    return []
  c, main, store = inputs.config.automata, inputs.main, inputs.store
  longest = max(map(len, machines))
  nodes_Bn = np.full((len(machines), longest), -1, np.int32)
  for b, nodes in enumerate(machines):
    nodes_Bn[b, : len(nodes)] = nodes
  nodes_Bn = np.repeat(nodes_Bn, c.walks, 0)
  # It begins with the token that the first feature fires on most.
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
