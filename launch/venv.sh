#!/usr/bin/env bash
# Makes .venv with the program in it, unless it is there already, and puts it on
# the PATH; sourced by the other scripts. Needs Python >= 3.11 and a network.
#   EXTRAS=dev,cuda   extras to install     PYTHON=python3.12   which Python
#   MONOSEM_VENV=.venv-newest   its folder

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
extras="${EXTRAS:-}"
venv="$root/${MONOSEM_VENV:-.venv}"
stamp="$venv/.installed-${extras:-core}"

if [[ ! -x "$venv/bin/python" ]]; then
  python="${PYTHON:-python3}"
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $python is no Python >= 3.11; name one with PYTHON=..." >&2
    exit 2
  fi
  "$python" -m venv "$venv"
fi
# Again after pyproject.toml changed, or when an install was cut off.
if [[ ! "$stamp" -nt "$root/pyproject.toml" ]]; then
  echo "installing into $venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$root/launch/constraints.txt" \
    --editable "$root${extras:+[$extras]}"
  touch "$stamp"
fi
export PATH="$venv/bin:$PATH"
