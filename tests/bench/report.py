"""The figures as Markdown."""
import datetime
import os
import pathlib
import platform
import statistics

BURST = """
## Bursts

Files of 4 KiB (with a PNG header where nothing else is said), as fast as one thread can make them: {files}, but no more than {seconds:g} s take,
and into a ceiling no more than its inotify queue holds. files/s: median (lowest to highest), mfdata and the ceilings in
turn, rounds: {rounds}. CPU: of the loader and its workers, of the ceiling; not of the generator, nor of the kernel's own
threads. Only one hop has an exact ceiling; two stand between one and three.

| scenario | filesystem | durability | workers a step | files | files/s | CPU ms a file | ceiling, 1 hop | its CPU ms | ratio | ceiling, 3 hops | its CPU ms | ratio |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""
LATENCY = """
## Latency at 100 files/s

From the rename into the watched directory to the event of the output (of a fan-out: the last directory's); medians,
{files} files a round, rounds: {rounds}. Relay: the three hops of the ceiling by a dispatcher and a process for each step, with libmagic in the first.

| scenario | filesystem | durability | workers a step | p50 ms | p99 ms | ceiling, 1 hop: p50 | p99 | ratio of p99 | ceiling, 3 hops: p50 | p99 | ratio of p99 | relay: p50 | p99 | ratio of p99 |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""
NONE = ["-"] * 3
NOT_SEEN = "\\* A round in which the generator found files by listing: its latencies are too long.\n"


def header(command, build, filesystems, load_before):
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    lines = [f"- {os.cpu_count()} cores, {model}; Linux {platform.release()}",
             *(f"- {one.description}" for one in filesystems),
             f"- {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}; mfdata {build}",
             f"- load average before {load_before:.2f}, at the end {os.getloadavg()[0]:.2f} (this run's own included)",
             f"- to repeat it: `{command}`"]
    return "# Benchmark of mfdata\n\n" + "\n".join(lines) + "\n"


def tables(measured, size):
    """`measured`: row -> {"burst" or "rate": {subject: [Figures of each round]}}; subjects are "mfdata", 1, 3 and "relay"."""
    text = BURST.format(files=size.burst, seconds=size.burst_s, rounds=size.rounds)
    text += "".join(burst_line(row, figures["burst"]) for row, figures in measured.items())
    text += LATENCY.format(files=size.rate_files, rounds=size.rounds)
    text += "".join(latency_line(row, figures["rate"]) for row, figures in measured.items())
    unseen = any(mark(rounds) for figures in measured.values() for rounds in figures["rate"].values())
    ways = {row.scenario: None for row in measured}
    return text + ("\n" + NOT_SEEN if unseen else "") + "\n## Scenarios\n\n" + "".join(
        f"- **{one.name}**: {one.way}.\n" for one in ways)


def burst_line(row, figures):
    own = figures["mfdata"]
    cells = [str(own[0].files), f"{speed(own)}{spread(own)}", f"{cpu(own):.3f}"]
    for rounds in (figures.get(1), figures.get(3)):
        cells += [f"{speed(rounds)}", f"{cpu(rounds):.3f}", f"{speed(own) / speed(rounds):.2g}"] if rounds else NONE
    return line(row, cells)


def latency_line(row, figures):
    own = figures["mfdata"]
    cells = [f"{p50(own):.2f}", f"{p99(own):.2f}{mark(own)}"]
    for rounds in (figures.get(1), figures.get(3), figures.get("relay")):
        cells += ([f"{p50(rounds):.2f}", f"{p99(rounds):.2f}{mark(rounds)}", f"{p99(own) / p99(rounds):.1f}"]
                  if rounds else NONE)
    return line(row, cells)


def memory(homes):
    """`homes`: name of the scenario -> its processes."""
    text = "\n## Idle memory\n\nOne worker a step, after 100 files.\n\n| scenario | process | PSS MB | RSS MB |\n|---|---|---|---|\n"
    for name, processes in homes.items():
        text += "".join(f"| {name} | {one.name} | {one.pss_kib / 1024:.1f} | {one.rss_kib / 1024:.1f} |\n" for one in processes)
        text += f"| {name} | all | {sum(one.pss_kib for one in processes) / 1024:.1f} | |\n"
    return text


def backlog(files, first_s, sizes):
    text = (f"\n## A backlog at the start\n\n{files} files stand in `incoming` when the loader starts (one hop, tmpfs): "
            f"the first one is out after {first_s:.2f} s.\n\n| files out | RSS of the loader MB |\n|---|---|\n")
    return text + "".join(f"| {done} | {kib / 1024:.1f} |\n" for done, kib in sizes)


def large_files(rows, rounds):
    text = f"\n## Large files\n\nFrom the rename to the output, on tmpfs, the best of {rounds}. libmagic looks at the first 7 MiB of a file: of a larger one the\nsize does not count.\n\n"
    text += "| way | content | bytes | ms |\n|---|---|---|---|\n"
    return text + "".join(f"| {scenario.way} | {content} | {size} | {ms:.2f} |\n" for scenario, content, size, ms in rows)


def growth(sizes):
    """`sizes`: [(files so far, RSS of the loader in KiB)]; the first portion is what it needs once."""
    grown = sizes[-1][1] - sizes[1][1]
    verdict = "flat" if grown < 1024 else f"**it grew by {grown} KiB after the first portion**"
    text = f"\n## RSS of the loader under load\n\nOne hop on tmpfs, in portions: {verdict}.\n\n"
    text += "| files | RSS MB |\n|---|---|\n"
    return text + "".join(f"| {files} | {kib / 1024:.1f} |\n" for files, kib in sizes)


def line(row, cells):
    names = [row.scenario.name, row.filesystem.name, row.durability, str(row.workers)]
    return "| " + " | ".join(names + cells) + " |\n"


def mark(rounds):
    return "" if all(one.events for one in rounds) else "\\*"


def speed(rounds):
    return round(statistics.median(one.files_per_s for one in rounds))


def spread(rounds):
    speeds = [one.files_per_s for one in rounds]
    return f" ({min(speeds):.0f} to {max(speeds):.0f})" if len(speeds) > 1 else ""


def cpu(rounds):
    return statistics.median(one.cpu_ms for one in rounds)


def p50(rounds):
    return statistics.median(one.p50_ms for one in rounds)


def p99(rounds):
    return statistics.median(one.p99_ms for one in rounds)
