#!/usr/bin/env bash
# Builds the fuzz targets with clang, address and undefined-behaviour sanitizers, and runs each for SECONDS (default
# 30). A finding is left in the working directory of the target, and fails the run. Last line: N passed, N failed.
#   tests/fuzz/run.sh [SECONDS] [TARGET ...]     targets: context name protocol config
#                                              package signature elf
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-30}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(context name protocol config package signature elf)
work=${MFDATA_FUZZ_DIR:-$PWD/build-fuzz}
mkdir -p "$work"
flags=(-std=c++20 -O1 -g -D_GNU_SOURCE -DMFDATA_LIBDIR=\"lib\" -Ilibmfdata/include -Ilibmfdata/packages -Iloader -Isdk/include -fsanitize=address,undefined -fno-sanitize-recover=all)
sources=(libmfdata/src/{result,printable,tag_set,context,crc32c,spool_name,config_value,config_rules,version,home,child_process}.cpp loader/wire/worker_protocol.cpp
  libmfdata/packages/{package,package_names,signature,elf_library}.cpp)
# compile SOURCE OBJECT FLAG...: in the background; two at a time.
compile() {
  while [ "$(jobs -pr | wc -l)" -ge 2 ]; do wait -n; done
  rm -f "$2"  # an earlier one would be linked if this fails
  clang++ "${flags[@]}" "${@:3}" -c "$1" -o "$2" &
}
objects=()
for source in "${sources[@]}"; do
  object="$work/$(basename "$source" .cpp).o"
  objects+=("$object")
  if [ "$source" -nt "$object" ] || [ tests/fuzz/run.sh -nt "$object" ]; then compile "$source" "$object" -fsanitize=fuzzer-no-link; fi
done
# toml11 is too slow to compile with everything on: without optimisation, and it is itself foreign code.
compile libmfdata/src/toml_reader.cpp "$work/toml_reader.o" -O0 -fsanitize=fuzzer-no-link
compile libmfdata/src/disk.cpp "$work/disk.o"
wait

# Leaves the file passed_TARGET when there is no finding.
run() {
  local target=$1
  clang++ "${flags[@]}" -fsanitize=fuzzer -DFUZZ_TARGET="$target" tests/fuzz/fuzz.cpp "${objects[@]}" "$work/toml_reader.o" "$work/disk.o" \
    -lsodium -larchive -lelf -lboost_filesystem -o "$work/fuzz_$target"
  mkdir -p "$work/corpus_$target"
  cp -n tests/fuzz/seeds/"$target"/* "$work/corpus_$target/" 2>/dev/null || true
  (cd "$work" && "./fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 "corpus_$target" > "fuzz_$target.log" 2>&1)
  touch "$work/passed_$target"
}
for target in "${targets[@]}"; do
  while [ "$(jobs -pr | wc -l)" -ge 2 ]; do wait -n || true; done
  rm -f "$work/passed_$target"
  run "$target" &
done
wait
passed=0 failed=0
for target in "${targets[@]}"; do
  if [ -e "$work/passed_$target" ]; then
    passed=$((passed + 1))
    echo "$target: $(grep -o 'stat::number_of_executed_units: *[0-9]*' "$work/fuzz_$target.log" | grep -o '[0-9]*') inputs, no finding"
  else
    failed=$((failed + 1))
    echo "$target: FAILED, see $work/fuzz_$target.log"
    tail -n 30 "$work/fuzz_$target.log"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
