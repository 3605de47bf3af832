#!/usr/bin/env python3
"""The standard flow under SIGKILL: files that fail, are retried, unpacked, split and sent two ways; then the books.

  standard_flow.py [--files N] [--kills K] [--seed S] [--durability LEVEL] [--without PROTECTIONS] [--keep]
  standard_flow.py --control [--files N] [--kills K] [--seed S]

incoming -> guess_file_type -> switch (one rule is code) -> ungzip, exec, fork -> .. -> archive. The seed says which files
fail, and how often they are retried; the failure policies keep, delete and move. The kills are spread over the files, in
the loader and its workers. Every file must reach each of its endings once, with its content and the tags that its way gives
it; those that are to be deleted are gone; nothing may be left in the spool. --control removes protections of the protocol
one at a time, and fails unless the books show that files are missing.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import Ending, Item, Law, Oracle, Sender, attribute_complaint, companion_of, difference, rng_of
from storm import controls, storm_over
from harness import BUILD, MFDATA_PLUGIN, Home, sha

HERE = pathlib.Path(__file__).resolve().parent
ARCHIVE, FAILED = "var/archive", "failed"
RETRIES = 3
NAMES = 150       # of which many are used again
SETTINGS = '''[data]
entry_step = "guess_file_type/main"
durability = "{durability}"
min_free_space = 0
min_free_inodes = 0
[loader]
max_crashes = 1000
predicate_timeout = 60
'''
RETRYING = f"retry_total = {RETRIES}\nretry_min_wait = 0.02\nretry_max_wait = 0.05\nretry_backoff = 0.01\n"
ENTERED = re.compile(r"(\d+)\.(\w+)\.main\.enter_step")

CONTROLS = ("no_recovery", "context_last", "no_generation", "shared_attribute")

# What the first word of a file says to switch. The code rule sees PLAIN and BOTH in the content, the others stand in a tag.
RULES = '''[step.main]
numprocesses = 0
[[switch_rules]]
type = "plugin"
rules = { "begins_with(PLAIN)" = ["archive/main*"], "begins_with(BOTH)" = ["archive/main*"] }
[[switch_rules]]
type = "regex"
tag = "latest.guess_file_type.main.ascii_header"
rules = { "EXEC |BOTH " = ["exec/main*"], "FORK " = ["fork/main"], "DROP " = ["drop/main"] }
'''

# kind, choice: how often. "choice" is that of standard/chooser.py and .sh.
KINDS = {("PLAIN", "-"): 4, ("packed", "1"): 3, ("packed", "2"): 2, ("BOTH", "0"): 1, ("BOTH", "2"): 1, ("BOTH", "fail"): 1,
         ("EXEC", "0"): 2, ("EXEC", "1"): 1, ("EXEC", "3"): 1, ("EXEC", "split"): 1, ("EXEC", "fail"): 1, ("EXEC", "never"): 1,
         ("FORK", "0"): 1, ("FORK", "2"): 1, ("FORK", "never"): 1, ("DROP", "0"): 1, ("DROP", "never"): 1, ("ODD", "-"): 1}


def new_home(durability):
    home = Home(["guess_file_type", "switch", "ungzip", "exec", "fork", "archive", BUILD / "tests/plugins/judge"], settings=SETTINGS.format(durability=durability))
    home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork", "--new-name", "drop")
    runs = home.root / "runs"
    for directory in (runs, home.root / FAILED):
        directory.mkdir()
    command = json.dumps(["sh", str(HERE / "standard/chooser.sh"), "{PATH}", str(runs)])
    home.override("judge", RULES)
    home.override("switch", '[custom]\nno_match_policy = "keep"\n')
    home.override("exec", f'[step.main]\n{RETRYING}[custom]\ncommand = ["python3", "-IS", "{HERE}/standard/chooser.py"]\ndest_dir = "archive/main"\n')
    home.override("fork", f'[step.main]\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "{home.root / FAILED}"\n{RETRYING}[custom]\ncommand = {command}\n')
    home.override("drop", f'[step.main]\nfailure_policy = "delete"\n{RETRYING}[custom]\ncommand = {command}\ndest_dir = "archive/main"\n')
    return home


class Way:
    """One way of a file: where it ends, the plugins on the way (in trash: before the one that failed), what guess_file_type sees each time, and more tags."""

    def __init__(self, place, plugins, seen, tags=(), content=None):
        self.place, self.plugins, self.seen, self.tags, self.content = place, plugins, seen, dict(tags), seen[-1] if content is None else content

    def ending(self):
        return Ending(self.place, sha(self.content), self.plugins)

    def expected_tags(self, name):
        hops = self.plugins.split()
        tags = {"first.core.original_basename": name.encode(), "first.core.original_dirname": None, "first.core.original_uid": None,
                "latest.core.step_counter": str(len(hops) - 1).encode(), **self.tags}
        seen = iter(self.seen)
        for hop, plugin in enumerate(hops):
            tags[f"{hop}.{plugin}.main.enter_step"] = None
            if plugin != "guess_file_type":
                continue
            data = next(seen)
            guessed = {"system_magic": b"ASCII text" if data[:1] != b"\x1f" else None, "size": str(len(data)).encode(),
                       "ascii_header": bytes(byte for byte in data[:60] if 32 <= byte <= 126)}
            for key, value in guessed.items():
                tags[f"{hop}.{plugin}.main.{key}"] = tags[f"latest.{plugin}.main.{key}"] = value
        return tags


def chosen(hop, choice):
    return {f"{hop}.exec.main.chosen": choice.encode(), "latest.exec.main.chosen": choice.encode()}


def ways_of_exec(serial, choice, data):
    start = "guess_file_type switch"
    if choice in ("fail", "never"):
        tags = {"latest.exec.main_reinject.attempt": str(RETRIES).encode()} if choice == "never" else {}
        return [Way("trash/exec.main", start, [data], tags)]
    ways = [Way(ARCHIVE, f"{start} exec archive", [data], chosen(2, choice))]
    if choice == "split":
        ways.append(Way(ARCHIVE, f"{start} exec archive", [data], chosen(2, choice), f"PLAIN {serial} made by exec\n".encode()))
    return ways


def ways_of(kind, serial, choice, data):
    """`data`: what is sent, and what is found in it layer by layer."""
    start, sent = "guess_file_type switch", data[0]
    parts = [f"PLAIN {serial} made by fork, part {part}\n".encode() for part in (1, 2)]
    if kind == "PLAIN":
        return [Way(ARCHIVE, f"{start} archive", data)]
    if kind == "packed":
        return [Way(ARCHIVE, f"{start} ungzip " * (len(data) - 1) + f"{start} archive", data)]
    if kind == "EXEC":
        return ways_of_exec(serial, choice, sent)
    if kind == "BOTH":
        return [Way(ARCHIVE, f"{start} archive", data), *ways_of_exec(serial, choice, sent)]
    if kind == "FORK" and choice == "never":
        return [Way(FAILED, f"{start} fork", data)]
    if kind == "FORK":
        return [Way(ARCHIVE, f"{start} fork {start} archive", [sent, part]) for part in parts]
    if kind == "DROP":
        return [] if choice == "never" else [Way(ARCHIVE, f"{start} drop archive", data, content=part) for part in parts]
    return [Way("trash/switch.main", "guess_file_type", data)]


def make_item(rng, serial):
    [(kind, choice)] = rng.choices(list(KINDS), list(KINDS.values()))
    lines = [rng.randbytes(30).hex() for _ in range(rng.choice((0, 2, rng.randrange(100))))]
    data = ["\n".join([f"{'PLAIN' if kind == 'packed' else kind} {serial} {choice} of the standard flow", *lines, ""]).encode()]
    for _ in range(int(choice) if kind == "packed" else 0):
        data.insert(0, gzip.compress(data[0], mtime=0))
    ways = {way.ending(): way for way in ways_of(kind, serial, choice, data)}
    return Item(f"{kind}-{rng.randrange(NAMES)}", kind, choice, serial, data[0], list(ways), ways)


def trail_of(found):
    hops = [match for match in map(ENTERED.fullmatch, found.tags) if match]
    return " ".join(match[2] for match in sorted(hops, key=lambda match: int(match[1])))


def tags_complaint(item, found, ending):
    expected = item.notes[ending].expected_tags(item.name)
    if found.place.startswith("trash"):
        return difference(found.tags, expected)
    companion = companion_of(found)
    return "no .tags beside it" if companion is None else difference(companion, expected) or attribute_complaint(found, companion)


def run(files, kills, seed, durability, without="", keep=False):
    """(oracle, text about the run)"""
    oracle, law = Oracle(), Law((ARCHIVE, FAILED), trail_of, tags_complaint, companions_of=(ARCHIVE, FAILED))
    about = storm_over(new_home(durability), Sender(rng_of(seed + 1), make_item), law, oracle, rng_of(seed), kills, files, without=without, keep=keep)
    return oracle, about


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, help="how many (default 2000; of each control at first 400)")
    parser.add_argument("--kills", type=int, help="how many, spread over the files (default: one for 33 files)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the random choices (default: the time)")
    parser.add_argument("--durability", default="accepted", choices=("process", "accepted", "every-hop"))
    parser.add_argument("--without", default="", help="protections to remove, separated by commas")
    parser.add_argument("--keep", action="store_true", help="keep the home when something was wrong")
    parser.add_argument("--control", action="store_true", help="check that the absence of each protection is noticed")
    options = parser.parse_args()
    files = options.files or (400 if options.control else 2000)
    kills = files // 33 if options.kills is None else options.kills
    repeat = f"to repeat: standard_flow.py --files {files} --kills {kills} --seed {options.seed}"
    if options.control:
        noticed, unnoticed = controls(CONTROLS, lambda protection, attempt: run(files << attempt, kills << attempt, options.seed + attempt, "process", protection),
                                      lambda finding: finding.startswith("lost: "))
        print(f"{repeat} --control")
        print(f"{noticed} passed, {len(unnoticed)} failed")
        sys.exit(1 if unnoticed else 0)
    oracle, about = run(files, kills, options.seed, options.durability, options.without, options.keep)
    oracle.show()
    print(about)
    print(f"{repeat} --durability {options.durability}" + (f" --without {options.without}" if options.without else ""))
    print(f"{oracle.passed} passed, {len(oracle.findings)} failed")
    sys.exit(1 if oracle.findings else 0)


if __name__ == "__main__":
    main()
