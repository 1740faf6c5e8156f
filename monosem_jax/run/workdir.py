"""The work directory: where everything lies."""

import dataclasses
import pathlib
from collections.abc import Callable

from monosem_jax.config import settings
from monosem_jax.device import hosts


@dataclasses.dataclass(frozen=True)
class Workdir:
  """One run's files.

  Attributes:
    root: the directory.
    config: the run's settings.
    log: where lines for a person go.
  """

  root: pathlib.Path
  config: settings.Config
  log: Callable[[str], None] = hosts.log

  @property
  def settings(self) -> pathlib.Path:
    """The resolved config of the last run that was not refused."""
    return self.root / 'config.json'

  @property
  def tokens(self) -> pathlib.Path:
    return self.root / 'tokens'

  @property
  def store(self) -> pathlib.Path:
    """The token store."""
    return self.tokens / 'store'

  @property
  def site(self) -> pathlib.Path:
    return self.root / 'site'

  @property
  def labels(self) -> pathlib.Path:
    """What people say that features are, put there by hand."""
    return self.root / 'labels.json'

  def model(self, name: str) -> pathlib.Path:
    return self.root / 'models' / name

  def weights(self, model: str) -> pathlib.Path:
    return self.model(model) / 'model.safetensors'

  def model_result(self, name: str) -> pathlib.Path:
    return self.model(name) / 'result.json'

  def stream(self, model: str) -> pathlib.Path:
    """The training of all dictionaries of a model, which share a stream."""
    return self.root / 'dictionaries' / f'stream_{model}'

  def dictionary(self, name: str) -> pathlib.Path:
    return self.root / 'dictionaries' / name

  def dictionary_weights(self, name: str) -> pathlib.Path:
    return self.dictionary(name) / 'sae_weights.safetensors'

  def training(self, dictionary: str) -> pathlib.Path:
    """What only training could know of a dictionary."""
    return self.dictionary(dictionary) / 'training.json'

  def evaluation(self, dictionary: str) -> pathlib.Path:
    """What a dictionary preserves of held-out text."""
    return self.dictionary(dictionary) / 'evaluation'

  def features(self, dictionary: str) -> pathlib.Path:
    return self.root / 'features' / dictionary

  def analysis(self, name: str) -> pathlib.Path:
    """An analysis: numbers.json, tables and pictures."""
    return self.root / 'analysis' / name

  def toy(self, part: str) -> pathlib.Path:
    """A part of the stage `toy`: numbers.json, arrays and pictures."""
    return self.root / 'toy' / part

  @property
  def toy_result(self) -> pathlib.Path:
    """The numbers of all its parts."""
    return self.root / 'toy' / 'toy.json'

  def profile(self, run: str) -> pathlib.Path:
    """Where the profiler writes, if it is asked for."""
    return self.root / 'profile' / run.replace('/', '-')
