"""What very many routing rules cost the commands, the start, and the files that flow during a reload.

    python3 tests/bench/many_rules.py [--plugins 60] [--rules 1000] [--out FILE.md]

Makes a home with so many plugins, each with so many rules of type fnmatch, runs a loader in it, and prints a table as
Markdown. In FILE.md the section of the same name is replaced. MFDATA_BUILD names the build directory (default: build/).
Exit status: 0 measured, 1 files were lost, 2 it could not run.
"""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "harness"))
from harness import BUILD, LOADER, MFDATA, Home, wait_for

TITLE = "## Very many rules"
ROUNDS = 5
PAUSE_S = 0.01   # between two files
ARCHIVE = ('[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\nkeep_tags_suffix = ""\n'
           '[[switch_rules]]\ntype = "alwaystrue"\nrules = { "" = ["main"] }\n')


def fill(home, plugins, rules):
    """Plugins of the code of `delete`, each with its rules, and one that gives every file to `archive`."""
    library = BUILD / "sample_plugins/delete/delete.so"
    for number in range(plugins):
        folder = home.root / f"plugins/many{number}/1.0.0"
        folder.mkdir(parents=True)
        shutil.copy(library, folder / "delete.so")
        (folder.parent / "current").symlink_to("1.0.0")
        lines = [f'"product {number} {rule} *" = ["main"]' for rule in range(rules)]
        (folder / "plugin.toml").write_text(
            f'[plugin]\nname = "many{number}"\nversion = "1.0.0"\nlibrary = "delete.so"\n[step.main]\nnumprocesses = 0\n'
            '[[switch_rules]]\ntype = "fnmatch"\ntag = "latest.guess_file_type.main.system_magic"\n[switch_rules.rules]\n' + "\n".join(lines) + "\n")
    home.override("archive", ARCHIVE)


def milliseconds(action):
    began = time.monotonic()
    action()
    return (time.monotonic() - began) * 1000


class Traffic(threading.Thread):
    """Drops a file each 10 ms, and notes how long each of them took to leave the watched directory, and to be archived."""

    def __init__(self, home):
        super().__init__()
        self.home, self.ends, self.dropped = home, False, {}
        self.taken, self.archived = [], []

    def run(self):
        waiting, number, next_drop = {}, 0, time.monotonic()
        while not (self.ends and not self.dropped and not waiting):
            now = time.monotonic()
            if not self.ends and now >= next_drop:
                name = f"t{id(self)}-{number}"
                number, next_drop = number + 1, now + PAUSE_S
                self.home.drop(name, b"x")
                self.dropped[name] = waiting[name] = time.monotonic()
            there = set(os.listdir(self.home.incoming))
            for name in [name for name in waiting if name not in there]:
                self.taken.append((time.monotonic() - waiting.pop(name)) * 1000)
            done = set(os.listdir(self.archive)) if os.path.isdir(self.archive) else set()
            for name in [name for name in self.dropped if name in done]:
                self.archived.append((time.monotonic() - self.dropped.pop(name)) * 1000)
                os.unlink(os.path.join(self.archive, name))
            if self.ends and now - next_drop > 60:
                return
            time.sleep(0.001)

    def finish(self):
        self.ends = True
        self.join()

    @property
    def archive(self):
        return self.home.root / "var/archive"


def measured_traffic(home, action):
    traffic = Traffic(home)
    traffic.start()
    time.sleep(0.5)
    took = milliseconds(action)
    time.sleep(0.5)
    traffic.finish()
    return took, traffic


def measure(home):
    rows = []
    for words in (["check"], ["status"], ["queue", "list"], ["trash", "list"]):
        times = [milliseconds(lambda: home.run(MFDATA, *words, check=words[0] != "status")) for _ in range(ROUNDS)]
        rows.append(("mfdata " + " ".join(words), statistics.median(times), ""))

    def first_file():
        home.incoming.mkdir(parents=True, exist_ok=True)
        home.drop("first", b"x")
        home.start()
        wait_for(lambda: (home.root / "var/archive/first").exists(), "the first file")
    rows.append(("from the start of the loader to the first file archived", milliseconds(first_file), ""))
    quiet = measured_traffic(home, lambda: time.sleep(2))[1]
    rows.append(("a file without a reload: taken, archived (the slowest)", max(quiet.taken), f"{max(quiet.archived):.0f}"))

    def change(plugin, text):
        home.override(plugin, text)
        home.run(MFDATA, "reload")
    rules = '[[switch_rules]]\ntype = "equal"\ntag = "t"\nrules = { "x" = ["main"] }\n'
    lost = len(quiet.dropped)
    for words, plugin, text in (("one step", "archive", "[step.main]\nmax_age = 86400\n" + ARCHIVE), ("the rules", "many0", rules)):
        took, traffic = measured_traffic(home, lambda: change(plugin, text))
        lost += len(traffic.dropped)
        rows.append((f"mfdata reload of a change in {words}", took, ""))
        rows.append(("a file during that: taken, archived (the slowest)", max(traffic.taken), f"{max(traffic.archived):.0f}"))
    return rows, lost


def report(plugins, rules, rows):
    lines = [TITLE, "", f"{plugins} plugins with {rules} rules each, of type fnmatch (`python3 tests/bench/many_rules.py`); milliseconds.", "",
             "| what | ms | archived after, ms |", "|---|---|---|"]
    return "\n".join(lines + [f"| {what} | {ms:.0f} | {more} |" for what, ms, more in rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=60)
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    if not LOADER.exists():
        sys.exit(f"many_rules.py: there is no {LOADER}: build it, or name a build directory with MFDATA_BUILD")
    home = Home(("guess_file_type", "switch", "archive"), settings='[data]\nentry_step = "guess_file_type/main"\n[metrics]\nlisten = ""\n')
    try:
        fill(home, options.plugins, options.rules)
        rows, lost = measure(home)
    finally:
        home.close()
    text = report(options.plugins, options.rules, rows)
    print(text)
    if options.out:
        old = options.out.read_text()
        section = re.compile(re.escape(TITLE) + r"\n.*?(?=\n## |\Z)", re.S)
        options.out.write_text(section.sub(lambda _: text.rstrip("\n") + "\n", old) if section.search(old) else old.rstrip("\n") + "\n\n" + text)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
