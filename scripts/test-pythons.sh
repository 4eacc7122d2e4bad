#!/bin/bash
# Runs the tests that need neither root nor Mininet on each Python from 3.10 to 3.13 that is on the path or in pyenv.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

# Prints the first interpreter of this version that runs (a shim of pyenv's may not), as it calls itself.
find_interpreter() {
  local candidate
  for candidate in $(type -ap "python$1") "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if "$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null; then return; fi
  done
}

environments=() interpreters=() lacking=()
for version in 3.10 3.11 3.12 3.13; do
  interpreter=$(find_interpreter "$version")
  if [[ -z $interpreter ]]; then lacking+=("$version"); continue; fi
  echo "found $("$interpreter" -V): $interpreter"
  environments+=("py${version/./}")
  interpreters+=("$interpreter")
done
[[ ${#lacking[@]} -eq 0 ]] || echo "not found, so not tested: Python ${lacking[*]}"
[[ ${#environments[@]} -gt 0 ]] || exit 1
exec .venv/bin/python -m tox run --discover "${interpreters[@]}" -e "$(IFS=,; echo "${environments[*]}")"
