"""Matrix products in a chosen dtype that accumulate in float32."""

import dataclasses

import jax
import jax.numpy as jnp

from monosem_jax import mesh as meshes

PRECISIONS = ('auto', 'float32', 'bfloat16')


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
    dtype = wide if wide == jnp.float64 else self.dtype
    return jnp.einsum(
      spec,
      *(x.astype(dtype) for x in operands),
      preferred_element_type=dtype if rounded else wide,
    )
