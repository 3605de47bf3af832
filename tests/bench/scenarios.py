"""What is measured: the ways a file can take through mfdata, and which of their variants are worth a row.

A scenario names its plugins, how they are configured and where its outputs appear, all in the terms of an operator.
`ceilings` are the numbers of hops of ceiling.c it is put beside: one hop has its exact counterpart; two hops have
none, and stand between those with one and three. "relay" is relay.c: the three hops with a process for each step.
"""
import dataclasses
import itertools

from harness import BUILD

BENCH_PLUGINS = BUILD / "tests/bench/plugins"
FAN = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Scenario:
    name: str
    way: str
    entry: str
    plugins: tuple                # names that `mfdata init` knows, or folders
    custom: dict                  # plugin -> the [custom] part of its override, "{out}" for the directory of outputs
    renamed: dict = dataclasses.field(default_factory=dict)  # further plugins: name -> a plugin it is a copy of
    outputs: tuple = ("out",)     # every file must appear in each
    companion: str = ""           # suffix of a file that must stand beside each
    ceilings: tuple = (1, 3)
    content: str = "png"          # of the files, as loadgen.c names it


def fan_out(operation):
    steps = [f"move{number}" for number in range(1, FAN + 1)]
    targets = ", ".join(f'"{step}/main"' for step in steps)
    return Scenario(
        name=f"fan-out of {FAN}, {operation}", entry="fanout/main", plugins=(BENCH_PLUGINS / "fanout",),
        way=f"incoming -> a plugin that gives the file to {FAN} steps ({operation}; the last one gets the file itself) "
            f"-> {FAN} x move -> {FAN} directories; files/s counts inputs, each complete with its {FAN}th delivery",
        custom={"fanout": f'dest_dirs = [{targets}]\noperation = "{operation}"',
                **{step: f'dest_dir = "{{out}}{number}"' for number, step in enumerate(steps, 1)}},
        renamed={step: "move" for step in steps},
        outputs=tuple(f"out{number}" for number in range(1, FAN + 1)))


ONE_HOP = Scenario(
    name="one hop", way="incoming -> move -> a directory", entry="move/main", plugins=("move",),
    custom={"move": 'dest_dir = "{out}"'}, ceilings=(1,))
TWO_HOPS = Scenario(
    name="two hops", way="incoming -> minimal (sets a tag) -> archive -> a directory, with .tags", entry="minimal/main",
    plugins=("minimal", "archive"), companion=".tags",
    custom={"minimal": 'dest_dir = "archive/main"',
            "archive": 'dest_dir = "{out}"\ndest_basename = "{ORIGINAL_BASENAME}"'})


def three_hops(name, content, pattern):
    return Scenario(
        name=name, way=f"incoming -> guess_file_type -> switch -> archive -> a directory, with .tags; {content} content",
        entry="guess_file_type/main", plugins=("guess_file_type", "switch", "archive"), companion=".tags", content=content, ceilings=(1, 3, "relay"),
        custom={"guess_file_type": 'dest_dir = "switch/main"', "switch": "",
                "archive": 'dest_dir = "{out}"\ndest_basename = "{ORIGINAL_BASENAME}"\n[[switch_rules]]\ntype = "fnmatch"\n'
                           f'tag = "latest.guess_file_type.main.system_magic"\nrules = {{ "{pattern}" = ["main"] }}'})


THREE_HOPS = three_hops("three hops", "png", "PNG image*")
THREE_HOPS_TEXT = three_hops("three hops, text", "text", "*")
THREE_HOPS_RANDOM = three_hops("three hops, random", "random", "*")
REWRITE = Scenario(
    name="rewrite", way="incoming -> a plugin that writes the bytes into a new file -> move -> a directory",
    entry="rewrite/main", plugins=(BENCH_PLUGINS / "rewrite", "move"),
    custom={"rewrite": 'dest_dir = "move/main"', "move": 'dest_dir = "{out}"'})
LINKS, COPIES = fan_out("link"), fan_out("copy")
ALL = (ONE_HOP, TWO_HOPS, THREE_HOPS, THREE_HOPS_TEXT, THREE_HOPS_RANDOM, LINKS, COPIES, REWRITE)


@dataclasses.dataclass(frozen=True)
class Row:
    scenario: Scenario
    filesystem: object
    durability: str
    workers: int

    def __str__(self):
        plural = "s" if self.workers > 1 else ""
        return f"{self.scenario.name}, {self.filesystem.name}, {self.durability}, {self.workers} worker{plural} a step"


def rows(filesystems, small):
    """Every combination for one hop. Elsewhere a second worker is left out: it adds nothing that one hop does not
    show. Fan-outs and rewrites are slow, and on tmpfs forcing files to disk is nearly free: there only the default
    durability is shown, as it is for copies everywhere. `small` leaves out what the default does not use."""
    levels, default = ("process", "accepted"), ("accepted",)
    plan = []
    for filesystem in filesystems:
        slow = default if small or filesystem.name == "tmpfs" else levels
        plan += [(ONE_HOP, filesystem, levels, (1,) if small else (1, 2)),
                 (TWO_HOPS, filesystem, default if small else levels, (1,)),
                 (THREE_HOPS, filesystem, default if small else levels, (1,)),
                 (LINKS, filesystem, slow, (1,)), (REWRITE, filesystem, slow, (1,))]
        plan += [] if small else [(COPIES, filesystem, default, (1,))]
        if not small and filesystem.name == "tmpfs":
            plan += [(THREE_HOPS_TEXT, filesystem, default, (1,)), (THREE_HOPS_RANDOM, filesystem, default, (1,))]
    return [Row(scenario, filesystem, level, workers) for scenario, filesystem, chosen, counts in plan
            for level, workers in itertools.product(chosen, counts)]
