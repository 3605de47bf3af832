#!/bin/sh
# One file through the step, as a loader's worker would treat it.
set -eu
cd "$(dirname "$0")"
sample=$(mktemp)
trap 'rm -f "$sample"' EXIT
printf 'hello\n' >"$sample"
out=$(mfdata-plugin run . "$sample" --step main) || true
echo "$out"
echo "$out" | grep -q '^result: ok'
echo "$out" | grep -q '^output: archive/main, 9 bytes'
