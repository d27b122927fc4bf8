#!/bin/bash
# The dependencies against deny.toml. Skipped with a line where cargo-deny is not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

if ! cargo deny --version >/dev/null 2>&1; then
  echo "deny: skipped, cargo-deny is not installed (cargo install cargo-deny --locked)"
  exit 0
fi
cargo deny check bans licenses sources
if [ -n "${OFFLINE:-}" ]; then
  echo "deny: advisories left out (OFFLINE is set)"
else
  # Fetches the RustSec database from GitHub; without it nothing is known, which is not a pass.
  cargo deny check advisories || { echo "deny: advisories failed (OFFLINE=1 leaves them out)" >&2; exit 1; }
fi
