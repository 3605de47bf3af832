#!/usr/bin/env python3
"""Power cuts under load, on real filesystems: what each level of durability promises (root only).

  power_cut.py [--cuts N] [--fs ext4,xfs] [--durability LEVELS] [--seed S] [--kinds KINDS] [--keep]
  power_cut.py --control [--cuts N] [--fs ext4,xfs] [--seed S]

A home on a loop-mounted image; files are dropped (with and without fsync) and injected (exit 0 is the
acknowledgement); at a random moment the filesystem is shut down without writing its log (FS_IOC_SHUTDOWN), all is
killed, the image is mounted again, and the loader started. What only stood in memory is gone, as after a power cut;
what a disk's own cache would lose is not simulated.
  process     the loader starts, the spool drains, and no emptied file is treated or delivered as if it were whole
  accepted    also: what was acknowledged, and what its sender forced to disk, has all its endings
  every-hop   also: after the cut no step runs again on a file whose result the loader had logged before it
--control: without no_fsync an acknowledged file must be lost, without no_size_check an emptied one must be treated, and
at accepted a hop that had a result must be repeated, within N cuts each.
"""
import argparse
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "../harness")]
from harness import MFDATA, wait_for
from oracle import Oracle, at_rest, judge, reason_of, rng_of
from storm import LONGEST_PAUSE_US, SLOW_CALLS
from ways import PLAIN, TAGGED, WAYS, law_of_cuts, new_home, storm_sender

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
IMAGE_BYTES = 3 << 30  # sparse; room for some dozen cuts
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
LEVELS = ("process", "accepted", "every-hop")
RESULT = re.compile(r" storm/(\w+): (\S+): (?:ok|failed|retried|skipped)\b")  # in loader.log at level debug

SETTINGS = '''durability = "{durability}"
min_free_space = 0
min_free_inodes = 0
[loader]
max_crashes = 1000
[log]
level = "debug"
rotate_size = "1GB"
directory = "{outside}/log"
[metrics]
listen = ""
'''


