#!/bin/bash
# How fast and how small mfdata is, beside what bare system calls reach on the same machine in the same minutes.
#
#   tests/bench/run.sh [short|normal|long] [--out FILE.md] [--only WORDS]
#
# short: under a minute, tmpfs only, to see that it works; normal (the default): some minutes; long: more rounds.
# Prints a Markdown report; in FILE.md, what stands from "Where the time goes" on is kept. Exit status: 0 measured, 1 files
# were lost or duplicated, 2 it could not run; never for being slow. MFDATA_BUILD names the build directory (default: build/ of
# the project). As root it measures on a fresh ext4 image as well, otherwise on a directory of the working filesystem. Give
# it a quiet machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
build=${MFDATA_BUILD:-$project/build}

plugins=tests/bench/plugins
for needed in loader/mfdata-loader tools/mfdata $plugins/fanout/fanout.so $plugins/rewrite/rewrite.so; do
  if [[ ! -e $build/$needed ]]; then
    echo "run.sh: $build holds no $needed. Make it, in $project: meson setup build && ninja -C build" >&2
    echo "run.sh: or name another build directory: MFDATA_BUILD=DIR tests/bench/run.sh" >&2
    exit 2
  fi
done

tools=$build/tests/bench
cc -O2 -Wall -pthread -o "$tools/loadgen" "$here/loadgen.c" || exit 2
cc -O2 -Wall -o "$tools/ceiling" "$here/ceiling.c" || exit 2
cc -O2 -Wall -o "$tools/relay" "$here/relay.c" -lmagic || exit 2
cc -O2 -Wall -o "$tools/magic_bench" "$here/magic_bench.c" -lmagic || exit 2
MFDATA_BUILD=$build exec python3 "$here/bench.py" --tools "$tools" "$@"
