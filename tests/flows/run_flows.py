#!/usr/bin/env python3
"""Runs ready-made homes on real files and compares what comes out: see doc/flows.md.

  run_flows.py [FOLDER...]     default: every folder beside this script

A flow is a folder: `plugins` (one a line, "archive" or "move as copy_for_paris", or a folder), `etc/` (as in a home),
`input/` (dropped into incoming in the order of their names; NAME.base64 holds the bytes of NAME), `expected.toml`. What
came out is also compared with expectations that are wrong, one at a time: each has to be noticed.
"""
import base64
import copy
import fnmatch
import json
import os
import pathlib
import shutil
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Home, content, context_of, parse_tags_file, wait_for


def plugin_named(word, folder):
    """A built-in plugin by its name, or a folder of the flow, or of the build."""
    return next((place / word for place in (folder, BUILD) if (place / word / "plugin.toml").exists()), word)


def make_home(folder):
    lines = [line.split() for line in (folder / "plugins").read_text().splitlines() if line.strip() and not line.startswith("#")]
    home = Home([plugin_named(line[0], folder) for line in lines if len(line) == 1], settings=(folder / "etc/mfdata.toml").read_text())
    for line in lines:
        if len(line) == 3 and line[1] == "as":
            home.run(MFDATA_PLUGIN, "install", plugin_named(line[0], folder), "--new-name", line[2])
    settings = home.root / "etc/mfdata.toml"
    configured = settings.read_text()
    shutil.copytree(folder / "etc", home.root / "etc", dirs_exist_ok=True)
    settings.write_text(configured)  # as the harness has it
    return home


def inputs_of(folder):
    found = []
    for path in sorted((folder / "input").iterdir()):
        if path.suffix == ".base64":
            found.append((path.stem, base64.b64decode(path.read_bytes())))
        else:
            found.append((path.name, path.read_bytes()))
    return found


def tags_of(path):
    """Those of the file, or of its companion."""
    companion = pathlib.Path(str(path) + ".tags")
    if companion.exists():
        return parse_tags_file(companion)
    try:
        return context_of(path)[1]
    except OSError:
        return {}


def tags_complaint(path, expected):
    tags = {name: value.decode(errors="replace") for name, value in tags_of(path).items()}
    wrong = [f"{name} = {tags.get(name)!r}, not {value!r}" for name, value in expected.items()
             if not (name in tags and fnmatch.fnmatchcase(tags[name], value))]
    return "; ".join(wrong)


def wrong_expectations(expected):
    """(what is wrong, the expectation) for each line of a good one, and for what it does not name."""
    def changed(kind, index, **more):
        wrong = copy.deepcopy(expected)
        wrong[kind][index].update(more)
        return wrong
    for kind in ("output", "trash"):
        for index in range(len(expected.get(kind, []))):
            missing = copy.deepcopy(expected)
            del missing[kind][index]
            yield f"{kind} {index} is not expected", missing
    for index, output in enumerate(expected.get("output", [])):
        yield f"another path of output {index}", changed("output", index, path="nowhere/*")
        if "content" in output or "content_of" in output:
            yield f"another content of output {index}", changed("output", index, content="another")
        for tag in output.get("tags", {}):
            yield f"another {tag} of output {index}", changed("output", index, tags=dict(output["tags"], **{tag: "another"}))
        yield f"a tag that output {index} has not", changed("output", index, tags=dict(output.get("tags", {}), nobody="*"))
    for index, wanted in enumerate(expected.get("trash", [])):
        for key in wanted:
            yield f"another {key} of trash {index}", changed("trash", index, **{key: "another"})


