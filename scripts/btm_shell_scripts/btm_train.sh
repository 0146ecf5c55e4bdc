#!/usr/bin/env bash
# Trains a dense or seed LM, an ELM branched from a checkpoint, or a DeMIX model, as BTM's release
# does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/find_btm.sh"

usage() {
  cat <<'USAGE'
usage: btm_train.sh NAME NUM_GPUS ARCH EXPERIMENT DATA DOMAINS INIT_FOLDER SAVE_FOLDER SUBFOLDER
                    SEED_PHASE_SHARE SEED_PHASE_UPDATE_NUM RESET_DATALOADER NUM_UPDATES UPDATE_FREQ
                    LR SAVE_INTERVAL_UPDATES PORT WANDB_PROJECT BTM_CODE_PATH SEED RUN_ID
                    [MORE FLAGS OF btm train ...]

   1 NAME                   the project's name; a run from scratch goes to SAVE_FOLDER/NAME/RUN_ID
   2 NUM_GPUS               number of processes that train together
   3 ARCH                   transformer_lm, transformer_lm_gpt3_small, _medium, _large, _xl
   4 EXPERIMENT             dense, unbalanced, demix, branch
   5 DATA                   data-bin folder with a folder for each domain
   6 DOMAINS                one domain, or several, separated by commas
   7 INIT_FOLDER            the folder of the runs to branch from, or None to train from scratch
   8 SAVE_FOLDER            the folder for runs; a branch is saved in SAVE_FOLDER/RUN_ID
   9 SUBFOLDER              the run in INIT_FOLDER to branch from ('.': INIT_FOLDER itself)
  10 SEED_PHASE_SHARE       branch at this share of its updates, or None
  11 SEED_PHASE_UPDATE_NUM  branch at this update (-1: its last checkpoint), or None
  12 RESET_DATALOADER       True: a branch starts the data from the beginning; False: it continues
  13 NUM_UPDATES            number of updates of the whole schedule, including the seed phase
  14 UPDATE_FREQ            number of batches per update on each GPU
  15 LR                     highest learning rate
  16 SAVE_INTERVAL_UPDATES  number of updates between checkpoints
  17 PORT                   the port at which the processes meet
  18 WANDB_PROJECT          the name under which the run is logged
  19 BTM_CODE_PATH          the folder with btm_shell_scripts (ignored: the scripts find the program
                            themselves)
  20 SEED                   seed of all random choices
  21 RUN_ID                 the folder of this run

NUM_GPUS, NUM_UPDATES, UPDATE_FREQ, LR and SAVE_INTERVAL_UPDATES may be None. This takes the
release's value for ARCH (btm release). Run it again to continue from the last checkpoint.
USAGE
}

[[ $# -gt 0 && $1 != --help && $1 != -h ]] || {
  usage
  exit 0
}
(($# >= 21)) || die "$# arguments, expected 21 (see --help)"
name=$1 num_gpus=$2 arch=$3 experiment=$4 data=$5 domains=$6
init_folder=$7 save_folder=$8 subfolder=$9
shift 9
share=$1 update_num=$2 reset=$3 num_updates=$4 update_freq=$5
lr=$6 save_interval=$7 port=$8 wandb_project=$9
shift 9
seed=$2 run_id=$3 # $1, the folder of the code, is not needed
shift 3

# Sets an argument that is None to the release's value.
released() {
  if [[ $1 != None ]]; then
    printf '%s' "$1"
    return
  fi
  "$BTM" release --scale "$arch" --value "$2" ||
    die "$3 is None, and the release has no value for $arch"
}
[[ $experiment == *branch* ]] && gpus_key=branch_gpus || gpus_key=gpus
num_gpus=$(released "$num_gpus" "$gpus_key" NUM_GPUS)
num_updates=$(released "$num_updates" num_updates NUM_UPDATES)
update_freq=$(released "$update_freq" update_freq UPDATE_FREQ)
lr=$(released "$lr" lr LR)
save_interval=$(released "$save_interval" save_interval_updates SAVE_INTERVAL_UPDATES)

is_count "$num_gpus" && ((num_gpus > 0)) || die "NUM_GPUS '$num_gpus', expected a number above 0"
is_count "$num_updates" || die "NUM_UPDATES '$num_updates', expected a number"
case $experiment in
  *unbalanced* | *demix* | *dense* | *branch*) ;;
  *) die "EXPERIMENT '$experiment', expected dense, unbalanced, demix or branch" ;;
esac
if [[ $experiment == *branch* && $init_folder == None ]]; then
  die "EXPERIMENT branch needs INIT_FOLDER, found None"
fi

IFS=, read -r -a domain_names <<<"$domains"
((${#domain_names[@]} > 0)) || die "DOMAINS is empty"
if ((${#domain_names[@]} > 1)); then
  valid_subsets=$(printf ',valid_%s' "${domain_names[@]}")
  data_flags=("$data" --task multidomain_language_modeling --valid-subset "${valid_subsets:1}"
    --train-domains "$domains" --eval-domains "$domains" --criterion desynchronized_cross_entropy)
else
  data_flags=("$data/$domains" --task language_modeling --valid-subset "valid_$domains"
    --criterion cross_entropy)
fi

case $arch in
  *gpt3_small*) validate_interval=4000 ;;
  *gpt3_medium*) validate_interval=2000 ;;
  *gpt3_large*) validate_interval=1000 ;;
  *gpt3_xl*) validate_interval=500 ;;
  *transformer_lm*) validate_interval=6000 ;;
  *) die "ARCH '$arch', expected one of the transformer_lm architectures" ;;
esac
case $arch in
  *gpt3_large* | *gpt3_xl*) precision=--memory-efficient-fp16 ;;
  *) precision=--fp16 ;;
