# Sourced by the scripts beside it: sets BTM to the program, and has what they share.

script_name=$(basename "$0")

die() {
  printf '%s: error: %s\n' "$script_name" "$1" >&2
  exit "${2:-2}"
}

# $BTM if set; else built in the checkout, installed next to the scripts, on the PATH.
find_btm() {
  local here candidate
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
  if [[ -n ${BTM:-} ]]; then
    [[ -f $BTM && -x $BTM ]] || die "BTM=$BTM: no such program" 1
    return
  fi
  for candidate in "$here/../../build/bin/btm" "$here/../../../bin/btm" "$here/../../bin/btm" "$here/../btm"; do
    if [[ -f $candidate && -x $candidate ]]; then
      BTM=$candidate
      return
    fi
  done
  BTM=$(command -v btm) || die "found no program btm (built in build/bin, installed, or on the PATH; or set BTM to it)" 1
}

# Splits "$@" at the first flag: words before it into `positionals`, the rest into `more_flags`.
split_arguments() {
  positionals=() more_flags=()
  while (( $# > 0 )) && [[ $1 != --* ]]; do
    positionals+=("$1")
    shift
  done
  more_flags=("$@")
}

is_count() { [[ $1 =~ ^[0-9]+$ ]]; }

# A model given as a folder is its checkpoint_last.pt.
checkpoint_of() {
  if [[ -d $1 ]]; then printf '%s/checkpoint_last.pt' "${1%/}"; else printf '%s' "$1"; fi
}

find_btm
