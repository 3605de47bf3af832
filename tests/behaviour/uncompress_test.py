"""uncompress and its aliases: one layer, whole or not at all, with bounds."""
import bz2
import gzip
import json
import lzma
import os
import shutil
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import Case, content, main, parse_tags_file, wait_for
from guess_file_type_test import png, said_by_file
from switch_test import block

ENTRY = '[data]\nentry_step = "uncompress/main"\n'
TO_ARCHIVE = 'dest_dir = "archive/main"\n'


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, **({"zstd": zstd} if shutil.which("zstd") else {})}


class Uncompress(Case):
    def unpacking_home(self, custom="", settings=""):
        return self.home("uncompress", "archive", settings=ENTRY + settings, overrides={"uncompress": "[custom]\n" + TO_ARCHIVE + custom}).start()

    def test_each_format_gives_what_it_holds(self):
        contents = {"empty": b"", "small": b"hello\n", "binary": bytes(range(256)) * 5000, "packed": gzip.compress(b"one layer only", mtime=0)}
        home = self.unpacking_home()
        for kind, pack in PACKERS.items():
            for name, data in contents.items():
                home.drop(f"{kind}-{name}", pack(data))
            home.drop(f"{kind}-members", pack(b"first ") + pack(b"second"))
        wait_for(lambda: len(home.files()) == 5 * len(PACKERS), "every file in the archive")
        for path in home.files():
            tags = parse_tags_file(path + b".tags")
            name = tags["first.core.original_basename"].decode().split("-")[1]
            self.assertEqual(content(path), contents.get(name, b"first second"), tags["first.core.original_basename"])
            self.assertEqual(tags["latest.core.step_counter"], b"1")
        home.wait_idle()
        self.assertEqual((home.trash("uncompress/main"), home.left_over()), ([], []))

    def failure(self, data, words, custom=""):
        home = self.unpacking_home(custom)
        home.drop("bad", data)
        [note] = wait_for(lambda: [n for n in home.trash("uncompress/main") if n["path"]], "the file in trash")
        self.assertIn(words, note["error"])
        self.assertEqual(content(note["path"]), data)
        home.wait_idle()
        self.assertEqual((home.files(), home.left_over()), ([], []))
        home.stop()

    def test_padding_and_frames_to_be_skipped_are_no_fault(self):
        cases = {"xz, padding, xz": lzma.compress(b"one ") + b"\0" * 8 + lzma.compress(b"two")}
        if "zstd" in PACKERS:
            skipped = b"\x5a\x2a\x4d\x18\x04\0\0\0skip"
            cases["skip, zstd, skip"] = skipped + zstd(b"one two") + skipped
        home = self.unpacking_home()
        for name, data in cases.items():
            home.drop(name, data)
        paths = wait_for(lambda: home.files() if len(home.files()) == len(cases) else None, "the archive")
        self.assertEqual([content(path) for path in paths], [b"one two"] * len(cases))

    def test_text_that_begins_like_a_format_is_none(self):
        for data in (b"BZhang wrote this\n", b"BZh", b"BZh9 and more text", b"\x1f\x8b\x07 no deflate", b"P*M\x17 text", b""):
            with self.subTest(data):
                self.failure(data, "it is no file of gzip, bzip2, xz or zstd")

    def test_broken_files_fail_whole(self):
        for kind, pack in PACKERS.items():
            with self.subTest(kind):
                data = pack(bytes(range(256)) * 5000)
                self.failure(data[:len(data) // 2], "broken")
                self.failure(data[:12] + b"\xaa\x55" * 8 + data[28:], "broken")

    def test_what_is_not_packed_fails(self):
        self.failure(b"plain", "no file of gzip, bzip2, xz or zstd")
        self.failure(b"", "no file of gzip, bzip2, xz or zstd")
        self.failure(gzip.compress(b"x"), "no file of xz", 'format = "xz"\n')

    def test_bombs_are_stopped(self):
        zeros = gzip.compress(bytes(200_000_000))
        self.failure(zeros, "a bomb", "max_ratio = 100\n")
        self.failure(zeros, "max_size, 1000000 bytes", 'max_size = "1MB"\n')

    def test_bombs_are_stopped_by_the_default_limits(self):
        for kind in ("bzip2", "xz"):
            with self.subTest(kind):
                self.failure(PACKERS[kind](bytes(80_000_000)), "max_ratio, 2000, times its size: a bomb")

    def standard_flow(self, plugin, kind, data):
        """A picture packed as `data` comes through `plugin` (by its own rule) to the archive."""
        rules = block("notfnmatch", {f"{kind} compressed data*": ["main"]}, "latest.guess_file_type.main.system_magic")
        home = self.home("guess_file_type", "switch", plugin, "archive", settings='[data]\nentry_step = "guess_file_type/main"\n',
                         overrides={"archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\n' + rules}).start()
        home.drop("picture.png.packed", data)
        [path] = wait_for(home.files, "the picture in the archive")
        self.assertEqual((os.path.basename(path), content(path)), (b"picture.png.packed", png(64, 48)))
        tags = parse_tags_file(path + b".tags")
        self.assertEqual(tags["latest.core.step_counter"], b"5")
        self.assertIn(f"2.{plugin}.main.enter_step", tags)
        self.assertTrue(tags["0.guess_file_type.main.system_magic"].startswith(kind.encode() + b" compressed data"))
        self.assertTrue(tags["latest.guess_file_type.main.system_magic"].startswith(b"PNG image data, 64 x 48"))
        home.wait_idle()
        self.assertEqual((home.left_over(), home.trash(f"{plugin}/main")), ([], []))

    def test_standard_flow_unpacks_a_gzip_picture_and_archives_it(self):
        self.standard_flow("ungzip", "gzip", gzip.compress(png(64, 48)))

    def test_standard_flow_unpacks_a_bzip2_picture_and_archives_it(self):
        self.standard_flow("unbzip2", "bzip2", bz2.compress(png(64, 48)))

    def test_standard_flow_unpacks_an_xz_picture_and_archives_it(self):
        self.standard_flow("unxz", "XZ", lzma.compress(png(64, 48)))

    @unittest.skipUnless("zstd" in PACKERS, "the program zstd is missing")
    def test_standard_flow_unpacks_a_zstd_picture_and_archives_it(self):
        self.standard_flow("unzstd", "Zstandard", zstd(png(64, 48)))

    @unittest.skipUnless("zstd" in PACKERS, "the program zstd is missing")
    def test_zstd_file_is_unpacked_whatever_frame_to_be_skipped_it_begins_with(self):
        for plugin in ("unzstd", "uncompress"):
            home = self.home("switch", plugin, "archive", settings='[data]\nentry_step = "switch/main"\n',
                             overrides={plugin: "[custom]\n" + TO_ARCHIVE}).start()
            for first in (0x50, 0x5a, 0x5f):
                home.drop(f"{plugin}{first:02x}", bytes([first]) + b"*M\x18\4\0\0\0skip" + zstd(b"one two"))
            paths = wait_for(lambda: home.files() if len(home.files()) == 3 else None, "the archive")
            self.assertEqual([content(path) for path in paths], [b"one two"] * 3)
            home.stop()


    NOT_PACKED = block("notbytes", {r"\x1f\x8b\x08": ["main"]}, tag=None)

    def test_gzip_that_libmagic_calls_otherwise_is_unpacked_by_its_first_bytes(self):
        def with_extra(field, data):
            """A gzip member with an extra field in its header."""
            packed = gzip.compress(data, mtime=0)
            return packed[:3] + b"\x04" + packed[4:10] + struct.pack("<H", len(field)) + field + packed[10:]
        boot = bytearray(with_extra(b"XX" + struct.pack("<H", 600) + bytes(600), b"boot"))
        boot[510:512] = b"\x55\xaa"
        files = {"bgzf": with_extra(b"BC\x02\0\x1b\0", b"bgzf"), "boot": bytes(boot), "setgid": gzip.compress(b"setgid"), "plain": gzip.compress(b"plain")}
        home = self.home("guess_file_type", "switch", "ungzip", "archive", settings='[data]\nentry_step = "guess_file_type/main"\n',
                         overrides={"archive": self.NOT_PACKED}).start()
        said = {}
        for name, data in files.items():
            temporary = home.incoming / f".{name}.tmp"
            temporary.write_bytes(data)
            said[name] = said_by_file(temporary)
            temporary.chmod(0o2755 if name == "setgid" else 0o644)
            os.rename(temporary, home.incoming / name)
        self.assertIn(b"Blocked GNU Zip Format", said["bgzf"])
        self.assertIn(b"boot sector", said["boot"])
        wait_for(lambda: len(home.files()) == len(files), "the files in the archive")
        home.wait_idle()
        found = {parse_tags_file(path + b".tags")["first.core.original_basename"].decode(): content(path) for path in home.files()}
        self.assertEqual(found, {name: name.encode() for name in files})
        self.assertEqual((home.trash("switch/main"), home.trash("ungzip/main")), ([], []))

    def test_what_follows_a_gzip_or_bzip2_file_is_ignored_tagged_and_counted_as_their_tools_do(self):
        tails = {"garbage": b"some garbage that is no member", "crlf": b"\r\r\n", "etx": b"\r\r\n\x03", "zeros": bytes(512), "zeros and more": bytes(9) + b"x", "long": b"y" * 700_000, "none": b""}
        ignored = {"zeros": None, "none": None, "zeros and more": b"1"}
        home = self.unpacking_home(settings='[metrics]\nlisten = "127.0.0.1:0"\n')
        for kind in ("gzip", "bzip2"):
            for name, tail in tails.items():
                home.drop(f"{kind}-{name}", PACKERS[kind](b"first ") + PACKERS[kind](name.encode()) + tail)
        wait_for(lambda: len(home.files()) == 2 * len(tails), "every file in the archive")
        for path in home.files():
            tags = parse_tags_file(path + b".tags")
            name = tags["first.core.original_basename"].decode().split("-")[1]
            self.assertEqual(content(path), b"first " + name.encode())
            self.assertEqual(tags.get("latest.uncompress.main.trailing_bytes"), ignored.get(name, b"%d" % len(tails[name])), tags["first.core.original_basename"])
        home.wait_idle()
        self.assertEqual(home.metric("mfdata_plugin_uncompress_trailing_files_total"), 2 * 5)

    def test_what_follows_a_file_fails_it_when_told_so_and_always_behind_xz_and_zstd_or_a_broken_member(self):
        for kind in ("gzip", "bzip2"):
            self.failure(PACKERS[kind](b"x") + b"garbage", "something else follows it", 'trailing = "trash"\n')
            self.failure(PACKERS[kind](b"x") + PACKERS[kind](bytes(range(256)) * 50)[:-9], "broken: it ends too early")
        for kind in set(PACKERS) - {"gzip", "bzip2"}:
            self.failure(PACKERS[kind](b"x") + b"garbage", "something else follows it")

    def test_first_bytes_of_every_format_lead_to_its_plugin(self):
        for plugin, kind in (("ungzip", "gzip"), ("unbzip2", "bzip2"), ("unxz", "xz"), ("unzstd", "zstd"), *(("uncompress", kind) for kind in PACKERS)):
            if kind not in PACKERS:
                continue
            with self.subTest(plugin=plugin, kind=kind):
                home = self.home("switch", plugin, settings='[data]\nentry_step = "switch/main"\n', overrides={plugin: "[step.main]\nnumprocesses = 0\n"}).start()
                for name, data in (("small", PACKERS[kind](b"x")), ("empty", PACKERS[kind](b"")), ("none", b"none")):
                    home.drop(name, data)
                wait_for(lambda: len(os.listdir(home.data / f"step.{plugin}.main")) == 2, "the packed files to be routed")
                [note] = home.wait_trash("switch/main")
                self.assertEqual(note["original_name"], "none")
                home.stop()


class Copy(Case):
    def test_every_target_gets_the_file(self):
        home = self.home("copy", "archive", "delete", settings='[data]\nentry_step = "copy/main"\n',
                         overrides={"copy": "[custom]\ndest_dirs = " + json.dumps(["archive/main*", "delete/main"]) + "\n"}).start()
        home.drop("a", b"content")
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(content(path), b"content")
        wait_for(lambda: home.status()["files_done"] >= 2, "both targets")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_target_named_twice_gets_the_file_once(self):
        home = self.home("copy", "archive", settings='[data]\nentry_step = "copy/main"\n',
                         overrides={"copy": '[custom]\ndest_dirs = ["archive/main*", "archive/main"]\n'}).start()
        home.drop("a", b"content")
        wait_for(home.files, "the file in the archive")
        home.wait_idle()
        self.assertEqual(list(map(content, home.files())), [b"content"])

    def test_star_is_a_link_and_without_it_a_target_gets_a_file_of_its_own(self):
        targets = ["archive/main*", "delete/main*", "move/main"]
        home = self.home("copy", "archive", "delete", "move", settings='[data]\nentry_step = "copy/main"\n',
                         overrides={"copy": f"[custom]\ndest_dirs = {json.dumps(targets)}\n", "move": '[step.main]\nnumprocesses = 0\n[custom]\ndest_dir = "{home}"\n',
                                    **{name: "[step.main]\nnumprocesses = 0\n" for name in ("archive", "delete")}}).start()
        home.drop("a", b"content")
        waiting = wait_for(lambda: [paths[0] for paths in [list((home.data / f"step.{target.split('/')[0]}.main").iterdir()) for target in targets] if paths]
                           if home.status()["files_done"] == 1 else None, "the file before each target")
        self.assertEqual([content(path) for path in waiting], [b"content"] * 3)
        inodes = [path.stat().st_ino for path in waiting]
        self.assertEqual((inodes[0] == inodes[1], len(set(inodes))), (True, 2))

    def test_a_target_that_does_not_exist_fails_the_file(self):
        home = self.home("copy", "archive", settings='[data]\nentry_step = "copy/main"\n',
                         overrides={"copy": '[custom]\ndest_dirs = ["archive/main", "nobody/main"]\n'}).start()
        home.drop("a", b"content")
        [note] = wait_for(lambda: home.trash("copy/main"), "the file in trash")
        self.assertIn("nobody/main", note["error"])
        self.assertEqual(home.files(), [])


if __name__ == "__main__":
    unittest.util._MAX_LENGTH = 500
    main()
