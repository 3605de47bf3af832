"""abidiff as a tripwire: a library that names every structure, built from each release and from today's header as for that
release (MFDATA_ABI_MINOR as it was then: what is newer vanishes), has the same interface to the last argument."""
import pathlib
import re
import shutil
import subprocess

import next_header
from abi_plugins import RELEASES, TODAY
from harness import PROJECT

SOURCE = PROJECT / "tests/sdk/plugins/interface.c"
# What must be told: a text of plugin.h and what becomes of it.
BREAKS = {
    "a member in the middle of a table": (r"^  /\* One file\. NULL when process_batch is set\. \*/$", "  void (*inserted)(void);"),
    "two members that change places": (r"^  mfdata_str type; ( +/\*.*?\*/)\n  mfdata_str tag; ", r"  mfdata_str tag;\n  mfdata_str type;"),
    "an argument of another type": (r"\*set_retry_delay\)\(mfdata_ctx \*ctx, int64_t", "*set_retry_delay)(mfdata_ctx *ctx, int32_t"),
    "another type in the place of reserved bytes": (r"uint32_t n_targets, reserved0;", "uint64_t n_targets;"),
    "a member that is gone": (r"^  void \(\*path_changed\)\(void \*self, mfdata_ctx \*ctx, mfdata_str path\);\n\} mfdata_listener;", "} mfdata_listener;"),
}


def minor_of(include):
    return next_header.constant((include / "mfdata/plugin.h").read_text(), "MFDATA_ABI_MINOR")


def library(place, name, include, minor=None):
    built = place / f"{name}.so"
    subprocess.run(["cc", "-g", "-shared", "-fPIC", *([f"-DMFDATA_ABI_MINOR={minor}u"] if minor is not None else []), f"-I{include}", SOURCE, "-o", built], check=True)
    return built


def difference(before, after):
    """"" or the first lines that abidiff says: abidiff(1), its exit code is 0 when nothing has changed."""
    done = subprocess.run(["abidiff", before, after], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return ""
    told = re.findall(r"\d+ data member (?:insertion|deletion)|offset changed from \d+ to \d+|type size changed from \d+ to \d+|parameter \d+ of type '[\w ]+' changed", done.stdout)
    return ", ".join(told[:3]) or done.stdout[:500]


def checks(workshop):
    """(what, whether it is as it should be, what abidiff says)."""
    if not shutil.which("abidiff"):
        yield "all", False, "abidiff is missing: package abigail-tools"
        return
    place = workshop.place / "abidiff"
    place.mkdir()
    next_minor = workshop.minor.include
    for release in RELEASES:
        before, minor = library(place, release.name, release), minor_of(release)
        for name, include, version in (("today's header", TODAY, minor), ("the next minor header, built for this one", next_minor, minor)):
            said = difference(before, library(place, "after", include, version))
            yield f"{name} is that of {release.name}", not said, said or "no change"
    before = library(place, "today", TODAY)
    said = difference(before, library(place, "after", next_minor))
    yield "control: the next minor header, as it is", bool(said), said
    broken = pathlib.Path(place / "broken/mfdata")
    broken.mkdir(parents=True)
    for what, (old, new) in BREAKS.items():
        (broken / "plugin.h").write_text(next_header.replaced((TODAY / "mfdata/plugin.h").read_text(), old, new))
        said = difference(before, library(place, "after", broken.parent))
        yield f"control: {what}", bool(said), said or "not told"
