"""Reads files, and writes them atomically: a file is complete or absent."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from monosem_jax.config.errors import UserError, full_disk


def write_file(path: pathlib.Path, data: bytes) -> None:
  """Writes a file atomically: a kill leaves the old file or the new one.

  Raises:
    UserError: the disk is full.
  """
  temporary = path.with_name(path.name + '.tmp')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open('wb') as f:
      f.write(data)
      f.flush()
      os.fsync(f.fileno())
    temporary.replace(path)
  except OSError as e:
    temporary.unlink(missing_ok=True)
    if full_disk(e):
      raise UserError(
        f'disk full: {path} could not be written. Free some space and run the '
        'same command again.'
      ) from e
    raise


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes JSON, indented for people, without NaN (which is not JSON)."""
  text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
  write_file(path, (text + '\n').encode())


def write_tensors(path: pathlib.Path, tensors: Mapping[str, Any]) -> None:
  """Writes arrays as safetensors; device arrays are fetched."""
  host = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
  write_file(path, safetensors.numpy.save(host))


def write_arrays(path: pathlib.Path, arrays: Mapping[str, Any]) -> None:
  """Writes arrays as a compressed .npz file, for notebooks."""
  out = io.BytesIO()
  np.savez_compressed(out, **arrays)
  write_file(path, out.getvalue())


@contextlib.contextmanager
def in_place_of(directory: pathlib.Path, again: str) -> Iterator[pathlib.Path]:
  """Yields an empty folder that replaces `directory` if the block succeeds.

  A kill inside the block leaves the old folder as it was.

  Raises:
    UserError: the disk is full; `again` names the next step for the user.
  """
  new = directory.with_name(directory.name + '.new')
  old = directory.with_name(directory.name + '.old')
  # A folder cannot be renamed onto one with files, so it takes two renames. A
  # kill between them leaves the old folder under the name `old`.
  if old.exists() and not directory.exists():
    old.rename(directory)
  shutil.rmtree(new, ignore_errors=True)
  shutil.rmtree(old, ignore_errors=True)
  new.mkdir(parents=True)
  try:
    yield new
  except BaseException as e:
    shutil.rmtree(new, ignore_errors=True)
    if full_disk(e):
      raise UserError(
        f'disk full: {directory} could not be written. Free some space and '
        f'{again}.'
      ) from e
    raise
  if directory.exists():
    directory.rename(old)
  new.rename(directory)
  shutil.rmtree(old, ignore_errors=True)


def read_tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads safetensors.

  Raises:
    UserError: the file is missing or damaged.
  """
  try:
    return safetensors.numpy.load(path.read_bytes())
  except FileNotFoundError:
    raise UserError(
      f'no weights at {path}; run the stage that makes them.'
    ) from None
  except Exception as e:  # safetensors raises several kinds of its own
    raise UserError(f'{path} is not a valid safetensors file: {e}.') from e


def read_json(path: pathlib.Path) -> Any:
  """Reads JSON.

  Raises:
    UserError: the file is missing or is not JSON.
  """
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise UserError(f'no file {path}; run the stage that makes it.') from None
  except ValueError as e:
    raise UserError(f'{path} is not valid JSON: {e}.') from e


def sha256(path: pathlib.Path) -> str:
  """Returns the hash of a file in hexadecimal.

  Raises:
    UserError: the file is missing.
  """
  if not path.exists():
    raise UserError(f'no file {path}; run the stage that makes it.')
  with path.open('rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()
