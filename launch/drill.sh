#!/usr/bin/env bash
# Failure drills on a tiny config: the program killed, starved, damaged and lied
# to, and whether it goes on to the same bits. Ends with a table; exit code 1 if
# a drill fails. Some minutes on two CPU cores.
#   launch/drill.sh [DRILL ...] [--kills=50] [--soak_minutes=2] [--workdir=DIR]
# launch/drill.sh --help names the drills.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/venv.sh
exec python launch/drill.py "$@"
