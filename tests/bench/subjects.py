"""What the load is driven through: mfdata with one scenario, or the bare system calls of ceiling.c or relay.c.

All offer `incoming`, `outputs` (directories in which every file must appear), `companion` (a suffix), `cpu_seconds()`,
`pid`, `at_rest()` (nothing is under way any more), `trouble()` (what it has to say about lost files), `loss`
(what is raised then) and `close()`.
"""
import pathlib
import shutil
import subprocess

import process_figures
from filesystems import has_attributes
from harness import BUILD, Home, MFDATA_PLUGIN, wait_for
from verdicts import LostFiles, Unusable

# Metrics are served as in every home, on a port that is free; the rest is as `mfdata init` leaves it.
SETTINGS = '[data]\nentry_step = "{entry}"\ndurability = "{durability}"\n[metrics]\nlisten = "127.0.0.1:0"\n'


class Mfdata:
    loss = LostFiles

    def __init__(self, row, base):
        scenario = row.scenario
        self.home = Home(scenario.plugins, base=base,
                         settings=SETTINGS.format(entry=scenario.entry, durability=row.durability))
        try:
            for name, model in scenario.renamed.items():
                self.home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins" / model, "--new-name", name)
            for plugin, custom in scenario.custom.items():
                custom = custom.replace("{out}", str(self.home.root / "out"))
                self.home.override(plugin, f"[step.main]\nnumprocesses = {row.workers}\n[custom]\n{custom}\n")
            self.outputs = [self.home.root / name for name in scenario.outputs]
            for directory in self.outputs:
                directory.mkdir()
            self.companion, self.incoming = scenario.companion, self.home.incoming
            self.home.start()
            wanted = row.workers * len(scenario.custom)
            wait_for(lambda: len(self.home.worker_pids()) == wanted, f"{wanted} workers of {row}")
        except BaseException:
            self.home.close()
            raise
        self.pid = self.home.loader.pid

    def cpu_seconds(self):
        return process_figures.cpu_seconds(self.pid)

    def at_rest(self):
        return not self.home.spooled()

    def trouble(self):
        trash = [str(path.relative_to(self.home.data)) for path in self.home.data.glob("trash/*/*.json")]
        return (f"in the spool: {self.home.spooled()[:5]}; in trash: {len(trash)} {trash[:5]}; "
                f"the loader's log ends with:\n{self.home.log()[-2000:]}")

    def close(self):
        if self.home.loader and self.home.loader.poll() is None:
            self.home.stop()
        self.home.close()


class Ceiling:
    """The hops in one process, or, of "relay", three in a process each and libmagic in the first."""
    loss = Unusable   # it promises nothing: then there is just no figure to stand beside

    def __init__(self, tools, kind, base):
        hops = 3 if kind == "relay" else kind
        command = [tools / "relay"] if kind == "relay" else [tools / "ceiling", "serve", "--hops", str(hops)]
        self.base = pathlib.Path(base) / f"ceiling-{kind}"
        # It never lists a directory: what its inotify queue does not hold is lost. Each file is an event where it is
        # written, and one for each hop.
        self.capacity = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // (1 + hops)
        self.companion = ".tags" if hops == 3 else ""
        self.incoming, self.outputs = self.base / "incoming", [self.base / "out"]
        self.log_file = open(str(self.base) + ".stderr", "wb")
        bare = [] if has_attributes(base) else ["--no-xattr"]
        self.process = subprocess.Popen([*command, "--base", self.base, *bare], stdout=self.log_file, stderr=self.log_file)
        self.pid = self.process.pid
        try:
            wait_for(lambda: self.watches() == hops or self.process.poll() is not None, "the ceiling to serve")
            if self.process.poll() is not None:
                raise Unusable("the ceiling ended: " + self.trouble())
        except BaseException:
            self.close()
            raise

    def watches(self):
        """inotify watches that it has set: one for each hop, then it serves."""
        try:
            tables = [path.read_text() for path in pathlib.Path(f"/proc/{self.pid}/fdinfo").iterdir()]
        except FileNotFoundError:
            return 0
        return sum(text.count("inotify wd:") for text in tables)

    def cpu_seconds(self):
        return process_figures.cpu_seconds(self.pid)

    def at_rest(self):
        return True

    def trouble(self):
        return pathlib.Path(self.log_file.name).read_text()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.log_file.close()
        shutil.rmtree(self.base, ignore_errors=True)
