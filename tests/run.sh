#!/usr/bin/env bash
# Sets up and runs every test: installs what they need, builds with warnings as errors, checks with clang, runs unit,
# behaviour and protocol tests, short campaigns, and the sanitizers. Last line: N passed, N failed; before it the ends of
# the logs of what failed (all of them: build-test/test-logs/).
#
#   tests/run.sh            everything
#   tests/run.sh WORD ...   only the suites whose name contains one of the words
set -uo pipefail
cd "$(dirname "$0")/.."
source tools/apt_packages.sh
apt_packages "${build_packages[@]}" clang libclang-rt-14-dev python3 strace attr util-linux e2fsprogs xfsprogs procps git file zstd minisign tzdata make cargo abigail-tools pyflakes3 || exit 1

started=$SECONDS
logs=build-test/test-logs
only=("$@")
rm -rf "$logs"
mkdir -p "$logs"

wanted() { [ ${#only[@]} -eq 0 ] || grep -qF -f <(printf '%s\n' "${only[@]}") <<<"$1"; }

# NAME COMMAND...: the command ends with a line "N passed, N failed[, N skipped]", which becomes NAME.counts.
run() {
  local name=$1 log="$logs/$1.log" began=$SECONDS line code=0 p f s
  "${@:2}" >"$log" 2>&1 || code=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  [ -n "$line" ] || line="0 passed, 1 failed"
  [ $code -eq 0 ] || [[ $line != *" 0 failed"* ]] || line="${line/ 0 failed/ 1 failed}"
  p=${line%% passed*} f=${line#*passed, } f=${f%% failed*} s=$(grep -oE '[0-9]+ skipped' <<<"$line" | grep -oE '^[0-9]+')
  echo "$name $p $f ${s:-0}" >"$logs/$name.counts"
  printf '%-28s %5s passed %3s failed %3s skipped %5s s\n' "$name" "$p" "$f" "${s:-0}" $((SECONDS - began))
}

# What ends without its counts, killed for example, has failed.
begin() { echo "$1 0 1 0" >"$logs/$1.counts"; }

# A suite that mostly waits: two of them at a time.
suite() {
  wanted "$1" || return 0
  begin "$1"
  while [ "$(jobs -pr | wc -l)" -ge 2 ]; do wait -n; done
  run "$@" &
}

# One that keeps all processors busy, or whose moments matter.
alone() {
  wanted "$1" || return 0
  begin "$1"
  wait
  run "$@"
}

# doctest's summary as ours.
unit_tests() {
  local out
  local code=0
  out=$("$1" 2>&1) || code=$?
  echo "$out"
  sed -nE 's/.*test cases: *[0-9]+ *\| *([0-9]+) passed *\| *([0-9]+) failed *\| *([0-9]+) skipped.*/\1 passed, \2 failed, \3 skipped/p' <<<"$out"
  return $code
}

build_with() {
  local directory=$1
  shift
  [ -f "$directory/build.ninja" ] || meson setup "$directory" -Dwerror=true "$@" || return 1
  ninja -C "$directory" && echo "1 passed, 0 failed"
}

# Names in Python that are not there: found before the test that needs them runs.
python_names() { git ls-files -z '*.py' | xargs -0 pyflakes3 && echo "1 passed, 0 failed"; }

# The benchmark fails when a file is lost or comes twice, never on speed. What an earlier report has by hand stays in it.
bench() {
  local report=$logs/bench.md
  printf 'old tables\n\n## Where the time goes\n\nby hand\n' >"$report"
  tests/bench/run.sh short --out "$report" || return 1
  if grep -qx 'by hand' "$report" && grep -qx '## Latency at 100 files/s' "$report" && ! grep -qx 'old tables' "$report"; then
    echo "2 passed, 0 failed"
  else
    echo "1 passed, 1 failed: $report is not the new tables with what stood below the old ones"
  fi
}

export MFDATA_BUILD=$PWD/build-test
run build build_with build-test
if ! grep -q '^build 1 0 ' "$logs/build.counts"; then
  tail -n 60 "$logs/build.log"
  echo "the build failed"
  echo "0 passed, 1 failed"
  exit 1
fi
suite unit unit_tests build-test/tests/unit/unit_tests
suite harness-unit unit_tests build-test/tests/unit/harness_tests
suite python-names python_names
suite sdk-header tests/sdk/header_test.sh
suite abi python3 tests/sdk/abi_test.py
suite abi-matrix python3 tests/sdk/abi_matrix.py
for test in tests/behaviour/*_test.py; do suite "$(basename "$test" _test.py)" python3 "$test"; done
suite flows python3 tests/flows/run_flows.py
suite rules python3 tests/rules/rules_test.py
suite documents python3 tests/documents_test.py
suite model-trace python3 tests/model/trace_test.py
alone model-quick python3 tests/model/model_test.py --quick
alone model-controls python3 tests/model/model_test.py --controls
alone kill-sweep python3 tests/sweep/kill_sweep.py
alone kill-sweep-death python3 tests/sweep/kill_sweep.py --death
alone kill-sweep-accepted python3 tests/sweep/kill_sweep.py --durability accepted pass rewrite fan deliver far claim deposit foreign foreign-mount
alone kill-sweep-second python3 tests/sweep/kill_sweep.py --second --every 4 pass crash-limit
alone kill-sweep-control python3 tests/sweep/kill_sweep.py --control
alone kill-storm python3 tests/campaigns/kill_storm.py --kills 60 --seed 1
alone kill-storm-control python3 tests/campaigns/kill_storm.py --control --seed 5
alone standard-flow python3 tests/campaigns/standard_flow.py --files 2000 --kills 60 --seed 1
alone standard-flow-control python3 tests/campaigns/standard_flow.py --control --seed 5
alone power-cut python3 tests/campaigns/power_cut.py --cuts 1 --seed 1
alone power-cut-control python3 tests/campaigns/power_cut.py --control --seed 3 --cuts 60
alone bench bench
alone clang python3 tests/clang_check.py build-test
alone fuzz tests/fuzz/run.sh 30
alone sanitizers tests/sanitizers.sh
wait

passed=0 failed=0 skipped=0 failures=()
while read -r name p f s; do
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  [ "$f" -eq 0 ] || failures+=("$name")
done < <(cat "$logs"/*.counts)
for name in "${failures[@]}"; do
  echo "---- $name: the end of $logs/$name.log"
  tail -n 60 "$logs/$name.log"
done
echo "$((SECONDS - started)) s in all, $skipped skipped${failures:+; failed: ${failures[*]}}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
