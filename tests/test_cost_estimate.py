"""Estimates for a program on hardware that is absent: cost/estimate.py."""

import dataclasses

import pytest

from monosem_jax.device.cost import estimate
from monosem_jax.device.cost.hardware import H100, TPU_V5E

# A loop of 5 steps: a product, a sum over devices, and a branch that resamples.
TEXT = """\
HloModule jit_f, is_scheduled=true, entry_computation_layout={()->()}

%dots (p.0: f32[1000,512], p.1: f32[512,2000]) -> f32[1000,2000] {
  %p.0 = f32[1000,512]{1,0} parameter(0)
  %p.1 = f32[512,2000]{1,0} parameter(1)
  ROOT %d.1 = f32[1000,2000]{1,0} dot(%p.0, %p.1), lhs_contracting_dims={1}, \
rhs_contracting_dims={0}
}

%again (a.1: f32[1000,512]) -> f32[1000,512] {
  %a.1 = f32[1000,512]{1,0} parameter(0)
  ROOT %n.1 = f32[1000,512]{1,0} negate(%a.1), \
metadata={op_name="jit(f)/train/cond/resample/neg"}, \
backend_config={"estimated_cycles":"3000"}
}

%keep (a.2: f32[1000,512]) -> f32[1000,512] {
  ROOT %a.2 = f32[1000,512]{1,0} parameter(0)
}

%body (s.1: (s32[], f32[1000,512], f32[512,2000])) -> (s32[]) {
  %s.1 = (s32[], f32[1000,512]{1,0}, f32[512,2000]{1,0}) parameter(0)
  %x.1 = f32[1000,512]{1,0} get-tuple-element(%s.1), index=1
  %w.1 = f32[512,2000]{1,0} get-tuple-element(%s.1), index=2
  %due = pred[] custom-call(), custom_call_target="Due"
  %y.1 = f32[1000,512]{1,0} conditional(%due, %x.1, %x.1), \
branch_computations={%keep, %again}, metadata={op_name="jit(f)/train/cond"}
  %out = f32[1000,2000]{1,0} fusion(%y.1, %w.1), kind=kOutput, calls=%dots, \
metadata={op_name="jit(f)/train/dot"}, \
backend_config={"estimated_cycles":"15000"}
  %sum = f32[1000,2000]{1,0} all-reduce(%out), channel_id=1, \
replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %t.1 = (s32[]) tuple(%x.1)
}

%condition (s.2: (s32[])) -> pred[] {
  %s.2 = (s32[]) parameter(0)
  %i.2 = s32[] get-tuple-element(%s.2), index=0
  %n.2 = s32[] constant(5)
  ROOT %lt = pred[] compare(%i.2, %n.2), direction=LT
}

ENTRY %main (a.3: (s32[])) -> (s32[]) {
  %a.3 = (s32[]) parameter(0)
  ROOT %loop = (s32[]) while(%a.3), condition=%condition, body=%body, \
metadata={op_name="jit(f)/train/while"}
}
"""
MESH = {'data': 4, 'feature': 1}
PRODUCT = 2 * 1000 * 2000 * 512
MOVED = 4 * (1000 * 512 + 512 * 2000 + 1000 * 2000)
SENT = 2 * 3 / 4 * 4 * 1000 * 2000


CALL = estimate.Call(
  steps=5,
  units=5_000,
  unit='activations',
  flops=5 * PRODUCT,
  calls=1_000,
  dtype='bfloat16',
  resampling_branches=5,
)


def estimated(hardware=TPU_V5E, memory=10e9) -> estimate.Estimate:
  return estimate.estimate(TEXT, memory, CALL, hardware, MESH)


def test_on_a_tpu_time_is_its_compilers_cycles():
  found = estimated()
  assert found.phases.keys() == {'train'}
  assert found.whole.seconds == pytest.approx(5 * 15_000 / 1.5e9)
  assert found.whole.sending == pytest.approx(5 * SENT / 200e9)
  assert found.resampling.seconds == pytest.approx(3_000 / 1.5e9)


def test_on_a_gpu_a_kernel_waits_for_products_or_for_memory():
  found = estimated(H100)
  assert MOVED / 3.35e12 > PRODUCT / 989.5e12
  assert found.whole.seconds == pytest.approx(5 * MOVED / 3.35e12)
  assert found.whole.traffic == 5 * (MOVED + 1)  # and the predicate
  slow = dataclasses.replace(H100, bfloat16=1e12)
  assert estimated(slow).whole.seconds == pytest.approx(5 * PRODUCT / 1e12)


def test_kernels_are_named_by_where_they_come_from():
  found = estimated().kernels
  # The custom call takes no cycles; the branch that resamples is not among it.
  assert [(k.origin, k.array, k.times) for k in found] == [
    ('dot', 'f32[1000,2000]', 5),
    ('custom-call', 'pred[]', 5),
  ]
  assert found[0].seconds == pytest.approx(5 * 15_000 / 1.5e9)
  assert found[0].traffic == 5 * MOVED and found[0].phase == 'train'
  share = found[0].seconds / estimated().whole.total
  assert f'costliest kernels of a chunk, {share:.0%} of its time:' in lines(1e9)
  assert 'dot  f32[1000,2000]' in lines(1e9)


def lines(memory: float) -> str:
  return '\n'.join(estimate.lines(estimated(memory=memory)))


def test_what_is_printed_adds_up():
  chunk = 5 * (15_000 / 1.5e9 + SENT / 200e9)
  said = lines(10e9)
  assert f'a chunk: {1e3 * chunk:.3g} ms (train 100%)' in said
  assert f'{5_000 / chunk:,.0f} activations/s' in said
  assert f'MFU {5 * PRODUCT / chunk / 197e12:.0%}' in said
  assert f'all calls {1e6 * chunk:.3g} ms' in said
  assert f'a resampling: {1e3 * 3_000 / 1.5e9:.3g} ms' in said
  assert '1 x all-reduce along data: 11.4 MiB sent a step' in said
  assert '9.31 GiB of 14.9 GiB: fits' in said


def test_too_much_memory_says_by_how_much():
  assert '18.6 GiB of 14.9 GiB: TOO MUCH by 3.73 GiB' in lines(20e9)
