#!/bin/bash
# The headline figures, one measurement after the other; all `figure NAME VALUE UNIT` lines again at the end.
# A measurement that fails or prints no figure fails the bench: a missing row must not pass for a good one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

bin=$CARGO_TARGET_DIR/release
out=out/bench/$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$out"

measure() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$out/$name.txt"
  grep -q '^figure ' "$out/$name.txt" || { echo "bench: $name printed no figure" >&2; return 1; }
}

measure engine "$bin/yue-bench" engine
measure history "$bin/yue-bench" history
measure restart "$bin/yue-bench" restart
measure http scripts/bench-http.sh

printf '\n== figures (%s; %s cores; %s; all output in %s)\n' \
  "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
  "$(git describe --always --dirty 2>/dev/null || echo 'no commit')" "$out"
for name in engine history restart http; do grep '^figure ' "$out/$name.txt"; done
