#!/bin/bash
# Fuzzes everything that reads bytes (server/src/fuzzing.rs) with libFuzzer, each target from its kept corpus on.
#
#   SECONDS_EACH=n   for each target (default 60)
#   TARGET=name      one of them (bodies, journal, statements, values, documents)
#   KEEP=1           afterwards some of what reaches all that was reached is kept in fuzz/corpus
#
# No sanitizer and no nightly compiler: coverage alone, so that RocksDB comes from ccache and is not built anew. What fails
# is left in out/fuzz, and the command that replays it is printed. A target that ran nothing has failed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

readonly TARGETS=(bodies journal statements values)
readonly INPUT_BYTES_MAX=2048
readonly KEPT_MAX=96 # new ones of a target; what was kept before stays
seconds=${SECONDS_EACH:-60}
if [ -n "${TARGET:-}" ] && [[ " ${TARGETS[*]} documents " != *" $TARGET "* ]]; then
  echo "fuzz: TARGET=$TARGET is none of ${TARGETS[*]} documents" >&2
  exit 64
fi
mkdir -p out/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# A target folder of its own: other flags. `--target` keeps them from build scripts and macros.
build=$CARGO_TARGET_DIR/fuzz
flags=(--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares)
RUSTFLAGS=${flags[*]} CARGO_TARGET_DIR=$build cargo build --manifest-path fuzz/Cargo.toml --release --target "$host" --locked
fuzzer=$build/$host/release/yue-fuzz

total=0 crashes=0
for target in "${TARGETS[@]}"; do
  if [ -n "${TARGET:-}" ] && [ "$target" != "$TARGET" ]; then continue; fi
  kept=fuzz/corpus/$target
  run=out/fuzz/$target
  mkdir -p "$kept" "$run/grown" "$run/found"
  export YUE_FUZZ_TARGET=$target
  code=0
  "$fuzzer" -max_total_time="$seconds" -max_len="$INPUT_BYTES_MAX" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -use_value_profile=1 -artifact_prefix="$run/found/" "$run/grown" "$kept" >"$run/log" 2>&1 || code=$?
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$run/log" | tail -n 1)
  total=$((total + ${executed:-0}))
  if [ "$code" -ne 0 ] || [ "${executed:-0}" -eq 0 ]; then
    crashes=$((crashes + 1))
    tail -n 30 "$run/log"
    echo "fuzz: $target FAILED (code $code, ${executed:-0} inputs); again with: YUE_FUZZ_TARGET=$target $fuzzer $run/found/FILE"
    continue
  fi
  echo "fuzz: $target, ${executed:-0} inputs in $seconds s, $(find "$run/grown" "$kept" -type f | wc -l) kept, $(grep -o 'cov: [0-9]*' "$run/log" | tail -n 1)"
  if [ -n "${KEEP:-}" ]; then
    rm -rf "$run/least"
    mkdir "$run/least"
    "$fuzzer" -merge=1 -max_len="$INPUT_BYTES_MAX" "$run/least" "$kept" "$run/grown" >>"$run/log" 2>&1
    # Of many, some of each size.
    mapfile -t least < <(find "$run/least" -type f -printf '%s %p\n' | sort -n | cut -d ' ' -f 2-)
    for ((index = 0; index < ${#least[@]}; index++)); do
      if ((index * KEPT_MAX / ${#least[@]} != (index + 1) * KEPT_MAX / ${#least[@]})); then cp "${least[index]}" "$kept/"; fi
    done
    echo "fuzz: $target, $(find "$kept" -type f | wc -l) inputs kept"
  fi
done
if [ -z "${TARGET:-}" ] || [ "$TARGET" = documents ]; then
  # Documents and cells are nobody else's types: their own test makes the inputs, without coverage. Of the whole workspace,
  # so that it is the binary of `make test`: of the engine alone, cargo would choose other features and compile it again.
  YUE_FUZZ_SECONDS=$seconds cargo test --workspace --lib --locked hostile_bytes_are_read_or_refused -- --nocapture >out/fuzz/documents.log 2>&1 || {
    crashes=$((crashes + 1))
    tail -n 30 out/fuzz/documents.log
  }
  executed=$(sed -n 's/^\([0-9]*\) inputs, .*/\1/p' out/fuzz/documents.log | tail -n 1)
  total=$((total + ${executed:-0}))
  if [ "${executed:-0}" -eq 0 ]; then crashes=$((crashes + 1)); fi
  echo "fuzz: documents, ${executed:-0} inputs in $seconds s"
fi
echo "figure fuzz_inputs $total inputs"
echo "figure fuzz_failures $crashes failures"
[ "$crashes" -eq 0 ]
