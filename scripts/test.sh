#!/bin/bash
# All tests of the workspace, then the doc tests: scripts/test.sh [CARGO OPTIONS] -- [FILTER]
# cargo-nextest runs them if it is there, cargo test if not. Nothing is retried: a flake is a bug.
# Tests whose names contain `process_` start, kill or starve whole servers; they run one at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
if [ $# -gt 0 ]; then shift; fi
filter=("$@")

log=out/test.log
mkdir -p out
: >"$log"
status=0
run() { scripts/cargo.sh "$@" 2>&1 | tee -a "$log" || status=$?; }

kinds=(--workspace --lib --bins --tests --no-fail-fast)
if cargo nextest --version >/dev/null 2>&1; then
  run nextest run --workspace "${options[@]}" ${CI:+--profile ci} "${filter[@]}"
else
  # Built first, so that a failure to compile is seen once and the tests' time is the tests' own.
  scripts/cargo.sh test "${kinds[@]}" "${options[@]}" --no-run
  names=$(scripts/cargo.sh test -q "${kinds[@]}" "${options[@]}" -- --list "${filter[@]}" 2>/dev/null | sed -n 's/: test$//p')
  run test "${kinds[@]}" "${options[@]}" -- --skip process_ "${filter[@]}"
  if [ "${#filter[@]}" -eq 0 ] && grep -q process_ <<<"$names"; then
    run test "${kinds[@]}" "${options[@]}" -- --test-threads=1 process_
  elif grep -q process_ <<<"$names"; then
    mapfile -t serial < <(grep process_ <<<"$names")
    run test "${kinds[@]}" "${options[@]}" -- --test-threads=1 --exact "${serial[@]}"
  fi
fi
if [ "${#filter[@]}" -eq 0 ]; then run test --workspace --doc "${options[@]}"; fi

awk '
  /^test result: / { passed += $4; failed += $6; skipped += $8 }
  # nextest: "     Summary [   1.2s] 31 tests run: 30 passed (1 slow), 1 failed, 2 skipped"
  / Summary \[.*tests? run:/ {
    for (i = 2; i <= NF; i++) {
      if ($i ~ /^passed/) passed += $(i - 1)
      if ($i ~ /^(failed|timed)/) failed += $(i - 1)
      if ($i ~ /^skipped/) skipped += $(i - 1)
    }
  }
  END {
    printf "\ntests: %d passed, %d failed, %d skipped\n", passed, failed, skipped
    if (passed + failed == 0) { print "tests: nothing ran, which proves nothing"; exit 1 }
  }' "$log" || status=1
exit "$status"
