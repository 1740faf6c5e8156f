"""The work directory: where everything lies and what it was made from."""

import dataclasses
import pathlib
import secrets
import socket
import time
from collections.abc import Callable

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.config.names import entries, main_dictionary
from monosem_jax.device import hosts
from monosem_jax.run.files import read_json, sha256, write_file, write_json
from monosem_jax.run.stamp import NAME as STAMP, Stamp, identity

# In the order of `all`, and those that stand for themselves.
STAGES = ('tokens', 'lm', 'sae', 'features', 'analysis', 'site')
OTHER_STAGES = ('toy', 'sample', 'export', 'serve')


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

  def complete(self, run: str, result: pathlib.Path, steps: int) -> bool:
    """Whether a training of so many steps is finished; says so.

    Raises:
      UserError: it went further than it is now asked to.
    """
    done = read_json(result)['steps'] if result.exists() else 0
    if done > steps:
      raise UserError(
        f'{run}: was trained for {done:,} steps already, and {steps:,} are '
        f'asked for; a training can only be made longer. Delete '
        f'{result.parent} to make it anew, or use another --workdir.'
      )
    if done == steps:
      self.log(f'{run}: complete')
    return done == steps

  def require_shared(self, seconds: int) -> None:
    """Sees to it that this directory is the same one for all processes.

    Raises:
      UserError: what process 0 wrote there is not here after so many seconds.
    """
    if hosts.alone():
      return
    file = self.root / '.shared'

    def write() -> str:
      token = secrets.token_hex(8)
      write_file(file, token.encode())
      return token

    token = hosts.on_first_process(write)
    until = time.monotonic() + seconds
    while not (file.exists() and file.read_text() == token):
      if time.monotonic() > until:
        raise UserError(
          f'--workdir: {self.root} on {socket.gethostname()} is not the folder '
          'that process 0 has; it must lie on a file system that all share.'
        )
      time.sleep(0.1)
    hosts.barrier()
    if hosts.first():
      file.unlink()

  def write_config(self) -> None:
    """Keeps the resolved settings beside what they make."""
    write_json(self.settings, dataclasses.asdict(self.config))

  def tokens_stamp(self) -> Stamp:
    c = self.config
    return Stamp(
      identity(c.text, 'text') | identity(c.tokenizer, 'tokenizer'), {}
    )

  def model_stamp(self, name: str, tokens: str) -> Stamp:
    """The stamp of a transformer trained on the token store with that hash."""
    c = self.config.models[name]
    inputs = self._model_input(c.shuffle_of) if c.shuffle_of else {}
    return Stamp(identity(c, f'models.{name}'), {'tokens': tokens, **inputs})

  def stream_stamp(self, model: str, tokens: str) -> Stamp:
    """The stamp of a model's training stream: all of its dictionaries."""
    found = identity(self.config.stream, 'stream')
    for name in entries(self.config)[model]:
      found |= identity(self.config.dictionaries[name], f'dictionaries.{name}')
    return Stamp(found, {'tokens': tokens, **self._model_input(model)})

  def evaluation_stamp(self, name: str, model: str) -> Stamp:
    """The stamp of one dictionary's evaluation on held-out text."""
    return Stamp(
      identity(self.config.evaluation, 'evaluation'),
      self._model_input(model) | self._dictionary_input(name),
    )

  def control_stamp(self, name: str, model: str) -> Stamp:
    """The stamp of a control, which is stored like a dictionary."""
    c = self.config.analysis
    inputs = self._model_input(model)
    if not name.endswith('_neurons'):
      inputs |= self._dictionary_input(main_dictionary(self.config))
    keys = ('control_rows', 'ica_passes', 'split', 'seed')
    found = {f'analysis.{k}': getattr(c, k) for k in keys}
    return Stamp(found, inputs)

  def analysis_stamp(
    self, names: tuple[str, ...], inputs: dict[str, str]
  ) -> Stamp:
    """The stamp of one analysis: its settings, shared settings and inputs.

    Args:
      names: of the analysis and of those whose results it takes.
      inputs: see `analysis_inputs`.
    """
    own = identity(self.config.analysis, 'analysis')
    others = {
      f.name
      for f in dataclasses.fields(self.config.analysis)
      if dataclasses.is_dataclass(getattr(self.config.analysis, f.name))
    } - set(names)
    kept = {k: v for k, v in own.items() if k.split('.')[1] not in others}
    # What is preserved is measured on the tokens of the evaluation.
    kept |= identity(self.config.evaluation, 'evaluation')
    return Stamp(kept, inputs)

  def toy_stamp(self, part: str) -> Stamp:
    c = self.config.toy
    own = identity(getattr(c, part), f'toy.{part}')
    return Stamp(own | {'toy.seed': c.seed}, {})

  def analysis_inputs(self) -> dict[str, str]:
    """The hashes of all models, dictionaries and feature tables."""
    inputs = {}
    for model, names in entries(self.config).items():
      inputs |= self._model_input(model)
      for name in names:
        inputs |= self._dictionary_input(name)
        inputs[f'features/{name}'] = sha256(self.features(name) / STAMP)
    return inputs

  def features_stamp(self, name: str, model: str) -> Stamp:
    """The stamp of one dictionary's feature table."""
    return Stamp(
      identity(self.config.features, 'features'),
      self._model_input(model) | self._dictionary_input(name),
    )

  def _model_input(self, model: str) -> dict[str, str]:
    return {f'models/{model}': sha256(self.weights(model))}

  def _dictionary_input(self, name: str) -> dict[str, str]:
    path = self.dictionary(name) / 'sae_weights.safetensors'
    return {f'dictionaries/{name}': sha256(path)}
