#!/usr/bin/env bash
# Runs the whole flow on the text of the Python installation, in minutes on two
# CPU cores. It needs only Python >= 3.11, and a network to install packages.
#   launch/quickstart.sh [--workdir=DIR] [--config.some.key=value ...]
# After any stop, the same command continues.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
EXTRAS="${EXTRAS:-analysis}" source launch/venv.sh
monosem all --config=configs/quickstart.py --workdir=runs/quickstart "$@"
