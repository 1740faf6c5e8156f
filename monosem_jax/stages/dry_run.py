"""Describes a run before it starts: sizes, memory and data.

The stages' own programs are compiled for the shapes of their arguments. Memory
is given twice: an analytic estimate (`device.cost`) and XLA's figure. Programs
that are compiled for a target also get an estimate of their time
(`device.cost.estimate`).
"""

import dataclasses
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping

import jax
from jax.sharding import Mesh

from monosem_jax.config import load as configs, settings
from monosem_jax.config.errors import full_memory
from monosem_jax.config.names import entries, name_of, width
from monosem_jax.device import hosts
from monosem_jax.device.compile import Program
from monosem_jax.device.cost import (
  Devices,
  bytes_text,
  dictionary,
  estimate,
  flops_text,
  transformer,
)
from monosem_jax.device.mesh import make_mesh
from monosem_jax.device.precision import compute_dtype
from monosem_jax.device.targets import Target
from monosem_jax.run import Run
from monosem_jax.run.files import read_json
from monosem_jax.stages import programs


def describe(run: Run, target: Target | None = None) -> str:
  """Returns the resolved config, and each training's size, memory and data.

  Memory and FLOPs are per device. Compiling may take minutes; lines on standard
  error say what is being compiled.

  Args:
    run: the run of the program.
    target: hardware to compile for; None for this machine.

  Raises:
    UserError: the devices cannot share the work evenly.
  """
  devices = target.devices if target else None
  mesh = make_mesh(run.config.mesh, devices)
  # Compiling takes minutes, so all checks come first.
  for model, names in entries(run.config).items():
    programs.transformer_mesh(run.config, model, devices)
    programs.stream_mesh(run.config, names, devices)
  store = run.workdir.store / 'manifest.json'
  splits = read_json(store)['splits'] if store.exists() else {}
  contexts = splits['train']['contexts'] if splits else None
  split = run.config.features.split
  described = splits[split]['contexts'] if splits else None
  lines = [
    json.dumps(configs.as_dict(run.config), indent=1),
    '',
    f'mesh: {" x ".join(f"{n} {axis}" for axis, n in mesh.shape.items())}, '
    f'{target.hardware.name if target else jax.default_backend()}',
  ]
  if contexts is None:
    lines.append('tokens: not made yet, so epochs are not known')
  else:
    lines.append(f'tokens: {contexts:,} training contexts')
  with jax.set_mesh(mesh):
    for name, describe_one in _parts(run.config, contexts, described, target):
      try:
        found = describe_one(mesh)
      except jax.errors.JaxRuntimeError as e:
        # The TPU compiler fails if a program cannot fit.
        if not full_memory(e):
          raise
        found = [f'{name}: TOO MUCH: {full_memory(e)}']
      lines += ['', *found]
  return '\n'.join(lines)


def _parts(
  config: settings.Config,
  contexts: int | None,
  described: int | None,
  target: Target | None,
) -> Iterator[tuple[str, Callable[[Mesh], list[str]]]]:
  """Yields the name of each training and pass, and a function to describe it.

  Args:
    config: the settings.
    contexts: contexts of the train split; None if not known.
    described: contexts of the split that the features pass reads; None if not
      known.
    target: hardware to compile for.
  """
  for model, names in entries(config).items():
    yield (
      f'lm/{model}',
      functools.partial(_transformer, config, model, contexts, target),
    )
    if names:
      yield (
        f'sae/{model}',
        functools.partial(_stream, config, names, model, contexts, target),
      )
    sizes = {name: config.dictionaries[name].features for name in names}
    for F in sorted(set(sizes.values())):
      own = ', '.join(name_of(name) for name in names if sizes[name] == F)
      yield (
        f'features/{own}',
        functools.partial(_features, config, own, F, model, described, target),
      )


def _transformer(
  config: settings.Config,
  name: str,
  contexts: int | None,
  target: Target | None,
  mesh: Mesh,
) -> list[str]:
  c = config.models[name]
  if c.shuffle_of:
    return [f'lm/{name}: {c.shuffle_of}, its weights shuffled; not trained']
  V, T = config.tokenizer.vocab_size, config.text.context
  seen = c.steps * c.batch_size
  memory = transformer.memory(c, V, T, Devices(**mesh.shape))
  flops = programs.transformer_flops(c, mesh, V, T)
  _say(f'compiling lm/{name}')
  state = programs.transformer_state(c, mesh, V, T)
  program = programs.transformer_chunk(c, mesh, state, T)
  return [
    f'lm/{name}: {transformer.parameters(c, V, T):,} parameters, {c.steps:,} '
    f'steps of {c.batch_size} contexts of {T} tokens, '
    f'{flops_text(flops / c.steps_per_chunk)} each',
    f'  tokens to be seen: {seen * T:,}' + _epochs(seen, contexts),
    f'  memory per device: {_list(memory)}',
    f'  all in all: {bytes_text(sum(memory.values()))}; {program.memory()}',
    *_estimate_lines(
      target,
      program,
      estimate.Call(
        steps=c.steps_per_chunk,
        units=c.steps_per_chunk * c.batch_size * T,
        unit='tokens',
        flops=flops,
        calls=c.steps / c.steps_per_chunk,
        dtype=compute_dtype(c.precision).name,
      ),
      mesh,
    ),
  ]


