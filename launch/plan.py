"""What a run takes on named hardware, on paper; and how far paper is off here.

  python launch/plan.py             time and memory of A/1, of the sweep A/0 to
                                    A/5, and of 34 million features on a 4,096
                                    wide residual stream, on some devices each
  python launch/plan.py --config=FILE [--config.KEY=VALUE ...] \\
      --hardware=H200 --devices=8   a run of your own
  python launch/plan.py --measure [--config=FILE ...]
                                    this machine: its speed is measured, the
                                    config's chunks are predicted and run, and
                                    the error is printed (configs/quickstart.py
                                    on a CPU, configs/a1.py elsewhere)

A roofline: each phase of a chunk (`monosem_jax/cost`) takes as long as the
slowest of its FLOPs, its memory traffic and what it sends, at the peak that the
maker of the device publishes (`monosem_jax/cost/hardware.py`); phases add up.
Real programs reach a part of that: read the times as lower bounds. Compiling,
evaluation, features and checkpoints are left out. Of the meshes that can share
the work evenly and fit into memory, the fastest is taken.
"""

import argparse
import dataclasses
import functools
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

ROOT = pathlib.Path(__file__).parents[1]
# The scripts lie beside the package, and need no install of it.
sys.path.insert(0, str(ROOT))

from monosem_jax import config as configs, settings  # noqa: E402
from monosem_jax.cost import (  # noqa: E402
  Devices,
  Phases,
  Work,
  bytes_text,
  dictionary,
  flops_text,
  total,
  transformer,
)
from monosem_jax.cost.hardware import (  # noqa: E402
  B200,
  H200,
  TPU_V5E,
  TPU_V5P,
  TPU_V6E,
  Hardware,
)
from monosem_jax.errors import UserError  # noqa: E402
from monosem_jax.names import entries, width  # noqa: E402

HARDWARE = {
  'H200': H200,
  'B200': B200,
  'v5e': TPU_V5E,
  'v5p': TPU_V5P,
  'v6e': TPU_V6E,
  # Beyond the eight of a host, 400 Gb/s each: ConnectX-7, as in a DGX H200
  # (https://www.nvidia.com/en-us/data-center/dgx-h200).
  'H200-net': dataclasses.replace(H200, name='H200, 400 Gb/s', link=50e9),
}


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A training on paper.

  Attributes:
    devices: the mesh.
    phases: seconds of a chunk, by phase.
    bounds: what bounds each phase: `flops`, `traffic` or `sent`.
    seconds: of the whole training.
    flops: of a chunk, per device.
    units: tokens or activations of a chunk, of all devices together.
    memory: bytes of a device.
  """

  devices: Devices
  phases: Mapping[str, float]
  bounds: Mapping[str, str]
  seconds: float
  flops: float
  units: int
  memory: float

  @property
  def chunk(self) -> float:
    """Seconds of a chunk."""
    return sum(self.phases.values())

  def bound(self) -> str:
    """What most of the time is spent waiting for."""
    seconds = dict.fromkeys(('flops', 'traffic', 'sent'), 0.0)
    for name, bound in self.bounds.items():
      seconds[bound] += self.phases[name]
    return max(seconds, key=seconds.get)


def limits(work: Work, hardware: Hardware, dtype: str) -> dict[str, float]:
  """Seconds that each of a phase's three demands takes at its peak."""
  return {
    'flops': work.flops / hardware.peak(dtype),
    'traffic': work.traffic / hardware.bandwidth,
    'sent': work.sent / hardware.link,
  }


def roofline(
  phases: Phases, hardware: Hardware, dtype: str
) -> tuple[dict[str, float], dict[str, str]]:
  """Seconds of each phase, and which of its demands they are."""
  seconds, bounds = {}, {}
  for name, work in phases.items():
    needs = limits(work, hardware, dtype)
    bounds[name] = max(needs, key=needs.get)
    seconds[name] = needs[bounds[name]]
  return seconds, bounds


def lm(
  config: settings.Config,
  model: str,
  devices: Devices,
  hardware: Hardware,
  dtype: str,
) -> Estimate:
  """Training a transformer of the config."""
  c = config.models[model]
  V, T, S = config.tokenizer.vocab_size, config.text.context, c.steps_per_chunk
  step = transformer.step(c, V, T, devices, _item(dtype))
  phases = {name: work * S for name, work in step.items()}
  seconds, bounds = roofline(phases, hardware, dtype)
  return Estimate(
    devices=devices,
    phases=seconds,
    bounds=bounds,
    seconds=sum(seconds.values()) * c.steps / S,
    flops=total(phases).flops,
    units=S * c.batch_size * T,
    memory=sum(transformer.memory(c, V, T, devices).values()),
  )