class Flow:
    def __init__(self, folder):
        self.folder, self.complaints = folder, []
        with open(folder / "expected.toml", "rb") as file:
            self.expected = tomllib.load(file)
        self.inputs = dict(inputs_of(folder))

    def run(self):
        home = make_home(self.folder)
        try:
            checked = home.run(MFDATA, "check", check=False)
            if checked.returncode != 0:
                return [f"its configuration is wrong: {checked.stderr.strip()}"]
            for directory in self.expected.get("directories", []):
                (home.root / directory).mkdir(parents=True, exist_ok=True)
            home.start()
            for name, data in inputs_of(self.folder):
                home.drop(name, data)
            wait_for(lambda: self.has_come(home), "as many outputs as are expected", 60) if self.outputs() else None
            home.wait_idle()
            self.complaints += self.compare(home, self.expected)
            self.complaints += [f"not noticed: {what}" for what, wrong in wrong_expectations(self.expected) if not self.compare(home, wrong)]
            if home.left_over():
                self.complaints.append(f"left over: {home.left_over()[:3]}")
            if home.stop() != 0:
                self.complaints.append("the loader does not stop with exit code 0")
        except AssertionError as error:
            self.complaints += [str(error)[-1000:], *self.compare(home, self.expected)]
        finally:
            home.close()
        return self.complaints

    def outputs(self):
        return self.expected.get("output", []) + self.expected.get("trash", [])

    def has_come(self, home):
        return len(self.standing(home)) + len(self.trashed(home)) >= len(self.outputs())

    def standing(self, home):
        directories = self.expected.get("directories", []) + ["var/archive"]
        return sorted({pathlib.Path(os.fsdecode(path)) for directory in directories for path in home.files(home.root / directory)})

    @staticmethod
    def trashed(home):
        return [(note.parent.name.replace(".", "/"), json.loads(note.read_text()), note) for note in sorted((home.data / "trash").glob("*/*.json"))]

    def compare(self, home, expected):
        """The complaints. Each expectation takes one of what stands there; nothing else may stand there."""
        standing, complaints = self.standing(home), []
        for output in expected.get("output", []):
            fits = [path for path in standing if fnmatch.fnmatchcase(str(path.relative_to(home.root)), output["path"])]
            fits = [path for path in fits if self.right_content(path, output)] or fits
            fits = [path for path in fits if not tags_complaint(path, output.get("tags", {}))] or fits
            if not fits:
                complaints.append(f"missing: {output['path']}")
                continue
            standing.remove(fits[0])
            if not self.right_content(fits[0], output):
                complaints.append(f"{output['path']}: its content is {content(fits[0])[:60]!r}")
            if wrong := tags_complaint(fits[0], output.get("tags", {})):
                complaints.append(f"{output['path']}: {wrong}")
        complaints += [f"not expected: {path.relative_to(home.root)}" for path in standing]
        return complaints + self.compare_trash(self.trashed(home), expected)

    @staticmethod
    def compare_trash(standing, expected):
        complaints = []
        for wanted in expected.get("trash", []):
            fits = [entry for entry in standing if entry[0] == wanted["step"] and entry[1]["original_name"] == wanted["name"]]
            if not fits:
                complaints.append(f"missing in trash: {wanted['name']} of {wanted['step']}")
                continue
            standing.remove(fits[0])
            for key in ("reason", "error"):
                if not fnmatch.fnmatchcase(fits[0][1][key], wanted.get(key, "*")):
                    complaints.append(f"{wanted['name']} in trash: {key} is {fits[0][1][key]!r}")
        return complaints + [f"not expected in trash: {note['original_name']} of {step}: {note['error']}" for step, note, _ in standing]

    def right_content(self, path, output):
        """`content` goes before `content_of`."""
        if "content" in output:
            return content(path) == output["content"].encode()
        if "content_of" not in output:
            return True
        name, beside = output["content_of"], self.folder / output["content_of"]
        return content(path) == (self.inputs[name] if name in self.inputs else beside.read_bytes() if beside.exists() else None)


def main():
    folders = [pathlib.Path(name).resolve() for name in sys.argv[1:]] or sorted(path.parent for path in HERE.glob("*/expected.toml"))
    passed = 0
    for folder in folders:
        complaints = Flow(folder).run()
        passed += not complaints
        print(f"{folder.name}: " + ("as expected" if not complaints else "\n  ".join(["", *complaints]).lstrip()), flush=True)
    print(f"{passed} passed, {len(folders) - passed} failed, 0 skipped")
    sys.exit(0 if passed == len(folders) else 1)


if __name__ == "__main__":
    main()
