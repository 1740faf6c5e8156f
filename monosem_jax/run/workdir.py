"""The paths of a work directory."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Workdir:
  """The paths of the files that runs leave in a directory.

  Attributes:
    root: the directory.
  """

  root: pathlib.Path

  @property
  def settings(self) -> pathlib.Path:
    """The resolved config of the last run that was accepted."""
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
    """Labels of features by people; the user puts the file there."""
    return self.root / 'labels.json'

  def model(self, name: str) -> pathlib.Path:
    return self.root / 'models' / name

  def weights(self, model: str) -> pathlib.Path:
    return self.model(model) / 'model.safetensors'

  def model_result(self, name: str) -> pathlib.Path:
    return self.model(name) / 'result.json'

  def stream(self, model: str) -> pathlib.Path:
    """The training of all dictionaries of a model on their shared stream."""
    return self.root / 'dictionaries' / f'stream_{model}'

  def dictionary(self, name: str) -> pathlib.Path:
    return self.root / 'dictionaries' / name

  def dictionary_weights(self, name: str) -> pathlib.Path:
    return self.dictionary(name) / 'sae_weights.safetensors'

  def training(self, dictionary: str) -> pathlib.Path:
    """Numbers of a dictionary that only its training provides."""
    return self.dictionary(dictionary) / 'training.json'

  def evaluation(self, dictionary: str) -> pathlib.Path:
    """The evaluation of a dictionary on held-out text."""
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
    """The numbers of all parts of the stage `toy`."""
    return self.root / 'toy' / 'toy.json'

  def profile(self, training: str) -> pathlib.Path:
    """The profile of a training: of `lm/A`."""
    return self.root / 'profile' / training.replace('/', '-')
