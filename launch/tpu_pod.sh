#!/usr/bin/env bash
# Runs the program on every worker of a Cloud TPU slice. If the slice is
# preempted, the script waits until it is READY and runs the same command again.
#   TPU_NAME=pod ZONE=us-east5-a launch/tpu_pod.sh \
#     all --config=configs/a1.py --workdir=/mnt/shared/a1
#   ... launch/tpu_pod.sh --print all ...      # prints the commands only
#   PROJECT=...       the project, if it is not gcloud's default
#   PYTHON=...        a Python >= 3.11 on the workers; the default is python3
#   SETUP=...         a command to run on every worker before each install, e.g.
#     'mountpoint -q /mnt/shared || sudo mount 10.0.0.2:/shared /mnt/shared'
# It needs gcloud, logged in and with its key in the agent (ssh-add
# ~/.ssh/google_compute_engine); a terminal that stays open, such as tmux on a
# small VM; and --workdir on a file system that all workers share. Creating the
# slice is up to you, also after preemption (a queued resource of that name).
# The script ends on success, on exit code 2 (a user's mistake), and after three
# failures in a row, each within an hour. Ctrl-C makes the program save and stop
# on all workers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "error: $*" >&2
  exit 2
}

print=
if [[ "${1:-}" == --print ]]; then
  print=1
  shift
fi
[[ -n "${TPU_NAME:-}" && -n "${ZONE:-}" ]] || fail 'TPU_NAME and ZONE are' \
  'needed; as in: TPU_NAME=pod ZONE=us-east5-a launch/tpu_pod.sh all ...'
(($#)) || fail 'no stage; as in: launch/tpu_pod.sh all --config=FILE' \
  '--workdir=DIR.'
[[ " $*" == *' --workdir=/'* ]] || fail '--workdir=/DIR is missing: an' \
  'absolute path on a file system that all workers share.'

# If a connection breaks, the program keeps running and holds the lock. The next
# attempt tells it to save and waits for it. Its output goes through tee, so
# that the broken pipe does not kill it.
stop='pkill -TERM -L -F monosem_jax/run.pid'
alone="mkdir -p monosem_jax && exec 9>>monosem_jax/run.pid &&"
alone+=" { flock -n 9 || { $stop; flock -w 600 9; }; } &&"
install="$alone cd monosem_jax && tar -xzf ../monosem_jax.tar.gz &&"
install+=" EXTRAS=tpu PYTHON=${PYTHON:-python3} bash launch/venv.sh"
if [[ -n "${SETUP:-}" ]]; then install="{ $SETUP; } && $install"; fi
run="$alone cd monosem_jax && echo \$\$ >run.pid && exec"
run+=" env PYTHONUNBUFFERED=1 .venv/bin/monosem$(printf ' %q' "$@")"
run+=" --distributed"
run+=" > >(exec tee -a --output-error=warn run.log) 2>&1"

# Runs a command, or prints it.
call() {
  if [[ -z "$print" ]]; then
    "$@"
    return
  fi
  local word line='' quote="'\\''"
  for word; do
    [[ "$word" == *[!a-zA-Z0-9_=.,/:-]* ]] && word="'${word//\'/$quote}'"
    line+=" $word"
  done
  echo "${line# }"
}

tpu() {
  call gcloud compute tpus tpu-vm "$@" "--zone=$ZONE" \
    ${PROJECT:+"--project=$PROJECT"}
}

state() { tpu describe "$TPU_NAME" '--format=value(state)'; }

attempt() {
  tpu scp runs/monosem_jax.tar.gz "$TPU_NAME:" --worker=all || return
  tpu ssh "$TPU_NAME" --worker=all "--command=$install" || return
  # A VM that disappears does not close the connection, which is why the flag is
  # needed. The command runs in the background and in its own process group, so
  # that `halt` handles a Ctrl-C here.
  set -m
  tpu ssh "$TPU_NAME" --worker=all '--ssh-flag=-o ServerAliveInterval=30' \
    "--command=$run" </dev/null &
  set +m
  wait $!
}

halt() {
  trap - INT TERM
  echo 'stopping the program on the workers' >&2
  tpu ssh "$TPU_NAME" --worker=all "--command=$stop" || true
  wait || true
  exit "$1"
}

if [[ -z "$print" ]]; then
  command -v gcloud >/dev/null || fail 'no gcloud here: install the Google' \
    'Cloud CLI and log in.'
  state >/dev/null || fail "no TPU VM $TPU_NAME in $ZONE: see above."
fi
call mkdir -p runs
call tar -czf runs/monosem_jax.tar.gz --exclude=__pycache__ \
  LICENSE README.md configs launch monosem_jax pyproject.toml
if [[ -n "$print" ]]; then
  state
  attempt
  exit
fi

trap 'halt 130' INT
trap 'halt 143' TERM
failures=0
while true; do
  echo "waiting until $TPU_NAME is READY" >&2
  until [[ "$(state)" == READY ]]; do sleep 60; done
  SECONDS=0 code=0
  attempt || code=$?
  case $code in
    0 | 2) exit $code ;;
    130 | 143) failures=0 ;;
    *) failures=$((failures + 1)) ;;
  esac
  # Losing the slice, or ending after a long run, does not count as a failure.
  if ((SECONDS > 3600)) || [[ "$(state)" != READY ]]; then failures=0; fi
  if ((failures == 3)); then
    echo "error: three failures in a row, the last with exit code $code." >&2
    exit $code
  fi
  echo "exit code $code; running the same command again" >&2
  sleep 60
done
