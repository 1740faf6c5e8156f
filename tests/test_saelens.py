"""Dictionaries in SAELens' format."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
import safetensors.numpy

from monosem_jax.config.errors import UserError
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.interop import saelens

DOT = Dot(jnp.dtype(jnp.float32))


def _sae(seed: int = 0) -> sae_lib.SAE:
  sae = sae_lib.init(jax.random.key(seed), 12, 40)
  draw = np.random.default_rng(seed)
  return sae.replace(
    b_enc_F=jnp.asarray(draw.normal(size=40), jnp.float32),
    b_dec_A=jnp.asarray(draw.normal(size=12), jnp.float32),
  )


def _as_saelens(directory, x_NA):
  """What SAELens computes for `standard`, `apply_b_dec_to_input`."""
  t = safetensors.numpy.load_file(directory / 'sae_weights.safetensors')
  f_NF = np.maximum((x_NA - t['b_dec']) @ t['W_enc'] + t['b_enc'], 0)
  return f_NF, f_NF @ t['W_dec'] + t['b_dec']


@pytest.mark.parametrize('scale', [1.0, 2.5])
def test_a_saved_dictionary_computes_the_same_by_saelens_rules(tmp_path, scale):
  """With a scale: trained on scale * x, used on x."""
  sae = _sae()
  x_NA = np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)
  folded = sae_lib.fold_scale(sae, jnp.float32(scale))
  saelens.save(tmp_path, folded, {})
  found_f, found_x = _as_saelens(tmp_path, x_NA)
  f_NF = sae_lib.encode(sae, jnp.asarray(x_NA) * scale, DOT)
  recon_NA = sae_lib.decode(sae, f_NF, DOT) / scale
  assert (found_f > 0).any()
  np.testing.assert_allclose(found_f, f_NF / scale, atol=1e-5)
  np.testing.assert_allclose(found_x, recon_NA, atol=1e-5)


def test_the_cfg_says_what_saelens_needs(tmp_path):
  saelens.save(tmp_path, _sae(), {'hook_name': 'blocks.0.mlp.hook_post'})
  cfg = json.loads((tmp_path / 'cfg.json').read_text())
  assert cfg['architecture'] == 'standard'
  assert (cfg['d_in'], cfg['d_sae']) == (12, 40)
  assert cfg['dtype'] == 'float32'
  assert cfg['apply_b_dec_to_input'] is True
  assert cfg['normalize_activations'] == 'none'
  assert cfg['metadata']['hook_name'] == 'blocks.0.mlp.hook_post'
  assert cfg['metadata']['sae_lens_version'].startswith('6')


def test_sae_lens_itself_reads_it_and_agrees(tmp_path):
  sae_lens = pytest.importorskip('sae_lens')
  torch = pytest.importorskip('torch')
  sae = _sae()
  saelens.save(tmp_path, sae, {})
  theirs = sae_lens.SAE.load_from_disk(str(tmp_path))
  x_NA = np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)
  f_NF = sae_lib.encode(sae, jnp.asarray(x_NA), DOT)
  np.testing.assert_allclose(
    theirs.encode(torch.tensor(x_NA)).detach(), f_NF, atol=1e-5
  )
  np.testing.assert_allclose(
    theirs(torch.tensor(x_NA)).detach(),
    sae_lib.decode(sae, f_NF, DOT),
    atol=1e-5,
  )


def test_a_load_gives_back_every_bit(tmp_path):
  sae = _sae()
  saelens.save(tmp_path, sae, {})
  jax.tree.map(np.testing.assert_array_equal, saelens.load(tmp_path), sae)


def test_a_finished_run_leaves_one_with_unit_rows_that_names_its_hook():
  directory = (program.finished() / program.SAE).parent
  sae = saelens.load(directory)
  assert sae.W_enc_AF.shape == (32, 48)
  np.testing.assert_allclose(np.linalg.norm(sae.W_dec_FA, axis=1), 1, rtol=1e-5)
  metadata = json.loads((directory / 'cfg.json').read_text())['metadata']
  assert metadata['hook_name'] == 'blocks.0.mlp.hook_post'
  assert metadata['context_size'] == 16
  assert metadata['run'] == 'A/1'


def test_snapshots_of_the_history_are_whole_dictionaries():
  snapshots = (program.finished() / program.SAE).parent / 'snapshots'
  # Chunks 1, 2, 4 and 8, of 4 steps.
  assert sorted(p.name for p in snapshots.iterdir()) == [
    f'step_{step:09d}' for step in (4, 8, 16, 32)
  ]
  first, *_, last = (saelens.load(p) for p in sorted(snapshots.iterdir()))
  assert not np.array_equal(first.W_enc_AF, last.W_enc_AF)


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    (lambda d: (d / 'cfg.json').unlink(), 'cfg.json'),
    (lambda d: (d / 'cfg.json').write_text('{"archi'), 'cfg.json'),
    (lambda d: (d / 'sae_weights.safetensors').unlink(), 'sae_weights'),
    (
      lambda d: (d / 'sae_weights.safetensors').write_bytes(b'\x08' * 99),
      'sae_weights',
    ),
    (
      lambda d: (d / 'cfg.json').write_text(
        (d / 'cfg.json').read_text().replace('standard', 'gated')
      ),
      'gated',
    ),
    (
      lambda d: (d / 'cfg.json').write_text(
        (d / 'cfg.json').read_text().replace('40', '41')
      ),
      '41',
    ),
  ],
  ids=['no cfg', 'half a cfg', 'no weights', 'not weights', 'gated', 'shape'],
)
def test_a_dictionary_that_cannot_be_read_is_refused(tmp_path, change, said):
  saelens.save(tmp_path, _sae(), {})
  change(tmp_path)
  with pytest.raises(UserError) as e:
    saelens.load(tmp_path)
  assert said in str(e.value)
  assert str(tmp_path) in str(e.value)
