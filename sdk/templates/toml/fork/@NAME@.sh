#!/bin/sh
# The command of @NAME@ runs once for each file, in a scratch directory of its own. $1 is the file.
# Each line "FILEPATH: PATH" that it prints names a file that goes on; what it prints otherwise is logged.
set -eu
echo "lines: $(wc -l <"$1")" >report
echo "FILEPATH: $PWD/report"
