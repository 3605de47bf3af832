#!/bin/sh
# One file goes through the step, as a loader's worker would process it.
set -eu
cd "$(dirname "$0")"
sample=$(mktemp)
trap 'rm -f "$sample"' EXIT
printf 'hello\n' >"$sample"
out=$(mfdata-plugin run . "$sample" --step main) || true
echo "$out"
echo "$out" | grep -q '^result: ok'
echo "$out" | grep -q '^output: {home}/var/@NAME@/.*, 6 bytes'
