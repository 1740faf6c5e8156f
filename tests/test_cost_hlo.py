"""The reader of compiled programs: cost/hlo.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from monosem_jax.device.cost import collectives, executions as executed, hlo

# Written by hand, in the forms that the compilers for TPU and NVIDIA write.
TEXT = """\
HloModule jit_f, is_scheduled=true, input_output_alias={ {0}: (0, {}, \
may-alias), {1}: (2, {}, must-alias) }, entry_computation_layout={()->()}

%fused_gather (p.0: bf16[100,8], p.1: s32[4]) -> f32[4,8] {
  %p.0 = bf16[100,8]{1,0} parameter(0)
  %p.1 = s32[4]{0} parameter(1)
  %b.1 = bf16[800]{0} bitcast(%p.0)
  %g.1 = bf16[4,8]{1,0} gather(%b.1, %p.1), slice_sizes={1,8}
  ROOT %c.1 = f32[4,8]{1,0} convert(%g.1)
}

%fused_dot (p.2: f32[4,8], p.3: f32[8,16]) -> f32[4,16] {
  %p.2 = f32[4,8]{1,0} parameter(0)
  %p.3 = f32[8,16]{1,0} parameter(1)
  ROOT %d.1 = f32[4,16]{1,0} dot(%p.2, %p.3), lhs_contracting_dims={1}, \
rhs_contracting_dims={0}
}

%fused_put (p.4: f32[100,16], p.5: f32[4,16], p.6: s32[]) -> f32[100,16] {
  %p.4 = f32[100,16]{1,0} parameter(0)
  %p.5 = f32[4,16]{1,0} parameter(1)
  %p.6 = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %u.1 = f32[100,16]{1,0} dynamic-update-slice(%p.4, %p.5, %p.6, %zero)
}

%body (s.1: (s32[], f32[8,16], /*index=2*/bf16[100,8])) -> (s32[], f32[8,16]) {
  %s.1 = (s32[]{:T(128)}, f32[8,16]{1,0:T(8,128)S(1)}, bf16[100,8]{1,0}) \
parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%s.1), index=0
  %w.1 = f32[8,16]{1,0:T(8,128)S(1)} get-tuple-element(%s.1), index=1
  %rows = bf16[100,8]{1,0} get-tuple-element(%s.1), index=2
  %at = s32[4]{0} custom-call(%i.1), custom_call_target="Draw"
  %take = f32[4,8]{1,0} fusion(%rows, %at), kind=kLoop, calls=%fused_gather, \
metadata={op_name="jit(f)/train/while/body/gather"}, \
backend_config={"window_config":{"estimated_cycles":"70"}}
  %out = f32[4,16]{1,0:T(8,128)S(1)} fusion(%take, %w.1), kind=kOutput, \
calls=%fused_dot, metadata={op_name="jit(f)/train/while/body/resample/dot"}
  %sum = f32[4,16]{1,0} all-reduce(%out), channel_id=1, \
replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, to_apply=%add
  ROOT %t.1 = (s32[], f32[8,16]) tuple(%i.1, %w.1)
}

%condition (s.2: (s32[], f32[8,16])) -> pred[] {
  %s.2 = (s32[], f32[8,16]{1,0}) parameter(0)
  %i.2 = s32[] get-tuple-element(%s.2), index=0
  %n.2 = s32[]{:T(128)} constant(7)
  ROOT %lt = pred[] compare(%i.2, %n.2), direction=LT
}

%yes (p.7: f32[8,16]) -> f32[8,16] {
  %p.7 = f32[8,16]{1,0} parameter(0)
  ROOT %neg = f32[8,16]{1,0} negate(%p.7)
}

%no (p.8: f32[8,16]) -> f32[8,16] {
  ROOT %p.8 = f32[8,16]{1,0} parameter(0)
}

