"""Matrix products in a chosen dtype, accumulated in float32."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp

from monosem_jax.device import mesh as meshes


def compute_dtype(precision: str) -> jnp.dtype:
  """Returns the dtype of matrix products; `auto` is bfloat16 off the CPU."""
  if precision == 'auto':
    on_cpu = meshes.platform() == 'cpu'
    return jnp.dtype(jnp.float32 if on_cpu else jnp.bfloat16)
  return jnp.dtype(precision)


@dataclasses.dataclass(frozen=True)
class Dot:
  """An einsum that casts its operands to `dtype`; the result is at least f32.

  float64 operands, which exactness tests use, are not cast down.
  """

  dtype: jnp.dtype

  def operand(self, x: jax.Array) -> jax.Array:
    """Casts x to the operands' dtype."""
    return x if x.dtype == jnp.float64 else x.astype(self.dtype)

  def __call__(self, spec: str, *operands: jax.Array) -> jax.Array:
    return self._einsum(spec, operands, rounded=False)

  def rounded(self, spec: str, *operands: jax.Array) -> jax.Array:
    """Computes an einsum, accumulated in float32 and rounded to `dtype`.

    Rounding halves the memory traffic of a large result where a GPU does not
    fuse the product with the operations that follow.
    """
    return self._einsum(spec, operands, rounded=True)

  def _einsum(self, spec, operands, *, rounded: bool) -> jax.Array:
    with jax.numpy_dtype_promotion('standard'):  # operands may differ
      wide = jnp.result_type(jnp.float32, *operands)
    if wide in (jnp.float64, self.dtype):
      return jnp.einsum(spec, *(x.astype(wide) for x in operands))
    result = self.dtype if rounded else wide
    return _narrow(spec, self.dtype, result, *operands)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _narrow(spec, dtype, result, x, y):
  """An einsum of two operands, cast to `dtype`, with a custom gradient.

  jax's own gradient would take the cotangent in `result`, so that on a GPU its
  products would run in float32, and would round gradients to `dtype`.
  """
  x, y = x.astype(dtype), y.astype(dtype)
  if meshes.platform() == 'cpu':
    # XLA for CPUs lacks some bfloat16 products (jax 0.10); results are equal.
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    return jnp.einsum(spec, x, y).astype(result)
  return jnp.einsum(spec, x, y, preferred_element_type=result)


def _narrow_fwd(spec, dtype, result, x, y):
  return _narrow(spec, dtype, result, x, y), (x, y)


def _narrow_bwd(spec, dtype, result, operands, g):
  x, y = operands
  of_x, of_y, out = re.split(',|->', spec)
  dx = _narrow(f'{out},{of_y}->{of_x}', dtype, jnp.float32, g, y)
  dy = _narrow(f'{of_x},{out}->{of_y}', dtype, jnp.float32, x, g)
  return dx.astype(x.dtype), dy.astype(y.dtype)


_narrow.defvjp(_narrow_fwd, _narrow_bwd)
