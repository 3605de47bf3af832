"""The oracle of the campaigns: stands outside the spool, knows what was sent, and judges what became of it.

An Item is one file that was sent, with the endings that it must have: place, content, and the steps on the way. `Found`
is one ending as it stands on disk. Sidecars, contexts and names are read here by the oracle itself, not by mfdata. What
a flow makes of a file (ways.py, standard_flow.py) is told to `judge` as a Law.
"""
import collections
import dataclasses
import json
import os
import pathlib
import random
import re
import sys
import threading
from typing import Any, Callable

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../harness"))
from harness import ATTRIBUTE, BUILD, content, parse_context, parse_tags_file, sha

PLUGINS = pathlib.Path(os.environ.get("MFDATA_CAMPAIGN_PLUGINS", BUILD / "tests/campaigns/plugins"))
SHOWN = 20
SPOOL_NAME = re.compile(r"([0-9a-f]{32})\.(\d+)(c?)(?:~(\d+))?")

Ending = collections.namedtuple("Ending", "place content trail")
Found = collections.namedtuple("Found", "place path content uid tags sidecar")


@dataclasses.dataclass
class Item:
    """One file that was sent. `data` holds its serial, which no other has."""
    name: str
    kind: str
    variant: str
    serial: str
    data: bytes
    endings: list
    notes: Any = None      # of the flow, for its law
    durable: bool = False  # may not be lost by a power cut


class Sender:
    """Makes items (`make(rng, serial)` gives one), and remembers those that were sent."""

    def __init__(self, rng, make):
        self.rng, self.items, self.lock, self._make = rng, [], threading.Lock(), make

    def make(self):
        return self._make(self.rng, f"{len(self.items):06d}-{self.rng.getrandbits(48):012x}")

    def sent(self, item):
        with self.lock:
            self.items.append(item)


class Oracle:
    """Counts checks. Findings are what was wrong, one line each."""

    def __init__(self):
        self.passed, self.findings = 0, []

    def check(self, good, finding):
        if good:
            self.passed += 1
        else:
            self.findings.append(finding)
        return bool(good)

    def show(self):
        for finding in self.findings[:SHOWN]:
            print("  " + finding)
        if len(self.findings) > SHOWN:
            print(f"  ... and {len(self.findings) - SHOWN} more")


# ---- what stands on disk

def attribute_of(path):
    try:
        return parse_context(os.getxattr(path, ATTRIBUTE))
    except (OSError, ValueError):
        return {}, {}


def delivered(home, place):
    """The files below a delivery directory, without their companions."""
    found = []
    for path in sorted((home.root / place).rglob("*")):
        if path.suffix == ".tags" or path.is_dir():
            continue
        header, tags = attribute_of(path)
        found.append(Found(place, path, content(path), header.get("uid", ""), tags, False))
    return found


def trashed(home):
    found = []
    for path in sorted((home.data / "trash").glob("*/*")):
        if path.suffix in (".json", ".tags"):
            continue
        name = SPOOL_NAME.fullmatch(path.name)
        sidecar = bool(name and name[3])
        beside = home.data / "tmp/context" / path.name[:32]
        header, tags = attribute_of(path) if not sidecar else parse_context(content(beside)) if beside.exists() else ({}, {})
        found.append(Found(f"trash/{path.parent.name}", path, content(path), header.get("uid", ""), tags, sidecar))
    return found


def left_over(home, places):
    """What must not stand anywhere when all is at rest; `places`: where each companion must have its file."""
    found = [os.fsdecode(path) for path in home.spooled() + home.left_over()]
    living = {path.name[:32] for path in (home.data / "trash").glob("*/*") if SPOOL_NAME.fullmatch(path.name)}
    found += [f"tmp/context/{path.name} (a sidecar of no file)" for path in (home.data / "tmp/context").iterdir()
              if path.name not in living]
    found += [f"{path.relative_to(home.data)} (a companion of no file)" for path in (home.data / "trash").glob("*/*")
              if path.suffix in (".json", ".tags") and path.stem not in living]
    found += [f"{path.relative_to(home.root)} (a companion of no file)" for place in places
              for path in (home.root / place).rglob("*.tags") if not path.with_suffix("").exists()]
    return sorted(set(found))


