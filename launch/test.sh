#!/usr/bin/env bash
# The tests: lint, then pytest, in as many processes as there are cores, up to 4.
# --all adds the slow ones; other arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
EXTRAS=dev source launch/venv.sh
if [[ "${1:-}" == --all ]]; then
  shift
  set -- -m '' "$@"
fi
ruff check .
ruff format --check .
exec python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal "$@"
