#!/bin/bash
# Schemathesis against a fresh server: what the OpenAPI document says, tried CASES times with what it allows and what it
# does not. Fails if an answer is not in the document, or is a server's error. Its last lines are the figures.
#
#   CASES=n   at least so many requests in all (default 50000); the smallest run has some 2500
#   SEED=n    replays a run's choices
#   BIN=DIR   where `yue` lies (default: the release build)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh
. scripts/server.sh

readonly VERSION=4.32.5
# What the document can't say of every call is asked of none: that a valid body is taken (there may be no such account), and
# that each invalid one is refused for its form (text that is a whole number is one, for a parameter).
readonly EXAMPLES_MAX=200 # of a call in a round
readonly EXAMPLES_SHARE=80 # calls, twice
readonly REFUSED_ROUTES_MAX=4 # with few cases
readonly CHECKS=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,missing_required_header,negative_data_rejection

scripts=$PWD/scripts/schemathesis
cases=${CASES:-50000}
seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
bin=${BIN:-$CARGO_TARGET_DIR/release}

# Outside the checkout, so that it is installed once.
venv=$yue_cache/yue/schemathesis-$VERSION
if [ ! -x "$venv/bin/st" ]; then
  echo "schemathesis: installing $VERSION into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION" || { rm -rf "$venv"; exit 1; }
fi

mkdir -p out/schemathesis
run=$(mktemp -d "$PWD/out/schemathesis/$(date -u +%Y%m%dT%H%M%SZ)-XXXXXX")
key=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
for channel in WECHAT ALIPAY ECNY BANK_CARD; do export "YUE_CHANNEL_KEY_$channel=$key"; done
mkdir "$run/data"
# A head is there to be asked for.
"$bin/yue" heads keygen --heads-key "$run/heads.key" >"$run/heads.public"
YUE_HEADS_KEY=$run/heads.key YUE_HEADS_LOG=$run/heads.log YUE_HEADS_INTERVAL_MS=1000 \
  server_start "$run/data" "$run/server.log"
"$venv/bin/python" scripts/schemathesis/seed.py "$server_url" "$key" "$run/known.json"
export YUE_KNOWN=$run/known.json SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$scripts PYTHONDONTWRITEBYTECODE=1

echo "schemathesis: seed $seed, at least $cases cases; again with: make schemathesis CASES=$cases SEED=$seed"

# One round tries all calls; the first one the examples and the bounds of each field too. They go on until there were enough
# cases, against one server, which grows.
round() { # round NUMBER PHASES: by `client` alone, since it becomes schemathesis
  cd "$run"
  exec "$venv/bin/st" --config-file "$scripts/schemathesis.toml" run "$server_url/openapi.json" --url "$server_url" \
    --seed "$((seed + $1))" --checks "$CHECKS" --phases "$2" --max-examples "$examples" --mode all --continue-on-failure \
    --generation-database none --suppress-health-check all --request-timeout 30 --workers 2 --no-color --warnings off \
    --report json --report-json-path "$run/round-$1.json" >"$run/round-$1.log" 2>&1
}

made=0 failures=0 number=0 status=0
while [ "$made" -lt "$cases" ]; do
  number=$((number + 1))
  phases=fuzzing,stateful
  if [ "$number" -eq 1 ]; then phases=examples,coverage,$phases; fi
  examples=$(((cases - made) / EXAMPLES_SHARE))
  examples=$((examples > EXAMPLES_MAX ? EXAMPLES_MAX : examples < 3 ? 3 : examples))
  code=0
  client round "$number" "$phases" || code=$?
  # 0: nothing found, 1: failures. Anything else has judged nothing.
  if [ ! -s "$run/round-$number.json" ] || [ "$code" -gt 1 ]; then
    tail -n 40 "$run/round-$number.log" >&2
    echo "schemathesis: round $number ended with code $code" >&2
    exit 1
  fi
  server_alive || { server_failed "the server ended in round $number" "$run/server.log"; exit 1; }
  read -r cases_round failures_round < <("$venv/bin/python" -c 'import json, sys
report = json.load(open(sys.argv[1], encoding="utf-8"))
cases = report["test_cases"]
print(cases["generated"], max(cases["unique_failures"], len(report["failures"])) + len(report["errors"]))' "$run/round-$number.json")
  made=$((made + cases_round)) failures=$((failures + failures_round))
  if [ "$failures_round" -gt 0 ] || [ "$code" -ne 0 ]; then
    status=1
    sed -n '/= FAILURES =/,/= SUMMARY =/p; /= ERRORS =/,/= SUMMARY =/p' "$run/round-$number.log" | cut -c 1-2000
  fi
  echo "schemathesis: round $number, $made cases, $failures failures, $SECONDS s"
done

# A run whose calls were all refused would have shown little.
curl -fsS "$server_url/metrics" >"$run/metrics.txt"
answered() { sed -n "s/^yue_http_responses_total{route=\"\(.*\)\",status=\"$1\"} .*/\1/p" "$run/metrics.txt" | sort -u; }
mapfile -t refused < <(comm -23 <(answered '.xx') <(answered 2xx) | grep -vx unknown)
if [ "${#refused[@]}" -gt 0 ]; then printf 'schemathesis: never taken: %s\n' "${refused[@]}"; fi
if [ "${#refused[@]}" -gt "$REFUSED_ROUTES_MAX" ]; then
  echo "schemathesis: the cases were too tame" >&2
  status=1
fi

stopped=0
server_stop || stopped=$?
verified=0
"$bin/yue" verify --data "$run/data" >"$run/verify.log" 2>&1 || verified=$?
if [ "$stopped" -ne 0 ] || [ "$verified" -ne 0 ]; then
  tail -n 20 "$run/server.log.err" "$run/verify.log" >&2
  echo "schemathesis: the server ended with code $stopped, verify with $verified" >&2
  status=1
fi
if [ "$status" -eq 0 ]; then rm -rf "$run/data"; fi
echo "schemathesis: seed $seed, logs in $run"
echo "figure schemathesis_cases $made cases"
echo "figure schemathesis_failures $failures failures"
exit "$status"
