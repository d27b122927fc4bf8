#!/bin/bash
# Installs what the build needs and is missing. Quick and silent about everything that is there.
# scripts/prerequisites.sh [TOOL…]   also these, where a package is called as its tool
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/build-env.sh

extra_tools=("$@")

fail() { printf 'prerequisites: %s\n' "$*" >&2; exit 1; }

# Debian packages that are missing, judged by what they bring: another distribution's packages serve as well.
missing_packages() {
  if ! { command -v gcc && command -v g++; } >/dev/null 2>&1; then echo build-essential; fi
  local tool
  for tool in make ccache curl "${extra_tools[@]}"; do
    if ! command -v "$tool" >/dev/null 2>&1; then echo "$tool"; fi
  done
  if ! find_libclang >/dev/null; then echo libclang-dev; fi
}

install_packages() {
  local by_hand="install by hand what brings: $* (Debian's names), then run this again"
  command -v apt-get >/dev/null 2>&1 || fail "this is no Debian-like system; $by_hand"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "neither root nor sudo; $by_hand"
    as_root=(sudo)
  fi
  printf 'prerequisites: installing %s\n' "$*"
  "${as_root[@]}" apt-get update -qq || true # A stale list may still do; the install says so if not.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    || fail "apt-get failed; $by_hand"
}

# Rust comes by rustup, which reads rust-toolchain.toml; a distribution's Rust serves if it is new enough.
check_rust() {
  local wanted
  wanted=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
  command -v cargo >/dev/null 2>&1 || fail "Rust is missing: install rustup (https://rustup.rs); it then takes Rust $wanted by itself"
  local component
  for component in fmt clippy; do
    cargo "$component" --version >/dev/null 2>&1 && continue
    command -v rustup >/dev/null 2>&1 || fail "cargo $component is missing, and there is no rustup to add it (Rust $wanted)"
    rustup component add "${component/#fmt/rustfmt}" || fail "rustup could not add $component for Rust $wanted"
  done
}

# A neighbouring folder may hold a filled compiler cache. Nothing depends on it.
warm_ccache() {
  local filler=../shared/tools/warm-ccache
  [ -x "$filler" ] || return 0
  if [ -d "$CCACHE_DIR" ] && [ -n "$(find "$CCACHE_DIR" -type f -name '*R' -print -quit)" ]; then return 0; fi
  if "$filler" >/dev/null 2>&1; then echo "prerequisites: filled the compiler cache $CCACHE_DIR"; fi
}

mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then
  install_packages "${missing[@]}"
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -eq 0 ] || fail "still missing after the installation: ${missing[*]}"
fi
check_rust
warm_ccache
