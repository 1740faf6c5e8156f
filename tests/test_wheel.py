"""The wheel: installed alone, it runs from an empty folder."""

import os
import pathlib
import subprocess
import sys
import zipfile

import program
import pytest

pytestmark = pytest.mark.slow


def run(*command: str, cwd: pathlib.Path, **env: str) -> str:
  done = subprocess.run(
    command,
    cwd=cwd,
    env=program.environment() | env,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> pathlib.Path:
  """Made of the source distribution, as `python -m build` does it."""
  out = tmp_path_factory.mktemp('dist')
  run(
    *(sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(out)),
    str(program.ROOT),
    cwd=out,
  )
  (found,) = out.glob('*.whl')
  return found


def test_it_holds_the_package_its_assets_and_the_configs_and_no_more(wheel):
  root = program.ROOT
  wanted = {
    p.relative_to(root).as_posix()
    for p in (root / 'monosem_jax').rglob('*')
    if p.is_file() and '__pycache__' not in p.parts
  } | {f'monosem_jax/configs/{p.name}' for p in root.glob('configs/*.py')}
  names = zipfile.ZipFile(wheel).namelist()
  assert {n for n in names if '.dist-info/' not in n} == wanted


def test_it_runs_from_an_empty_folder(wheel, tmp_path):
  site, empty = tmp_path / 'site', tmp_path / 'empty'
  run(
    *(sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps'),
    *('--disable-pip-version-check', '--target', str(site), str(wheel)),
    cwd=tmp_path,
  )
  empty.mkdir()
  # The checkout is not on the path; what it depends on is.
  env = {
    'PYTHONPATH': os.pathsep.join(
      [str(site)] + [p for p in sys.path if p.endswith('site-packages')]
    )
  }
  monosem = (sys.executable, str(site / 'bin' / 'monosem'))
  where = run(
    *(sys.executable, '-c', 'import monosem_jax; print(monosem_jax.__file__)'),
    cwd=empty,
    **env,
  )
  assert where.startswith(str(site))
  said = run(*monosem, 'all', '--config=tiny', '--dry_run', cwd=empty, **env)
  assert 'parameters' in said and not list(empty.iterdir())
  run(*monosem, 'tokens', '--config=tiny', cwd=empty, **env)
  assert (empty / 'runs/tiny/tokens/store/manifest.json').exists()
  page = 'from importlib import resources as r; import monosem_jax.site as s;'
  page += "print((r.files(s) / 'static' / 'index.html').is_file())"
  assert run(sys.executable, '-c', page, cwd=empty, **env) == 'True\n'
