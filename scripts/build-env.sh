#!/bin/bash
# The environment of every build. Sourced by the scripts; run directly, it prints the exports for a shell.
#
# RocksDB is some 340 C++ files. They are compiled once: ccache keeps the objects, and the target folder lies
# outside the checkout, so that a second clone or a `git clean` costs nothing. A value that is already set wins, but for the locale and a LIBCLANG_PATH without libclang.
# A change of CC, CXX or LIBCLANG_PATH makes cargo run RocksDB's build script again: hence the same values everywhere.

# The folder of libclang, which bindgen loads: as given, as llvm-config says, or the newest of Debian's. libclang-cpp, which
# other packages bring alone, is another library.
find_libclang() {
  local dir candidates=()
  candidates+=("${LIBCLANG_PATH:-}")
  if command -v llvm-config >/dev/null 2>&1; then candidates+=("$(llvm-config --libdir 2>/dev/null || true)"); fi
  while IFS= read -r dir; do candidates+=("$dir"); done < <(printf '%s\n' /usr/lib/llvm-*/lib | sort -rV)
  candidates+=(/usr/lib64 /usr/lib)
  for dir in "${candidates[@]}"; do
    if [ -n "$dir" ] && { compgen -G "$dir/libclang.so*" || compgen -G "$dir/libclang-[0-9]*.so*"; } >/dev/null; then printf '%s\n' "$dir"; return 0; fi
  done
  return 1
}

yue_cache=${XDG_CACHE_HOME:-$HOME/.cache}
default_target_dir=$yue_cache/yue/target
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$default_target_dir}
# Exported though it is ccache's own default: ccache reads the folder's ccache.conf with certainty only then.
export CCACHE_DIR=${CCACHE_DIR:-$yue_cache/ccache}
# ccache keys each object by the locale too, though build scripts call the compiler with LC_ALL=C: of a shell with another
# LANG, or with none, it would compile all of RocksDB again. So it is one locale here, whatever is set.
export LANG=C.UTF-8
unset LC_CTYPE LC_MESSAGES
if command -v ccache >/dev/null 2>&1; then
  export CC=${CC:-ccache gcc} CXX=${CXX:-ccache g++}
fi
if libclang=$(find_libclang); then export LIBCLANG_PATH=$libclang; fi
if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then export PATH=$HOME/.cargo/bin:$PATH; fi

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  for name in CARGO_TARGET_DIR CCACHE_DIR LANG CC CXX LIBCLANG_PATH; do
    if [ -n "${!name:-}" ]; then printf 'export %s=%q\n' "$name" "${!name}"; fi
  done
  echo 'unset LC_CTYPE LC_MESSAGES'
fi
