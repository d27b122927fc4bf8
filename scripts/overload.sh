#!/bin/bash
# The overload rehearsal: a fresh server, up to ten times its capacity, the verdict; then the server is stopped.
# Exits with the harness's code, or 1 if the stop fails. Arguments go to `yue-load overload`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh
. scripts/server.sh

bin=$CARGO_TARGET_DIR/release
# On the checkout's own disk, not in $TMPDIR: on a tmpfs a sync costs nothing, and the figures would flatter.
mkdir -p out/overload
run=$(mktemp -d "out/overload/$(date -u +%Y%m%dT%H%M%SZ)-XXXXXX")
data=$PWD/$run/data
mkdir "$data"
server_start "$data" "$run/server.log"
echo "overload: yue is ready at $server_url, data in $data"

verdict=0
client "$bin/yue-load" overload --url "$server_url" --report "$run/report" "$@" || verdict=$?

stopped=0
server_stop || stopped=$?
if [ "$stopped" -ne 0 ]; then
  echo "overload: the server ended with code $stopped; the end of $run/server.log.err:" >&2
  tail -n 20 "$run/server.log.err" >&2
fi
echo
echo "overload: report   $run/report/overload.html"
if [ "$verdict" -eq 0 ]; then echo "overload: verdict  passed"; else echo "overload: verdict  FAILED (yue-load: code $verdict)"; fi
if [ "$verdict" -ne 0 ]; then exit "$verdict"; fi
exit "$((stopped == 0 ? 0 : 1))"
