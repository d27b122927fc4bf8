#!/bin/bash
# Mutates the ledger's rules one place at a time (cargo-mutants) and lets their tests judge: one that no test notices fails
# the run. What is mutated, by what it is tested and what is left out, is in .cargo/mutants.toml.
#
#   FILE=path     that file alone (a glob from the root: 'engine/src/ledger/limit.rs')
#   SHARD=k/n     the k-th of n parts, from 0
#   TIMEOUT_S=n   for one mutant's build or tests, which take seconds (default 120): one that never ends is told as such
#
# The checkout stays as it is. The rules are copied into a crate without the engine around them, storage and threads
# (scripts/mutants): it is compiled in a second, RocksDB not at all. A target folder of its own keeps mutants out of other builds.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

if ! cargo mutants --version >/dev/null 2>&1; then
  echo "mutants: cargo-mutants is not installed (cargo install cargo-mutants --locked)" >&2
  exit 1
fi

out=$PWD/out/mutants
tree=$out/tree
rm -rf "$tree"
mkdir -p "$tree/engine/src/journal" "$tree/engine/tests"
sed 's/^members = .*/members = ["engine"]/; /^exclude = /d; /^yue-engine = /d' Cargo.toml >"$tree/Cargo.toml"
cp Cargo.lock rust-toolchain.toml "$tree/"
cp scripts/mutants/Cargo.toml "$tree/engine/"
cp scripts/mutants/{lib,journal}.rs engine/src/{ledger,model,planted}.rs "$tree/engine/src/"
cp -r engine/src/{ledger,model} "$tree/engine/src/"
cp -r engine/src/journal/{bytes,codec,group,record,snapshot}.rs engine/src/journal/codec "$tree/engine/src/journal/"
cp -r engine/tests/ledger_model.rs engine/tests/ledger_model "$tree/engine/tests/"
config=.cargo/mutants.toml
if [ -n "${FILE:-}" ]; then
  sed "s|^examine_globs = .*|examine_globs = [\"$FILE\"]|" "$config" >"$out/mutants.toml"
  config=out/mutants/mutants.toml
fi

export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mutants
# The same cases for each mutant, and no search for the smallest that fails.
export PROPTEST_CASES=500 PROPTEST_RNG_SEED=618 PROPTEST_MAX_SHRINK_ITERS=0
code=0
cargo mutants --dir "$tree" --in-place --config "$PWD/$config" --output "$out" --timeout "${TIMEOUT_S:-120}" \
  --caught --unviable --no-shuffle ${SHARD:+--shard "$SHARD"} || code=$?
# 2: some were missed, 3: some never ended. Anything else has judged nothing.
case $code in 0 | 2 | 3) ;; *) echo "mutants: cargo-mutants ended with code $code" >&2; exit 1 ;; esac

count() { wc -l <"$out/mutants.out/$1.txt"; }
caught=$(count caught) missed=$(count missed) timeout=$(count timeout)
if [ "$missed" -gt 0 ]; then
  echo "mutants: no test notices"
  cat "$out/mutants.out/missed.txt"
fi
echo "figure mutants_caught $caught mutants"
echo "figure mutants_missed $missed mutants"
echo "figure mutants_unviable $(count unviable) mutants"
echo "figure mutants_timeout $timeout mutants"
if [ $((caught + missed + timeout)) -eq 0 ]; then
  echo "mutants: none was tested, which proves nothing" >&2
  exit 1
fi
[ "$missed" -eq 0 ]
