#!/bin/bash
# Saturates a fresh server over HTTP: single transactions, then batches of 10,000, each on an own empty ledger.
# yue-load prints the `figure NAME VALUE UNIT` lines.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh
. scripts/server.sh

bin=$CARGO_TARGET_DIR/release
mkdir -p out/bench
work=$(mktemp -d "out/bench/http-XXXXXX") # on the checkout's disk: on a tmpfs a sync would cost nothing

trap 'stop_all; rm -rf "$work"' EXIT

saturate() {
  local name=$1
  shift
  mkdir "$work/$name"
  server_start "$PWD/$work/$name" "$work/$name.log"
  client "$bin/yue-load" saturate --seconds 10 --url "$server_url" "$@"
  server_stop || { server_failed "the server did not stop cleanly" "$work/$name.log"; return 1; }
  rm -rf "${work:?}/$name"
}

saturate single --clients 64
# Two at a time keep the engine busy: more would only queue.
saturate batch --clients 2 --batch 10000
