"""What every test of a running mfdata needs: a home in a temporary directory, a loader, files, and waiting.

Tests wait for conditions with a deadline (`wait_for`), never for a time; the deadlines are for what never comes, so that
a slow machine passes. Programs are those of the build directory in MFDATA_BUILD (default: build/ of the project). `main()`
runs the unittest cases of a module and prints "N passed, N failed, N skipped" as its last line.
"""
import atexit
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MFDATA_BUILD", PROJECT / "build")).resolve()
MFDATA = BUILD / "tools/mfdata"
MFDATA_PLUGIN = BUILD / "tools/mfdata-plugin"
LOADER = BUILD / "loader/mfdata-loader"
ATTRIBUTE = "user.mfdata.tags"


@functools.cache
def build_for_others():
    """Where other users can run the programs: the build directory, or a copy of what runs when it lies in a private place."""
    if all(path.stat().st_mode & 0o001 for path in (BUILD, *BUILD.parents)):
        return BUILD
    copy = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-programs-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    names = ["tools/mfdata", "tools/mfdata-plugin", "loader/mfdata-loader", "loader/mfdata-worker"]
    for name in names + [str(p.relative_to(BUILD)) for kind in ("plugin.toml", "*.so") for p in BUILD.glob(f"sample_plugins/*/{kind}")]:
        (copy / name).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copy(BUILD / name, copy / name)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.suffix != ".toml" else 0o644)
    return copy


def wait_for(condition, what, deadline=120.0):
    """The first true value of `condition()`; fails after `deadline` seconds, with `what` was waited for. The last look
    begins after the deadline: whoever was kept from looking in between sees it then."""
    end = time.monotonic() + deadline
    while True:
        late = time.monotonic() > end
        value = condition()
        if value:
            return value
        if late:
            raise AssertionError(f"not within {deadline} s: {what}")
        time.sleep(0.02)


def one_of(attempt, what, times=10):
    """The first true value of `attempt(0)`, `attempt(1)` .. For what only a machine that is quick enough can show, and
    what is broken never does."""
    for number in range(times):
        value = attempt(number)
        if value:
            return value
    raise AssertionError(f"not once in {times} attempts: {what}")


def alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def children_of(pid):
    """Workers, and the processes that recover slots."""
    children = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:  # it has ended by itself
        tasks = []
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                children += [int(word) for word in file.read().split()]
        except OSError:
            continue
    return children


def unescape(text):
    """Bytes of a value of a context or .tags file."""
    out, raw, at = bytearray(), os.fsencode(text) if isinstance(text, str) else text, 0
    while at < len(raw):
        if raw[at:at + 1] == b"%":
            out.append(int(raw[at + 1:at + 3], 16))
            at += 3
        else:
            out.append(raw[at])
            at += 1
    return bytes(out)


def parse_context(raw):
    """(header, tags) of the bytes of user.mfdata.tags or of a sidecar; tag values are bytes."""
    lines = raw.split(b"\n")
    header = dict(part.split(b"=", 1) for part in lines[0].split(b" ")[1:])
    tags = {name.decode(): unescape(value) for name, value in (line.split(b"=", 1) for line in lines[1:] if line)}
    return {key.decode(): unescape(value).decode(errors="surrogateescape") for key, value in header.items()}, tags


def context_of(path):
    """(header, tags) of a file by its attribute."""
    return parse_context(os.getxattr(os.fsencode(path), ATTRIBUTE))


def parse_tags_file(path):
    with open(path, "rb") as file:
        pairs = (line.split(b" = ", 1) if b" = " in line else (line[:-2], b"") for line in file.read().split(b"\n") if line)
        return {name.decode(): unescape(value) for name, value in pairs}


def content(path):
    with open(path, "rb") as file:
        return file.read()


def sha(data):
    return hashlib.sha256(data).hexdigest()


@functools.cache
def metric_families():
    """What the loader registers: a family without series stands nowhere in what it serves."""
    return set(re.findall(r'Name\("(mfdata_\w+)"\)', (PROJECT / "loader/loader_metrics.cpp").read_text()))


