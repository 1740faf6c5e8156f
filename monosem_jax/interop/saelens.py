"""Reads and writes dictionaries in the format of SAELens 6, as two files."""

import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.dictionary.sae import SAE
from monosem_jax.run.files import (
  read_json,
  read_tensors,
  write_json,
  write_tensors,
)

WEIGHTS = 'sae_weights.safetensors'
CONFIG = 'cfg.json'


def save(directory: pathlib.Path, sae: SAE, metadata: dict[str, Any]) -> None:
  """Writes `cfg.json`, and then `sae_weights.safetensors`.

  Args:
    directory: the folder to write to.
    sae: the dictionary, with input scaling already folded into its weights;
      `normalize_activations` is `none`.
    metadata: additional entries of `metadata` in cfg.json.
  """
  width, features = sae.W_enc_AF.shape
  config = {
    'architecture': 'standard',
    'd_in': width,
    'd_sae': features,
    'dtype': 'float32',
    'device': 'cpu',
    'apply_b_dec_to_input': True,  # the paper's tied pre-encoder bias
    'normalize_activations': 'none',
    'reshape_activations': 'none',
    # SAELens reads files without a version as its older format.
    'metadata': {'sae_lens_version': '6.0.0', **metadata},
  }
  write_json(directory / CONFIG, config)
  write_tensors(
    directory / WEIGHTS,
    {
      'W_enc': sae.W_enc_AF,
      'b_enc': sae.b_enc_F,
      'W_dec': sae.W_dec_FA,
      'b_dec': sae.b_dec_A,
    },
  )


def load(directory: pathlib.Path) -> SAE:
  """Reads a dictionary in SAELens' `standard` architecture.

  Raises:
    UserError: a file is missing, the architecture is not supported, or shapes
      are inconsistent.
  """
  config = read_json(directory / CONFIG)
  if config.get('architecture') != 'standard':
    raise UserError(
      f'{directory}: unsupported architecture {config.get("architecture")!r}; '
      "only 'standard' can be read."
    )
  tensors = read_tensors(directory / WEIGHTS)
  width, features = config['d_in'], config['d_sae']
  shapes = {
    'W_enc': (width, features),
    'b_enc': (features,),
    'W_dec': (features, width),
    'b_dec': (width,),
  }
  for name, shape in shapes.items():
    found = tensors.get(name, np.zeros(0)).shape
    if found != shape:
      raise UserError(
        f'{directory / WEIGHTS}: {name} has shape {found}, not {shape}.'
      )
  return SAE(*(jnp.asarray(tensors[name]) for name in shapes))
