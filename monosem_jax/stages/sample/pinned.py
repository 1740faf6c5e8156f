"""Samples texts of a transformer, with and without pinned features."""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import steering
from monosem_jax.config import settings
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.config.names import SetId, by_name
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary.sae import SAE
from monosem_jax.features.pin import Pin, parse
from monosem_jax.interop import saelens
from monosem_jax.run import Run
from monosem_jax.stages import featuresets
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer.sample import sample


def print_samples(
  run: Run,
  *,
  pin: str,
  prompt: str | None,
  tokens: int,
  samples: int,
  temperature: float,
  top_k: int,
  seed: int,
) -> None:
  """Prints the prompt and its continuations, without and with the pins.

  The n-th samples of both kinds use the same random numbers, so that they
  differ only because of the pins. The transformer is that of the pins, or the
  first of the config. An empty prompt starts a document.

  Raises:
    UserError: a flag has a wrong value, or a result is missing.
  """
  if not math.isfinite(temperature):
    raise UserError(f'--temperature={temperature}: must be a finite number.')
  prompt = steering.PROMPT if prompt is None else prompt
  try:
    prompt.encode()
  except UnicodeEncodeError as e:
    raise UserError(f'--prompt: is not UTF-8 ({e.reason}).') from e
  pins = parse(pin)
  store = TokenStore.open(run.workdir.store)
  sets = {p.set_name: _named(run.config, p.set_name) for p in pins}
  model = _one_model(pins, sets) or next(iter(run.config.models))
  saes = {
    name: saelens.load(run.workdir.dictionary(s.key))
    for name, s in sets.items()
  }
  for p in pins:
    p.require(saes[p.set_name].b_enc_F.size)
  max_F = {
    p.set_name: featuresets.table(run, sets[p.set_name].key).max_F
    for p in pins
    if p.of_max
  }
  values = [p.activation(max_F.get(p.set_name)) for p in pins]

  ids_T = store.tokenizer.encode_batch([prompt])[0].astype(np.int32)
  if not ids_T.size:
    ids_T = np.array([store.tokenizer.separator], np.int32)
  # At temperature 0, all samples are equal.
  samples = samples if temperature else 1
  pinned = _pinned(pins, values, saes) if pins else None
  mesh = meshes.make_mesh(run.config.mesh)
  with jax.set_mesh(mesh):
    lm = meshes.place(mesh, lm_stage.load(run, store, model))

    def texts(pinned: steering.Pins | None) -> list[str]:
      tokens_BT = sample(
        lm,
        np.tile(ids_T, (samples, 1)),
        jax.random.key(seed),
        length=tokens,
        temperature=temperature,
        top_k=top_k,
        patch=steering.patch if pinned else None,
        patch_args=pinned,
      )
      new_BT = meshes.fetch(tokens_BT)[:, ids_T.size :]
      return [store.tokenizer.decode(row) for row in new_BT.tolist()]

    said = {'unpinned': texts(None)}
    if pins:
      said['pinned  '] = texts(meshes.place(mesh, pinned))
  top = f', top_k {top_k}' if top_k else ''
  run.log(f'model {model}, temperature {temperature:g}{top}, seed {seed}')
  for p, value in zip(pins, values, strict=True):
    of_max = f' ({p.value:g} x its maximum)' if p.of_max else ''
    run.log(f'pinned: {p.set_name}/{p.feature} = {value:.4g}{of_max}')
  run.log(f'prompt: {prompt!r} ({ids_T.size} tokens)')
  for i in range(samples):
    for name, found in said.items():
      run.log(f'{i + 1} {name} {found[i]!r}')


def _named(config: settings.Config, name: str) -> SetId:
  """Returns the set with a name such as A/1 or A/neurons.

  Raises:
    UserError: the config has no such dictionary or control.
  """
  known = by_name(config)
  if name not in known:
    raise UserError(
      f'pin: unknown dictionary or control {name!r}{nearest(name, known)}.'
    )
  return known[name]


def _one_model(pins: Sequence[Pin], sets: Mapping[str, SetId]) -> str | None:
  """Returns the transformer of the pins; None without pins."""
  for p in pins[1:]:
    first, own = sets[pins[0].set_name].model, sets[p.set_name].model
    if own != first:
      raise UserError(
        f"pin '{p}': is of model {own}, and '{pins[0]}' of model {first}; pin "
        'features of one model at a time.'
      )
  return sets[pins[0].set_name].model if pins else None


def _pinned(
  pins: Sequence[Pin], values: Sequence[float], saes: Mapping[str, SAE]
) -> steering.Pins:
  """Joins the pins of all dictionaries."""
  found = []
  for name, sae in saes.items():
    own = [i for i, p in enumerate(pins) if p.set_name == name]
    features = jnp.array([pins[i].feature for i in own], jnp.int32)
    at = jnp.array([values[i] for i in own], jnp.float32)
    found.append(steering.pins(sae, features, at))
  return jax.tree.map(lambda *x: jnp.concatenate(x), *found)
