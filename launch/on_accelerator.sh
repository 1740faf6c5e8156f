#!/usr/bin/env bash
# Measures the program on one accelerator. Parts, the most important first, each
# with a time limit of its own (bench and run took 4.6 minutes on an H200):
#   bench   how fast the chunk at A/1's shape is, from tokens, and its parts
#   run     configs/single_gpu.py: tokens, transformer, dictionaries, page
#   tests   those that hold the mathematics to an oracle, on this device
#   resume  killed and started again, with deterministic ops: the same bits?
#   scale   dictionaries of 512 to 131,072 features, dense and sparse
#   [OUT=DIR] [WHEELS=DIR] [PARTS='bench run'] launch/on_accelerator.sh \
#     [--config.KEY=VALUE ...]
# Nothing is fetched: packages that python3 lacks are taken from WHEELS, which
# `pip download` fills elsewhere. The options go to `run`. OUT gets parts.jsonl
# (what each part took, and its exit code), a log of each, and what they write.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out="$(realpath -m "${OUT:-runs/accelerator}")"
work="${WORK:-runs/single_gpu}"
mkdir -p "$out"
if [[ -n "${WHEELS:-}" ]]; then
  site="$(mktemp -d)"
  python3 -m pip install --quiet --no-index --no-deps --no-compile \
    --no-cache-dir --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

# part NAME SECONDS COMMAND...: runs it, for at most so long, and notes it down.
# What fails stops none of the others.
part() {
  local name="$1" limit="$2" start="$EPOCHREALTIME" rc=0
  shift 2
  echo "== $name"
  timeout --signal=INT --kill-after=10 "$limit" "$@" 2>&1 |
    tee "$out/$name.log" || rc=$?
  awk -v name="$name" -v rc="$rc" -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {
    printf "{\"part\": \"%s\", \"rc\": %d, \"seconds\": %.1f}\n", name, rc, b - a
  }' | tee -a "$out/parts.jsonl"
}

# stage NAME SECONDS: of the run.
stage() {
  part "$1" "$2" python3 -m monosem_jax.main "$1" \
    --config=configs/single_gpu.py --workdir="$work" "${options[@]}"
}
options=("$@")

for name in ${PARTS:-bench run tests resume scale}; do
  case "$name" in
    bench)
      part bench 120 python3 -m launch.benchmark pipeline lm features step \
        --json="$out/bench.json"
      ;;
    run)
      # Tokens need no accelerator; chunks 3 to 5 of the dictionaries' training
      # are profiled.
      JAX_PLATFORMS=cpu stage tokens 120
      stage lm 150
      options+=(--config.runtime.profile_chunks=3)
      stage sae 150
      stage features 90
      stage site 30
      cp "$work"/{report.md,report.json,metrics.jsonl} "$out" || true
      find "$work/profile" -name '*.xplane.pb' -exec cp {} "$out" ';' || true
      ;;
    tests)
      # Oracles are of float32 and float64; a GPU's products of float32 are not,
      # unless told. Left out: what is of a mesh of eight devices, or of a CPU.
      JAX_DEFAULT_MATMUL_PRECISION=float32 XLA_PYTHON_CLIENT_PREALLOCATE=false \
        part tests 130 python3 -m pytest -p no:benchmark --numprocesses=12 \
        -k 'not every_mesh and not on_a_cpu' \
        tests/test_dictionary_{step,resample,redraws,place,init}.py \
        tests/test_dictionary_{recipes,sparse}.py \
        tests/test_transformer_model.py \
        tests/test_features_{pass,firings,census}.py
      ;;
    resume)
      # Some ten compilations: with two kills it took over 150 s on an H200.
      MONOSEM_DRILL_PLATFORM='' MONOSEM_DRILL_KILLS=1 \
        XLA_FLAGS=--xla_gpu_deterministic_ops=true \
        part resume 200 python3 -m pytest -p no:benchmark -m slow \
        tests/test_drill_kills.py -k random_moments
      ;;
    scale)
      part scale 120 python3 -m launch.benchmark scale sparse --rounds=3 \
        --json="$out/scale.json"
      ;;
    *)
      echo "no such part: $name" >&2
      exit 2
      ;;
  esac
done
cat "$out/parts.jsonl"
