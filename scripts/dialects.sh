#!/bin/bash
# Ten cable pulls and ten crashes in each dialect of CARP, and the page that compares them: about 20 minutes.
# Run by `make dialects`, as root. The seed is fixed: each dialect meets the same phases.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-results/dialects}
for experiment in cable-pull crash; do
  for dialect in openbsd-3.8 openbsd freebsd; do
    echo "dialects: $experiment, $dialect"
    .venv/bin/carplab run "$experiment" --quick --dialect "$dialect" --repeat 10 --seed 2005 --quiet --out "$OUT/$dialect"
  done
done
.venv/bin/carplab report "$OUT"
