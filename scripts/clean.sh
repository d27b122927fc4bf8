#!/bin/bash
# Removes out/ and the default target folder. A target folder of the caller's own and the compiler cache stay.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

rm -rf out
if [ "$CARGO_TARGET_DIR" = "$default_target_dir" ]; then
  rm -rf "$default_target_dir"
else
  echo "clean: $CARGO_TARGET_DIR is your own and stays; cargo clean empties it"
fi
