#!/bin/bash
# A real server, killed, stopped, starved and cut off from its disk under load, against a record outside (docs/proof.md).
# scripts/torture.sh [OPTIONS OF yue-load torture]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

bin=$CARGO_TARGET_DIR/release
# On the checkout's own disk, not in $TMPDIR: on a tmpfs a sync costs nothing, and there is nothing to lose.
folder=$PWD/out/torture
tormentor=

# yue-load ends its servers and mounts; if it is killed itself, the kernel ends the servers, and this the mounts.
clean_up() {
  if [ -n "$tormentor" ]; then
    kill -TERM "$tormentor" 2>/dev/null || true
    wait "$tormentor" 2>/dev/null || true
  fi
  awk -v under="$folder/" 'index($2, under) == 1 { print $2 }' /proc/mounts | xargs -r umount -l || true
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

options=()
if [ -n "${CYCLES:-}" ]; then options+=(--cycles "$CYCLES"); fi
if [ -n "${SEED:-}" ]; then options+=(--seed "$SEED"); fi

"$bin/yue-load" torture --folder "$folder" "${options[@]}" "$@" &
tormentor=$!
status=0
wait "$tormentor" || status=$?
tormentor=
exit "$status"
