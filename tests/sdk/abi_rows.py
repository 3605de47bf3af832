"""The rows of the matrix: what is built from which header, what it is told to do, and what each host must make of it.

A cell is (regular expression of the outcome, rule of doc/plugin_abi.md). An outcome begins with "runs", "fails", "refused",
"does not start" or "dies". `breaks` names the control host on which the row must not come out, so that its check is seen to fail.
"""
import dataclasses

RUNS = "runs$"
UNCHECKED, STRICT, NEXT_STRICT = "unchecked", "strict", "next strict"
NEED_NONE = ("-DMFDATA_NEED_MINOR=0u",)
FOR_TODAY = "-DMFDATA_ABI_MINOR={minor}u"


@dataclasses.dataclass
class Row:
    what: str
    header: str                 # "past" (each release, and today), "minor", "major", or "rust"
    plugin: str
    rule: str
    today: str
    older: str                  # a host whose table ends where that of the release did
    next: str
    defines: tuple = NEED_NONE
    act: str = "work"
    step: str = "main"
    links: tuple = ()
    proof: str = ""             # a regular expression of the tags of this hop on the output
    next_proof: str = ""        # the same on the next host, when it is another
    breaks: str = UNCHECKED


def everywhere(what, header, rule, outcome, plugin="reference", **more):
    return Row(what, header, plugin, rule, outcome, outcome, outcome, **more)


def not_before_next(what, rule, outcome, **more):
    return Row(what, "minor", more.pop("plugin", "reference"), rule, outcome, outcome, RUNS, **more)


NEEDS = r"refused: it needs ABI 1\.\d+, this host offers 1\.\d+: upgrade mfdata"
UNSUPPORTED = "fails: the host does not support it"
MAJOR = r"refused: it is built for ABI \d+, this host offers 1: rebuild it"
NO_ENTRY = "refused: it has no entry point mfdata_plugin_v1"
EVERY_MEMBER = r"rule=\d+ of \d+ bytes worked=yes"

ROWS = [
    everywhere("a step", "past", "A4", RUNS, plugin="minimal", proof="length=6", breaks=NEXT_STRICT),
    everywhere("a step", "minor", "A4", RUNS, plugin="minimal", proof="length=6", breaks=STRICT),
    everywhere("a step", "past", "A4", RUNS, plugin="step", proof="lines=1", breaks=NEXT_STRICT),
    everywhere("a step", "minor", "A4", RUNS, plugin="step", proof="lines=1", breaks=STRICT),
    everywhere("a step", "rust", "A4", RUNS, plugin="rust", proof="lines=1", breaks=NEXT_STRICT),
    everywhere("every structure of the interface", "past", "A4", RUNS, proof=EVERY_MEMBER, breaks=NEXT_STRICT),
    everywhere("a table without all of 1.0", "past", "A4", "refused: the table of component number 0 is shorter than in 1.0", defines=("-DSHORT_STEP",)),
    everywhere("a delivery without all of 1.0", "past", "A4", "fails: the step returned -1", defines=("-DSHORT_DELIVERY",)),
    everywhere("a rule without all of 1.0", "past", "A4", "fails: the rules are not there", defines=("-DSHORT_RULE",)),
    everywhere("a component without all of 1.0", "past", "A4", "refused: component number 0 of its description is incomplete", defines=("-DSHORT_COMPONENT",)),
    everywhere("a description without all of 1.0", "past", "A4", "refused: its description is too short", defines=("-DSHORT_PLUGIN",)),
    everywhere("a member more in every structure", "minor", "A4", RUNS, proof=EVERY_MEMBER, breaks=STRICT),
    everywhere("structures that claim 4 GiB", "minor", "A4", RUNS, defines=(*NEED_NONE, "-DHUGE"), proof=EVERY_MEMBER, breaks=STRICT),
    everywhere("asks for a newer member of the host", "minor", "A4", RUNS, act="ask", proof="next=no", next_proof="next=called", breaks=""),
    Row("calls a newer member without asking", "minor", "reference", "A4", "", "dies: it died of signal 11", RUNS, act="dare", proof="next=called", breaks=""),
    not_before_next("needs the minor version it is built for", "A3", NEEDS, defines=(), proof=EVERY_MEMBER),
    not_before_next("the same in C++", "A3", NEEDS, plugin="transform", defines=()),
    everywhere("built for the older minor version", "minor", "A3", RUNS, defines=(FOR_TODAY,), proof=EVERY_MEMBER, breaks=""),
    everywhere("another major version", "major", "A2", NO_ENTRY, defines=(), breaks=""),
    everywhere("the same in C++", "major", "A2", NO_ENTRY, plugin="transform", defines=(), breaks=""),
    everywhere("another major version by the old entry", "major", "A3", MAJOR, defines=(), links=("-Wl,--defsym=mfdata_plugin_v1=mfdata_plugin_v2",)),
    everywhere("the same in C++", "major", "A3", MAJOR, plugin="transform", defines=(), links=("-Wl,--defsym=mfdata_plugin_v1=mfdata_plugin_v2",)),
    everywhere("a component of an unknown kind", "minor", "A5", RUNS, defines=(*NEED_NONE, "-DUNKNOWN_KIND"), proof=EVERY_MEMBER),
    everywhere("no component of a known kind", "minor", "A5", 'does not start: the library has no step "main"', defines=(*NEED_NONE, "-DONLY_UNKNOWN_KIND")),
    everywhere("an unknown result", "minor", "A5", "fails: the step returned 6", act="result"),
    everywhere("an unknown result in a batch", "minor", "A5", "fails: the step returned 6", act="result", step="batch"),
    everywhere("unknown flags of every description", "minor", "A5", RUNS, defines=(*NEED_NONE, "-DUNKNOWN_FLAGS"), proof=EVERY_MEMBER, breaks=STRICT),
    not_before_next("an unknown flag of a delivery", "A5", UNSUPPORTED, act="delivery_flag"),
    not_before_next("an unknown flag of a tag", "A5", UNSUPPORTED, act="tag_flag"),
    everywhere("an unknown operation", "minor", "A5", "fails: the host says that it is wrong", act="operation"),
    everywhere("a subsystem larger than the host's", "minor", "A14", RUNS, act="subsystem", proof="rules=none of this size", next_proof=r"rule=\d+ of \d+ bytes"),
]
# Real ones, whose work is checked: on today's host and the next in a home with a loader, on the older by mfdata-plugin.
PORTED = {"transform": "a transform", "bundle": "a batch archiver", "archive": "an archive", "switch": "a switch", "predicate": "a predicate",
          "listener": "a listener"}
