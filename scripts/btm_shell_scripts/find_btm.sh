# shellcheck shell=bash disable=SC2034 # its variables are for the scripts that source it
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
  for candidate in \
    "$here/../../build/bin/btm" "$here/../../../bin/btm" "$here/../../bin/btm" "$here/../btm"; do
    if [[ -f $candidate && -x $candidate ]]; then
      BTM=$candidate
      return
    fi
  done
  BTM=$(command -v btm) ||
    die "found no program btm (built in build/bin, installed, or on the PATH; or set BTM to it)" 1
}

# Splits "$@" at the first flag: words before it into `positionals`, the rest into `more_flags`.
split_arguments() {
  positionals=() more_flags=()
  while (($# > 0)) && [[ $1 != --* ]]; do
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

# Dies unless DATA has a folder for each of the domains NAME[,NAME...].
require_domains() {
  local data=$1 name names
  [[ -d $data ]] || die "$data: no such folder, expected a data-bin with a folder for each domain" 1
  IFS=, read -r -a names <<<"$2"
  for name in "${names[@]}"; do
    [[ -d $data/$name ]] || die "$data: no folder '$name' for this domain" 1
  done
}

# Runs a command that writes into FOLDER, which is made with the folders above it. Where it fails,
# those that were made and are empty go.
with_folder() {
  local folder=$1 made=() above=$1 status=0 one
  shift
  while [[ -n $above && ! -d $above ]]; do
    made+=("$above")
    [[ $above == */* ]] || break
    above=${above%/*}
  done
  mkdir -p "$folder"
  "$@" || status=$?
  if ((status != 0)); then
    for one in ${made[@]+"${made[@]}"}; do rmdir "$one" 2>/dev/null || break; done
    exit "$status"
  fi
}

find_btm
