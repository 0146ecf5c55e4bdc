#!/usr/bin/env bash
# Evaluates an ensemble of experts. Its weights are the domain posterior, estimated on validation
# data first.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/find_btm.sh"

types=(cached_prior updating_prior uniform_prior simple_average cluster_prior clustering
  product_of_experts bayes)
printf -v type_list ', %s' "${types[@]}"
type_list=${type_list:2}

usage() {
  cat <<USAGE
usage: ensemble_eval.sh NUM_EXPERTS DATA MODELS DOMAIN ENSEMBLE_TYPE RESULTS_FOLDER [TOP_K]
                        [MORE FLAGS OF btm ensemble-eval ...]

  NUM_EXPERTS     number of MODELS
  DATA            data-bin folder with a folder for each domain
  MODELS          checkpoints, or folders with a checkpoint_last.pt, separated by colons
  DOMAIN          the domain to evaluate: valid_DOMAIN for the posterior, then test_DOMAIN
  ENSEMBLE_TYPE   $type_list
                  (cluster_prior, clustering and product_of_experts need --cluster-model at the
                  end)
  RESULTS_FOLDER  folder for dev_posteriors.jsonl and test_results.txt: a line of JSON per batch
  TOP_K           keep only the TOP_K most probable experts (default: all)
USAGE
}

[[ $# -gt 0 && $1 != --help && $1 != -h ]] || {
  usage
  exit 0
}
split_arguments "$@"
set -- ${positionals[@]+"${positionals[@]}"}
(($# == 6 || $# == 7)) || die "$# arguments, expected 6 or 7 (see --help)"
num_experts=$1 data=$2 domain=$4 ensemble_type=$5 results_folder=$6 top_k=${7:-}
IFS=: read -r -a models <<<"$3"
is_count "$num_experts" && ((num_experts == ${#models[@]})) ||
  die "NUM_EXPERTS is '$num_experts', but MODELS are ${#models[@]}: $3"
[[ ", $type_list," == *", $ensemble_type,"* ]] ||
  die "ENSEMBLE_TYPE '$ensemble_type', expected one of $type_list"
[[ -z $top_k ]] || is_count "$top_k" || die "TOP_K '$top_k', expected a number"
require_domains "$data" "$domain"
path=''
for model in "${models[@]}"; do
  checkpoint=$(checkpoint_of "$model")
  [[ -f $checkpoint ]] || die "$checkpoint: no such file" 1
  path+=${path:+:}$checkpoint
done

# One GPU per expert when there are enough. Otherwise one process runs the experts in turn, with the
# same numbers.
ranks=()
gpus=$(nvidia-smi -L 2>/dev/null | wc -l) || gpus=0
if ((gpus >= num_experts && num_experts > 1)); then
  ranks=(--distributed-world-size "$num_experts" --distributed-port "${BTM_PORT:-12345}")
fi

evaluate() {
  local split=$1 results=$2
  shift 2
  with_folder "$results_folder" "$BTM" ensemble-eval "$data" \
    --path "$path" \
    --gen-subset "${split}_$domain" \
    --target-eval "${split}_$domain" \
    --eval-domains "$domain" \
    --task multidomain_language_modeling \
    --sample-break-mode none \
    --tokens-per-sample 1024 \
    --batch-size 2 \
    --log-format tqdm \
    --log-interval 50 \
    --results-path "$results" --overwrite \
    ${ranks[@]+"${ranks[@]}"} \
    "$@" \
    ${more_flags[@]+"${more_flags[@]}"}
}

posteriors=$results_folder/dev_posteriors.jsonl
evaluate valid "$posteriors" --ensemble-type updating_prior --max-samples 100

prior=$(tail -n 1 "$posteriors" |
  sed -n 's/.*"exp_avg_posterior": *\[\([^]]*\)\].*/\1/p' | tr -d ' ')
[[ -n $prior ]] || die "$posteriors: its last line has no exp_avg_posterior" 1
flags=(--ensemble-type "$ensemble_type")
if [[ $ensemble_type == cached_prior ]]; then flags+=(--precomputed-prior "$prior"); fi
if [[ -n $top_k ]]; then flags+=(--eval-topk "$top_k"); fi
evaluate test "$results_folder/test_results.txt" "${flags[@]}"