def stream_program(
  config: settings.Config, model: str, names: list[str], mesh: Mesh
) -> tuple[Program, dictionary.Sweep, estimate.Call]:
  """Compiles a chunk of a model's dictionaries on the current mesh.

  Returns:
    The program; the dictionaries, for the cost functions; what a call does.
  """
  c, V, T = config.stream, config.tokenizer.vocab_size, config.text.context
  sweep = programs.sweep(config, model, names, mesh, V, T)
  steps = [config.dictionaries[name].resampling.steps for name in names]
  due = math.gcd(sweep.steps, *(step for own in steps for step in own))
  _say(f'compiling sae/{model}: {", ".join(map(name_of, names))}')
  state = programs.stream_state(config, model, names, mesh)
  lm = programs.transformer_state(config.models[model], mesh, V, T).model
  program = programs.stream_chunk(config, names, mesh, state, lm, T)
  call = estimate.Call(
    steps=sweep.steps,
    units=sweep.rows,
    unit='activations',
    flops=dictionary.chunk_flops(sweep),
    resampling_branches=sweep.steps // due,
    calls=c.steps / sweep.steps,
    dtype=compute_dtype(c.precision).name,
  )
  return program, sweep, call


def _stream(
  config: settings.Config,
  names: list[str],
  model: str,
  contexts: int | None,
  target: Target | None,
  mesh: Mesh,
) -> list[str]:
  c, T = config.stream, config.text.context
  P = c.positions_per_context
  program, sweep, call = stream_program(config, model, names, mesh)
  seen = c.steps * c.batch_size // P
  lines = [
    f'sae: {c.steps:,} steps of {c.batch_size:,} activations of width '
    f'{sweep.A}, in {c.steps // sweep.steps:,} chunks of {sweep.steps} steps',
    f'  a chunk: {c.contexts_per_chunk:,} contexts x {P} positions = '
    f'{sweep.rows:,} activations, {flops_text(call.flops)}',
    f'  activations to be seen: {c.steps * c.batch_size:,} from {seen:,} '
    f'contexts' + _epochs(seen, contexts),
  ]
  if contexts is not None:
    unique = min(seen, contexts * (T // P)) * P
    lines.append(f'  unique activations: {unique:,}')
  return [
    *lines,
    f'  memory per device: {_list(dictionary.stream_memory(sweep))}; and of '
    'every dictionary:',
    *_table(sweep, {name_of(n): config.dictionaries[n] for n in names}),
    f'  all in all: {bytes_text(dictionary.chunk_memory(sweep))} (one '
    f'{"stack" if c.stack == "vmap" else "dictionary"} steps at a time); '
    f'{program.memory()}',
    *_estimate_lines(target, program, call, mesh),
  ]


def _features(
  config: settings.Config,
  own: str,
  F: int,
  model: str,
  contexts: int | None,
  target: Target | None,
  mesh: Mesh,
) -> list[str]:
  """Describes the features pass for dictionaries of one size."""
  c, m, T = config.features, config.models[model], config.text.context
  # The stage reads whole batches of the contexts that exist.
  there = min(c.contexts, contexts or c.contexts)
  B = min(c.batch_size, there)
  c = dataclasses.replace(c, contexts=there - there % B, batch_size=B)
  A, dtype = width(m), compute_dtype(config.stream.precision)
  lm = programs.transformer_state(m, mesh, config.tokenizer.vocab_size, T).model
  _say(f'compiling features/{own}')
  program = programs.features_batch(c, mesh, lm, A, F, T, dtype)
  flops = (transformer.site_flops(m, T) + 2 * A * F) * B * T
  call = estimate.Call(
    steps=1,
    units=B * T,
    unit='tokens',
    flops=flops / mesh.size,
    calls=c.contexts / B,
    dtype=dtype.name,
    name='a batch',
  )
  return [
    f'features/{own}: {c.contexts * T:,} tokens, in batches of {B} contexts '
    f'of {T} tokens, {flops_text(flops)} each; {program.memory()}',
    *_estimate_lines(target, program, call, mesh),
  ]


def estimate_program(
  target: Target, program: Program, call: estimate.Call, mesh: Mesh
) -> estimate.Estimate:
  """Returns the estimates from the target's compiled program."""
  arguments, temporaries = program.arguments, program.temporaries
  text = program.call.as_text()
  assert not (arguments is None or temporaries is None or text is None)
  memory = arguments + temporaries
  return estimate.estimate(text, memory, call, target.hardware, mesh.shape)


def _estimate_lines(
  target: Target | None, program: Program, call: estimate.Call, mesh: Mesh
) -> list[str]:
  if target is None:
    return []
  return estimate.lines(estimate_program(target, program, call, mesh))


def _table(
  sweep: dictionary.Sweep, dictionaries: Mapping[str, settings.Dictionary]
) -> list[str]:
  rows: list[tuple[str, ...]] = [('', 'features', 'parameters')]
  for name, d in dictionaries.items():
    memory = dictionary.state_memory(sweep, d) | dictionary.step_memory(
      sweep, d
    )
    rows[0] = (*rows[0][:3], *memory)
    size = dictionary.parameters(sweep.A, d.features)
    rows.append(
      (
        f'{name}:',
        f'{d.features:,}',
        f'{size:,}',
        *map(bytes_text, memory.values()),
      )
    )
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return [
    '    '
    + '  '.join(cell.rjust(n) for cell, n in zip(row, widths, strict=True))
    for row in rows
  ]


def _list(memory: Mapping[str, float]) -> str:
  return ', '.join(f'{name} {bytes_text(n)}' for name, n in memory.items())


def _epochs(seen: int, contexts: int | None) -> str:
  return '' if contexts is None else f', {seen / contexts:.3g} epochs'


def _say(line: str) -> None:
  if hosts.first():
    print(f'{line} ...', file=sys.stderr, flush=True)
