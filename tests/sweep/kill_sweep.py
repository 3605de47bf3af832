"""SIGKILL before each system call of a treatment, and of the recovery after it; then everything is drained.

  kill_sweep.py [FLOW ...] [--durability L] [--second [--every N]] [--death]
                           --second: kills the recovery too, before each of its calls
                           --every N: before each Nth of them, beginning with another one after each first kill
                           --death: a loader lives and takes up what was killed, instead of one that starts
  kill_sweep.py --control  with protections removed the sweep must find a violation

Each flow is run once under strace to count its calls; then once for each of them, with the kill injected there
(strace counts each system call by itself). The oracle stands outside the spool: what was dropped, and what lies in
the delivery directories and in trash at the end. Last line: N passed, N failed.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, content, context_of, default_base, elsewhere, parse_tags_file

DRIVE = BUILD / "tests/sweep/spool_drive"
CALLS = ["renameat2", "renameat", "fsetxattr", "fremovexattr", "linkat", "unlinkat", "mkdirat", "write", "pwrite64", "fsync", "openat", "copy_file_range"]
HOP = ("take", "{flow}", "{far}")


@dataclasses.dataclass(frozen=True)
class Flow:
    """What is killed, and what it must leave: contents in out/ and elsewhere, and the number of files in trash. `instead`: a
    second end, which a kill may lead to. `before`: commands that make its state. `at_death`: what a living loader does. `then`: what a
    loader does next in any case."""
    files: tuple
    delivered: dict
    trashed: int = 0
    command: tuple = HOP
    before: tuple = ()
    drain: str = "pass"
    at_death: tuple = ("reap", "1000")
    then: tuple = ()
    instead: tuple = ()
    reason: str = ""
    big: bool = False  # its context does not fit into an attribute


FLOWS = {
    "pass": Flow(("one",), {"one": 1}),
    "end": Flow(("one",), {}, drain="end"),
    "rewrite": Flow(("one",), {"one+a": 1}, drain="rewrite"),
    "fan": Flow(("one",), {"one": 3}, drain="fan"),
    "deliver": Flow(("one",), {"one": 1}, drain="deliver"),
    "deliver-new": Flow(("one",), {"one+a": 1}, drain="deliver-new"),
    "collide": Flow(("one",), {"one": 1, "somebody else's": 1}, command=("take", "deliver"), drain="deliver"),
    "far": Flow(("one",), {"one": 1}, drain="far"),
    "fail": Flow(("one",), {}, 1, drain="fail", reason="failed"),
    "retry": Flow(("one",), {"one": 1}, drain="retry"),
    "grow": Flow(("one",), {"one": 1}, drain="grow", big=True),
    "group": Flow(("one", "two", "three"), {"one+a": 1, "two": 3, "three+a": 1}, drain="group"),
    "batch": Flow(("one", "bad", "later"), {"one": 1, "later": 1}, 1, drain="batch", reason="failed"),
    "claim": Flow((), {"one": 1}, before=(("deposit", "f0", "one"),), command=("take", "pass")),
    "claim-sidecar": Flow((), {"one": 1}, before=(("deposit-big", "f0", "one"),), command=("take", "pass"), big=True),
    "deposit": Flow((), {"one": 1}, command=("deposit", "f0", "one"), instead=({}, 0)),
    "deposit-key": Flow((), {"one": 1}, command=("deposit-key", "f0", "one"), instead=({}, 0)),
    "deposit-sidecar": Flow((), {"one": 1}, command=("deposit-big", "f0", "one"), instead=({}, 0), big=True),
    "foreign": Flow(("one", "two"), {"one": 1, "two": 1}, command=("foreign", "incoming"), at_death=("foreign", "incoming")),
    "foreign-mount": Flow(("one", "two"), {"one": 1, "two": 1}, command=("foreign", "{mount}"), at_death=("foreign", "{mount}"),
                          then=("foreign", "{mount}")),
    "crash": Flow(("one",), {"one": 1}, before=(("hold",),), command=("reap", "2"), at_death=("reap", "3")),
    "crash-sidecar": Flow((), {"one": 1}, before=(("deposit-big", "f0", "one"), ("hold",)), command=("reap", "2"), at_death=("reap", "3"), big=True),
    "crash-limit": Flow(("one",), {}, 1, before=(("hold",),), command=("reap", "1"), at_death=("reap", "1"), instead=({"one": 1}, 0), reason="crashed"),
    "crash-limit-hop": Flow(("one",), {"one": 1}, command=("take", "pass"), at_death=("reap", "1"), instead=({}, 1), reason="crashed"),
    "swapped": Flow((), {"one": 1}, before=(("deposit", "f0", "one"), ("take", "deliver"), ("swap",)), command=("reap", "1000")),
}
# A flow in which the absence of each protection shows, and whether a loader must live for it.
CONTROLS = {"no_recovery": ("pass", False), "no_generation": ("pass", False), "sweep_first": ("rewrite", False),
            "context_last": ("pass", False), "shared_attribute": ("fan", False), "no_roll_at_death": ("rewrite", True),
            "replace": ("collide", False), "no_uid": ("swapped", False)}


class Sweep:
    def __init__(self, name, durability, without="", death=False):
        self.name, self.flow, self.durability, self.without, self.death = name, FLOWS[name], durability, without, death
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-sweep-", dir=default_base()))
        self.other = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-sweep-", dir=elsewhere())) if self.needs_other(name) else self.base / "other"
        self.data, self.far, self.mount = self.base / "d", self.other / "far", self.other / "mount"
        self.environment = dict(os.environ)
        self.environment.pop("MFDATA_TEST_WITHOUT", None)
        if without:
            self.environment["MFDATA_TEST_WITHOUT"] = without
        self.findings, self.runs = [], 0

    @staticmethod
    def needs_other(name):
        return name in ("far", "foreign-mount")

    def drive(self, *command, wrapper=()):
        places = dict(flow=self.flow.drain, far=self.far, mount=self.mount)
        return subprocess.run([*wrapper, str(DRIVE), str(self.data), self.durability, *(part.format(**places) for part in command)],
                              env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def fresh(self):
        for directory in (self.data, self.far, self.mount):
            shutil.rmtree(directory, ignore_errors=True)
        for directory in (self.data / "incoming", self.data / "out", self.far, self.mount):
            directory.mkdir(parents=True)
        self.drive("recover")
        entry = self.mount if "{mount}" in self.flow.command else self.data / "incoming"
        for number, text in enumerate(self.flow.files):
            (entry / f"f{number}").write_text(text)
        if self.name == "collide":
            (self.data / "out/f0").write_text("somebody else's")
        for command in self.flow.before:
            self.swap() if command == ("swap",) else self.drive(*command)

    def swap(self):
        """What a kill leaves between the rename of an accept and the look at what was moved, when a sender changed the name: his
        file under our name, with the context of another one."""
        (self.data / "out/f0").rename(self.data / "tmp/a.main/0/in/019ab3c4d5e67f8091a2b3c4d5e6f708.0")
        (self.data / "out/f0.tags").unlink()

    def count(self, *command):
        """How often each call is made, those of the program's start left out: [(call, number)]."""
        trace = self.base / "trace"
        done = self.drive(*command, wrapper=["strace", "-f", "-o", str(trace), "-e", "trace=" + ",".join(CALLS)])
        if done.returncode != 0:
            raise SystemExit(f"{self.name}: {done.stderr}")
        seen, moments, running = collections.Counter(), [], False
        for line in trace.read_text(errors="replace").splitlines():
            call = re.match(r"(?:\d+ +)?(\w+)\(", line)
            if not call:
                continue
            running = running or str(self.data) in line
            seen[call[1]] += 1
            if running:
                moments.append((call[1], seen[call[1]]))
        return moments

    def killed(self, call, number, *command):
        """What the command had said; None: it was not killed."""
        wrapper = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
        done = self.drive(*command, wrapper=wrapper)
        return done.stdout if done.returncode != 0 else None

    def repair(self):
        return self.flow.at_death if self.death else ("recover",)

    def check(self, story, killed=True, acknowledged=False):
        self.runs += 1
        for command in filter(None, (self.repair(), self.flow.then, ("drain", "{flow}", "{far}"))):
            done = self.drive(*command)
            if done.returncode != 0:
                self.findings.append(f"{story}: {command[0]} fails: {done.stderr.strip()}")
                return
        files = [p for directory in (self.data / "out", self.far) for p in directory.iterdir() if p.suffix != ".tags"]
        found = collections.Counter(content(p).decode() for p in files)
        in_trash = [p for p in (self.data / "trash").glob("*/*") if p.suffix not in (".json", ".tags")]
        notes = [json.loads(p.read_text()) for p in (self.data / "trash").glob("*/*.json")]
        ends = [(self.flow.delivered, self.flow.trashed)]
        if self.flow.instead and killed and not acknowledged:
            ends.append(self.flow.instead)
        if (dict(found), len(in_trash)) not in ends or len(notes) != len(in_trash):
            self.findings.append(f"{story}: delivered {dict(found)}, {len(in_trash)} files and {len(notes)} notes in trash instead of {ends}: {notes}")
        if any(note["reason"] != self.flow.reason for note in notes):
            self.findings.append(f"{story}: in trash for {[note['reason'] for note in notes]}")
        for path in files:
            if content(path) != b"somebody else's":
                self.check_tags(story, path)
        living = {p.name.split(".")[0] for p in in_trash}
        for folder, _, names in os.walk(self.data):
            relative = os.path.relpath(folder, self.data)
            if relative.startswith(("trash", "out", "tmp/keys")):  # a key outlives its file
                continue
            left = [n for n in names if not (relative == "tmp/context" and n in living)]
            if left:
                self.findings.append(f"{story}: left over in {relative}: {left}")
        left = [*(self.data / "tmp/commit").iterdir(), *(self.data / "tmp/accept").iterdir(), *(self.data / "tmp").glob("*/*/txn"),
                *self.mount.iterdir(), *self.far.glob(".*")]
        if left:
            self.findings.append(f"{story}: left over: {left}")

    def check_tags(self, story, path):
        companion = path.with_name(path.name + ".tags")
        tags = parse_tags_file(companion) if companion.exists() else {}
        steps = b"0" if self.flow.drain.startswith(("deliver", "far")) else b"1"
        if "first.core.original_basename" not in tags:
            self.findings.append(f"{story}: {path.name} has no right companion")
        elif tags["latest.core.step_counter"] != steps:
            self.findings.append(f"{story}: {path.name} did not run through its steps, once each")
        elif not self.flow.big and tags != context_of(path)[1]:
            self.findings.append(f"{story}: tags of {path.name} differ from its companion")

    def run(self, second, every=1):
        """Two sweeps share the moments: each in a directory of its own, they know nothing of each other."""
        self.fresh()
        moments = self.count(*self.flow.command)
        self.check("not killed", killed=False)
        halves = [Sweep(self.name, self.durability, self.without, self.death) for _ in range(2)]
        with concurrent.futures.ThreadPoolExecutor(len(halves)) as pool:
            list(pool.map(lambda half, own: half.kill(own, second, every), halves, (moments[0::2], moments[1::2])))
        for half in halves:
            self.runs += half.runs
            self.findings += half.findings
        self.remove()
        return self

    def kill(self, moments, second, every):
        for index, (call, number) in enumerate(moments):
            self.fresh()
            story = f"killed before {call} {number}"
            said = self.killed(call, number, *self.flow.command)
            if said is None:
                self.findings.append(f"not {story}")
            acknowledged = "acknowledged" in (said or "")
            if second:
                self.kill_repair(story, acknowledged, index, every)
            else:
                self.check(story, True, acknowledged)
        self.remove()

    def kill_repair(self, story, acknowledged, index, every):
        places = [self.data, self.far, self.mount]
        for place in places:
            self.copy(place, self.base / f"saved-{place.name}")
        moments = self.count(*self.repair())
        for call, number in moments[index % max(1, min(every, len(moments)))::every]:
            for place in places:
                self.copy(self.base / f"saved-{place.name}", place)
            again = f"{story}, recovery killed before {call} {number}"
            if self.killed(call, number, *self.repair()) is None:
                self.findings.append(f"not {again}")
            self.check(again, True, acknowledged)

    def remove(self):
        for directory in (self.base, self.other):
            shutil.rmtree(directory, ignore_errors=True)

    @staticmethod
    def copy(source, target):
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flows", nargs="*", default=list(FLOWS))
    parser.add_argument("--durability", default="process")
    parser.add_argument("--second", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--death", action="store_true")
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    if not shutil.which("strace"):
        print("skipped: strace is missing\n0 passed, 0 failed, 1 skipped")
        return 0
    passed = failed = skipped = 0
    for name, without, death in ([(flow, without, death) for without, (flow, death) in CONTROLS.items()] if options.control else
                                 [(flow, "", options.death) for flow in options.flows]):
        if Sweep.needs_other(name) and not elsewhere():
            print(f"{name:16} skipped: there is no directory on another filesystem")
            skipped += 1
            continue
        sweep = Sweep(name, options.durability, without, death).run(options.second, options.every)
        good = bool(sweep.findings) == bool(without)
        passed, failed = passed + good, failed + (not good)
        what = f"without {without}: {'noticed' if sweep.findings else 'SILENT'}" if without else "nothing lost, nothing twice" if good else "VIOLATED"
        print(f"{name:16} {options.durability:10} {sweep.runs:4} kills  {what}", flush=True)
        for finding in sweep.findings[:0 if without else 20]:
            print("    " + finding)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
