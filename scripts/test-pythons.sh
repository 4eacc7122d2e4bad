#!/bin/bash
# Runs the tests that need neither root nor Mininet on each Python from 3.10 to 3.13 that is on the path or in pyenv.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

# Prints the first interpreter of this version that runs: pyenv's shim of a version that is not switched on does not.
find_interpreter() {
  local candidate
  for candidate in $(type -ap "python$1") "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if "$candidate" -c '' 2>/dev/null; then echo "$candidate"; return; fi
  done
}

environments=() discover=() lacking=()
for version in 3.10 3.11 3.12 3.13; do
  interpreter=$(find_interpreter "$version")
  if [[ -z $interpreter ]]; then lacking+=("$version"); continue; fi
  echo "found $("$interpreter" -V): $interpreter"
  environments+=("py${version/./}")
  discover+=(--discover "$interpreter")
done
[[ ${#lacking[@]} -eq 0 ]] || echo "not found, so not tested: Python ${lacking[*]}"
exec .venv/bin/python -m tox run "${discover[@]}" -e "$(IFS=,; echo "${environments[*]}")"