class Home:
    """A home of mfdata in a directory of its own (removed by close). Settings are TOML texts."""

    def __init__(self, plugins, settings="", overrides=None, base=None, root=None, user=None, build=None):
        """`plugins`: none, for those that `mfdata init` chooses. `user`: (uid, gid) that everything of the home runs as; only root can give another one than its own. `build`: where
        other programs than those of the build directory stand, in the same folders."""
        self.root = pathlib.Path(root or tempfile.mkdtemp(prefix="mfdata-test-", dir=base or default_base()))
        self.credentials = dict(user=user[0], group=user[1], extra_groups=[]) if user else {}
        self.build = build or (build_for_others() if user else BUILD)
        if user:
            os.chown(self.root, *user)
        self.loader, self.log_file = None, None
        self.environment = dict(os.environ, MFDATA_HOME=str(self.root), MFDATA_ADMIN_DIR=str(self.root / "etc/none"))
        self.environment.pop("MFDATA_TEST_WITHOUT", None)
        self.run(MFDATA, "init", self.root, *(["--plugins", ",".join(map(str, plugins))] if plugins else []))
        self.data = self.root / "var/in"
        self.incoming = self.data / "incoming"
        self.archive = self.root / "var/archive"
        self.configure(settings or (self.root / "etc/mfdata.toml").read_text())
        for name, text in (overrides or {}).items():
            self.override(name, text)

    def configure(self, settings):
        if "[metrics]" not in settings:
            settings += '\n[metrics]\nlisten = ""\n'
        (self.root / "etc/mfdata.toml").write_text(settings)

    def override(self, plugin, text):
        (self.root / f"etc/plugins.d/{plugin}.toml").write_text(text)

    def run(self, *command, check=True, **more):
        """Runs a command in the home's environment; its CompletedProcess (text output)."""
        done = subprocess.run([str(part).replace(str(BUILD), str(self.build)) for part in command], text=True, errors="surrogateescape",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **{"env": self.environment, **self.credentials, **more})
        if check and done.returncode != 0:
            raise AssertionError(f"{command} exited {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, wait=True, without="", prefix=()):
        """Starts the loader; `without` names protections to remove (control tests), `prefix` a wrapper command."""
        environment = dict(self.environment, **({"MFDATA_TEST_WITHOUT": without} if without else {}))
        self.log_file = open(self.root / "loader.stderr", "ab")
        self.loader = subprocess.Popen([*map(str, prefix), str(self.build / LOADER.relative_to(BUILD)), "--home", str(self.root)], env=environment,
                                       stdout=self.log_file, stderr=self.log_file, **self.credentials)
        if wait:
            wait_for(lambda: self.loader.poll() is not None or self.status().get("pid"), "the loader to answer")
            if self.loader.poll() is not None:
                raise AssertionError("the loader ended: " + self.log())
        return self

    def stop(self, deadline=180):
        """SIGTERM, and the exit code."""
        if self.loader is None:
            return None
        if self.loader.poll() is None:
            self.loader.send_signal(signal.SIGTERM)
        try:
            code = self.loader.wait(deadline)
        finally:
            if self.loader.poll() is None:
                self.loader.kill()
                self.loader.wait()
            self.log_file.close()
            self.loader = None
        return code

    def kill(self):
        """SIGKILL to the loader; its workers die with it."""
        if self.loader is not None:
            self.loader.kill()
            self.loader.wait()
            self.log_file.close()
            self.loader = None

    def status(self):
        """What the loader answers; without steps when none runs."""
        try:
            with socket.socket(socket.AF_UNIX) as loader:
                loader.settimeout(60)
                loader.connect(str(self.root / "run/control.sock"))
                loader.sendall(b'{"command":"status"}\n')
                with loader.makefile("rb") as answer:
                    return json.loads(answer.read())
        except (OSError, ValueError):
            return {"state": "not running", "steps": [], "refused": []}

    def metric(self, name, **labels):
        """The sum of a metric over the series with these labels; settings must give [metrics] a listen address with port 0. 0 while it
        has none yet: a name that the loader does not know is an error."""
        family = re.sub("_(bucket|sum|count)$", "", name)
        if not name.startswith("mfdata_plugin_") and not {name, family} & metric_families():
            raise AssertionError(f"the loader has no metric {name}")
        url = f"http://127.0.0.1:{self.status()['metrics_port']}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(line.split()[-1]) for line in lines if line.startswith((name + " ", name + "{")) and
                   set(wanted) <= set(line[line.find("{") + 1:line.rfind("}")].split(",")))

    def step_status(self, step):
        return next((row for row in self.status().get("steps", []) if row["step"] == step), {})

    def worker_pids(self, step=None):
        return [pid for row in self.status().get("steps", []) if step in (None, row["step"]) for pid in row["pids"]]

    def log(self):
        path = self.root / "loader.stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    def step_log(self, step):
        path = self.root / f"log/{step.replace('/', '.')}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def drop(self, name, content, directory=None, hidden=True):
        """A file into incoming (or another directory): written under a hidden name, then renamed."""
        directory = os.fsencode(directory or self.incoming)
        raw = os.fsencode(name)
        temporary = os.path.join(directory, b"." + hashlib.sha1(raw).hexdigest().encode() + b".tmp") if hidden else os.path.join(directory, raw)
        with open(temporary, "wb") as file:
            file.write(content)
        if hidden:
            os.rename(temporary, os.path.join(directory, raw))

    def files(self, directory=None, companions=False):
        """Paths (bytes) of regular files below a directory (default: the archive); .tags, .json, and what a delivery to
        another filesystem has not finished (hidden) are left out."""
        found = []
        for folder, _, names in os.walk(os.fsencode(directory or self.archive)):
            for name in names:
                if companions or not name.startswith(b".") and not name.endswith((b".tags", b".json")):
                    found.append(os.path.join(folder, name))
        return sorted(found)

    def trash(self, step):
        """The notes (JSON) of what a step has in trash, each with `path`."""
        directory, notes = self.data / "trash" / step.replace("/", "."), []
        for note in sorted(directory.glob("*.json")) if directory.is_dir() else []:
            with contextlib.suppress(FileNotFoundError):  # given back or removed meanwhile
                text = note.read_text()
                files = [p for p in directory.glob(note.stem + ".*") if p.suffix not in (".json", ".tags")]
                notes.append(dict(json.loads(text), path=files[0] if files else None))
        return notes

    def wait_trash(self, step, number=1):
        """So many notes of a step, once the file of each stands beside it: it is moved there after its note."""
        def complete():
            notes = self.trash(step)
            return notes if len(notes) == number and all(note["path"] for note in notes) else None
        return wait_for(complete, f"{number} files with their notes in the trash of {step}")

    def wait_log(self, step, words, count=1):
        """Until the log of a step has some words so often."""
        wait_for(lambda: self.step_log(step).count(words) >= count, f'"{words}" in the log of {step}')

    def spooled(self):
        """Names of all files that wait or are in hand anywhere in the data directory, trash and sidecars left out."""
        found = []
        for folder, _, names in os.walk(os.fsencode(self.data)):
            relative = os.path.relpath(folder, os.fsencode(self.data))
            if not relative.startswith((b"trash", b"tmp/context", b"tmp/keys")):
                found += [os.path.join(relative, name) for name in names]
        return sorted(found)

    def left_over(self):
        """What stands in tmp/ but empty directories of slots: must be nothing when all is at rest."""
        return [p for p in self.spooled() if p.startswith(b"tmp/")] + [
            os.fsencode(p.relative_to(self.data)) for p in (self.data / "tmp/commit").glob("*")] + [
            os.fsencode(p.relative_to(self.data)) for p in (self.data / "tmp").glob("*/*/txn")]

    def wait_idle(self, deadline=240):
        """Until nothing waits for a step, nothing is in hand (seen four times in a row, since a file that moves while the
        directories are listed can be missed once), and the loader knows it: what it logs and counts of it is there."""
        def idle():
            at_rest = not any(self.spooled() or self.left_over() for _ in range(4))
            return at_rest and not any(row["in_flight"] for _ in range(2) for row in self.status()["steps"])
        wait_for(idle, "an empty spool", deadline)

    def close(self):
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)


