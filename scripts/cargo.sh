#!/bin/bash
# cargo in the build's environment. Where RocksDB is still to be compiled, it says how long that takes and then,
# twice a minute, how far it is: cargo alone shows one motionless line for half an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

readonly ROCKSDB_FILES=343      # C++ files of librocksdb-sys 0.19
readonly ROCKSDB_CORE_MINUTES=60 # measured: 30 minutes on 2 cores at 2.5 GHz, gcc 12

profile=debug
for argument in "$@"; do
  case $argument in --release | bench) profile=release ;; --) break ;; esac
done

# A folder that does not exist yet counts zero.
count_files() { { find "$@" -type f 2>/dev/null || true; } | wc -l; }
objects_of_rocksdb() { count_files "$CARGO_TARGET_DIR/$profile/build" -path '*/librocksdb-sys-*/out/*.o'; }

if [ "$1" = fmt ] || [ -n "${ROCKSDB_LIB_DIR:-}" ] \
  || compgen -G "$CARGO_TARGET_DIR/$profile/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null; then
  exec cargo "$@"
fi

cores=$(nproc)
minutes=$(((ROCKSDB_CORE_MINUTES + cores - 1) / cores))
cached=$(count_files "$CCACHE_DIR" -name '*R')
if [ "$cached" -ge "$ROCKSDB_FILES" ]; then
  echo "RocksDB is taken from the compiler cache ($CCACHE_DIR): about a minute if compiler and flags are the same, else" \
    "about $minutes minutes on $cores cores."
else
  echo "RocksDB is compiled from source, once: expect about $minutes minutes on $cores cores" \
    "(docs/operations/building.md). The objects are kept in $CCACHE_DIR."
fi

report_progress() {
  local count last=0
  while sleep 30 >/dev/null 2>&1; do
    count=$(objects_of_rocksdb)
    if [ "$count" -gt "$last" ]; then echo "RocksDB: $count of $ROCKSDB_FILES files, $((SECONDS / 60)) min"; fi
    if [ "$count" -ge "$ROCKSDB_FILES" ]; then return 0; fi
    last=$count
  done
}
report_progress >&2 &
reporter=$!
trap 'kill "$reporter" 2>/dev/null || true' EXIT
cargo "$@"
