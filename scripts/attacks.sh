#!/usr/bin/env bash
# Plays attacks against a server with keys: each must be answered as documented (docs/operations/security.md), and the
# latency of an ordinary client beside it is measured. Prints a table; `figure NAME VALUE UNIT` lines go to out/attacks.txt.
# Arguments go to cargo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p out
log=out/attacks.log
status=0
YUE_ATTACKS=full scripts/cargo.sh test -p yue-server --test process "$@" -- \
  --exact attacks::process_attacks_are_answered_as_documented --nocapture >"$log" || status=$?
grep '^figure ' "$log" >out/attacks.txt || true
awk '
  BEGIN { printf "%-24s %-30s %9s %12s %12s %7s\n", "attack", "answered", "times", "p99 before", "p99 during", "ratio" }
  /^attack / {
    name = $2; sub(/:$/, "", name)
    what = $0; sub(/^attack [^ ]+ /, "", what)
    times = what; sub(/.*\(/, "", times); sub(/ times\).*/, "", times)
    sub(/ \([0-9]+ times\)$/, "", what)
  }
  /^figure .*_p99_before / { before = $3 }
  /^figure .*_p99_during / { during = $3 }
  /^figure .*_p99_ratio / {
    printf "%-24s %-30s %9s %9s us %9s us %7s\n", name, what, times, before, during, $3
  }
' "$log"
if [[ $status -ne 0 ]]; then
  grep -v '^figure ' "$log" | tail -40 >&2
  exit "$status"
fi
