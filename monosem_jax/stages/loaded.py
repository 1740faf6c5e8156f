"""The transformers and dictionaries of the live page, on the devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import probe
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.interop import saelens
from monosem_jax.run import Run
from monosem_jax.stages import featuresets
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text.store import TokenStore
from monosem_jax.text.tokenizer import Tokenizer
from monosem_jax.transformer.model import Transformer


@dataclasses.dataclass(frozen=True)
class LoadedModels:
  """Everything that requests of the live page need.

  Attributes:
    tokenizer: maps text to tokens.
    context: T, tokens of a context.
    dot: the matrix product of the dictionaries.
    models: the transformers by name.
    sets: dictionaries and neurons by key, the main dictionary first.
    median_F: by key, the median of each feature's logit weights.
  """

  tokenizer: Tokenizer
  context: int
  dot: Dot
  models: dict[str, Transformer]
  sets: dict[str, LoadedSet]
  median_F: dict[str, jax.Array]


def load(run: Run) -> LoadedModels:
  """Loads the dictionaries that the page shows, and their transformers.

  Raises:
    UserError: a result is missing, or is not up to date.
  """
  c, store = run.config, TokenStore.open(run.workdir.store)
  sets = {
    name.key: featuresets.load_with(
      run, name, saelens.load(run.workdir.dictionary(name.key))
    )
    for name in featuresets.there(run)
  }
  models = {
    name: jax.device_put(lm_stage.load(run, store, name))
    for name in c.models
    if any(s.model == name for s in sets.values())
  }
  return LoadedModels(
    tokenizer=store.tokenizer,
    context=store.context,
    dot=Dot(compute_dtype(c.stream.precision)),
    models=models,
    sets=sets,
    median_F={key: _medians(models[s.model], s) for key, s in sets.items()},
  )


def _medians(lm: Transformer, s: LoadedSet) -> jax.Array:
  return probe.medians(
    lm,
    s.sae,
    jnp.asarray(s.table.logit_top_ids_FL[:, 0].astype(np.int32)),
    jnp.asarray(s.table.logit_top_FL[:, 0]),
  )
