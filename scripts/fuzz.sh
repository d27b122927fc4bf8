#!/bin/bash
# Fuzzes everything that reads bytes (server/src/fuzzing.rs) with libFuzzer, each target from its kept corpus on.
#
#   SECONDS_EACH=n   for each target (default 60)
#   TARGET=name      one of them (bodies, journal, statements, values, documents)
#   KEEP=1           afterwards some of what reaches all that was reached is kept in fuzz/corpus
#
# No sanitizer and no nightly compiler: coverage alone, so that RocksDB comes from ccache and is not built anew. What fails
# is left in out/fuzz, and the command that replays it is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

readonly TARGETS=(bodies journal statements values documents)
readonly INPUT_BYTES_MAX=2048
readonly KEPT_MAX=96 # new ones of a target; what was kept before stays
seconds=${SECONDS_EACH:-60}
host=$(rustc -vV | sed -n 's/^host: //p')
# A target folder of its own: other flags. `--target` keeps them from build scripts and macros.
build=$CARGO_TARGET_DIR/fuzz
flags=(--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares)
RUSTFLAGS=${flags[*]} CARGO_TARGET_DIR=$build cargo build --manifest-path fuzz/Cargo.toml --release --target "$host" --locked
fuzzer=$build/$host/release/yue-fuzz

# Fuzzes one target; what it prints and how often it ran go to its folder.
fuzz() {
  local target=$1 kept=fuzz/corpus/$1 run=out/fuzz/$1 code=0 executed
  mkdir -p "$kept" "$run/grown" "$run/found"
  rm -f "$run/executed"
  export YUE_FUZZ_TARGET=$target
  "$fuzzer" -max_total_time="$seconds" -max_len="$INPUT_BYTES_MAX" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -use_value_profile=1 -artifact_prefix="$run/found/" "$run/grown" "$kept" >"$run/log" 2>&1 || code=$?
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$run/log" | tail -n 1)
  if [ "$code" -ne 0 ]; then
    tail -n 30 "$run/log"
    echo "fuzz: $target FAILED (code $code); again with: YUE_FUZZ_TARGET=$target $fuzzer $run/found/FILE"
    return 1
  fi
  echo "${executed:-0}" >"$run/executed"
  echo "fuzz: $target, ${executed:-0} inputs in $seconds s, $(find "$run/grown" "$kept" -type f | wc -l) kept, $(grep -o 'cov: [0-9]*' "$run/log" | tail -n 1)"
  if [ -n "${KEEP:-}" ]; then keep; fi
}

# Keeps some of what reaches all that was reached.
keep() {
  local least index
  rm -rf "$run/least"
  mkdir "$run/least"
  "$fuzzer" -merge=1 -max_len="$INPUT_BYTES_MAX" "$run/least" "$kept" "$run/grown" >>"$run/log" 2>&1
  # Of many, some of each size.
  mapfile -t least < <(find "$run/least" -type f -printf '%s %p\n' | sort -n | cut -d ' ' -f 2-)
  for ((index = 0; index < ${#least[@]}; index++)); do
    if ((index * KEPT_MAX / ${#least[@]} != (index + 1) * KEPT_MAX / ${#least[@]})); then cp "${least[index]}" "$kept/"; fi
  done
  echo "fuzz: $target, $(find "$kept" -type f | wc -l) inputs kept"
}

# Documents and cells are nobody else's types: their own test makes the inputs, without coverage.
documents() {
  local run=out/fuzz/documents executed
  mkdir -p "$run"
  rm -f "$run/executed"
  YUE_FUZZ_SECONDS=$seconds cargo test -p yue-engine --lib --locked hostile_bytes_are_read_or_refused -- --nocapture >"$run/log" 2>&1 || {
    tail -n 30 "$run/log"
    return 1
  }
  executed=$(sed -n 's/^\([0-9]*\) inputs, .*/\1/p' "$run/log" | tail -n 1)
  # A test that ran nothing would pass as well.
  [ "${executed:-0}" -gt 0 ] || { echo "fuzz: documents ran nothing" >&2; return 1; }
  echo "$executed" >"$run/executed"
  echo "fuzz: documents, $executed inputs in $seconds s"
}

# As many at a time as there are cores.
running=() failed=0 ran=0
finish_one() {
  wait "${running[0]}" || failed=$((failed + 1))
  running=("${running[@]:1}")
}
for target in "${TARGETS[@]}"; do
  if [ -n "${TARGET:-}" ] && [ "$target" != "$TARGET" ]; then continue; fi
  ran=$((ran + 1))
  if [ "${#running[@]}" -ge "$(nproc)" ]; then finish_one; fi
  if [ "$target" = documents ]; then documents & else fuzz "$target" & fi
  running+=($!)
done
while [ "${#running[@]}" -gt 0 ]; do finish_one; done
[ "$ran" -gt 0 ] || { echo "fuzz: no target is called ${TARGET:-}; there are ${TARGETS[*]}" >&2; exit 64; }

total=0
for target in "${TARGETS[@]}"; do
  if [ -z "${TARGET:-}" ] || [ "$target" = "$TARGET" ]; then total=$((total + $(cat "out/fuzz/$target/executed" 2>/dev/null || echo 0))); fi
done
echo "figure fuzz_inputs $total inputs"
echo "figure fuzz_failures $failed failures"
[ "$failed" -eq 0 ]