ENTRY %main (a.1: f32[8,16], a.2: bf16[100,8]) -> f32[8,16] {
  %a.1 = f32[8,16]{1,0} parameter(0)
  %a.2 = bf16[100,8]{1,0} parameter(1)
  %zero.1 = s32[] constant(0)
  %start = (f32[8,16]{1,0}, f32[8,16]{1,0:S(1)}, u32[]) copy-start(%a.1)
  %copy = f32[8,16]{1,0:S(1)} copy-done(%start)
  %state = (s32[], f32[8,16], bf16[100,8]) tuple(%zero.1, %copy, %a.2)
  %loop = (s32[], f32[8,16]{1,0}) while(%state), condition=%condition, \
body=%body, metadata={op_name="jit(f)/train/while"}
  %w.2 = f32[8,16]{1,0} get-tuple-element(%loop), index=1
  %is = pred[] custom-call(%w.2), custom_call_target="Ask"
  %branch = f32[8,16]{1,0} conditional(%is, %w.2, %w.2), \
true_computation=%yes, false_computation=%no, metadata={op_name="jit(f)/cond"}
  %big = f32[100,16]{1,0} custom-call(), custom_call_target="Make"
  %piece = f32[4,16]{1,0} custom-call(), custom_call_target="Make"
  ROOT %put = f32[100,16]{1,0} fusion(%big, %piece, %zero.1), kind=kLoop, \
calls=%fused_put
}
"""


@pytest.fixture(scope='module')
def runs() -> dict[str, executed.Execution]:
  program = hlo.parse(TEXT)
  found = list(executed.executions(program, ('train', 'resample')))
  names = [r.instruction.name for r in found]
  assert len(names) == len(set(names))
  return dict(zip(names, found, strict=True))


def test_a_program_is_read_whole():
  program = hlo.parse(TEXT)
  assert program.entry == 'main'
  assert program.aliased == 2
  assert set(program.computations) == {
    *('fused_gather', 'fused_dot', 'fused_put', 'body', 'condition'),
    *('yes', 'no', 'main'),
  }
  state = program.computations['body'].instructions['s.1']
  assert [(a.dtype, a.shape, a.main) for a in state.arrays] == [
    ('s32', (), True),
    ('f32', (8, 16), False),
    ('bf16', (100, 8), True),
  ]
  assert [a.bytes for a in state.arrays] == [4, 512, 1600]


def test_instructions_run_as_often_as_their_loops(runs):
  assert set(runs) == {
    *('start', 'at', 'take', 'out', 'sum', 'is', 'neg', 'big', 'piece', 'put')
  }
  for name in ('at', 'take', 'out', 'sum'):
    assert runs[name].times == 7
  for name in ('start', 'neg', 'put'):
    assert runs[name].times == 1
  assert runs['take'].cycles == 7 * 70
  assert [name for name, run in runs.items() if run.branch] == ['neg']


def test_the_innermost_named_scope_is_the_phase(runs):
  assert runs['take'].phase == 'train'
  assert runs['out'].phase == 'resample'
  assert runs['at'].phase == 'train'  # that of its loop
  assert runs['put'].phase == ''


def test_bytes_are_of_what_is_read_and_written_in_main_memory(runs):
  # Of the rows the four that are gathered, at two bytes; their numbers.
  assert runs['take'].bytes == 4 * 8 * 2 + 4 * 4 + 4 * 8 * 4
  # Weights and result lie in another memory.
  assert runs['out'].bytes == 4 * 8 * 4
  assert runs['start'].bytes == 8 * 16 * 4 + (8 * 16 * 4 + 4)
  # What is put in, not what it is put into.
  assert runs['put'].bytes == 4 + 2 * 4 * 16 * 4


def test_flops_are_those_of_products(runs):
  assert runs['out'].flops == 2 * 4 * 16 * 8
  assert runs['take'].flops == 0


def test_a_collective_says_what_it_sends_and_along_what():
  mesh = {'data': 2, 'feature': 4}
  [found] = collectives.collectives(hlo.parse(TEXT), ('train',), mesh)
  assert (found.kind, found.axes) == ('all-reduce', ('feature',))
  assert (found.devices, found.times, found.bytes) == (4, 7, 4 * 16 * 4)
  assert found.sent == pytest.approx(2 * 3 / 4 * 256)


@pytest.mark.parametrize(
  'text, axes',
  [
    ('replica_groups={{0,1},{2,3},{4,5},{6,7}}, x', ('c',)),
    ('replica_groups={{0,4},{1,5},{2,6},{3,7}}, x', ('a',)),
    ('replica_groups={{0,1,2,3,4,5,6,7}}, x', ('a', 'b', 'c')),
    ('replica_groups={}, x', ('a', 'b', 'c')),
    ('replica_groups=[4,2]<=[8], x', ('c',)),
    ('replica_groups=[4,2]<=[2,2,2]T(2,1,0), x', ('a',)),
    ('replica_groups=[2,4]<=[2,4]T(0,1), x', ('b', 'c')),
    ("replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_1'}, x", ('c',)),
    (
      "replica_groups=mesh['axis_0'=4,'axis_1'=2], "
      "device_ids=([2,4]T(1,0)) {'axis_1'}, x",
      ('a',),
    ),
    ('source_target_pairs={{0,2},{2,0},{5,5}}, x', ('b',)),
  ],
)
def test_groups_are_read_in_every_form(text, axes):
  mesh = dict(a=2, b=2, c=2)
  assert collectives._axes(collectives._groups(text, 8), mesh) == axes


def test_what_this_machines_compiler_writes_is_read():
  """A scan with a product and a sum over devices, from XLA itself."""
  mesh = jax.make_mesh(
    (4, 2), ('data', 'feature'), axis_types=(AxisType.Auto,) * 2
  )

  @functools.partial(jax.jit, donate_argnums=0)
  def f(w, x):
    def step(w, x_NA):
      with jax.named_scope('inner'):
        return w + x_NA.T @ (x_NA @ w), None

    return jax.lax.scan(step, w, x)[0]

  w = jax.ShapeDtypeStruct(
    (16, 32), jnp.float32, sharding=NamedSharding(mesh, P())
  )
  x = jax.ShapeDtypeStruct(
    (5, 64, 16), jnp.float32, sharding=NamedSharding(mesh, P(None, 'data'))
  )
  program = hlo.parse(f.lower(w, x).compile().as_text())
  runs = list(executed.executions(program, ('inner',)))
  flops = sum(r.flops * r.times for r in runs)
  # Each device has a quarter of the rows.
  assert flops == 5 * 2 * (2 * 16 * 16 * 32)
  assert program.aliased == 1
  [sums] = collectives.collectives(program, ('inner',), dict(mesh.shape))
  assert (sums.kind, sums.axes, sums.times) == ('all-reduce', ('data',), 5)
  assert sums.bytes == np.prod(w.shape) * 4
