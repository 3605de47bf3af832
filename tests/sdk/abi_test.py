"""The binary interface for ever: today's header against each released one. What plugins of then, and of times to come, are to
today's host is shown by abi_matrix.py."""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

import abi_layout
import next_header

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, PROJECT, Case, main

HISTORY = PROJECT / "sdk/abi-history"
NOW = PROJECT / "sdk/include"
RELEASES = sorted(path for path in HISTORY.iterdir() if path.is_dir())
FROZEN = {"mfdata_str"}                 # never grow
MAY_CHANGE = {"MFDATA_ABI_MINOR", "MFDATA_NEED_MINOR"}


def layouts(include):
    """struct -> [(offset, member)], as the compiler lays it out."""
    out = subprocess.run(["clang", "-x", "c", "-std=c99", f"-I{include}", "-fsyntax-only", "-Xclang", "-fdump-record-layouts-complete", "-"],
                         input="#include <mfdata/plugin.h>\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True).stdout
    found, struct = {}, None
    for line in out.splitlines():
        head = re.fullmatch(r" +0 \| struct (mfdata_\w+)", line)
        member = re.fullmatch(r" +(\d+) \|   (\S.*)", line)
        if head:
            struct = found[head[1]] = []
        elif member and struct is not None:
            struct.append((int(member[1]), member[2]))
        elif line.strip().startswith("| ["):
            struct = None
    return found


def constants(include):
    out = subprocess.run(["cc", "-dM", "-E", f"-I{include}", "-"], input="#include <mfdata/plugin.h>\n", stdout=subprocess.PIPE, text=True, check=True).stdout
    return {match[1]: match[2] for match in re.finditer(r"^#define (MFDATA_\w+) (.+)$", out, re.MULTILINE) if match[1] not in MAY_CHANGE}


def broken(before, after, frozen=FROZEN):
    """What of `before` is not as it was in `after`."""
    for struct, members in before.items():
        now = after.get(struct, [])
        if now[:len(members)] != members:
            yield f"{struct}: {next((f'{a} became {b}' for a, b in zip(members, now) if a != b), 'it is shorter')}"
        elif struct in frozen and len(now) != len(members):
            yield f"{struct} has grown"


class Candidates(Case):
    """What was built for a release candidate that was never released: it runs where nothing that it uses has changed, else it is
    refused with the reason."""
    CANDIDATE = PROJECT / "tests/sdk/candidates/1.0-rc1"

    def build(self, home, name, source, manifest, *flags):
        folder = home.root / name
        folder.mkdir()
        (folder / "plugin.toml").write_text(manifest.read_text())
        subprocess.run([*flags, "-shared", "-fPIC", "-fvisibility=hidden", f"-I{self.CANDIDATE}", source, "-Wl,--build-id", "-o", folder / f"{name}.so"], check=True)
        return folder

    def test_a_step_of_the_first_candidate_runs(self):
        home = self.home("archive")
        sample = home.root / "sample"
        sample.write_text("hello")
        folder = self.build(home, "minimal", PROJECT / "sample_plugins/minimal/minimal.c", PROJECT / "sample_plugins/minimal/plugin.toml", "cc", "-std=c99")
        self.assertIn('"result": "ok"', home.run(BUILD / "tools/mfdata-plugin", "--json", "run", folder, sample).stdout)

    def test_a_listener_of_the_first_candidate_is_refused_with_the_reason(self):
        home = self.home("archive")
        source = PROJECT / "tests/sdk/plugins/old_listener"
        folder = self.build(home, "old_listener", source / "old_listener.cpp", source / "plugin.toml", "c++", "-std=c++20")
        refused = home.run(BUILD / "tools/mfdata-plugin", "install", folder, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("it is built for an earlier release candidate", refused.stdout + refused.stderr)


class Abi(Case):
    def test_host_exports_nothing_of_its_own(self):
        def names(*options):
            return subprocess.run(["nm", "--defined-only", *options, BUILD / "loader/mfdata-worker"], stdout=subprocess.PIPE, text=True, check=True).stdout.lower()
        self.assertIn("mfdata", names())
        self.assertNotIn("mfdata", names("--dynamic"))

    def test_there_is_a_release_and_none_has_changed(self):
        self.assertGreaterEqual(len(RELEASES), 1)
        recorded = dict(reversed(line.split()) for line in (HISTORY / "SHA256SUMS").read_text().splitlines())
        files = {str(path.relative_to(HISTORY)): hashlib.sha256(path.read_bytes()).hexdigest() for path in HISTORY.glob("*/mfdata/*")}
        self.assertEqual(files, recorded)

    def test_members_keep_their_place_and_are_only_appended(self):
        after = layouts(NOW)
        self.assertGreater(len(after["mfdata_host"]), 35)
        for release in RELEASES:
            before = layouts(release)
            self.assertGreater(len(before), 10)
            self.assertEqual(list(broken(before, after)), [], release.name)

    def test_the_comparison_sees_what_breaks(self):
        before = layouts(NOW)
        members = before["mfdata_step"]
        for damage in (members[1:], members[:3] + members[4:], [(offset + 8, text) for offset, text in members], members[:-1]):
            self.assertNotEqual(list(broken(before, dict(before, mfdata_step=damage))), [])
        self.assertEqual(list(broken(before, dict(before, mfdata_step=members + [(80, "more")]))), [])
        self.assertNotEqual(list(broken(before, dict(before, mfdata_str=before["mfdata_str"] + [(16, "more")]))), [])

    def test_growable_structures_grow_by_groups_of_eight_bytes(self):
        for struct, members in layouts(NOW).items():
            if members[0][1] == "uint32_t struct_size":
                self.assertTrue(all(offset % 8 == 0 or offset - 4 in (o for o, _ in members) or offset == 4 for offset, _ in members if offset), struct)

    def test_constants_keep_their_values(self):
        after = constants(NOW)
        for release in RELEASES:
            before = constants(release)
            self.assertGreater(len(before), 30)
            self.assertEqual({name: after.get(name) for name in before}, before, release.name)

    def test_table_of_offsets_and_sizes_is_what_compilers_make_of_each_release_and_of_today(self):
        recorded = abi_layout.golden()
        self.assertEqual(list(recorded)[:len(RELEASES)], [release.name for release in RELEASES])
        for compiler in ("gcc", "clang"):
            so_far = []
            for release in RELEASES:
                so_far += recorded[release.name]
                self.assertEqual(sorted(abi_layout.layout(release, compiler)[0]), sorted(so_far), f"{release.name} by {compiler}")
            every = [row for rows in recorded.values() for row in rows]
            self.assertEqual(sorted(abi_layout.layout(NOW, compiler)[0]), sorted(every), "append what is new to sdk/abi-history/layout.txt")

    def test_table_is_only_appended_to(self):
        before = []
        for rows in abi_layout.golden().values():
            self.assertEqual(abi_layout.not_appended(before, rows), [])
            before = before + rows
        with tempfile.TemporaryDirectory() as place:
            after = abi_layout.layout(next_header.write("minor", place))[0]
            added = [row for row in after if row not in before]
            self.assertEqual(len(added), len(next_header.GROWING))
            self.assertEqual(abi_layout.not_appended(before, added), [])
        for bad in (("mfdata_step", 16, 8, "inserted"), ("mfdata_str", 16, 8, "more")):
            self.assertEqual(abi_layout.not_appended(before, [bad]), [bad])

    def test_what_is_newer_vanishes_for_who_builds_for_an_older_version(self):
        minor = next_header.constant((NOW / "mfdata/plugin.h").read_text(), "MFDATA_ABI_MINOR")
        with tempfile.TemporaryDirectory() as place:
            include = next_header.write("minor", place)
            header = include / "mfdata/plugin.h"
            header.write_text(f"#define MFDATA_ABI_MINOR {minor}u\n" + header.read_text())
            self.assertEqual(abi_layout.layout(include), abi_layout.layout(NOW))

    def test_header_that_is_written_in_another_way_is_told_and_no_edit_is_left_out(self):
        text, cpp = ((NOW / "mfdata" / name).read_text() for name in ("plugin.h", "plugin.hpp"))
        for old, new in (("} mfdata_tick;", "} mfdata_tock;"), ("uint32_t struct_size, flags;\n  int64_t now_ns", "int64_t now_ns"),
                         ("#define MFDATA_ABI_MINOR", "#define MFDATA_ABI_MINIMUM"), ("#define MFDATA_SKIP 3", "#define MFDATA_SKIP 0x3"),
                         ("#define MFDATA_DELIVERY_MKDIRS 2u", "#define MFDATA_DELIVERY_MKDIRS 3u"), ("typedef int32_t mfdata_rc", "typedef int mfdata_rc")):
            self.assertEqual(text.count(old), 1, old)
            with self.assertRaises(ValueError, msg=old):
                next_header.next_minor(text.replace(old, new), cpp)
        with self.assertRaises(ValueError):
            next_header.next_minor(text, cpp.replace("&Table<T>::destroy};", "nullptr};", 1))
        with self.assertRaises(ValueError):
            next_header.next_major(text.replace("mfdata_plugin_v1(void);", "mfdata_plugin(void);"), cpp)

    def test_headers_of_the_next_versions_are_as_clean_as_today_s(self):
        for version in ("minor", "major"):
            with tempfile.TemporaryDirectory() as place:
                include = next_header.write(version, place)
                for name, compilers in (("plugin.h", ("gcc -xc -std=c99", "clang -xc -std=c17", "g++ -xc++ -std=c++11")), ("plugin.hpp", ("g++ -xc++ -std=c++20",))):
                    for compiler in compilers:
                        done = subprocess.run([*compiler.split(), "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{include}", "-fsyntax-only", "-"],
                                              input=f"#include <mfdata/{name}>\n", stderr=subprocess.PIPE, text=True)
                        self.assertEqual(done.stderr, "", f"{version} {compiler}")


if __name__ == "__main__":
    main()
