"""A transformer's weights by name, and its shuffled copy."""

import jax
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.config.load import resolve
from monosem_jax.transformer import train, weights


def made(**changes):
  c = settings.Transformer(d_model=16, d_mlp=32, n_heads=2, **changes)
  return train.init(c, vocab_size=50, context=8, separator=0).model


def test_what_was_named_is_loaded_again():
  model = made(seed=1)
  named = {k: np.asarray(v) for k, v in weights.tensors(model).items()}
  assert named['blocks.0.mlp.W_in_DA'].shape == (16, 32)
  loaded = weights.load(jax.eval_shape(made), named)
  jax.tree.map(np.testing.assert_array_equal, loaded, model)


@pytest.mark.parametrize('change', ['missing', 'shape'])
def test_other_weights_are_refused(change):
  named = {k: np.asarray(v) for k, v in weights.tensors(made()).items()}
  if change == 'missing':
    del named['ln_f.w_D']
  else:
    named['ln_f.w_D'] = np.ones(17, np.float32)
  with pytest.raises(UserError, match=r'ln_f\.w_D'):
    weights.load(jax.eval_shape(made), named)


def test_a_shuffled_copy_has_the_same_entries_elsewhere():
  model = made()
  before, after = (
    {k: np.asarray(v) for k, v in weights.tensors(m).items()}
    for m in (model, weights.shuffled(model, seed=0))
  )
  for name, x in before.items():
    assert after[name].shape == x.shape
    if x.ndim == 1:
      np.testing.assert_array_equal(after[name], x)
    else:
      own, other = (np.sort(y, axis=None) for y in (after[name], x))
      np.testing.assert_array_equal(own, other)
      # As many entries stay where they were as chance has it: about one.
      assert (after[name] == x).sum() < 10, name
  again = weights.tensors(weights.shuffled(model, seed=0))
  other = weights.tensors(weights.shuffled(model, seed=1))
  name = 'W_E_VD'
  np.testing.assert_array_equal(again[name], after[name])
  assert (np.asarray(other[name]) != after[name]).any()


@pytest.mark.parametrize(
  ('of', 'changes', 'words'),
  [
    ('B', {}, ("unknown 'B'",)),
    ('S', {}, ("unknown 'S'",)),
    ('A', {'d_mlp': 64}, ('models.S.d_mlp', '64', '512')),
  ],
)
def test_a_copy_of_what_is_not_there_is_refused(of, changes, words):
  tree = {'models': {'A': {}, 'S': {'shuffle_of': of, **changes}}}
  with pytest.raises(UserError) as refused:
    resolve(tree)
  for word in words:
    assert word in str(refused.value)
