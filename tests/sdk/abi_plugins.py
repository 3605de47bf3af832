"""The plugins of the matrix, each built from a header: released, today's, or yet to come.

The four that the interface was made for (a transform, a batch archiver, a switch, a listener) and their like are the real
ones of sample_plugins/ and of the SDK's templates; reference.c goes where they do not.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import next_header

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import PROJECT

HISTORY = PROJECT / "sdk/abi-history"
RELEASES = sorted(path for path in HISTORY.iterdir() if path.is_dir())
TODAY = PROJECT / "sdk/include"
HEADERS = ("plugin.h", "plugin.hpp")
RULE = '\n[[switch_rules]]\ntype = "fnmatch"\ntag = "first.core.original_basename"\nrules = { "%s" = ["main"] }\n'


def template(kind):
    return {f"{kind}.cpp": PROJECT / f"sdk/templates/c++/{kind}/@NAME@.cpp"}, PROJECT / f"sdk/templates/c++/{kind}/plugin.toml"


def sample(name, *files):
    return {file: PROJECT / "sample_plugins" / name / file for file in files}, PROJECT / "sample_plugins" / name / "plugin.toml"


def of_the_test(name, file):
    return {file: PROJECT / "tests/sdk/plugins" / name / file}, PROJECT / "tests/sdk/plugins" / name / "plugin.toml"


# name -> (files, plugin.toml), what is put behind plugin.toml, what is linked
PLUGINS = {
    "minimal": (sample("minimal", "minimal.c"), "", []),
    "step": (template("step"), "", []),
    "transform": (template("transform"), RULE % "caps.txt", []),
    "bundle": (of_the_test("bundle", "bundle.cpp"), RULE % "b?.txt", []),
    "archive": (sample("archive", "archive.cpp", "old_files.cpp", "old_files.hpp"), "", []),
    "switch": (sample("switch", "switch.cpp", "rule_set.cpp", "rule_set.hpp", "pattern.cpp", "pattern.hpp"),
               RULE % "sample", ["-lpcre2-8"]),
    "listener": (template("listener"), "", []),
    "predicate": (template("predicate"), "", []),
    "reference": (of_the_test("reference", "reference.c"), "", []),
}
LANGUAGE = {"rust": "Rust", **{name: "C" if any(file.endswith(".c") for file in files) else "C++" for name, ((files, _), _, _) in PLUGINS.items()}}


class Header:
    """An include directory with plugin.h and plugin.hpp; the SDK's other headers are today's."""

    def __init__(self, name, include):
        self.name, self.include = name, include

    def text(self):
        """What the compiler sees: comments may change."""
        return [re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*|\s+", "", (self.include / "mfdata" / name).read_text(), flags=re.DOTALL) for name in HEADERS]


class Workshop:
    """Builds plugins in a temporary directory that goes away with it."""

    def __init__(self):
        self._place = tempfile.TemporaryDirectory(prefix="mfdata-abi-")
        self.place = pathlib.Path(self._place.name)
        self.built = {}
        self.minor = Header("next minor", next_header.write("minor", self.place / "minor"))
        self.major = Header("next major", next_header.write("major", self.place / "major"))
        self.rust = Header("1.0", None)
        self.past = [Header(path.name, path) for path in RELEASES]
        today = Header("today", TODAY)
        if self.past[-1].text() == today.text():
            self.past[-1].name += " = today"
        else:
            self.past.append(today)

    def plugin(self, name, header, defines=(), links=()):
        """The folder of a plugin that is built from a header."""
        key = (name, header.name, tuple(defines), tuple(links))
        if key not in self.built:
            self.built[key] = self._build_rust() if name == "rust" else self._build(name, header, defines, links)
        return self.built[key]

    def _build_rust(self):
        """The template in Rust, which has the interface of 1.0 in its own source."""
        folder = self.place / "rust/rust"
        shutil.copytree(PROJECT / "sdk/templates/rust/step", folder)
        for file in (path for path in folder.rglob("*") if path.is_file()):
            file.write_text(file.read_text().replace("@NAME@", "rust"))
        subprocess.run(["make", "--silent", "rust.so"], cwd=folder, check=True)  # as its author builds it
        shutil.rmtree(folder / "target")
        return folder

    def _build(self, name, header, defines, links):
        (files, manifest), more, libraries = PLUGINS[name]
        folder = self.place / str(len(self.built)) / name
        folder.mkdir(parents=True)
        (folder / "plugin.toml").write_text(manifest.read_text().replace("@NAME@", name) + more)
        for file, source in files.items():
            (folder / file).write_text(source.read_text().replace("@NAME@", name))
        script = folder / "export.map"
        script.write_text("{ global: mfdata_plugin_v*; local: *; };\n")
        compiler = ["cc", "-std=c99"] if LANGUAGE[name] == "C" else ["c++", "-std=c++20"]
        sources = [folder / file for file in files if not file.endswith(".hpp")]
        depends = folder / "headers"
        flags = ["-Wall", "-Werror", "-O0", "-shared", "-fPIC", "-fvisibility=hidden", f"-Wl,--version-script={script}", "-Wl,--build-id"]
        for source in sources:
            subprocess.run([*compiler, *defines, f"-I{header.include}", f"-I{TODAY}", "-M", source], stdout=depends.open("a"), check=True)
        used = set(re.findall(r"\S+/mfdata/plugin\.hp?p?", depends.read_text()))
        if not used or any(not path.startswith(f"{header.include}/") for path in used):
            raise AssertionError(f"{name} is to be built from {header.include}, and not from {used}")
        subprocess.run([*compiler, *flags, *defines, f"-I{header.include}", f"-I{TODAY}", *sources, *libraries, *links, "-o", folder / f"{name}.so"], check=True)
        return folder
