#!/usr/bin/env bash
# mfdata/plugin.h and harness.h compile alone, and their C++ headers, in every language version they promise, with both compilers
# and without a warning. Last line: N passed, N failed.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
try() {
  local output
  if output=$(echo "#include <mfdata/$1>" | "${@:2}" -Wall -Wextra -pedantic -Werror -Isdk/include -fsyntax-only - 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "$*: $output"
  fi
}
for standard in c99 c11 c17; do
  for compiler in gcc clang; do
    for header in plugin.h harness.h; do try "$header" "$compiler" -x c "-std=$standard"; done
  done
done
for standard in c++11 c++14 c++17 c++20; do
  for compiler in g++ clang++; do
    for header in plugin.h harness.h; do try "$header" "$compiler" -x c++ "-std=$standard"; done
  done
done
for standard in c++17 c++20; do
  for compiler in g++ clang++; do try harness.hpp "$compiler" -x c++ "-std=$standard"; done
done
for header in plugin.hpp bytes_pattern.hpp python_regex.hpp python_regex_classes.hpp command.hpp content.hpp coprocess.hpp naming.hpp routing.hpp uncompress.hpp wall_clock.hpp; do
  for compiler in g++ clang++; do try "$header" "$compiler" -x c++ -std=c++20; done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
