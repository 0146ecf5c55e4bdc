# shellcheck shell=bash
# Sorts the project's sources by language, for scripts/format and scripts/lint, which source it.

# list_sources: prints every file of the project, one per line. Without git it looks into the
# folders.
list_sources() {
  git ls-files --cached --others --exclude-standard 2>/dev/null ||
    find . \( -path './.git' -o -path './build*' -o -path './*-out' \) -prune \
      -o -type f -printf '%P\n'
}

# sort_sources FILE...: fills the arrays cxx, python and shell.
sort_sources() {
  local file
  cxx=() python=() shell=()
  for file; do
    [ -f "$file" ] || continue # deleted, but git still lists it
    case $file in
      *.cpp | *.h) cxx+=("$file") ;;
      *.py) python+=("$file") ;;
      *.sh) shell+=("$file") ;;
      *.*) ;;
      *)
        case $(head -n 1 "$file" | tr -d '\0') in
          '#!'*python*) python+=("$file") ;;
          '#!'*sh) shell+=("$file") ;;
        esac
        ;;
    esac
  done
}
