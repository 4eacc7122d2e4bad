#!/bin/bash
# Record the runs that the notebooks of the course read, results/reference/labs: about 15 minutes, as root.
# The seed is fixed, so that the faults meet the same phases again. Given names of labs, only theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=results/reference/labs
LABS=${*:-02 03 04 05 06 07}

record() { # LAB NAME WORDS...: one run or series, moved to OUT/LAB/NAME
  local folder="$OUT/$1/$2" draft
  [[ " $LABS " == *" ${1%%-*} "* ]] || return 0
  echo "lab-runs: $1/$2"
  draft=$(mktemp -d)
  .venv/bin/carplab run "${@:3}" --seed 2005 --no-analysis --quiet --out "$draft"
  mkdir -p "$OUT/$1"
  rm -rf "$folder"
  mv "$draft"/*/* "$folder"
  rm -r "$draft"
}

# Linux bridges, with which a busy processor disturbs a run least; a switch of another kind where that is the question.
INSIDE="--set segment.inside=bridge"
BRIDGES="--set segment.outside=bridge $INSIDE"
SHORT="--quick --iperf none --probe-interval 5 $BRIDGES"

lab=02-timers-and-skew
for skew in 50 100 200; do
  record $lab skew-$skew crash $SHORT --set fw2.advskew=$skew --repeat 4
done
record $lab advbase-2 crash $SHORT --set advbase=2 --repeat 4

lab=03-preemption
record $lab crash crash $SHORT
record $lab crash-no-preempt crash $SHORT --set preempt=no
record $lab cable cable-pull $SHORT
record $lab cable-no-preempt cable-pull $SHORT --set preempt=no
record $lab cable-no-preempt-2005 cable-pull $SHORT --set preempt=no --dialect openbsd-3.8

lab=04-carrier-or-silence
for condition in link-down blackhole deaf mute hang; do
  record $lab $condition silence --condition $condition $BRIDGES
done

lab=05-split-on-recovery
record $lab plain mail-c3-restored --condition plain $BRIDGES
for condition in stp stp-edge; do
  record $lab $condition mail-c3-restored --condition $condition $INSIDE
done
record $lab link-up-delay mail-cures --condition link-up-delay $INSIDE

lab=06-arp-balancing
for dialect in openbsd openbsd-3.8; do
  record $lab $dialect mail-c5-balanced --condition plain --dialect $dialect $BRIDGES
done

lab=07-nat-and-state
for condition in none-crash static-crash synced-crash client-loose; do
  record $lab $condition mail-c0-nat --condition $condition --dialect openbsd-3.8 $BRIDGES
done
