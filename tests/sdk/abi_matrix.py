"""Plugins of every header on every host, as one table: what runs, what is refused and why, by the rules of doc/plugin_abi.md.

    MFDATA_BUILD=build python3 tests/sdk/abi_matrix.py [WORD ...]     only rows that contain one of the words

Headers: each release in sdk/abi-history, today's, and two that are derived from it: the next minor and the next major version
(next_header.py). Hosts: today's worker, the same with the table of each release before memory that cannot be read, and a
worker built from the next minor header. Then the rows again on hosts without the protection that they stand on: there they
must not come out. Last line: N passed, N failed.
"""
import re
import shutil
import subprocess
import sys

import abi_diff
import abi_flow
import abi_hosts
import next_header
from abi_layout import size_of
from abi_plugins import LANGUAGE, TODAY, Workshop
from abi_rows import FOR_TODAY, NEXT_STRICT, PORTED, ROWS, STRICT, UNCHECKED

COLUMNS = "{:<42} {:<4} {:<15} {:<5} {}"


def outcome(out):
    """"runs", or what happened and why, of what `mfdata-plugin run --json` says."""
    if out["result"] == "ok":
        return "runs"
    if out["result"] == "failed":
        return "fails: " + out["reason"]
    errors = [line[3:] for line in out["log"].splitlines() if line.startswith("<3>")]
    if "signal" in out["reason"] or not errors:
        return f"dies: {out['reason']}"
    refused = re.fullmatch(r"plugin library \S+ is refused: (.*)", errors[-1])
    return f"refused: {refused[1]}" if refused else f"does not start: {errors[-1]}"


def proof_of(out, plugin):
    """The tags of this plugin's hop on what it passed on: "name=value ...", and what it has done wrong."""
    passed = [output for output in out["outputs"] if output["to"] == "archive/main"]
    if len(passed) != 1:
        return f"{len(passed)} files were passed on"
    tags = {match[1]: value for name, value in passed[0]["tags"].items() if (match := re.fullmatch(rf"\d+\.{plugin}\.\w+\.(\w+)", name))}
    text = " ".join(f"{name}={tags[name]}" for name in ("length", "lines", "next", "rule", "rules", "worked") if name in tags)
    if "worked" in tags:
        delivered = [output["content"] for output in out["outputs"] if "var/delivered" in output["to"]]
        if passed[0]["content"] != b"made by the reference\n" or delivered != [b"hello\n"]:
            return f"wrong content: {out['outputs']}"
    return text


