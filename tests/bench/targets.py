"""What the design asks for, what was measured, and whether it is reached: one row for each figure and filesystem.

The ceiling of three hops asks no libmagic and wakes no other process. In a burst the three hops are put beside its time a
file and that of libmagic (magic_bench.c) together; at 100 files/s, where every wake-up is part of the latency, beside the
bare ceiling and beside the relay (relay.c).
"""
import json
import pathlib
import subprocess
import tempfile

import report
import scenarios

HEAD = """
## Targets

The ceiling of three hops is one process that asks no libmagic. For bursts the time that libmagic takes a file is added to its own (the last
column: without that); latencies are also put beside the relay, the same bare system calls by a dispatcher and a process for
each step, with libmagic in the first. libmagic alone takes, in the same run, {burst:.3f} ms a file one after the other and
{p50:.3f} ms (p99 {p99:.3f}) at 100 files/s, when the caches are cold.

| what | where | must be | measured | reached | beside it |
|---|---|---|---|---|---|
"""
OLD_ONE_HOP, OLD_THREE_HOPS = 1000, 276   # files/s of the system before, on the reference machine


def libmagic(tools):
    """Milliseconds for a PNG header of 4 KiB: (one after the other, at 100/s p50, p99)."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\6\0\0\0".ljust(4096, b"\0"))
        file.flush()
        hot, cold = (json.loads(subprocess.run([tools / "magic_bench", file.name, str(number), str(rate)], stdout=subprocess.PIPE, check=True).stdout)
                     for number, rate in ((2000, 0), (200, 100)))
    return hot["p50_ms"], cold["p50_ms"], cold["p99_ms"]


def row(what, where, bound, measured, reached, beside="-"):
    return f"| {what} | {where} | {bound} | {measured} | {'yes' if reached else '**no**'} | {beside} |\n"


def one_hop(measured):
    text = ""
    for at, figures in measured.items():
        if at.scenario is not scenarios.ONE_HOP or at.workers != 1:
            continue
        where, own = f"{at.filesystem.name}, {at.durability}", figures["burst"]["mfdata"]
        ratio = report.speed(own) / report.speed(figures["burst"][1])
        text += row("one hop", where, "a third of the ceiling", f"{ratio:.2f}", ratio >= 1 / 3)
        text += row("one hop", where, f"12 x {OLD_ONE_HOP} files/s", f"{report.speed(own) / OLD_ONE_HOP:.1f} x", report.speed(own) >= 12 * OLD_ONE_HOP)
        text += row("one hop", where, "0.08 ms CPU a file", f"{report.cpu(own):.3f}", report.cpu(own) <= 0.08, f"the ceiling's own: {report.cpu(figures['burst'][1]):.3f}")
    return text


def three_hops(measured, burst_ms, p50_ms):
    text = ""
    for at, figures in measured.items():
        if at.scenario is not scenarios.THREE_HOPS:
            continue
        where, own, bare = f"{at.filesystem.name}, {at.durability}", figures["burst"]["mfdata"], figures["burst"][3]
        with_magic = 1000 / (1000 / report.speed(bare) + burst_ms)
        ratio = report.speed(own) / with_magic
        text += row("three hops", where, "a third of the ceiling", f"{ratio:.2f}", ratio >= 1 / 3, f"{report.speed(own) / report.speed(bare):.2f}")
        text += row("three hops", where, f"15 x {OLD_THREE_HOPS} files/s", f"{report.speed(own) / OLD_THREE_HOPS:.1f} x", report.speed(own) >= 15 * OLD_THREE_HOPS)
        own, bare, relay = (figures["rate"][subject] for subject in ("mfdata", 3, "relay"))
        parts = f"the relay {report.p50(relay):.2f}, the ceiling {report.p50(bare):.2f}, libmagic {p50_ms:.2f}"
        text += row("latency, three hops", where, "p50 < 1 ms", f"{report.p50(own):.2f}", report.p50(own) < 1, parts)
        for name, other, beside in (("ceiling", bare, f"the relay's: {report.p99(relay) / report.p99(bare):.1f} x"), ("relay", relay, "-")):
            ratio = report.p99(own) / report.p99(other)
            text += row("latency, three hops", where, f"p99 < 3 x the {name}'s", f"{ratio:.1f} x", ratio < 3, beside)
    return text


def table(measured, tools, idle, grown_kib=None, backlog=None, large=None):
    """`idle`: scenario -> its processes; `grown_kib`: of the loader; `backlog`: (files, seconds to the first, highest RSS in KiB); `large`: bytes -> ms."""
    burst_ms, p50_ms, p99_ms = libmagic(pathlib.Path(tools))
    text = HEAD.format(burst=burst_ms, p50=p50_ms, p99=p99_ms) + one_hop(measured) + three_hops(measured, burst_ms, p50_ms)
    for scenario, limit in ((scenarios.ONE_HOP, 20), (scenarios.THREE_HOPS, 40)):
        pss = sum(one.pss_kib for one in idle[scenario.name]) / 1024
        text += row(f"idle memory, {scenario.name}", "tmpfs", f"{limit} MB PSS", f"{pss:.1f}", pss < limit)
    if grown_kib is not None:
        text += row("memory of the loader under load", "tmpfs", "flat", f"{grown_kib} KiB more", grown_kib < 1024)
    if backlog:
        files, first_s, most_kib = backlog
        text += row(f"a backlog of {files} files", "tmpfs", "the first one out after 2 s", f"{first_s:.2f} s", first_s < 2)
        text += row(f"a backlog of {files} files", "tmpfs", "64 MB RSS of the loader", f"{most_kib / 1024:.1f}", most_kib < 64 * 1024)
    if large:
        (small, small_ms), (size, large_ms) = sorted(large.items())
        text += row(f"a file of {size >> 30} GiB", "tmpfs", f"as fast as one of {small} bytes", f"{large_ms:.2f} and {small_ms:.2f} ms", large_ms < 2 * small_ms + 1)
    return text
