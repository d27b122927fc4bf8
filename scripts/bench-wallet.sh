#!/bin/bash
# What the wallet's work beside payments costs them: password checks, and a day of the wealth product whose server is
# killed inside. Each measurement checks its work; all `figure NAME VALUE UNIT` lines again at the end.
# scripts/bench-wallet.sh [OPTIONS OF yue-bench wealth]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

bin=$CARGO_TARGET_DIR/release
out=out/bench/wallet-$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$out"

measure() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  "$bin/yue-bench" "$name" "$@" 2>&1 | tee "$out/$name.txt"
  grep -q '^figure ' "$out/$name.txt" || { echo "bench: $name printed no figure" >&2; return 1; }
}

measure passwords
measure wealth "$@"

printf '\n== figures (%s; %s cores; load %s; %s; all output in %s)\n' \
  "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(cut -d ' ' -f 1 /proc/loadavg)" \
  "$(git describe --always --dirty 2>/dev/null || echo 'no commit')" "$out"
for name in passwords wealth; do grep '^figure ' "$out/$name.txt"; done
