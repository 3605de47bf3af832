#!/usr/bin/env bash
# Sets up mfdata and runs its main job: installs what building needs, builds, makes a home, starts the loader, feeds
# it files, waits until they are archived, shows them, stops the loader. It may be run again at any time.
#
#   tools/quickstart.sh [DIR_WITH_FILES]     default: the sample files in tools/sample_data
#
# The home is made in $MFDATA_QUICKSTART_HOME (default: home/ in this checkout), the build in $MFDATA_BUILD (default: build/).
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/apt_packages.sh
files=${1:-tools/sample_data}
[ -d "$files" ] || { echo "quickstart: $files is no directory with files" >&2; exit 2; }
home=${MFDATA_QUICKSTART_HOME:-$PWD/home}
build=${MFDATA_BUILD:-$PWD/build}

apt_packages "${build_packages[@]}"
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" --quiet programs

"$build"/tools/mfdata init "$home" --plugins guess_file_type,switch,ungzip,archive
cat > "$home/etc/mfdata.toml" <<TOML
[data]
entry_step = "guess_file_type/main"  # tags what each file is, and passes it on to switch/main
[metrics]
listen = ""
TOML
cat > "$home/etc/plugins.d/archive.toml" <<TOML
[[switch_rules]]  # all but gzip, which ungzip takes: what it unpacks comes back to guess_file_type/main
type = "notbytes"
rules = { '\x1f\x8b\x08' = ["main"] }
TOML
before=$(find "$home/var/archive" -type f ! -name '*.tags' | wc -l)
"$build"/loader/mfdata-loader --home "$home" 2>"$home/log/quickstart.log" &
loader=$!
trap 'kill "$loader" 2>/dev/null || true; wait "$loader" 2>/dev/null || true' EXIT
for _ in $(seq 600); do "$build"/tools/mfdata status --home "$home" >/dev/null 2>&1 && break; sleep 0.1; done

# What does not end well is told on stderr, and counted below.
find "$files" -maxdepth 1 -type f -print0 | xargs -0 -r "$build"/tools/mfdata inject --home "$home" --wait --timeout 1h >/dev/null || true
count=$(find "$files" -maxdepth 1 -type f | wc -l)
archived=$(($(find "$home/var/archive" -type f ! -name '*.tags' | wc -l) - before))
echo
echo "$archived of $count files are in $home/var/archive:"
find "$home/var/archive" -type f ! -name '*.tags' -newer "$home/etc/mfdata.toml" | sort | sed -n 1,20p
example=$(find "$home/var/archive" -type f ! -name '*.tags' -newer "$home/etc/mfdata.toml" -print -quit)
echo
echo "the tags of one of them:"
"$build"/tools/mfdata tags print "$example"
"$build"/tools/mfdata stop --home "$home" >/dev/null
[ "$archived" -eq "$count" ] || { echo "quickstart: not every file reached the archive; see $home/log" >&2; exit 1; }
