"""Names a model's weights for the safetensors file, loads and shuffles them."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.transformer.model import Transformer


def _name(path) -> str:
  """Returns a weight's name from its path: `blocks.0.attn.W_Q_DHK`."""
  parts = [str(getattr(k, 'name', getattr(k, 'idx', ''))) for k in path]
  # Lists and parameters hold their content in a field of their own.
  return '.'.join(p for p in parts if p not in ('value', '_pytree__nodes'))


def tensors(model: Transformer) -> dict[str, jax.Array]:
  """Returns every weight by its dotted name."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(model)
  return {_name(path): leaf for path, leaf in leaves}


def shuffled(model: Transformer, seed: int) -> Transformer:
  """Returns the model with the entries of each weight matrix permuted.

  This is the paper's control. It keeps the sizes of the weights and the
  identity of tokens. Vectors (biases and norm gains) are unchanged, our reading
  of "within each weight matrix".
  """
  leaves, tree = jax.tree.flatten(model)
  keys = jax.random.split(jax.random.key(seed), len(leaves))
  return jax.tree.unflatten(
    tree,
    [
      jax.random.permutation(key, x.reshape(-1)).reshape(x.shape)
      if x.ndim > 1
      else x
      for key, x in zip(keys, leaves, strict=True)
    ],
  )


def load(like: Transformer, found: Mapping[str, np.ndarray]) -> Transformer:
  """Puts tensors into a model of the same shapes.

  Args:
    like: the model, or its abstract form from jax.eval_shape.
    found: tensors by name, as `tensors` names them.

  Raises:
    UserError: a tensor is missing or has another shape.
  """

  def fill(path, leaf):
    name = _name(path)
    shape = getattr(found.get(name), 'shape', None)
    if shape != leaf.shape:
      raise UserError(
        f'model weights: {name} has shape {shape}, but the config needs '
        f'{leaf.shape}.'
      )
    return jnp.asarray(found[name])

  return jax.tree_util.tree_map_with_path(fill, like)
