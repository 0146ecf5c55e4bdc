# shellcheck shell=bash disable=SC2034 # its variables are for the scripts that source it
# For the scripts beside it to source: sets BTM to the program, and has their common functions.

script_name=$(basename "$0")

die() {
  printf '%s: error: %s\n' "$script_name" "$1" >&2
  exit "${2:-2}"
}

# $BTM when it is set. Otherwise the program in the build folder, beside the scripts, or on the
# PATH.
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

# Splits "$@" at the first flag: words before it go to `positionals`, the rest to `more_flags`.
split_arguments() {
  positionals=() more_flags=()
  while (($# > 0)) && [[ $1 != --* ]]; do
    positionals+=("$1")
    shift
  done
  more_flags=("$@")
}

is_count() { [[ $1 =~ ^[0-9]+$ ]]; }

# A model that is a folder means its checkpoint_last.pt.
checkpoint_of() {
  if [[ -d $1 ]]; then printf '%s/checkpoint_last.pt' "${1%/}"; else printf '%s' "$1"; fi
}

# Dies unless DATA has a folder for each domain in NAME[,NAME...].
require_domains() {
  local data=$1 name names
  [[ -d $data ]] || die "$data: no such folder, expected a data-bin with a folder for each domain" 1
  IFS=, read -r -a names <<<"$2"
  for name in "${names[@]}"; do
    [[ -d $data/$name ]] || die "$data: no folder '$name' for this domain" 1
  done
}

# Runs a command that writes into FOLDER, and makes FOLDER with its parents. When the command fails,
# removes those that it made and that are empty.
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