@functools.cache
def default_base():
    """A tmpfs where there is one with user attributes (Linux 6.6), else the temporary directory."""
    for candidate in ("/dev/shm", tempfile.gettempdir()):
        probe = os.path.join(candidate, f"mfdata-probe-{os.getpid()}")
        try:
            with open(probe, "wb"):
                os.setxattr(probe, ATTRIBUTE, b"x")
            return candidate
        except OSError:
            continue
        finally:
            if os.path.exists(probe):
                os.unlink(probe)
    return tempfile.gettempdir()


def elsewhere():
    """A directory on another filesystem than that of default_base(), or None."""
    device = os.stat(default_base()).st_dev
    candidates = [d for d in ("/dev/shm", tempfile.gettempdir(), "/var/tmp") if os.path.isdir(d)]
    return next((d for d in candidates if os.stat(d).st_dev != device), None)


class Case(unittest.TestCase):
    """A test case whose homes are closed at its end, with the loader's log shown when it failed."""

    def home(self, *plugins, **more):
        home = Home(plugins, **more)
        self.addCleanup(self._close, home)
        return home

    def _close(self, home):
        outcome = getattr(self, "_outcome", None)
        failed = any(error for _, error in getattr(outcome, "errors", []) or [])  # before Python 3.11
        result = getattr(outcome, "result", None)
        failed = failed or any(test is self for test, _ in getattr(result, "failures", []) + getattr(result, "errors", []))
        if failed:
            print(home.log()[-3000:], file=sys.stderr)
        home.close()


def mount_tmpfs(case, options):
    """The path of a fresh tmpfs (root only), unmounted when the test case ends. Homes on it are made after it."""
    path = tempfile.mkdtemp(prefix="mfdata-mount-", dir=default_base())
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)

    def unmount():
        subprocess.run(["umount", "-l", path], check=True)
        os.rmdir(path)
    case.addCleanup(unmount)
    return pathlib.Path(path)


def need_root(case):
    return unittest.skipUnless(os.geteuid() == 0, "root only")(case)


def main():
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    print(f"{result.testsRun - failed - skipped} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed else 0)
