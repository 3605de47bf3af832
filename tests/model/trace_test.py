"""The C++ makes its system calls in the model's order: each flow is traced, and compared with the model's operations; then
it is killed before each of its operations, and what takes it up (a loader that starts, one that lives) is compared too.

Both are told the same: the commands of spool_drive. Names are brought to one form (uids by the order of their first
sight), calls that failed or only read are left out. A difference prints both lists.
"""
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "harness")]
import spool_model as model
from harness import BUILD, default_base, elsewhere, main

DRIVE = BUILD / "tests/sweep/spool_drive"
CALLS = "renameat2,renameat,fsetxattr,linkat,symlinkat,unlinkat,mkdirat,write,pwrite64,fsync,openat,copy_file_range"
LEVELS = ("process", "accepted", "every-hop")
FAN = ("fan", ("link", "X"), ("copy", "Y"), ("link", "B"))
# What the model's step A answers to a flow of spool_drive.
ANSWERS = {"pass": ("pass", "B"), "end": ("end",), "rewrite": ("rewrite", "step.B"), "fan": FAN, "deliver": ("archive",),
           "deliver-new": ("rewrite", "archive"), "far": ("far",), "fail": ("fail",), "retry": ("retry",), "grow": ("grow", "B")}
DEPOSIT, BIG, KEYED = ("deposit", "f0", "one"), ("deposit-big", "f0", "one"), ("deposit-key", "f0", "one")
# Name -> the commands: the last one is traced. Without a deposit a file lies in incoming: three of them for several.
FLOWS = {**{name: [("take", name)] for name in ANSWERS},
         "claim": [DEPOSIT, ("take", "pass")],
         **{f"{name}-with-sidecar": [BIG, ("take", name)] for name in ("pass", "end", "rewrite", "fan", "deliver", "fail", "retry")},
         "deposit": [DEPOSIT], "deposit-with-sidecar": [BIG], "deposit-with-key": [KEYED], "deposit-repeated": [KEYED, KEYED],
         "batch": [("take", "batch")], "group": [("take", "group")],
         "foreign": [("foreign", "incoming")], "foreign-mount": [("foreign", "mount")],
         "crash": [("hold",), ("reap", "1000")], "crash-with-sidecar": [BIG, ("hold",), ("reap", "1000")],
         "crash-limit": [("hold",), ("reap", "1")]}
NOT_ALONE = {"batch": ["one", "bad", "later"], "group": ["one", "two", "three"]}
# How a living loader takes up what was killed.
AT_DEATH = {"take": ("reap", "1000"), "deposit": ("reap", "1000"), "deposit-big": ("reap", "1000"), "reap": ("reap", "1000"), "foreign": ("foreign", "nowhere")}


class Killed(Exception):
    pass


class ModelRun:
    """The same commands in the model."""

    def __init__(self, flow, level):
        command = FLOWS[flow][-1]
        kind = "mount" if flow == "foreign-mount" else "drop"
        steps = dict(A=lambda job: ANSWERS.get(command[1], ("pass", "B")), B=model.SINK, X=model.SINK, Y=model.SINK)
        items = [] if FLOWS[flow][0][0].startswith("deposit") else NOT_ALONE.get(flow, ["one"])
        batch = "A" if flow in NOT_ALONE else None
        scenario = model.Scenario("trace", steps, [(kind, f"f{n}", item, "synced") for n, item in enumerate(items)], {}, (), batch)
        self.world = world = model.World(scenario, level, False, frozenset())
        world.violations = {}
        world.disk.before = world.far.before = lambda what: None
        for _ in items:
            model.inject(world)
        for before in FLOWS[flow][:-1]:
            self.run(before)

    def traced(self, command, stop_before=None):
        operations = []

        def before(what):
            if len(operations) == stop_before:
                raise Killed
            operations.append(what)
        self.world.disk.before = self.world.far.before = before
        try:
            self.run(command)
        except Killed:
            pass
        return operations

    def run(self, command):
        word, *arguments = command
        world, spool = self.world, model.Spool(self.world)
        if word == "take" and arguments[0] == "group":
            self.run_group(spool)
        elif word == "take":
            model.work(world, "A")
        elif word == "hold":
            waiting = world.disk.list("step.A")
            spool.claim("A", waiting[0]) if waiting else spool.accept("A", "incoming", "f0")
        elif word == "reap":
            world.scenario = world.scenario._replace(max_crashes=int(arguments[0]))
            spool.reap("A")
        elif word == "recover":
            spool.recover()
        elif word == "foreign":
            spool.resume_accepts("A")
            for filename in (world.far if arguments[0] == "mount" else world.disk).list(arguments[0]):
                spool.accept_foreign("A", arguments[0], filename)
        else:
            spool.deposit("A", *arguments, lambda: None, word == "deposit-big", "key" if word == "deposit-key" else None)

    @staticmethod
    def run_group(spool):
        jobs = [spool.accept("A", "incoming", f"f{n}") for n in range(3)]
        outputs = []
        for number, job in enumerate(jobs):
            kind, *arguments = FAN if number == 1 else ("rewrite", "step.B")
            outputs += model.outputs_of(spool, job, kind, *arguments)
        spool.transaction("A", jobs, outputs)


