# Sourced by the commands of tools/: where the tree is and how a build directory
# comes about.
# shellcheck shell=bash
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")

# configure DIR [MESON OPTION...]: DIR is configured, with these options and for
# the headers there are now. Meson keeps a directory's first options for ever,
# and cannot look for new headers before a build, so both are compared here. A
# directory that somebody configured by hand keeps its options.
configure() {
  local dir=$1 wanted noted log
  shift
  wanted="${CXX:-c++} $*"
  noted=$dir/configured-with
  if [ -f "$noted" ] && [ "$(cat "$noted")" != "$wanted" ]; then
    rm -rf "$dir"
  fi
  if [ ! -f "$dir/build.ninja" ]; then
    log=$(mktemp)
    if ! meson setup "$@" "$dir" "$root" >"$log" 2>&1; then
      cat "$log" >&2
      rm -f "$log"
      return 1
    fi
    rm -f "$log"
    printf '%s\n' "$wanted" >"$noted"
  elif ! "$root/tools/list_headers.py" \
    --same-as "$dir/tests/house/headers.txt" >/dev/null 2>&1; then
    meson setup --reconfigure "$dir" "$root" >/dev/null
  fi
}

# build DIR [TARGET...]: quiet while it goes well.
build() {
  local dir=$1 log
  shift
  log=$(mktemp)
  if ! ninja -C "$dir" "$@" >"$log" 2>&1; then
    grep -v '^\[[0-9]*/[0-9]*\] ' "$log" >&2 || tail -n 50 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
