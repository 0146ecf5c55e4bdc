#!/usr/bin/env bash
# Branches from a checkpoint and continues training. Takes the 21 arguments of btm_train.sh. (The
# release's script of this name counts its arguments wrongly and calls files that do not exist. Its
# README documents btm_train.sh ... branch ... instead.)
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/find_btm.sh"
[[ $# -gt 0 && $1 != --help && $1 != -h ]] || exec bash "$here/btm_train.sh" --help
(($# >= 21)) || die "$# arguments, expected 21 (see --help)"
[[ $7 != None ]] ||
  die "INIT_FOLDER (argument 7) is None, expected the folder of the checkpoint to branch from"
exec bash "$here/btm_train.sh" "${@:1:3}" branch "${@:5}"