class DriveRun:
    """The same commands of spool_drive, in a directory of its own."""

    def __init__(self, flow, level):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-trace-", dir=default_base()))
        self.other = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-trace-", dir=elsewhere())) if needs_other(flow) else self.base
        self.data, self.level, self.uids = self.base / "d", level, []
        for directory in (self.data / "incoming", self.other / "far", self.other / "mount", self.base / "nowhere"):
            directory.mkdir(parents=True)
        self.drive(("recover",))
        if not FLOWS[flow][0][0].startswith("deposit"):
            for number, item in enumerate(NOT_ALONE.get(flow, ["one"])):
                ((self.other / "mount" if flow == "foreign-mount" else self.data / "incoming") / f"f{number}").write_text(item)
        for command in FLOWS[flow][:-1]:
            self.drive(command)

    def close(self):
        for directory in {self.base, self.other}:
            shutil.rmtree(directory, ignore_errors=True)

    def drive(self, command, wrapper=()):
        places = {"mount": self.other / "mount", "nowhere": self.base / "nowhere"}
        words = [str(places.get(word, word)) for word in command] + [str(self.other / "far")] * (command[0] == "take")
        return subprocess.run([*wrapper, str(DRIVE), str(self.data), self.level, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def traced(self, command, kill=None):
        """[(operation of the model, call, its number)] of the calls that changed something, up to the kill before (call, number)."""
        trace = self.base / "trace"
        inject = ["-e", f"inject={kill[0]}:signal=KILL:when={kill[1]}"] if kill else []
        done = self.drive(command, ["strace", "-f", "-y", "-s", "400", "-o", str(trace), "-e", "trace=" + CALLS, *inject])
        if (done.returncode != 0) != bool(kill):
            raise AssertionError(f"{command}, killed before {kill}: exit code {done.returncode} {done.stderr}")
        found, numbers = [], {}
        for line in trace.read_text(errors="replace").splitlines():
            match = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)", line)
            if not match:
                continue
            numbers[match[1]] = numbers.get(match[1], 0) + 1
            operation = None if match[3].startswith("-") else self.operation(match[1], match[2])
            if operation:
                found.append((operation, match[1], numbers[match[1]]))
        return found

    def path(self, text):
        for place, name in ((self.other / "far", "far"), (self.other / "mount", "mount"), (self.data, "")):
            text = re.sub(rf"^{re.escape(str(place))}(/|$)", lambda m: name and name + m[1], text)
        text = re.sub(r"(?:\b|(?<=%2F))([abxy])\.main(_reinject)?(/0)?\b", lambda m: m[1].upper() + (m[2] or ""), text)
        text = re.sub(r"^(tmp/commit/[A-Z])\.0\.", r"\1.", text)  # the model has one slot a step
        return text.replace("mount/.mfdata-accept.", "mount/.mfdata.") if text.startswith("mount/") else text

    def operation(self, call, arguments):
        names = [self.path(name) for name in re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)]
        opened = re.match(r"\d+<([^>]*)>", arguments)
        file = self.path(opened[1]) if opened else ""
        if call.startswith("renameat"):
            return f"rename {names[0]} -> {names[1]}"
        if call == "symlinkat":
            return f"symlink {names[1]}"
        if call == "linkat":
            return f"link {names[0]} -> {names[1]}"
        if call == "unlinkat":
            return f"{'rmdir' if 'AT_REMOVEDIR' in arguments else 'unlink'} {names[0]}"
        if call == "mkdirat":
            return f"mkdir {names[0]}"
        if call == "openat":
            return f"create {names[0]}" if "O_CREAT" in arguments and "O_APPEND" not in arguments else None
        if call == "fsync":
            return f"fsync {file}"
        if call == "fsetxattr":
            header = dict(part.split("=", 1) for part in names[1].split("\\n")[0].split(" ")[1:])
            return f"setxattr {file} gen={header['gen']} to={self.path(header['to'])}"
        written = re.findall(r"\d+<([^>]*)>", arguments)[-1]
        ours = written.startswith((str(self.data), str(self.other / "far"), str(self.other / "mount")))
        return f"write {self.path(written)}" if ours else None


def names_of(calls):
    return [operation for operation, _, _ in calls]


def needs_other(flow):
    return flow in ("far", "foreign-mount")