class Matrix:
    def __init__(self, words):
        self.words = words
        self.workshop = Workshop()
        self.sample = self.workshop.place / "sample"
        self.sample.write_bytes(b"hello\n")
        self.passed, self.failed, self.reasons = 0, [], []
        self.today = abi_hosts.Host("today")
        self.older = [abi_hosts.Host(f"{header.name.split()[0]}'s table", table_size=size_of(header.include, "mfdata_host"))
                      for header in self.workshop.past if header.include != TODAY]
        self.next = abi_hosts.host("next minor", self.workshop.place / "host-next", abi_hosts.NEXT_HOST, self.workshop.minor.include)
        self.hosts = [self.today, *self.older, self.next]

    def check(self, good, what):
        self.passed += bool(good)
        if not good:
            self.failed.append(what)
        return good

    def cell(self, text):
        """What stands in the table: a word, and the number of its reason."""
        word, _, reason = text.partition(": ")
        if not reason:
            return word
        if text not in self.reasons:
            self.reasons.append(text)
        return f"{word} [{self.reasons.index(text) + 1}]"

    def show(self, what, language, header, rule, cells):
        print(COLUMNS.format(what, language, header, rule, " ".join(f"{cell:<18}" for cell in cells)).rstrip(), flush=True)

    def wanted(self, text):
        return not self.words or any(word in text for word in self.words)

    def headers_of(self, row):
        if row.header == "rust" and not shutil.which("cargo"):
            return []
        return {"past": self.workshop.past, "minor": [self.workshop.minor], "major": [self.workshop.major], "rust": [self.workshop.rust]}[row.header]

    def run(self, row, header, host):
        minor = next_header.constant(TODAY.joinpath("mfdata/plugin.h").read_text(), "MFDATA_ABI_MINOR")
        defines = [FOR_TODAY.format(minor=minor) if define == FOR_TODAY else define for define in row.defines]
        folder = self.workshop.plugin(row.plugin, header, defines, row.links)
        options = ["--step", row.step, "--set", f'act = "{row.act}"'] if row.plugin == "reference" else []
        return host.run(folder, self.sample, *options)

    def found(self, row, header, host):
        """The outcome, with what is missing of the work that is to be seen."""
        out = self.run(row, header, host)
        text = outcome(out)
        proof = row.next_proof if host is self.next and row.next_proof else row.proof
        shown = proof_of(out, row.plugin) if proof else ""
        if text == "runs" and not re.fullmatch(proof, shown):
            return f"runs wrongly: \"{shown}\" instead of \"{proof}\""
        return text

    def expected(self, row, host):
        return row.today if host is self.today else row.next if host is self.next else row.older

    def rows(self):
        for row in ROWS:
            for header in self.headers_of(row) if self.wanted(row.what) else []:
                cells = []
                for host in self.hosts:
                    expected = self.expected(row, host)
                    text = self.found(row, header, host) if expected else "-"
                    good = not expected or self.check(re.match(expected, text), f"{row.what}, {header.name} on {host.name}: {text}")
                    cells.append(self.cell(text) if good else "NOT AS EXPECTED")
                self.show(row.what, LANGUAGE[row.plugin], header.name, row.rule, cells)

    def on_older(self, plugin, folder, host):
        """The same plugins where the table ends as in a release: steps treat a file, the others are validated."""
        if plugin in ("listener", "predicate"):
            done = subprocess.run([host.place / "tools/mfdata-plugin", "validate", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            return "runs" if done.returncode == 0 and re.search(r"^ok +A4 ", done.stdout, re.MULTILINE) else "fails: " + done.stdout
        out = host.run(folder, self.sample)
        text = outcome(out)
        content = {"transform": b"HELLO\n", "bundle": b"sample 6\nhello\n", "archive": b"hello\n", "switch": b"hello\n"}[plugin]
        return text if text != "runs" or [output["content"] for output in out["outputs"] if not output["to"].endswith(".tags")] == [content] else f"runs wrongly: {out['outputs']}"

    def ported(self):
        for header in [*self.workshop.past, self.workshop.minor] if self.wanted(" ".join(PORTED.values())) else []:
            defines = ("-DMFDATA_NEED_MINOR=0u",) if header is self.workshop.minor else ()
            folders = {plugin: self.workshop.plugin(plugin, header, defines) for plugin in PORTED}
            flows = {host.name: abi_flow.run(host, folders) for host in (self.today, self.next)}
            for plugin, what in PORTED.items():
                texts = [flows[host.name][plugin] if host.name in flows else self.on_older(plugin, folders[plugin], host) for host in self.hosts]
                for host, text in zip(self.hosts, texts):
                    self.check(text == "runs", f"{what}, {header.name} on {host.name}: {text}")
                self.show(what, "C++", header.name, "A4", map(self.cell, texts))

    def controls(self):
        """Each row on a host without what it stands on: one that comes out there shows nothing here."""
        strict, place = abi_hosts.STRICT_HOST, self.workshop.place
        hosts = {UNCHECKED: abi_hosts.host(UNCHECKED, place / "unchecked", abi_hosts.UNCHECKED_HOST), STRICT: abi_hosts.host(STRICT, place / "strict", strict),
                 NEXT_STRICT: abi_hosts.host(NEXT_STRICT, place / "next-strict", strict, self.workshop.minor.include, self.next)}
        for row in ROWS:
            for header in self.headers_of(row) if row.breaks and self.wanted(row.what) else []:
                text = self.found(row, header, hosts[row.breaks])
                self.check(not re.match(row.today, text), f"control: {row.what}, {header.name}, comes out on the host that is {row.breaks}")
                self.show(row.what, "", header.name, "", [self.cell(text.split("\n")[0][:150]), row.breaks])
        if self.wanted(" ".join(PORTED.values())):
            folders = {plugin: self.workshop.plugin(plugin, self.workshop.past[0]) for plugin in PORTED}
            texts = abi_flow.run(hosts[NEXT_STRICT], folders)
            self.check("runs" not in texts.values(), f"control: plugins of {self.workshop.past[0].name} run on a host that takes its own sizes only")
            self.show("those six", "", self.workshop.past[0].name, "", [self.cell(texts["switch"]), NEXT_STRICT])

    def tripwire(self):
        for what, good, text in abi_diff.checks(self.workshop) if self.wanted("abidiff") else []:
            self.check(good, f"abidiff: {what}: {text}")
            print(f"  {what:<60} {text}")

    def all(self):
        self.show("a plugin with", "in", "built from", "rule", ["host: " + host.name for host in self.hosts])
        self.rows()
        self.ported()
        print("\ncontrols: the same on hosts that lack the protection")
        self.controls()
        print("\nabidiff, the interface of")
        self.tripwire()
        sizes = {header.include.name: [size_of(header.include, structure) for structure in abi_hosts.STRUCTURES] for header in self.workshop.past if header.include != TODAY}
        self.check(abi_hosts.released_sizes() == sizes, f"validate tries hosts of {abi_hosts.released_sizes()}, the releases have {sizes}")
        print()
        for number, reason in enumerate(self.reasons, 1):
            print(f"  [{number}] {reason}")
        for what in self.failed:
            print("FAILED: " + what)
        print(f"{self.passed} passed, {len(self.failed)} failed")
        return not self.failed


if __name__ == "__main__":
    sys.exit(0 if Matrix(sys.argv[1:]).all() else 1)
