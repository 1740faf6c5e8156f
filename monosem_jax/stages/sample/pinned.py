"""What a transformer says, and what with features pinned."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import steering
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.config.names import controls, model_of, run_name
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary.sae import SAE
from monosem_jax.interop import saelens
from monosem_jax.run.files import read_json
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import tables
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer.sample import sample


def run(
  w: Workdir,
  *,
  pin: str,
  prompt: str | None,
  tokens: int,
  samples: int,
  temperature: float,
  top_k: int,
  seed: int,
) -> None:
  """Prints the prompt and what follows it, unpinned beside pinned.

  Without pins it is the first model of the config that speaks, otherwise that
  of the pins. The first sample with pins and the first without draw the same
  random numbers, and so on: where they part, the pins did it. An empty prompt
  is the beginning of a document.

  Raises:
    UserError: a flag says what cannot be; something is not made yet.
  """
  if not math.isfinite(temperature):
    raise UserError(f'--temperature={temperature}: must be a finite number.')
  prompt = steering.PROMPT if prompt is None else prompt
  try:
    prompt.encode()
  except UnicodeEncodeError as e:
    raise UserError(f'--prompt: is not UTF-8 ({e.reason}).') from e
  pins = parse(pin)
  store = TokenStore.open(w.store)
  runs = {p.run: load_run(w, p.run) for p in pins}
  model = _one_model(pins, runs) or next(iter(w.config.models))
  for p in pins:
    p.require(runs[p.run].features)
  max_F = {p.run: runs[p.run].max_F() for p in pins if p.of_max}
  values = [p.value(max_F.get(p.run)) for p in pins]

  ids_T = store.tokenizer.encode_batch([prompt])[0].astype(np.int32)
  if not ids_T.size:
    ids_T = np.array([store.tokenizer.separator], np.int32)
  # The likeliest tokens are the same each time.
  samples = samples if temperature else 1
  pinned = _pinned(pins, values, runs) if pins else None
  mesh = meshes.make_mesh(w.config.mesh)
  with jax.set_mesh(mesh):
    lm = meshes.place(mesh, lm_stage.load(w, store, model))

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
  w.log(f'model {model}, temperature {temperature:g}{top}, seed {seed}')
  for p, value in zip(pins, values, strict=True):
    of_max = f' ({p.number:g} x its maximum)' if p.of_max else ''
    w.log(f'pinned: {p.run}/{p.feature} = {value:.4g}{of_max}')
  w.log(f'prompt: {prompt!r} ({ids_T.size} tokens)')
  for i in range(samples):
    for name, found in said.items():
      w.log(f'{i + 1} {name} {found[i]!r}')


@dataclasses.dataclass(frozen=True)
class Run:
  """A run whose features can be pinned.

  Attributes:
    model: the transformer it is of.
    features: how many it has.
    dictionary: loads it.
    max_F: loads every feature's maximum.
  """

  model: str
  features: int
  dictionary: Callable[[], SAE]
  max_F: Callable[[], np.ndarray]


def load_run(w: Workdir, run: str) -> Run:
  """A run by the paper's name of it, A/1, or a control, such as A/neurons.

  Raises:
    UserError: there is none, or it is not made yet.
  """
  c = w.config
  models = {n: model_of(c, n) for n in c.dictionaries}
  models |= {n: n.rpartition('_')[0] for n in models and controls(c)}
  names = {run_name(name): name for name in models}
  if run not in names:
    raise UserError(f'pin: unknown run {run!r}{nearest(run, names)}.')
  name = names[run]

  return Run(
    model=models[name],
    features=read_json(w.dictionary(name) / saelens.CONFIG)['d_sae'],
    dictionary=lambda: saelens.load(w.dictionary(name)),
    max_F=lambda: tables.load(w, name).max_F,
  )


@dataclasses.dataclass(frozen=True)
class Pin:
  """A feature and its value, as a user writes them: A/1/3450=max.

  Attributes:
    text: as it was written.
    run: whose feature it is: A/1.
    feature: its number.
    number: the value, or of how many maxima it is.
    of_max: whether it is in maxima.
  """

  text: str
  run: str
  feature: int
  number: float
  of_max: bool

  def require(self, features: int) -> None:
    """Raises UserError unless the run has so many features that this is one."""
    if self.feature >= features:
      raise UserError(
        f'pin {self.text!r}: {self.run} has {features:,} features, 0 to '
        f'{features - 1}.'
      )

  def value(self, max_F: np.ndarray | None) -> float:
    """The value in units of the activation.

    Args:
      max_F: every feature's maximum; needed for a value that is in maxima.

    Raises:
      UserError: the feature never fired.
    """
    if not self.of_max:
      return self.number
    if not max_F[self.feature] > 0:
      raise UserError(
        f'pin {self.text!r}: feature {self.feature} of {self.run} never fired '
        'in the features pass, so that it has no maximum; give a number, such '
        f'as {self.run}/{self.feature}=1.'
      )
    return self.number * float(max_F[self.feature])


def parse(text: str) -> list[Pin]:
  """Reads `RUN/FEATURE=VALUE`, several separated by commas; '' pins nothing.

  A value is a number, or a multiple of the feature's maximum: max, 2max,
  -1.5max.

  Raises:
    UserError: a part is none of these, or pins a feature once more.
  """
  found = []
  for part in (x.strip() for x in text.split(',')) if text.strip() else ():
    where, equals, value = (x.strip() for x in part.partition('='))
    run, _, feature = where.rpartition('/')
    if not (equals and run and feature.isdecimal()):
      raise UserError(
        f'pin {part!r}: not RUN/FEATURE=VALUE, such as A/1/3450=max or '
        'A/1/3450=7.3.'
      )
    if any(p.run == run and p.feature == int(feature) for p in found):
      raise UserError(f'pin {part!r}: {where} is pinned twice.')
    of_max = value.endswith('max')
    found.append(Pin(part, run, int(feature), _number(part, value), of_max))
  return found


def _number(part: str, value: str) -> float:
  digits = value.removesuffix('max')
  if digits != value:
    digits = {'': '1', '-': '-1'}.get(digits, digits)
  try:
    number = float(digits)
  except ValueError:
    number = math.nan
  if not math.isfinite(number):
    raise UserError(
      f'pin {part!r}: {value!r} is no value; it is a number, such as 7.3 or 0, '
      'or a multiple of the maximum: max, 2max, -1.5max.'
    )
  return number


def _one_model(pins: Sequence[Pin], runs: dict[str, Run]) -> str | None:
  """The model that the pins are of; None without pins."""
  for p in pins[1:]:
    first, own = runs[pins[0].run].model, runs[p.run].model
    if own != first:
      raise UserError(
        f'pin {p.text!r}: is of model {own}, and {pins[0].text!r} of model '
        f'{first}; pin features of one model at a time.'
      )
  return runs[pins[0].run].model if pins else None


def _pinned(
  pins: Sequence[Pin], values: Sequence[float], runs: dict[str, Run]
) -> steering.Pins:
  """The pins of all runs in one."""
  found = []
  for name, run in runs.items():
    own = [i for i, p in enumerate(pins) if p.run == name]
    features = jnp.array([pins[i].feature for i in own], jnp.int32)
    at = jnp.array([values[i] for i in own], jnp.float32)
    found.append(steering.pins(run.dictionary(), features, at))
  return jax.tree.map(lambda *x: jnp.concatenate(x), *found)
