"""What the plugin `storm` makes of a file: its kind and variant say by which way it goes, which endings it must have, and
with which tags."""
import functools

from oracle import PLUGINS, Ending, Item, Law, Sender, attribute_complaint, companion_of, difference  # also finds the harness
from harness import Home, sha

TAGGED, PLAIN = "tagged", "plain"

# kind, variant -> [(place, rewritten?, steps on the way)]; in trash: the steps before the one that failed
WAYS = {
    ("pass", "-"): [(TAGGED, False, "entry pass deliver")],
    ("rewrite", "-"): [(TAGGED, True, "entry rewrite deliver")],
    ("fan", "-"): [(TAGGED, False, "entry fan left deliver"), (PLAIN, False, "entry fan plain"),
                   (TAGGED, False, "entry fan deliver")],
    ("retry", "-"): [(TAGGED, False, "entry retry deliver")],
    ("fail", "-"): [("trash/storm.fail", False, "entry")],
    ("batch", "-"): [(TAGGED, False, "entry batch deliver")],
    ("batch", "retry"): [(TAGGED, False, "entry batch deliver")],
    ("batch", "fail"): [("trash/storm.batch", False, "entry")],
    ("direct", "-"): [(TAGGED, True, "entry direct")],
    ("plain", "-"): [(PLAIN, False, "entry plain")],
    ("grow", "-"): [(TAGGED, False, "entry grow deliver")],
    ("grow", "fail"): [("trash/storm.fail", False, "entry grow")],
}
BIG = b"\x01" * (25 * 1024)




def storm_sender(rng, ways=None, names=150, largest=12_000):
    """Makes items with unique content, and names of which many are used again (a delivery must never overwrite). What they
    hold begins and ends with their serial, so that nothing can be cut off unseen."""
    ways = list(ways or WAYS)

    def make(rng, serial):
        kind, variant = rng.choice(ways)
        filler = rng.randbytes(rng.choice((0, 100, rng.randrange(largest))))
        data = f"{serial} {kind} {variant} ".encode() + filler + f" {serial}".encode()
        changed = data + f" rewritten {serial}".encode()
        endings = [Ending(place, sha(changed if rewritten else data), trail) for place, rewritten, trail in WAYS[kind, variant]]
        return Item(f"{kind}-{rng.randrange(names)}", kind, variant, serial, data, endings)

    return Sender(rng, make)


def new_home(settings="", run_log="", **more):
    """A home with the plugin storm, and the two directories that it delivers into on the filesystem of the spool."""
    home = Home([PLUGINS / "storm"], settings=f'[data]\nentry_step = "storm/entry"\n{settings}', **more)
    for directory in (TAGGED, PLAIN):
        (home.root / directory).mkdir()
    home.override("storm", f'[custom]\ntagged_dir = "{home.root / TAGGED}"\nplain_dir = "{home.root / PLAIN}"\nrun_log = "{run_log}"\n')
    return home


def expected_tags(item, trail):
    steps = trail.split()
    tags = {"first.core.original_basename": item.name.encode(), "first.core.original_dirname": None,
            "first.core.original_uid": None, "trail": trail.encode(),
            "latest.core.step_counter": str(len(steps) - 1).encode()}
    for hop, step in enumerate(steps):
        tags[f"{hop}.storm.{step}.mark"] = tags[f"latest.storm.{step}.mark"] = step.encode()
        tags[f"{hop}.storm.{step}.enter_step"] = None
        if step == "batch":
            tags[f"{hop}.storm.batch.batch_id"] = None
        if step == "grow":
            tags["big"] = BIG
    return tags


def tags_complaint(item, found, ending, exact_companions=True):
    """`exact_companions` off: a power cut may have emptied a .tags file, which is a copy for people."""
    expected = expected_tags(item, ending.trail)
    if found.place != TAGGED:
        return difference(found.tags, expected)
    companion = companion_of(found)
    if companion is None:
        return "no .tags beside it"
    if not companion and exact_companions:
        return "its .tags is empty"
    if not exact_companions:
        return "" if "big" in expected else difference(found.tags, expected)
    if "big" in expected:  # more than the attribute takes: it holds the uid at least
        found = found._replace(tags=companion)
    return difference(companion, expected) or attribute_complaint(found, companion)


def trail_of(found, cut=False):
    """The tags of a grown file stand only in its companion, which a power cut may have emptied."""
    trail = found.tags.get("trail", b"").decode()
    if trail or found.place != TAGGED:
        return trail
    companion = companion_of(found)
    if cut and not companion and b" grow - " in found.content[:60]:
        return WAYS["grow", "-"][0][2]
    return (companion or {}).get("trail", b"").decode()


def storm_law():
    return Law((TAGGED, PLAIN), trail_of, tags_complaint, companions_of=(TAGGED,))


def law_of_cuts(must_arrive, exact_companions, tolerate):
    """After a power cut the name of a companion may have outlived that of its file in a delivery directory."""
    return Law((TAGGED, PLAIN), functools.partial(trail_of, cut=True), functools.partial(tags_complaint, exact_companions=exact_companions),
               must_arrive, tolerate)
