"""One load on one subject: files in by loadgen.c, every output checked, then removed. The figures of what was in order.

loadgen watches the last of the output directories. A file with a companion counts when the file is there: mfdata
links the companion into place before it, which loadgen's watch does not report; that each has one is checked here.
"""
import dataclasses
import itertools
import json
import os
import subprocess
import time

from harness import wait_for
from verdicts import Unusable

SIZE = 4096
GIVE_UP_S = 120   # without an arrival
_runs = itertools.count(1)


@dataclasses.dataclass
class Figures:
    files: int
    files_per_s: float
    cpu_ms: float      # a file
    p50_ms: float
    p99_ms: float
    events: bool       # the arrivals were seen as they happened; otherwise latencies are too long


def drive(tools, subject, files, rate=0, content="png"):
    """`files` files at `rate` a second (0: as fast as they can be made). Raises the loss of the subject."""
    prefix = f"r{next(_runs)}-"   # names of its own: a late duplicate of an earlier run is noticed
    before, start = subject.cpu_seconds(), time.monotonic()
    generator = subprocess.run(
        [tools / "loadgen", "--in", subject.incoming, "--out", subject.outputs[-1], "-n", str(files),
         "--size", str(SIZE), "--rate", str(rate), "--content", content, "--prefix", prefix,
         "--timeout", str(GIVE_UP_S), "--keep"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if generator.returncode not in (0, 1):
        raise Unusable(f"loadgen failed: {generator.stderr}")
    result = json.loads(generator.stdout)
    seconds = result["total_s"]
    if generator.returncode == 0 and not complete(subject, files):   # the other outputs of a fan-out end a moment later
        try:
            wait_for(lambda: complete(subject, files), "all outputs", GIVE_UP_S)
        except AssertionError:
            pass
        seconds = time.monotonic() - start
    try:
        wait_for(subject.at_rest, "nothing under way", GIVE_UP_S)
    except AssertionError:
        pass   # check() says what is missing; what is in excess may be what is still under way
    cpu_ms = (subject.cpu_seconds() - before) / files * 1000
    check(subject, prefix, files, generator)
    latency = result["lat_ms"]
    return Figures(files, files / seconds, cpu_ms, latency["p50"], latency["p99"],
                   events=not result["rescued"] and not result["overflows"])


def complete(subject, files):
    wanted = files * (2 if subject.companion else 1)
    return all(len(os.listdir(directory)) >= wanted for directory in subject.outputs)


def check(subject, prefix, files, generator):
    """That each output directory holds each file once, whole, and nothing else; it is empty afterwards."""
    problems = []
    for directory in subject.outputs:
        found = {entry.name: entry.stat().st_size for entry in os.scandir(directory)}
        wanted = {f"{prefix}{number:07d}" for number in range(files)}
        companions = {name + subject.companion for name in wanted} if subject.companion else set()
        wrong = {"lost": wanted - found.keys(), "without its companion": companions - found.keys(),
                 "twice, or foreign": found.keys() - wanted - companions,
                 "not of its size": {name for name in wanted & found.keys() if found[name] != SIZE},
                 "an empty companion": {name for name in companions & found.keys() if found[name] == 0}}
        problems += [f"{directory.name}: {len(names)} {what}: {sorted(names)[:3]}"
                     for what, names in wrong.items() if names]
        for name in found:
            os.unlink(directory / name)
    if generator.returncode != 0 and not problems:
        problems.append("loadgen missed files that are there")
    if not subject.at_rest():
        problems.append("files are still in the spool")
    if problems:
        raise subject.loss(f"{files} files in, and of these:\n  " + "\n  ".join(problems)
                        + f"\n  loadgen: {generator.stdout.strip()}{generator.stderr.strip()}\n{subject.trouble()}")
