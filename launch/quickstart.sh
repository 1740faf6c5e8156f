#!/usr/bin/env bash
# The main job end to end, on the text that the Python installation carries: two
# CPU cores, minutes, nothing but Python >= 3.11 and a network for the install.
#   launch/quickstart.sh [--workdir=DIR] [--config.some.key=value ...]
# Stopped at any moment, the same command goes on from there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
EXTRAS="${EXTRAS:-analysis}" source launch/venv.sh
monosem all --config=configs/quickstart.py --workdir=runs/quickstart "$@"
