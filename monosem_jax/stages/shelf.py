"""The transformers and dictionaries that a live page asks about, at hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import probe
from monosem_jax.config.names import run_name
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary.sae import SAE
from monosem_jax.interop import saelens
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import tables
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text.store import TokenStore
from monosem_jax.text.tokenizer import Tokenizer
from monosem_jax.transformer.model import Transformer


@dataclasses.dataclass(frozen=True)
class Dictionary:
  """A dictionary whose features are looked at and pinned.

  Attributes:
    key: A1, and A_neurons for a control.
    run: A/1.
    model: the transformer it is of.
    sae: the dictionary.
    max_F: every feature's maximum.
    median_F: of each feature's logit weights.
  """

  key: str
  run: str
  model: str
  sae: SAE
  max_F: np.ndarray
  median_F: jax.Array

  @property
  def features(self) -> int:
    return self.max_F.size


@dataclasses.dataclass(frozen=True)
class Shelf:
  """All of them.

  Attributes:
    tokenizer: text to tokens.
    context: T.
    dot: the matrix product of dictionaries.
    models: the transformers.
    dictionaries: by key, the main one first.
  """

  tokenizer: Tokenizer
  context: int
  dot: Dot
  models: dict[str, Transformer]
  dictionaries: dict[str, Dictionary]


def load(w: Workdir) -> Shelf:
  """The dictionaries of a work directory that a page shows, and their models.

  Raises:
    UserError: something is not made yet, or is of something else than is there.
  """
  c, store, there = w.config, TokenStore.open(w.store), tables.there(w)
  models = {
    name: jax.device_put(lm_stage.load(w, store, name))
    for name in c.models
    if name in there.values()
  }
  return Shelf(
    tokenizer=store.tokenizer,
    context=store.context,
    dot=Dot(compute_dtype(c.stream.precision)),
    models=models,
    dictionaries={
      name: _load(w, name, model, models[model])
      for name, model in there.items()
    },
  )


def _load(w: Workdir, name: str, model: str, lm: Transformer) -> Dictionary:
  table, sae = tables.load(w, name), saelens.load(w.dictionary(name))
  return Dictionary(
    key=name,
    run=run_name(name),
    model=model,
    sae=sae,
    max_F=table.max_F,
    median_F=probe.medians(
      lm,
      sae,
      jnp.asarray(table.logit_top_ids_FL[:, 0].astype(np.int32)),
      jnp.asarray(table.logit_top_FL[:, 0]),
    ),
  )