def command(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


class Image:
    """A filesystem in a file, mounted; nothing of it is left when it is closed."""

    def __init__(self, kind, base):
        self.file, self.point = base / "image", base / "mount"
        with open(self.file, "wb") as file:
            file.truncate(IMAGE_BYTES)
        command(*MKFS[kind], self.file)
        self.point.mkdir()

    def mount(self):
        command("mount", "-o", "loop", self.file, self.point)

    def cut(self):
        point = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(point, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(point)

    def unmount(self):
        """Processes that were just killed may keep it busy for a moment."""
        wait_for(lambda: subprocess.run(["umount", str(self.point)], stderr=subprocess.DEVNULL, check=False).returncode == 0,
                 "the image to be unmounted")

    def close(self):
        """Whatever it was doing when it was interrupted."""
        if os.path.ismount(self.point):
            self.unmount()


class Load:
    """Senders that run until the disk fails under them. An acknowledgement counts when it came before the cut began: at a
    shutdown of xfs the fsync of a directory may return 0 for a rename that never reached the log."""

    def __init__(self, home, sender, outside, rng, inject, synced):
        self.home, self.sender, self.outside, self.inject, self.synced = home, sender, outside, inject, synced
        self.rng, self.cut, self.over = rng, threading.Event(), threading.Event()
        actors = [self._drop, self._force] + [self._inject] * inject
        self.threads = [threading.Thread(target=self._until_over, args=(actor,), daemon=True) for actor in actors]

    def start(self):
        for thread in self.threads:
            thread.start()

    def finish(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _until_over(self, actor):
        while not self.over.is_set():
            with contextlib.suppress(OSError):  # of the disk that was cut off
                actor()

    def _drop(self):
        """Every second file is forced to disk by its sender, when it is asked to."""
        item = self.sender.make()
        self.sender.sent(item)
        if self.synced and self.rng.random() < 0.3:
            self._drop_synced(item)
        elif len(os.listdir(self.home.incoming)) < 30:
            self.home.drop(item.name, item.data)
        self.over.wait(0.004)

    def _drop_synced(self, item):
        hidden = os.path.join(self.home.incoming, f".{item.serial}.tmp")
        with open(hidden, "wb") as file:
            file.write(item.data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(hidden, os.path.join(self.home.incoming, item.name))
        directory = os.open(self.home.incoming, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        item.durable = not self.cut.is_set()

    def _inject(self):
        item = self.sender.make()
        source = self.outside / "sources" / item.name
        source.write_bytes(item.data)
        self.sender.sent(item)
        done = self.home.run(MFDATA, "inject", "--step", "storm/entry", source, check=False)
        item.durable = done.returncode == 0 and not self.cut.is_set()
        source.unlink()

    def _force(self):
        """Somebody else's fsync writes the log with all that mfdata did before, but no data of its files."""
        with open(self.home.root / "unrelated", "ab") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        self.over.wait(self.rng.choice((0.01, 0.05, 0.3)))


class Bench:
    """One image with a home, cut off again and again."""

    def __init__(self, kind, level, seed, base, without="", inject=True, synced=True, ways=None, judged=None):
        self.kind, self.level, self.judged, self.without = kind, level, judged or level, without
        self.inject, self.synced, self.suspicious = inject, synced, False
        self.rng, self.base, self.home = rng_of(f"{seed} {kind} {level}"), base, None
        self.run_log = base / "runs"
        self.sender = storm_sender(rng_of(f"{seed} {kind} {level} content"), ways=ways, names=10 ** 12)
        for directory in ("sources", "log"):
            (base / directory).mkdir()
        self.image = Image(kind, base)

    def prepare(self):
        self.image.mount()
        self.home = new_home(SETTINGS.format(durability=self.level, outside=self.base), run_log=self.run_log, root=self.image.point / "home")
        (self.home.root / "loader.stderr").symlink_to(self.base / "loader.stderr")
        if self.without:
            self.home.environment["MFDATA_TEST_WITHOUT"] = self.without
        self.home.start().stop()
        os.sync()

    def close(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one may not interrupt this
        if self.home:
            self.home.kill()
        self.image.close()
        signal.signal(signal.SIGTERM, end_by_signal)

    def cut(self, oracle):
        """One power cut, and what it left."""
        slow = self.rng.random() < 0.5
        prefix = ("env", f"LD_PRELOAD={SLOW_CALLS}", f"MFDATA_SLOW_CALLS_US={LONGEST_PAUSE_US}") if slow else ()
        before = len(self.results_so_far())
        self.home.start(without=self.without, prefix=prefix)
        load = Load(self.home, self.sender, self.base, self.rng, self.inject, self.synced)
        load.start()
        wait_for(lambda: len(self.results_so_far()) > before, "the first result")
        time.sleep(self.rng.uniform(0.3, 2.0))
        results = self.results_so_far()
        load.cut.set()
        self.image.cut()
        time.sleep(self.rng.choice((0, 0.02)))
        self.home.kill()
        load.finish()
        self.image.unmount()
        between = len(self.runs_so_far())  # steps that could not read their file any more
        self.image.mount()
        for hidden in self.home.incoming.glob(".*"):
            hidden.unlink()  # what a sender had not finished
        if self.drained(oracle):
            self.judge(oracle, results, self.runs_so_far()[between:])

    def drained(self, oracle):
        try:
            self.home.start(without=self.without)
            oracle.check(True, "")
            wait_for(at_rest(self.home), "an empty spool", 240)
            return oracle.check(self.home.stop() == 0, "the loader does not stop with exit code 0")
        except AssertionError as error:
            oracle.check(False, f"after the cut: {str(error)[-600:]!r}; in the spool: {self.home.spooled()[:4]}")
            self.home.kill()
            return False

    def runs_so_far(self):
        if not self.run_log.exists():
            return []
        return [line.split() for line in self.run_log.read_text().splitlines()]

    def results_so_far(self):
        """(name, step) of what has come to an end, so that its step may not run again on it."""
        log = self.base / "log/loader.log"
        return {(name, step) for step, name in RESULT.findall(log.read_text(errors="replace"))} if log.exists() else set()

    def judge(self, oracle, results, after):
        promised = self.judged != "process"
        law = law_of_cuts(lambda item: promised and item.durable, self.judged == "every-hop", self.tolerable())
        judge(oracle, self.home, list(self.sender.items), law)
        for name, step, state in after:
            oracle.check(state == "whole" or step == "entry", f"{step} ran on {name}, which is not whole")
        if self.judged == "every-hop":
            oracle.check(results, "no result was logged before the cut")
            again = sorted({(step, name) for name, step, _ in after if (name, step) in results})
            oracle.check(not again, f"steps ran again after the cut on {len(again)} files that had a result: {again[:3]}")

    def tolerable(self):
        """What a cut may do to a file that nobody forced to disk: empty it before it came in, or after it went out, or
        inside, and then it stands in trash with that reason. At `process` also to contexts, and to every file."""
        by_name = {item.name: item for item in self.sender.items}
        forced = self.level != "process"

        def tolerate(found):
            item = by_name.get(found.tags.get("first.core.original_basename", b"").decode() or found.path.name)
            if item is None:
                return not forced
            if item.durable and forced or item.data == found.content and not found.place.startswith("trash"):
                return False
            if found.place in (TAGGED, PLAIN):
                return not (forced and (item.kind in ("rewrite", "direct"))) and item.data.startswith(found.content)
            reasons = ("emptied", "failed", "") if forced else ("emptied", "failed", "context missing", "")
            return reason_of(found) in reasons

        return tolerate


@contextlib.contextmanager
def bench(*arguments, keep=False, **more):
    base = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-cut-"))
    made = None
    try:
        made = Bench(*arguments, base, **more)
        made.prepare()
        yield made
    finally:
        if made:
            made.close()
        if keep and made and made.suspicious:
            print(f"kept: {base}")
        else:
            shutil.rmtree(base, ignore_errors=True)


def campaign(kinds, levels, cuts, seed, keep, ways):
    """After a finding the next cut begins with a fresh image."""
    total = Oracle()
    for kind in kinds:
        for level in levels:
            done, findings = 0, 0
            while done < cuts:
                with bench(kind, level, f"{seed} {done}", keep=keep, ways=ways) as one:
                    while done < cuts and not one.suspicious:
                        findings += cut_once(one, total)
                        done += 1
            print(f"{kind} {level}: {done} cuts, {findings} findings", flush=True)
    return total


def cut_once(one, total):
    """One cut; its findings are added to the whole. Their number."""
    oracle = Oracle()
    one.cut(oracle)
    one.suspicious = bool(oracle.findings)
    total.passed += oracle.passed
    total.findings += [f"{one.kind} {one.level}: {finding}" for finding in oracle.findings]
    return len(oracle.findings)


CONTROLS = (("no_fsync", "accepted", {"synced": False}, lambda finding: finding.startswith("lost: ")),
            ("no_size_check", "process", {"inject": False, "ways": [("pass", "-"), ("retry", "-")]},
             lambda finding: "is not whole" in finding),
            ("", "accepted", {"judged": "every-hop", "synced": False, "ways": [("pass", "-"), ("retry", "-")]},
             lambda finding: "that had a result" in finding))


def control(kinds, cuts, seed):
    noticed, failed = 0, 0
    for protection, level, how, is_it in CONTROLS:
        for kind in kinds:
            seen, number = [], 0
            while number < cuts and not seen:
                number += 1
                oracle = Oracle()
                with bench(kind, level, f"{seed} {number}", without=protection, **how) as one:
                    one.cut(oracle)
                seen = [finding for finding in oracle.findings if is_it(finding)]
            print(f"{kind} {level} " + (f"without {protection}: " if protection else "judged as every-hop: ") + (f"noticed at cut {number}, {len(seen)} findings, the first: {seen[0]}" if seen
                                                      else f"NOT NOTICED in {cuts} cuts"), flush=True)
            noticed, failed = noticed + bool(seen), failed + (not seen)
    return noticed, failed


def end_by_signal(number, frame):
    """Through every `finally`: nothing stays mounted."""
    sys.exit(1)


def why_not(kinds):
    if os.geteuid() != 0:
        return "only root mounts images"
    if not os.path.exists("/dev/loop-control"):
        return "no loop devices here"
    missing = [MKFS[kind][0] for kind in kinds if not shutil.which(MKFS[kind][0])]
    return f"missing: {', '.join(missing)}" if missing else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, help="per filesystem and level (default 3), at most per control (default 6)")
    parser.add_argument("--fs", default="ext4,xfs", help="default: ext4,xfs")
    parser.add_argument("--durability", default=",".join(LEVELS), help="default: " + ",".join(LEVELS))
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the random choices (default: the time)")
    parser.add_argument("--kinds", default="", help="only files of these kinds, for example grow,fan")
    parser.add_argument("--keep", action="store_true", help="keep image and logs when something was wrong")
    parser.add_argument("--control", action="store_true", help="check that the absence of each protection is noticed")
    options = parser.parse_args()
    kinds, levels = options.fs.split(","), options.durability.split(",")
    if not set(kinds) <= set(MKFS) or not set(levels) <= set(LEVELS):
        parser.error(f"filesystems are {', '.join(MKFS)}, levels {', '.join(LEVELS)}")
    ways = [way for way in WAYS if not options.kinds or way[0] in options.kinds.split(",")]
    if not ways:
        parser.error(f"kinds are {', '.join(sorted({kind for kind, _ in WAYS}))}")
    if why_not(kinds):
        print(f"skipped: {why_not(kinds)}")
        print("0 passed, 0 failed, 1 skipped")
        return
    signal.signal(signal.SIGTERM, end_by_signal)
    repeat = f"to repeat: power_cut.py --seed {options.seed} --fs {options.fs}" + (f" --cuts {options.cuts}" if options.cuts else "")
    if options.control:
        noticed, failed = control(kinds, options.cuts or 6, options.seed)
        print(f"{repeat} --control")
        print(f"{noticed} passed, {failed} failed")
        sys.exit(1 if failed else 0)
    oracle = campaign(kinds, levels, options.cuts or 3, options.seed, options.keep, ways)
    oracle.show()
    print(f"{repeat} --durability {options.durability}" + (f" --kinds {options.kinds}" if options.kinds else ""))
    print(f"{oracle.passed} passed, {len(oracle.findings)} failed")
    sys.exit(1 if oracle.findings else 0)


if __name__ == "__main__":
    main()
