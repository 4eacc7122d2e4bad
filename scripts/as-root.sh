#!/bin/bash
# as-root.sh COMMAND ARGUMENT... - runs COMMAND in the checkout as root, by sudo where that is needed, and gives the
# files that root made in a user's checkout to that user. Returns COMMAND's exit code.
set -u
cd "$(dirname "$0")/.." || exit 1
owner=$(stat -c %u:%g .)
sudo=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "this needs root, and there is no sudo: run it as root" >&2; exit 1; }
  sudo=(sudo)
fi
# A Ctrl-C is for the command, which has something to clean up; this script waits for it.
trap : INT TERM
"${sudo[@]}" env PYTHONDONTWRITEBYTECODE=1 "$@"
code=$?
if [[ $owner != 0:0 ]]; then
  "${sudo[@]}" find . -xdev -path ./.git -prune -o -user 0 -exec chown -h "$owner" {} +
fi
exit $code
