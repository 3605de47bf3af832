#!/usr/bin/env bash
# The code that handles foreign bytes under the address and undefined-behaviour sanitizers: unit tests, and the
# behaviour tests of the flow, of the trash and of the plugins that read foreign files, all built so; two suites at a time. Each process
# reports to a file of its own (what workers print goes to logs that are removed); a leak that a worker makes on purpose
# shows that this is seen. Last line: N passed, N failed.
set -uo pipefail
cd "$(dirname "$0")/.."
directory=build-asan
[ -f $directory/build.ninja ] || meson setup $directory -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=0 -Ddebug=true || exit 1
ninja -C $directory || exit 1
asan=detect_leaks=1:abort_on_error=0:handle_segv=0 ubsan=halt_on_error=1:print_stacktrace=1
export MFDATA_BUILD=$PWD/$directory
logs=$(mktemp -d)
chmod 1733 "$logs" # some tests run as other users
trap 'rm -rf "$logs"' EXIT

# Not what the leak check says of a process that is killed meanwhile.
reported() { cat "$logs/$1".report.* 2>/dev/null | grep -qE 'ERROR: |runtime error:'; }

# check NAME COMMAND...: in the background, as soon as there is room; one that passes leaves the file NAME.passed.
check() {
  while [ "$(jobs -pr | wc -l)" -ge 2 ]; do wait -n; done
  {
    ASAN_OPTIONS=$asan:log_path=$logs/$1.report UBSAN_OPTIONS=$ubsan:log_path=$logs/$1.report "${@:2}" >"$logs/$1" 2>&1 &&
      { [ "$1" = control ] || ! reported "$1"; } && touch "$logs/$1.passed"
  } &
}

suites=(switch queue commands exec flow uncompress guess_file_type trash metrics) # the long ones first
check unit $directory/tests/unit/unit_tests
check harness $directory/tests/unit/harness_tests
for suite in "${suites[@]}"; do check "$suite" python3 "tests/behaviour/${suite}_test.py"; done
check rules python3 tests/rules/rules_test.py
check control python3 tests/sanitizer_control.py
wait
passed=0 failed=0
for name in unit harness "${suites[@]}" rules control; do
  if [ -f "$logs/$name.passed" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "$name:"
    tail -n 80 "$logs/$name"
    reported "$name" && tail -n 60 "$logs/$name".report.*
  fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