def reason_of(found):
    """Why a file stands in trash, by its note (which a power cut may have emptied)."""
    note = found.path.with_name(f"{found.path.name[:32]}.json")
    try:
        return json.loads(note.read_text())["reason"]
    except (OSError, ValueError):
        return ""


# ---- tags

def companion_of(found):
    path = found.path.with_name(found.path.name + ".tags")
    return parse_tags_file(path) if path.exists() else None


def difference(tags, expected):
    """What is wrong with tags, or an empty text. None is expected where any value will do."""
    missing = [name for name in expected if name not in tags]
    more = [name for name in tags if name not in expected]
    wrong = [name for name, value in expected.items() if value is not None and name in tags and tags[name] != value]
    return "; ".join(f"{what}: {', '.join(sorted(names)[:4])}"
                     for what, names in (("missing", missing), ("too many", more), ("wrong", wrong)) if names)


def attribute_complaint(found, companion):
    """The attribute of a delivered file holds its context."""
    if not re.fullmatch("[0-9a-f]{32}", found.uid):
        return "its attribute has no uid"
    return "" if found.tags == companion else "its attribute and its .tags differ"


# ---- the judgement

@dataclasses.dataclass
class Law:
    """What a flow does to its files, and what a campaign lets pass."""
    places: tuple                 # delivery directories, below the home
    trail_of: Callable            # of what was found: the steps on its way
    tags_complaint: Callable      # (item, found, ending): what is wrong with its tags, or an empty text
    must_arrive: Callable = lambda item: True
    tolerate: Callable = lambda found: False  # what stands where nothing should
    companions_of: tuple = ()     # places where no .tags file may stand alone


def judge(oracle, home, items, law):
    """Every item that must arrive has each of its endings once, and nothing else stands anywhere."""
    standing = [found for place in law.places for found in delivered(home, place)] + trashed(home)
    endings = collections.defaultdict(list)
    for found in standing:
        endings[Ending(found.place, sha(found.content), law.trail_of(found))].append(found)
    for item in items:
        for ending in item.endings:
            here = endings.pop(ending, [])
            name = f"{item.serial} {item.kind} {item.variant} ({item.name}) at {ending.place} by \"{ending.trail}\""
            oracle.check(here or not law.must_arrive(item), "lost: " + name)
            oracle.check(len(here) <= 1, f"{len(here)} times: {name}: " + " ".join(f.path.name for f in here))
            for found in here:
                wrong = law.tags_complaint(item, found, ending)
                oracle.check(not wrong, f"tags of {name}, {found.path.name}: {wrong}")
    judge_the_rest(oracle, endings, law.tolerate)
    for uid, number in collections.Counter(found.uid for found in standing if found.uid).items():
        oracle.check(number == 1, f"{number} files have the uid {uid}")
    for path in left_over(home, law.companions_of):
        oracle.check(False, "left over: " + path)
    oracle.check(True, "")


def judge_the_rest(oracle, endings, tolerate):
    """Another content, another way, or in trash for no reason of the flow's."""
    for ending, standing in endings.items():
        for found in standing:
            words = b" ".join(found.content[:60].split(b" ")[:3])
            oracle.check(tolerate(found), f"unexpected: {ending.place}/{found.path.name} by \"{ending.trail}\", "
                                          f"{len(found.content)} bytes, {words!r} {reason_of(found)}")


def at_rest(home, looks=4):
    """A condition: the spool was empty so often in a row. One look is not enough: a file that moves from a directory
    that was not yet listed to one that was is not seen."""
    empty = 0

    def condition():
        nonlocal empty
        empty = 0 if home.spooled() else empty + 1
        return empty >= looks

    return condition


def rng_of(seed):
    return random.Random(seed)