def in_one_form(operations):
    """Uids by the order of their first sight, due times by one name, inode numbers and where a delivery lies left out."""
    uids, out = [], []

    def uid(match):
        if match[0] not in uids:
            uids.append(match[0])
        return f"u{uids.index(match[0])}"
    for operation in operations:
        operation = re.sub(r"^(setxattr|fsync) (\d+|(?:incoming|mount|tmp/accept)/\S+)(?= |$)", r"\1 #", operation)
        if operation.startswith("setxattr"):  # what matters is that it is written, with which generation and target
            operation = re.sub(r"^setxattr \S+ ", "setxattr # ", operation)
            operation = re.sub(r"to=(out|archive|far)\b.*", "to=DELIVERY", operation)
        operation = re.sub(r"\b[0-9a-f]{12}7[0-9a-f]{19}\b|\bu\d+(_\d+)?(?=\b|_)", uid, operation)
        operation = re.sub(r"\b[0-9a-f]{64}\b", "key", operation)
        operation = re.sub(r"_reinject/(1000|\d{13})\b", "_reinject/DUE", operation)
        operation = re.sub(r"\b(1000|\d{13})\.u", "DUE.u", operation)
        operation = re.sub(r"\bstep\.S\b", "step.B", operation)  # a batch of the model passes on to S
        operation = re.sub(r"(?<= )out$", "archive", operation)
        operation = re.sub(r"(?<= )out/|out/(deliver|archive|far)(?=/|$)", lambda m: "out/DELIVERY" if m[1] else "archive/", operation)
        out.append(operation)
    return out


def run_of(operation):
    """What it may be sorted among: names that are hashes here, and numbers there, are gone through in their order."""
    match = re.match(r"(rename) tmp/commit/\S+ -> ((?!trash)\S*)/|(unlink|fsync) (\S*)/", operation)
    return match and match.groups()


def condensed(operations, before=()):
    """[(operation, its place in the list)]: several writes of one file are one. Of those that were sorted only the first one has
    a place: after it not the same names are left in both. `before`: what the same names were in first."""
    out = []
    for place, operation in enumerate(in_one_form([*before, *operations])[len(before):]):
        if not (out and operation.startswith("write ") and out[-1][0] == operation):
            out.append((operation, place))
    at = 0
    while at < len(out):
        end = at + 1
        while end < len(out) and run_of(out[at][0]) and run_of(out[at][0]) == run_of(out[end][0]):
            end += 1
        names = sorted(operation for operation, _ in out[at:end])
        out[at:end] = [(names[0], out[at][1]), *((name, None) for name in names[1:])]
        at = end
    return out


@unittest.skipUnless(shutil.which("strace"), "strace is missing")
class TraceTest(unittest.TestCase):
    def assert_same(self, traced, expected, story):
        """Condensed lists of both."""
        lines = [[operation for operation, _ in operations] for operations in (traced, expected)]
        self.assertEqual(*lines, f"{story}:\nmodel:\n  " + "\n  ".join(lines[1]) + "\ntraced:\n  " + "\n  ".join(lines[0]))

    def run_flow(self, flow, level, kill=None, command=None):
        """(calls, operations) of the flow's last command; or, when that is killed before `kill` (call and number, operation),
        condensed lists of what takes it up then."""
        last = FLOWS[flow][-1]
        drive, modelled = DriveRun(flow, level), ModelRun(flow, level)
        try:
            if not kill:
                return drive.traced(last), modelled.traced(last)
            calls, operations = drive.traced(last, kill[0]), modelled.traced(last, stop_before=kill[1])
            return (condensed(names_of(drive.traced(command)), names_of(calls)), condensed(modelled.traced(command), operations))
        finally:
            drive.close()

    def compare(self, flow, level):
        if needs_other(flow) and not elsewhere():
            self.skipTest("there is no directory on another filesystem")
        calls, operations = self.run_flow(flow, level)
        traced, expected = condensed(names_of(calls)), condensed(operations)
        self.assert_same(traced, expected, f"{flow}, {level}")
        moments = [(calls[place][1:], there) for (_, place), (_, there) in zip(traced, expected) if place is not None]
        commands = [command for command in (("recover",), AT_DEATH.get(FLOWS[flow][-1][0])) if command]

        def after(moment, command):
            self.assert_same(*self.run_flow(flow, level, moment, command), f"{flow}, {level}, {command} after a kill before {moment[0]} ({operations[moment[1]]})")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(after, moment, command) for moment in moments for command in commands]:
                done.result()


def add_tests():
    for flow in FLOWS:
        for level in LEVELS:
            name = f"test_{flow}_at_level_{level}_makes_the_calls_of_the_model".replace("-", "_")
            setattr(TraceTest, name, lambda self, flow=flow, level=level: self.compare(flow, level))


add_tests()
if __name__ == "__main__":
    main()
