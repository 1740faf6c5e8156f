"""Matrix products in a chosen dtype that accumulate in float32."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp

from monosem_jax.device import mesh as meshes


def compute_dtype(precision: str) -> jnp.dtype:
  """The dtype of matrix products: bfloat16 on accelerators under `auto`."""
  if precision == 'auto':
    on_cpu = meshes.platform() == 'cpu'
    return jnp.dtype(jnp.float32 if on_cpu else jnp.bfloat16)
  return jnp.dtype(precision)


@dataclasses.dataclass(frozen=True)
class Dot:
  """An einsum that casts its operands to `dtype`; the result is at least f32.

  Under float64 operands (tests of exactness) nothing is cast down.
  """

  dtype: jnp.dtype

  def operand(self, x: jax.Array) -> jax.Array:
    """x as products take it."""
    return x if x.dtype == jnp.float64 else x.astype(self.dtype)

  def __call__(self, spec: str, *operands: jax.Array) -> jax.Array:
    return self._einsum(spec, operands, rounded=False)

  def rounded(self, spec: str, *operands: jax.Array) -> jax.Array:
    """A product as the next one takes it: added up wide, written in `dtype`.

    It halves what is written of a large result that a GPU's product does not
    fuse with what is done to it.
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
  """An einsum of two operands, cast to `dtype`, with its gradient written out.

  Left to jax, the gradient's own products would take what comes back as wide as
  `result`: on a GPU they would be of float32. What they lead to, the gradients
  of weights among it, would be rounded to `dtype`.
  """
  x, y = x.astype(dtype), y.astype(dtype)
  if meshes.platform() == 'cpu':
    # The same numbers: XLA for CPUs lacks some products of bfloat16 (jax 0.10).
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
