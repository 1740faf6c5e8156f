"""The inputs of the analyses: sets of features, and tokens."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np

from monosem_jax.analysis.results.numbers import NotMade, Numbers
from monosem_jax.config import names
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary.sae import SAE, encode, rows_of
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.interop import saelens
from monosem_jax.run import Run, metrics
from monosem_jax.stages import featuresets, programs
from monosem_jax.stages.analysis import documents
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text import stream
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer.model import Transformer

# The numbers of an analysis.
N = TypeVar('N', bound=Numbers)


class Unavailable(Exception):
  """Raised when the run lacks something that the analysis needs."""


@dataclasses.dataclass(frozen=True, eq=False)
class AnalysisInputs:
  """The finished dictionaries of a run, its tokens and its controls."""

  run: Run
  store: TokenStore
  mesh: jax.sharding.Mesh
  # Cache of transformers and sets of features.
  kept: dict = dataclasses.field(default_factory=dict, repr=False)

  @functools.cached_property
  def config(self):
    return self.run.config.analysis

  @functools.cached_property
  def dot(self) -> Dot:
    return Dot(compute_dtype(self.run.config.stream.precision))

  def lm(self, model: str) -> Transformer:
    if ('lm', model) not in self.kept:
      lm = lm_stage.load(self.run, self.store, model)
      self.kept['lm', model] = meshes.place(self.mesh, lm)
    return self.kept['lm', model]

  def feature_set(self, name: str) -> LoadedSet:
    """Returns a dictionary or a control, placed on the mesh."""
    if name not in self.kept:
      sae = saelens.load(self.run.workdir.dictionary(name))
      found = featuresets.load_with(self.run, names.parse(name), sae)
      placed = meshes.place(self.mesh, sae)
      self.kept[name] = dataclasses.replace(found, sae=placed)
    return self.kept[name]

  @property
  def main(self) -> LoadedSet:
    return self.feature_set(names.main_dictionary(self.run.config))

  @property
  def match(self) -> LoadedSet:
    """The dictionary of another model that matches the main dictionary.

    Raises:
      Unavailable: no dictionary matches.
    """
    name = names.match_dictionary(self.run.config)
    if name is None:
      raise Unavailable(
        'no dictionary of another model: add models.B and dictionaries.B1'
      )
    return self.feature_set(name)

  def neurons(self, model: str) -> LoadedSet:
    """Returns the neurons of a model.

    Raises:
      Unavailable: they are not among the controls.
    """
    name = names.SetId(model, 'neurons').key
    if name not in names.controls(self.run.config):
      raise Unavailable('neurons are not among analysis.controls')
    return self.feature_set(name)

  def feature_sets(self, model: str | None = None) -> list[LoadedSet]:
    """Returns dictionaries, then controls, of all models or of one."""
    config = self.run.config
    every = [*config.dictionaries, *names.controls(config)]
    found = [self.feature_set(name) for name in every]
    return [s for s in found if model in (None, s.model)]

  def growing(self) -> list[LoadedSet]:
    """Returns the main dictionary and its other sizes, from small to large."""
    all_of_them = self.run.config.dictionaries
    main = all_of_them[self.main.key]
    alike = [
      name
      for name in names.entries(self.run.config)[self.main.model]
      if dataclasses.replace(all_of_them[name], features=main.features) == main
    ]
    alike.sort(key=lambda name: all_of_them[name].features)
    return [self.feature_set(name) for name in alike]

  @functools.cached_property
  def batch_size(self) -> int:
    """Contexts per device call; smaller for a small store."""
    return min(self.config.batch_size, self.store.n_contexts(self.config.split))

  @functools.cached_property
  def contexts(self) -> int:
    """The number of contexts that are read, in whole batches."""
    there = self.store.n_contexts(self.config.split)
    batches = min(self.config.contexts, there) // self.batch_size
    return max(batches, 1) * self.batch_size

  @property
  def tokens(self) -> int:
    return self.contexts * self.store.context

  def batches(
    self,
    name: str,
    labels: Callable[[np.ndarray, np.ndarray], tuple] | None = None,
    contexts: int | None = None,
    half: int | None = None,
  ) -> Iterator[tuple]:
    """Yields the tokens for statistics, on the mesh: (tokens_BT, *labels).

    Args:
      name: name of the progress line.
      labels: `labels(tokens_BT, context_B)` returns arrays of B x T entries.
      contexts: number of contexts; None for that of the settings.
      half: half of the documents, 0 or 1, see `halves`; None for all contexts.

    Raises:
      Unavailable: the half has no whole context.
    """
    B = self.batch_size
    limit = self.contexts if contexts is None else min(contexts, self.contexts)
    opened = stream.batches(
      self.store, self.config.split, B, seed=None, start=0, epochs=1
    )
    bar = metrics.progress(f'analysis/{name}', total=limit, unit='ctx')

    def chosen() -> Iterator[tuple[np.ndarray, np.ndarray]]:
      for batch in itertools.islice(opened, -(-limit // B)):
        bar.update(B)
        tokens_BT, context_B = batch[:2]
        own_B = slice(None)
        if half is not None:
          own_B = self.halves(self.config.split, context_B) == half
        yield tokens_BT[own_B], context_B[own_B]

    try:
      some = False
      for tokens_BT, context_B in documents.regrouped(chosen(), B):
        some = True
        extra = () if labels is None else labels(tokens_BT, context_B)
        yield tuple(self.put(x) for x in (tokens_BT, *extra))
      if not some:
        raise Unavailable(
          'a half of the documents has no whole context: more documents are '
          'needed, or more analysis.contexts'
        )
    finally:
      opened.close()
      bar.close()

  def halves(self, split: str, context_B: np.ndarray) -> np.ndarray:
    """Returns the half that each context belongs to, see `documents.halves`."""
    return documents.halves(self.store, split, context_B)

  def groups(self, split: str, context_B: np.ndarray) -> np.ndarray:
    """Returns the group of each token's document, see `documents.groups`."""
    return documents.groups(self.store, split, context_B)

  def needs(self, name: str, kind: type[N]) -> N:
    """Returns the numbers of an earlier analysis.

    Raises:
      Unavailable: the earlier analysis could not be made.
    """
    found = kind.load(self.run.workdir.analysis(name))
    if isinstance(found, NotMade):
      raise Unavailable(f'needs {name}: {found.why}')
    return found

  def put(self, x: np.ndarray) -> jax.Array:
    return meshes.put(self.mesh, x, meshes.tokens_spec(len(x)))

  def fetch(self, context_B: np.ndarray) -> np.ndarray:
    """Returns contexts of the feature tables' split by their numbers."""
    return self.store.tokens(self.run.config.features.split, context_B)

  def rows(self, model: str, rows: int) -> np.ndarray:
    """Returns a sample of a model's activations, x_NA, on the host."""
    T = self.store.context
    kept = min(T, 64)
    at_P = np.random.default_rng(self.config.seed).choice(T, kept, False)
    take = jax.jit(
      lambda lm, tokens_BT: programs.forward(lm, tokens_BT)[:, at_P]
    )
    parts, lm = [], self.lm(model)
    for (tokens_BT,) in self.batches('sample', contexts=-(-rows // kept)):
      found = meshes.fetch(take(lm, tokens_BT))
      parts.append(np.asarray(found, np.float32))
    return np.concatenate(parts).reshape(-1, parts[0].shape[-1])[:rows]

  def progress(self, name: str) -> Callable[[int, int], None]:
    """Returns `progress(done, total)`, which moves a new progress line."""
    bar = metrics.progress(f'analysis/{name}', total=1, unit='row')

    def told(done: int, total: int) -> None:
      metrics.advance(bar, done, total)
      if done == total:
        bar.close()

    return told

  @functools.cached_property
  def vocabulary(self) -> list[str]:
    return self.store.tokenizer.token_strings()


@functools.cache
def activations(dot: Dot) -> Callable:
  """Returns `of((lm, sae), batch) -> f_NF`; a batch starts with the tokens."""

  def of(args: tuple[Transformer, SAE], batch: tuple) -> jax.Array:
    lm, sae = args
    acts_BTA = programs.forward(lm, batch[0])
    x_NA = rows_of(acts_BTA)
    return encode(sae, x_NA.astype(sae.b_enc_F.dtype), dot)

  return of


@functools.cache
def of_two(dot: Dot) -> Callable:
  """Returns `both((lm, sae_x, sae_y), batch) -> (x_NX, y_NY)`."""
  of = activations(dot)

  def both(args, batch):
    lm, sae_x, sae_y = args
    return of((lm, sae_x), batch), of((lm, sae_y), batch)

  return both


def part(sae: SAE, features: slice | np.ndarray) -> SAE:
  """Returns some features of a dictionary, for encoding only."""
  return dataclasses.replace(
    sae,
    W_enc_AF=sae.W_enc_AF[:, features],
    b_enc_F=sae.b_enc_F[features],
    W_dec_FA=sae.W_dec_FA[features],
  )


def median(values: np.ndarray) -> float | None:
  """Returns the median of the finite values; None without any."""
  values = values[np.isfinite(values)]
  return float(np.median(values)) if values.size else None