def sae(
  config: settings.Config,
  model: str,
  devices: Devices,
  hardware: Hardware,
  dtype: str,
) -> Estimate:
  """Training all dictionaries of a model, resamplings included."""
  c = config.stream
  names = entries(config)[model]
  s = dictionary.Sweep(
    stream=c,
    model=config.models[model],
    V=config.tokenizer.vocab_size,
    T=config.text.context,
    A=width(config.models[model]),
    stacks=tuple((config.dictionaries[name],) for name in names),
    devices=devices,
    item=_item(dtype),
  )
  phases = dictionary.chunk(s)
  seconds, bounds = roofline(phases, hardware, dtype)
  resamplings = sum(
    len([step for step in d.resampling.steps if step < c.steps])
    * max(limits(dictionary.resampling(s, d), hardware, dtype).values())
    for (d,) in s.stacks
  )
  return Estimate(
    devices=devices,
    phases=seconds,
    bounds=bounds,
    seconds=sum(seconds.values()) * c.steps / s.steps + resamplings,
    flops=total(phases).flops,
    units=s.rows,
    memory=dictionary.chunk_memory(s),
  )


def lm_meshes(config: settings.Config, model: str, n: int) -> Iterator[Devices]:
  """The mesh of n devices, if a transformer's contexts can be spread on it."""
  c = config.models[model]
  if (c.micro_batch or c.batch_size) % n == 0:
    yield Devices(n, 1)


def sae_meshes(
  config: settings.Config, model: str, n: int
) -> Iterator[Devices]:
  """The meshes of n devices that can share a stream and its dictionaries."""
  c = config.stream
  contexts = c.contexts_per_chunk // c.shuffle_groups // c.micro_batches
  parts = [contexts] + [
    config.dictionaries[name].features for name in entries(config)[model]
  ]
  for feature in range(1, n + 1):
    data, rest = divmod(n, feature)
    if rest or c.shuffle_groups % data or any(x % feature for x in parts):
      continue
    yield Devices(data, feature)


def best(
  estimate: Callable[[Devices], Estimate],
  meshes: Iterable[Devices],
  memory: float,
) -> Estimate | None:
  """The fastest of the meshes that fit into a device's memory.

  If none does, the one that comes nearest; if there is no mesh, None.
  """
  found = [estimate(devices) for devices in meshes]
  fitting = [e for e in found if e.memory <= memory]
  if fitting:
    return min(fitting, key=lambda e: e.seconds)
  return min(found, key=lambda e: e.memory, default=None)


def _item(dtype: str) -> int:
  return {'float32': 4, 'bfloat16': 2}[dtype]


def large() -> settings.Config:
  """34M (2^25) features on the middle of a model of 32 layers, width 4,096.

  Of A/1 it keeps the batch, the steps and so the 8 billion activations.
  """
  return settings.Config(
    text=settings.Text(context=1_024),
    tokenizer=settings.Tokenizer(vocab_size=65_536),
    models={
      'A': settings.Transformer(
        n_layers=32,
        d_model=4_096,
        d_mlp=16_384,
        n_heads=32,
        site='resid',
        site_layer=15,
      )
    },
    stream=settings.Stream(
      contexts_per_chunk=1_024,
      positions_per_context=256,
      shuffle_groups=4,
      micro_batches=1,
      batch_size=8_192,
      micro_batch=4_096,
      steps=1_000_000,
    ),
    dictionaries={
      'A1': settings.Dictionary(
        features=2**25, resampling=settings.Resampling(steps=())
      )
    },
    evaluation=settings.Evaluation(),
    features=settings.Features(),
    checkpoint=settings.Checkpoint(),
    mesh=settings.Mesh(),
    runtime=settings.Runtime(),
  )


def rows(
  title: str, config: settings.Config, trained: bool, hardware: str, n: int
) -> list[tuple[str, ...]]:
  """The table's rows of a run on n devices: transformers, dictionaries."""
  device, dtype = HARDWARE[hardware], 'bfloat16'
  found = []
  for model, names in entries(config).items():
    kinds = [('transformer', lm, lm_meshes)] if trained else []
    if names:
      kinds.append(('dictionaries', sae, sae_meshes))
    for kind, estimate, meshes in kinds:
      e = best(
        lambda devices, estimate=estimate, model=model: estimate(
          config, model, devices, device, dtype
        ),
        meshes(config, model, n),
        device.memory,
      )
      head = f'{title}: {kind}', f'{n} x {device.name}'
      found.append((*head, *(_cells(e, device, dtype) if e else ['no mesh'])))
  return found


