#!/usr/bin/env bash
# Evaluates one model on one domain.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/find_btm.sh"

usage() {
  cat <<'USAGE'
usage: eval_pipeline.sh DATA MODEL_FOLDER [CHECKPOINT_FILE] SPLIT DOMAIN
                        [MORE FLAGS OF btm eval-lm ...]

  DATA             data-bin folder with a folder for each domain
  MODEL_FOLDER     the folder of a run
  CHECKPOINT_FILE  a file in it (default: checkpoint_last.pt)
  SPLIT            valid or test
  DOMAIN           the domain to evaluate: the split is SPLIT_DOMAIN

Prints the loss and the perplexity, and writes them to MODEL_FOLDER/evals/DOMAIN/test_results.txt
as JSON.
USAGE
}

[[ $# -gt 0 && $1 != --help && $1 != -h ]] || {
  usage
  exit 0
}
split_arguments "$@"
case ${#positionals[@]} in
  4) positionals=("${positionals[@]:0:2}" checkpoint_last.pt "${positionals[@]:2}") ;;
  5) ;;
  *) die "${#positionals[@]} arguments, expected 4 or 5 (see --help)" ;;
esac
data=${positionals[0]} model_folder=${positionals[1]} checkpoint=${positionals[2]}
split=${positionals[3]} domain=${positionals[4]}

require_domains "$data" "$domain"
[[ -f $model_folder/$checkpoint ]] || die "$model_folder/$checkpoint: no such file" 1
results_folder=$model_folder/evals/$domain
with_folder "$results_folder" "$BTM" eval-lm "$data" \
  --path "$model_folder/$checkpoint" \
  --gen-subset "${split}_$domain" \
  --task multidomain_language_modeling \
  --eval-domains "$domain" \
  --sample-break-mode none \
  --tokens-per-sample 1024 \
  --batch-size 2 \
  --overwrite \
  --results-path "$results_folder/test_results.txt" --overwrite \
  ${more_flags[@]+"${more_flags[@]}"}
