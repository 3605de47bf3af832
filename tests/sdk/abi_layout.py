"""Offset and size of every member of the interface, as a compiler has them: the golden table sdk/abi-history/layout.txt.

    python3 tests/sdk/abi_layout.py [INCLUDE]      the table of a header (default: today's), one member a line

A line is "structure offset size member". Lines of a release never change: what a version adds is appended under its name, and
abi_test.py compares.
"""
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TODAY = PROJECT / "sdk/include"
GOLDEN = PROJECT / "sdk/abi-history/layout.txt"


def members(include):
    """[(structure, member)] in the order of the header."""
    text = subprocess.run(["cc", "-E", "-P", "-x", "c", f"-I{include}", "-"], input="#include <mfdata/plugin.h>\n", stdout=subprocess.PIPE, text=True, check=True).stdout
    found = []
    for struct, body in re.findall(r"typedef struct (mfdata_\w+) \{(.*?)\} \1;", text, re.DOTALL):
        for declaration in filter(None, (part.strip() for part in body.split(";"))):
            function = re.search(r"\(\*(\w+)\)\s*\(", declaration)
            names = [function[1]] if function else [re.search(r"(\w+)$", part.strip())[1] for part in declaration.split(",")]
            found += [(struct, name) for name in names]
    return found


@functools.cache
def layout(include=TODAY, compiler="cc"):
    """([(structure, offset, size, member)], {structure: its size}), as this compiler has them."""
    found = members(include)
    sizes = dict.fromkeys(struct for struct, _ in found)
    prints = [f'printf("%zu %zu\\n", offsetof({struct}, {name}), sizeof((({struct} *)0)->{name}));' for struct, name in found]
    prints += [f'printf("0 %zu\\n", sizeof({struct}));' for struct in sizes]
    with tempfile.TemporaryDirectory() as place:
        program = os.path.join(place, "layout")
        source = "#include <mfdata/plugin.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(prints) + "\nreturn 0; }\n"
        subprocess.run([compiler, "-x", "c", "-std=c11", f"-I{include}", "-", "-o", program], input=source, text=True, check=True)
        numbers = [tuple(map(int, line.split())) for line in subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()]
    rows = [(struct, *at, name) for (struct, name), at in zip(found, numbers)]
    return rows, dict(zip(sizes, (size for _, size in numbers[len(found):])))


def size_of(include, struct):
    return layout(include)[1][struct]


def golden():
    """release -> what it has added: [(structure, offset, size, member)]."""
    found = {}
    for line in GOLDEN.read_text().splitlines():
        if line.startswith("["):
            rows = found[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            struct, offset, size, name = line.split()
            rows.append((struct, int(offset), int(size), name))
    return found


def not_appended(before, added):
    """What of the rows that a version added does not stand behind the end that a structure had."""
    ends = {struct: max(offset + size for name, offset, size, _ in before if name == struct) for struct in {row[0] for row in before}}
    return [row for row in added if row[1] < ends.get(row[0], 0) or row[0] == "mfdata_str" and "mfdata_str" in ends]


if __name__ == "__main__":
    for struct, offset, size, name in layout(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else TODAY)[0]:
        print(f"{struct:<18} {offset:>4} {size:>3} {name}")