def _cells(e: Estimate, device: Hardware, dtype: str) -> list[str]:
  share = e.memory / device.memory
  return [
    f'{e.devices.data} x {e.devices.feature}',
    bytes_text(e.memory) + (f' ({share:.0%})' if share <= 1 else ' TOO MUCH'),
    f'{e.units / e.chunk:,.0f}',
    f'{e.flops / e.chunk / device.peak(dtype):.0%}',
    {'flops': 'FLOPs', 'traffic': 'memory', 'sent': 'links'}[e.bound()],
    duration(e.seconds),
  ]


HEADER = (
  *('run', 'devices', 'data x feature', 'memory of each'),
  *('tokens or rows/s', 'MFU', 'bound by', 'time'),
)


def table(lines: Iterable[tuple[str, ...]]) -> str:
  """Aligned columns."""
  lines = [row + ('',) * (len(HEADER) - len(row)) for row in (HEADER, *lines)]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return '\n'.join(
    '  '.join(x.ljust(n) for x, n in zip(row, widths, strict=True)).rstrip()
    for row in lines
  )


def duration(seconds: float) -> str:
  """Seconds for a person: 1.5 h."""
  for unit, size in (('d', 86_400), ('h', 3_600), ('min', 60)):
    if seconds >= 2 * size:
      return f'{seconds / size:.3g} {unit}'
  return f'{seconds:.3g} s'


# This machine.

# What is run and timed; its result is waited for.
Job = Callable[[], object]


def timed(job: Job) -> float:
  """Seconds of a job."""
  import jax

  start = time.perf_counter()
  jax.block_until_ready(job())
  return time.perf_counter() - start


def steadily(job: Job) -> float:
  """Mean seconds of a short job that is repeated for half a second: as a chunk,
  it then shares the machine with whatever else runs there."""
  runs, seconds = 0, 0.0
  while seconds < 0.5:
    seconds += timed(job)
    runs += 1
  return seconds / runs


def speed_jobs(A: int, F: int, N: int, dtype: str) -> tuple[list[Job], Job]:
  """Products and a pass of the size of a micro-batch's.

  Three products: of [N, A] and [A, F], and the two ways back, with float32
  results. A pass, element by element, over [N, F] in float32.
  """
  import jax
  import jax.numpy as jnp

  key = jax.random.key(0)
  x_NA = jax.random.normal(key, (N, A)).astype(dtype)
  W_AF = jax.random.normal(key, (A, F)).astype(dtype)
  f_NF = jax.random.normal(key, (N, F))
  g_NF = f_NF.astype(dtype)
  product = lambda spec, *args: functools.partial(
    jax.jit(
      functools.partial(jnp.einsum, spec, preferred_element_type=jnp.float32)
    ),
    *args,
  )
  return [
    product('na,af->nf', x_NA, W_AF),
    product('nf,af->na', g_NF, W_AF),
    product('na,nf->af', x_NA, g_NF),
  ], functools.partial(jax.jit(lambda x: x * 2), f_NF)


def this_machine(
  A: int, F: int, N: int, dtype: str, products: float, one_pass: float
) -> Hardware:
  """A device whose `speed_jobs` took so many seconds."""
  import jax

  flops = 3 * 2 * N * A * F / products
  return Hardware(
    name=jax.devices()[0].device_kind,
    bfloat16=flops if dtype == 'bfloat16' else 0.0,
    float32=flops if dtype == 'float32' else 0.0,
    memory=float('inf'),
    bandwidth=2 * 4 * N * F / one_pass,
    link=float('inf'),
  )


