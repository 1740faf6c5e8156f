#!/usr/bin/env bash
# Creates .venv with the program installed, unless it exists, and puts it on the
# PATH. Other scripts source this one. It needs Python >= 3.11 and a network.
#   EXTRAS=dev,cuda             extras to install
#   PYTHON=python3.12           the Python to use; the default is python3
#   MONOSEM_VENV=.venv-newest   the folder to create instead of .venv

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
extras="${EXTRAS:-}"
venv="$root/${MONOSEM_VENV:-.venv}"
stamp="$venv/.installed-${extras:-core}"

if [[ ! -x "$venv/bin/python" ]]; then
  python="${PYTHON:-python3}"
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $python is not Python >= 3.11; set PYTHON=..." >&2
    exit 2
  fi
  "$python" -m venv "$venv"
fi
# Also reinstalls after a change of pyproject.toml or an interrupted install.
if [[ ! "$stamp" -nt "$root/pyproject.toml" ]]; then
  echo "installing into $venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$root/launch/constraints.txt" \
    --editable "$root${extras:+[$extras]}"
  touch "$stamp"
fi
export PATH="$venv/bin:$PATH"
