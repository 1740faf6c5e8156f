#!/usr/bin/env bash
# The tests: lint, types, then pytest, in as many processes as there are cores,
# up to 4. --all adds the slow ones, failure drills among them (tests/drill.py),
# and the compilers for TPUs and NVIDIA GPUs that some need (Linux on x86-64).
# Other arguments go to pytest. The page's tests drive Chromium, which is
# installed where this may be done (Debian, as root), and leave pictures of
# every view in build/screenshots.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extras=dev
if [[ "${1:-}" == --all ]]; then
  shift
  set -- -m '' "$@"
  if [[ "$(uname -sm)" == "Linux x86_64" ]]; then extras=dev,targets; fi
fi
EXTRAS="$extras" source launch/venv.sh
if ! command -v chromedriver >/dev/null && command -v apt-get >/dev/null &&
  [[ $(id -u) == 0 ]]; then
  echo "installing chromium and its driver"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq chromium chromium-driver; } >/dev/null 2>&1 ||
    echo "they cannot be installed: the page's tests will be skipped"
fi
export MONOSEM_SCREENSHOTS="${MONOSEM_SCREENSHOTS:-$PWD/build/screenshots}"
ruff check .
ruff format --check .
mypy
exec python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal "$@"