def chunk_jobs(config: settings.Config, model: str) -> dict[str, Job]:
  """A chunk of each training, on this machine and on tokens that are drawn."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from monosem_jax import mesh as meshes
  from monosem_jax.dictionary.state import init_stream
  from monosem_jax.stages import programs
  from monosem_jax.transformer import train

  c, s = config.models[model], config.stream
  V, T = config.tokenizer.vocab_size, config.text.context
  names = entries(config)[model]
  dictionaries = {name: config.dictionaries[name] for name in names}
  mesh = meshes.make_mesh(config.mesh)
  draw = np.random.default_rng(0)
  tokens = lambda *shape: draw.integers(0, V, (*shape, T)).astype(np.int32)

  def job(program, state, *args):
    held = [state]

    def run():
      held[0], stats = program.call(held[0], *args)
      return stats

    return run

  with jax.set_mesh(mesh):
    init = functools.partial(
      train.init, c, vocab_size=V, context=T, separator=0
    )
    state = meshes.made_in_place(mesh, init)
    lm = jax.tree.map(jnp.copy, state.model)  # the state's own is donated
    batch = tokens(c.steps_per_chunk, c.batch_size)
    lm_job = job(
      programs.transformer_chunk(c, mesh, state, T),
      state,
      meshes.put(mesh, batch, meshes.SPECS.tokens_SBT),
    )
    init = functools.partial(init_stream, dictionaries, width(c))
    state = meshes.made_in_place(mesh, init)
    # Past the resamplings, which are rare.
    state = state.replace(step=jnp.full_like(state.step, s.steps))
    C = s.contexts_per_chunk
    batch = (tokens(C), np.arange(C, dtype=np.int32), np.zeros(C, np.int32))
    sae_job = job(
      programs.stream_chunk(config, names, mesh, state, lm, T),
      state,
      lm,
      *(meshes.put(mesh, x, meshes.SPECS.tokens_CT) for x in batch),
    )
  return {'lm': lm_job, 'sae': sae_job}


def measure(config: settings.Config, rounds: int) -> None:
  """Prints prediction, measurement and error of the config's chunks here.

  In every round the machine's speed is measured anew beside the chunks: one
  that is shared drifts. Medians over the rounds.
  """
  from monosem_jax.precision import compute_dtype

  model, names = next((m, n) for m, n in entries(config).items() if n)
  dtype = compute_dtype(config.stream.precision).name
  shape = (
    width(config.models[model]),
    max(config.dictionaries[name].features for name in names),
    config.stream.micro_batch or config.stream.batch_size,
  )
  products, one_pass = speed_jobs(*shape, dtype)
  chunks = chunk_jobs(config, model)
  for job in (*products, one_pass, *chunks.values()):
    timed(job)  # warms up
  machines, found = [], {name: [] for name in chunks}
  for _ in range(rounds):
    machine = this_machine(
      *shape, dtype, sum(map(steadily, products)), steadily(one_pass)
    )
    machines.append(machine)
    for name, estimate in (('lm', lm), ('sae', sae)):
      e = estimate(config, model, Devices(), machine, dtype)
      found[name].append((e, timed(chunks[name])))
  median = statistics.median
  peak = median(machine.peak(dtype) for machine in machines)
  bandwidth = median(machine.bandwidth for machine in machines)
  print(
    f'this machine: {machines[0].name}: {flops_text(peak)}/s in {dtype}, '
    f'{bytes_text(bandwidth)}/s'
  )
  for name, unit in (('lm', 'tokens'), ('sae', 'activations')):
    units = found[name][0][0].units
    errors = [seconds / e.chunk - 1 for e, seconds in found[name]]
    print(
      f'{name}: predicted '
      f'{median(units / e.chunk for e, _ in found[name]):,.0f} {unit}/s, '
      f'measured {median(units / t for _, t in found[name]):,.0f}: predicted '
      f'rate off by {median(errors):+.0%} ({min(errors):+.0%} to '
      f'{max(errors):+.0%})'
    )


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--measure', action='store_true')
  parser.add_argument('--config', help='a config file')
  parser.add_argument('--hardware', choices=HARDWARE, default='H200')
  parser.add_argument('--devices', type=int, default=1)
  parser.add_argument('--rounds', type=int, default=5, help='of --measure')
  overrides = [a[9:] for a in sys.argv[1:] if a.startswith('--config.')]
  args = parser.parse_args(
    [a for a in sys.argv[1:] if not a.startswith('--config.')]
  )
  if args.measure:
    import jax

    on_cpu = jax.default_backend() == 'cpu'
    name = (
      args.config or ROOT / f'configs/{"quickstart" if on_cpu else "a1"}.py'
    )
    measure(configs.load(str(name), overrides), args.rounds)
    return
  if args.config:
    config = configs.load(args.config, overrides)
    print(table(rows(args.config, config, True, args.hardware, args.devices)))
    return
  a1, sweep = (
    configs.load(str(ROOT / f'configs/{name}.py')) for name in ('a1', 'sweep')
  )
  found = []
  for title, config, trained, places in (
    ('A/1', a1, True, [('H200', 1), ('H200', 8), ('v5e', 8), ('v6e', 8)]),
    ('A/0 to A/5', sweep, False, [('H200', 1), ('H200', 8), ('v5e', 8)]),
    ('34M', large(), False, [('v5p', 256), ('H200-net', 256)]),
  ):
    for hardware, n in places:
      found += rows(title, config, trained, hardware, n)
  print(table(found))


if __name__ == '__main__':
  try:
    main()
  except UserError as e:
    sys.exit(f'error: {e}')
