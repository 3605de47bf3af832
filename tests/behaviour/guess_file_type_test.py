"""guess_file_type: its tags are those of the reference, whatever the file."""
import gzip
import os
import random
import struct
import subprocess
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import Case, content, main, parse_tags_file, wait_for

SETTINGS = '[data]\nentry_step = "guess_file_type/main"\n'
TO_ARCHIVE = '[custom]\ndest_dir = "archive/main"\n'
PREFIX = "latest.guess_file_type.main."


def png(width=3, height=2):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def said_by_file(path):
    return subprocess.run(["file", "--brief", path], stdout=subprocess.PIPE, check=True).stdout.rstrip(b"\n")


class GuessFileType(Case):
    def guessed(self, files, custom=""):
        """{name: tags} of files that went through the step to the archive."""
        home = self.home("guess_file_type", "archive", settings=SETTINGS, overrides={"guess_file_type": TO_ARCHIVE + custom}).start()
        for name, data in files.items():
            home.drop(name, data)
        wait_for(lambda: len(home.files()) == len(files), f"{len(files)} files in the archive")
        all_tags = [parse_tags_file(path + b".tags") for path in home.files()]
        return {tags["first.core.original_basename"].decode(): tags for tags in all_tags}

    def test_system_magic_is_what_file_prints(self):
        letters = random.Random(4)
        files = {
            "empty": b"", "one": b"x", "zero": b"\0", "newline": b"\n", "png": png(), "big.png": png(400, 300) + bytes(3_000_000),
            "gzip": gzip.compress(b"hello", mtime=0), "text": b"the quick brown fox\n" * 3, "long-text": b"the quick brown fox\n" * 100_000,
            "utf8": "caf\u00e9 \u2603\n".encode() * 50, "latin1": b"caf\xe9\n" * 50, "crlf": b"a\r\nb\r\n" * 20, "random": letters.randbytes(4096),
            "script": b"#!/bin/sh\necho\n", "json": b'{"a": [1, 2]}', "xml": b"<?xml version='1.0'?><a/>", "grib": b"GRIB\0\0\x64\x01" + bytes(92) + b"7777",
            "bufr": b"BUFR\0\0\x40\x04" + bytes(52) + b"7777", "netcdf": b"CDF\x01" + bytes(60), "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(88),
            "escape": b"#! \x1b[31m/bin/x\n", "name with = and %41": b"SXXX10 LFPW 010000\n"}
        for number in range(40):
            files[f"random-{number}"] = letters.randbytes(letters.choice([2, 3, 8, 60, 61, 512, 5000]))
        tags = self.guessed(files)
        folder = self.home("archive").root  # only for its directory
        for name, data in files.items():
            (folder / "probe").write_bytes(data)
            said = said_by_file(folder / "probe")
            self.assertEqual(tags[name][PREFIX + "system_magic"], said, name)
            self.assertEqual(tags[name]["0.guess_file_type.main.system_magic"], said, name)
            self.assertEqual(tags[name][PREFIX + "size"], b"%d" % len(data))
            self.assertEqual(tags[name][PREFIX + "ascii_header"], bytes(c for c in data[:60] if 32 <= c <= 126), name)
            self.assertNotIn(PREFIX + "magic_exception", tags[name])

    def test_words_are_those_of_the_content_whatever_the_mode_of_the_file_is(self):
        files = {"gzip": gzip.compress(b"hello", mtime=0), "text": b"some text\n", "empty": b"", "png": png()}
        home = self.home("guess_file_type", "archive", settings=SETTINGS, overrides={"guess_file_type": TO_ARCHIVE}).start()
        expected = {}
        for name, data in files.items():
            for mode in (0o1644, 0o4644, 0o2755, 0o7777, 0o600):
                temporary = home.incoming / f".{name}-{mode:o}.tmp"
                temporary.write_bytes(data)
                temporary.chmod(0o644)
                expected[f"{name}-{mode:o}"] = said_by_file(temporary)
                temporary.chmod(mode)
                os.rename(temporary, home.incoming / f"{name}-{mode:o}")
        wait_for(lambda: len(home.files()) == len(expected), "the files in the archive")
        tags = [parse_tags_file(path + b".tags") for path in home.files()]
        self.assertEqual({t["first.core.original_basename"].decode(): t[PREFIX + "system_magic"] for t in tags}, expected)
        self.assertTrue(expected["gzip-2755"].startswith(b"gzip compressed data"))

    def test_file_of_200_megabytes_is_identified_and_its_content_not_touched(self):
        home = self.home("guess_file_type", "archive", settings=SETTINGS, overrides={"guess_file_type": TO_ARCHIVE}).start()
        temporary = home.incoming / ".big.tmp"
        with open(temporary, "wb") as file:
            file.write(png())
            file.truncate(200_000_000)
        os.rename(temporary, home.incoming / "big")
        [path] = wait_for(home.files, "the file in the archive")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual(tags[PREFIX + "system_magic"], said_by_file(path))
        self.assertIn(b"PNG image data, 3 x 2", tags[PREFIX + "system_magic"])
        self.assertEqual(tags[PREFIX + "size"], b"200000000")
        self.assertLess(os.stat(path).st_blocks * 512, 1_000_000, "it was not copied")

    def test_custom_magic_and_options(self):
        folder = self.home("archive").root
        (folder / "my.magic").write_text("0 string OURS our own format\n!:mime application/ours\n")
        tags = self.guessed({"ours": b"OURS and more", "other": b"nothing known"},
                            f'magic_custom_file = "{folder}/my.magic"\nmagic_use_custom_only = true\nadd_size_tag = false\n'
                            "ascii_header_max_length = 4\n")
        self.assertEqual(tags["ours"][PREFIX + "custom_magic"], b"our own format")
        self.assertEqual(tags["ours"][PREFIX + "ascii_header"], b"OURS")
        self.assertNotIn(PREFIX + "system_magic", tags["ours"])
        self.assertNotIn(PREFIX + "size", tags["ours"])
        self.assertIn(PREFIX + "custom_magic", tags["other"])

    def test_custom_magic_stands_beside_that_of_the_system(self):
        folder = self.home("archive").root
        (folder / "my.magic").write_text("0 string OURS our own format\n")
        tags = self.guessed({"ours": b"OURS and more"}, f'magic_custom_file = "{folder}/my.magic"\n')["ours"]
        self.assertEqual((tags[PREFIX + "custom_magic"], tags[PREFIX + "system_magic"]), (b"our own format", b"ASCII text, with no line terminators"))

    def test_error_of_libmagic_is_a_tag_and_the_file_passes_on(self):
        folder = self.home("archive").root
        (folder / "endless.magic").write_text("0\tname\tr\n>0\tuse\tr\n0\tbyte\tx\n>0\tuse\tr\n")
        tags = self.guessed({"f": b"content"}, f'magic_custom_file = "{folder}/endless.magic"\n')["f"]
        self.assertIn(b"name use count", tags[PREFIX + "magic_exception"])
        self.assertNotIn(PREFIX + "custom_magic", tags)
        self.assertEqual((tags[PREFIX + "ascii_header"], tags[PREFIX + "size"]), (b"content", b"7"))

    def test_wrong_configuration_is_told_and_files_wait(self):
        for custom, word in (('magic_custom_file = "/no/such/file"', "magic_custom_file"), ("ascii_header_max_length = -1", "ascii_header_max_length"),
                             ("magic_use_custom_only = true", "magic_custom_file")):
            home = self.home("guess_file_type", "archive", settings=SETTINGS, overrides={"guess_file_type": TO_ARCHIVE + custom + "\n"}).start()
            home.drop("f", b"x")
            wait_for(lambda: word in home.log(), f"a word about {word}")
            wait_for(lambda: word in home.step_status("guess_file_type/main").get("failure", ""), f"{word} in the status")
            self.assertEqual([content(path) for path in home.files(home.data)], [b"x"], "the file waits")
            home.stop()


if __name__ == "__main__":
    main()
