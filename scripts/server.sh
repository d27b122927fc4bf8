# Starts and stops one `yue` on a free port of loopback, and the client beside it; sourced. Processes are known by
# their pids alone.
#
#   server_start DATA LOG   sets server_pid and server_url; returns when /readyz answers
#   server_stop             SIGTERM, waits for the drain; returns the server's exit code
#   client COMMAND…         runs COMMAND so that a signal to the script is acted on at once; returns its exit code
#   stop_all                kills what is left; set as the EXIT trap here, so that nothing outlives the script

readonly READY_SECONDS_MAX=60 # a fresh directory is ready in well under a second
readonly STOP_SECONDS_MAX=40  # the server drains for at most 25 s
server_pid=
server_url=
client_pid=

trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

server_alive() { [ -n "$server_pid" ] && kill -0 "$server_pid" 2>/dev/null; }

server_failed() {
  printf '%s\n' "$1; the end of $2.err:" >&2
  tail -n 20 "$2.err" >&2 || true
  return 1
}

# The server's stdout goes to LOG, its log lines on stderr to LOG.err. Port 0 takes a free port, which its line
# `listening on http://…` names.
server_start() {
  local data=$1 log=$2 deadline=$((SECONDS + READY_SECONDS_MAX))
  : >"$log" # the server's own redirection may come later than the first look
  "$bin/yue" serve --data "$data" --listen 127.0.0.1:0 >"$log" 2>"$log.err" </dev/null &
  server_pid=$!
  server_url=
  while [ -z "$server_url" ] || ! curl -fsS -m 2 -o /dev/null "$server_url/readyz" 2>/dev/null; do
    server_alive || { server_failed "the server ended while starting" "$log"; return 1; }
    [ "$SECONDS" -lt "$deadline" ] || { server_failed "the server was not ready after $READY_SECONDS_MAX s" "$log"; return 1; }
    server_url=$(sed -n 's/^listening on \(http:\/\/[^ ]*\).*/\1/p' "$log" | head -n 1)
    sleep 0.1
  done
}

server_stop() {
  local pid=$server_pid deadline=$((SECONDS + STOP_SECONDS_MAX)) status=0
  kill -TERM "$pid" 2>/dev/null || true
  while server_alive; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "the server had not ended $STOP_SECONDS_MAX s after SIGTERM" >&2
      server_kill
      return 1
    fi
    sleep 0.1
  done
  server_pid=
  wait "$pid" || status=$?
  return "$status"
}

server_kill() {
  if server_alive; then
    kill -KILL "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
  fi
  server_pid=
}

client() {
  local status=0
  "$@" &
  client_pid=$!
  wait "$client_pid" || status=$?
  client_pid=
  return "$status"
}

stop_all() {
  if [ -n "$client_pid" ]; then kill -TERM "$client_pid" 2>/dev/null || true; fi
  server_kill
}
