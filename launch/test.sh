#!/usr/bin/env bash
# Runs lint, the type checker, and pytest with up to 4 processes. --all adds the
# slow tests, including failure drills (tests/drill.py), and installs the
# compilers for TPUs and NVIDIA GPUs that some of them need (Linux on x86-64).
# Other arguments are passed to pytest. The tests of the page drive Chromium,
# which is installed if possible (on Debian, as root). They save a screenshot of
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
    echo "could not install chromium: the tests of the page will be skipped"
fi
export MONOSEM_SCREENSHOTS="${MONOSEM_SCREENSHOTS:-$PWD/build/screenshots}"
ruff check .
ruff format --check .
mypy
exec python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal "$@"