esac

require_domains "$data" "$domains"

# The first checkpoint of a branch. A run that has checkpoints continues, and nothing is reset.
if [[ $init_folder == None ]]; then
  save_folder=$save_folder/$name
else
  if [[ $share != None && $update_num != None ]]; then
    found="'$share' and '$update_num'"
    die "only one of SEED_PHASE_SHARE and SEED_PHASE_UPDATE_NUM can be set, found $found"
  elif [[ $share != None ]]; then
    phase=(--phase-one-ratio "$share")
  elif [[ $update_num != None ]]; then
    phase=(--phase-one-update-num "$update_num")
  else
    die "to branch, one of SEED_PHASE_SHARE and SEED_PHASE_UPDATE_NUM must be set"
  fi
  # From a DeMIX model, take the expert of the domain.
  if compgen -G "$init_folder/$subfolder/*-shared.pt" >/dev/null; then
    phase+=(--domain-id "$domains")
  fi
  branched=$("$BTM" branch --old-folder "$init_folder" --new-folder "$save_folder" \
    --subfolder "$subfolder" \
    --new-subfolder "$run_id" "${phase[@]}")
  printf '%s\n' "$branched"
  if [[ $branched == False ]]; then reset=False; fi
fi

optional_flags=("$precision")
if [[ $reset != False ]]; then optional_flags+=(--reset-dataloader); fi
if ((num_gpus > 1)); then
  optional_flags+=(--ddp-backend no_c10d --distributed-world-size "$num_gpus"
    --distributed-port "$port")
fi

# "A,B C,D": ranks A and B train one expert, C and D another.
demix_groups() {
  local experts=${#domain_names[@]} rank groups=''
  local size=$((num_gpus / experts))
  ((size > 0 && num_gpus % experts == 0)) ||
    die "NUM_GPUS $num_gpus is not a multiple of the $experts domains, each of which has an expert"
  # The release synchronizes at most 8 ranks.
  ((size <= 8)) || size=8
  for ((rank = 0; rank < num_gpus; ++rank)); do
    if ((rank > 0 && rank % size == 0)); then groups+=' '; elif ((rank > 0)); then groups+=,; fi
    groups+=$rank
  done
  printf '%s' "$groups"
}
case $experiment in
  *unbalanced*) optional_flags+=(--unbalanced) ;;
  *demix*)
    groups=$(demix_groups)
    optional_flags+=(--desynchronize --domain-parallel --sync-type manual
      --untie-parameters feedforward
      --data-parallel-groups "$groups" --pad-to-fixed-length)
    ;;
esac

export WANDB_NAME=$name/$run_id
exec "$BTM" train "${data_flags[@]}" \
  --arch "$arch" \
  --sample-break-mode none \
  --tokens-per-sample 1024 \
  --max-sentences 2 \
  --max-sentences-valid 2 \
  --required-batch-size-multiple 1 \
  --skip-invalid-size-inputs-valid-test \
  --optimizer adam \
  --adam-betas '(0.9, 0.95)' \
  --adam-eps 10e-8 \
  --weight-decay 0.1 \
  --clip-norm 0.1 \
  --lr-scheduler polynomial_decay \
  --lr "$lr" \
  --warmup-updates $((num_updates * 8 / 100)) \
  --total-num-update "$num_updates" \
  --max-update "$num_updates" \
  --update-freq "$update_freq" \
  --validate-interval-updates "$validate_interval" \
  --save-interval-updates "$save_interval" \
  --keep-interval-updates -1 \
  --no-epoch-checkpoints \
  --save-dir "$save_folder/$run_id" \
  --log-format simple \
  --log-interval 50 \
  --seed "$seed" \
  --wandb-project "$wandb_project" \
  "${optional_flags[@]}" \
  "$@"
