"""The benchmark: each scenario beside the ceiling, in turn, in one run (run.sh starts this; sizes and output there).

Exit status: 0 measured; 1 files were lost, duplicated or changed on their way through mfdata; 2 it could not measure.
Never for being slow. Temporary directories, mounts and processes go with it, also when it is interrupted.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "harness"))
import extremes
import filesystems
import load
import process_figures
import report
import scenarios
import targets
from harness import BUILD, MFDATA
from subjects import Ceiling, Mfdata
from verdicts import LostFiles, Unusable

RATE = 100            # files a second, for latencies
WARM_UP = 100         # files: the first ones pay for what is done once
LARGE_ROUNDS = 5      # of the large files
PORTION = 20000       # between two looks at the loader's memory
BY_HAND = "\n## Where the time goes\n"   # what stands from here on in an earlier report is kept


@dataclasses.dataclass(frozen=True)
class Size:
    small: bool
    rounds: int
    burst: int          # files
    burst_s: float      # seconds at most, as the warm-up goes: of what is slow, fewer files show as much
    rate_files: int
    growth_files: int   # 0: not measured
    backlog: int        # files; 0: not measured, nor large files


SIZES = {"short": Size(True, 1, 3000, 3, 100, 0, 20000), "normal": Size(False, 3, 20000, 3, 200, 200000, 1_000_000),
         "long": Size(False, 7, 20000, 20, 1000, 200000, 1_000_000)}


def measure(row, size, tools):
    """All rounds of one row: {"burst" or "rate": {subject: [Figures]}}."""
    measured = {"burst": {}, "rate": {}}
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(row.filesystem.directory())
        subjects = {"mfdata": stack.enter_context(contextlib.closing(Mfdata(row, base)))}
        for hops in row.scenario.ceilings:
            subjects[hops] = stack.enter_context(contextlib.closing(Ceiling(tools, hops, base)))
        content = row.scenario.content
        speed = {name: load.drive(tools, subject, WARM_UP, content=content).files_per_s for name, subject in subjects.items()}
        burst = min(size.burst, max(WARM_UP, int(speed["mfdata"] * size.burst_s)))
        for _ in range(size.rounds):
            for name, subject in subjects.items():
                if name == "relay":   # of interest where each wake-up counts
                    continue
                files = burst if name == "mfdata" else min(size.burst, subject.capacity)
                figures = load.drive(tools, subject, files, content=content)
                measured["burst"].setdefault(name, []).append(figures)
        for _ in range(size.rounds):
            for name, subject in subjects.items():
                measured["rate"].setdefault(name, []).append(load.drive(tools, subject, size.rate_files, RATE, content))
    return measured


def idle_memory(scenario, filesystem, tools):
    with filesystem.directory() as base, contextlib.closing(Mfdata(scenarios.Row(scenario, filesystem, "accepted", 1), base)) as subject:
        load.drive(tools, subject, WARM_UP)
        return process_figures.memory(subject.pid)


def growth(filesystem, size, tools):
    """[(files, RSS of the loader)] while many files pass."""
    row, sizes = scenarios.Row(scenarios.ONE_HOP, filesystem, "accepted", 1), []
    with filesystem.directory() as base, contextlib.closing(Mfdata(row, base)) as subject:
        load.drive(tools, subject, WARM_UP)
        for files in range(0, size.growth_files + 1, PORTION):
            if files:
                load.drive(tools, subject, PORTION)
            sizes.append((files, process_figures.rss_kib(subject.pid)))
    return sizes


def build_description():
    """Version and build type: figures of a debug or sanitizer build mean little."""
    version = subprocess.run([MFDATA, "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[-1]
    options = json.loads((BUILD / "meson-info/intro-buildoptions.json").read_text())
    shown = {one["name"]: one["value"] for one in options if one["name"] in ("buildtype", "b_sanitize")}
    return ", ".join([version, *(f"{name}={value}" for name, value in sorted(shown.items(), reverse=True))])


def run(arguments):
    size, load_before, started = SIZES[arguments.size], os.getloadavg()[0], time.monotonic()
    if load_before > 0.5 * os.cpu_count():
        say(f"the load average is {load_before:.2f}: other work on this machine will be in the figures")
    places = [filesystems.Tmpfs()] + ([] if size.small else [filesystems.disk()])
    rows = [row for row in scenarios.rows(places, size.small) if arguments.only in str(row)]
    if not rows:
        raise Unusable(f'no row of this size has "{arguments.only}" in its name')
    measured = {}
    for row in rows:
        measured[row] = measure(row, size, arguments.tools)
        own, ceiling = (report.speed(measured[row]["burst"][subject]) for subject in ("mfdata", 1))
        say(f"{row}: {own} files/s, the ceiling {ceiling}")
    if arguments.only:   # a part, to look at it: without what takes long and is the same for every row
        size = dataclasses.replace(size, growth_files=0, backlog=0)
    idle = {scenario.name: idle_memory(scenario, places[0], arguments.tools) for scenario in (scenarios.ONE_HOP, scenarios.THREE_HOPS)}
    details, singles = report.tables(measured, size) + report.memory(idle), {}
    if size.growth_files:
        sizes = growth(places[0], size, arguments.tools)
        singles["grown_kib"] = sizes[-1][1] - sizes[1][1]
        details += report.growth(sizes)
    if size.backlog:
        first_s, sizes = extremes.backlog(places[0], size.backlog)
        singles["backlog"] = size.backlog, first_s, max(kib for _, kib in sizes)
        files = extremes.large_files(places[0], LARGE_ROUNDS)
        singles["large"] = {bytes_: ms for scenario, _, bytes_, ms in files if scenario is extremes.SWITCHED}
        details += report.backlog(size.backlog, first_s, sizes) + report.large_files(files, LARGE_ROUNDS)
    text = report.header(arguments.command, build_description(), places, load_before) + targets.table(measured, arguments.tools, idle, **singles) + details
    if not size.small and not arguments.only:
        text += subprocess.run([BUILD / "tests/bench/rules_bench"], stdout=subprocess.PIPE, text=True, check=True).stdout
    print(text, flush=True)
    if arguments.out:
        out = pathlib.Path(arguments.out)
        _, heading, by_hand = out.read_text().partition(BY_HAND) if out.exists() else ("", "", "")
        out.write_text(text + heading + by_hand)
    say(f"done in {time.monotonic() - started:.0f} s")


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def end_orderly(number, _):
    """An exception, so that every context is left; once: a second signal must not interrupt that."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    say(f"ended by {signal.Signals(number).name}")
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(prog="run.sh", description="Measures mfdata beside the ceiling of the machine.")
    parser.add_argument("size", nargs="?", choices=SIZES, default="normal")
    parser.add_argument("--out", metavar="FILE.md", help="write the report there too; what stands there from \"Where the time goes\" on is kept")
    parser.add_argument("--only", metavar="WORDS", default="", help='rows that have it in their name: "one hop, tmpfs"')
    parser.add_argument("--tools", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    only = f" --only '{arguments.only}'" if arguments.only else ""
    arguments.command = f"tests/bench/run.sh {arguments.size}{only}"
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, end_orderly)
    try:
        run(arguments)
    except LostFiles as lost:
        say(f"FILES WERE LOST, DUPLICATED OR CHANGED: {lost}")
        sys.exit(lost.exit_status)
    except (Unusable, AssertionError) as reason:   # an assertion: the harness waited for something in vain
        say(str(reason))
        sys.exit(Unusable.exit_status)
    except Exception:
        traceback.print_exc()
        sys.exit(Unusable.exit_status)   # not Python's own 1: nothing was found lost


if __name__ == "__main__":
    main()
