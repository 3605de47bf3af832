"""What the templates teach: a file that cannot be opened is not an empty one, a panic fails its file, a build never writes into the library
that a worker has loaded, a listener is not held by one sender."""
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import main, wait_for
from installed import Installed

UNOPENED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
static FILE *refused(const char *name, const char *path, const char *mode) {
  if (strstr(path, "/0/in/")) return errno = EMFILE, (FILE *)0;
  return ((FILE *(*)(const char *, const char *))dlsym(RTLD_NEXT, name))(path, mode);
}
FILE *fopen(const char *path, const char *mode) { return refused("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return refused("fopen64", path, mode); }
"""
CMAKE = """cmake_minimum_required(VERSION 3.20)
project(lines CXX)
find_package(mfdata-sdk 0.1 REQUIRED)
mfdata_add_plugin(lines lines.cpp)
"""
MESON = """project('lines', 'cpp', default_options: ['cpp_std=c++20'])
shared_module('lines', 'lines.cpp', name_prefix: '', dependencies: dependency('mfdata-sdk'), gnu_symbol_visibility: 'hidden')
"""


class Templates(Installed):
    def made(self, name, language, kind):
        self.run_here("mfdata-plugin", "new", name, "--language", language, "--template", kind)
        return self.directory / name

    def change(self, path, before, after):
        text = path.read_text()
        self.assertIn(before, text)
        path.write_text(text.replace(before, after))

    def run_plugin(self, folder):
        return self.run_here("mfdata-plugin", "run", folder, __file__, check=False)

    def test_file_that_cannot_be_opened_is_not_taken_for_an_empty_one(self):
        (self.directory / "unopened.c").write_text(UNOPENED)
        subprocess.run(["cc", "-shared", "-fPIC", "unopened.c", "-o", "unopened.so", "-ldl"], cwd=self.directory, check=True)
        for kind in ("step", "transform"):
            folder = self.made(kind, "c++", kind)
            self.run_here("mfdata-plugin", "build", folder)
            self.assertIn("result: ok", self.run_plugin(folder))
            self.environment["LD_PRELOAD"] = str(self.directory / "unopened.so")
            self.assertIn("result: failed: cannot open the file", self.run_plugin(folder))
            del self.environment["LD_PRELOAD"]

    def test_new_without_a_terminal_takes_the_template_step(self):
        for language in ("c", "c++", "rust"):
            name = "made_" + language.replace("+", "p")
            self.assertIn(f"made ./{name}", self.run_here("mfdata-plugin", "new", name, "--language", language))
            self.assertIn("[step.main]", (self.directory / name / "plugin.toml").read_text())
        self.assertIn("say which language: c, c++, rust", self.run_here("mfdata-plugin", "new", "other", check=False))

    def test_panic_fails_its_file_with_its_text_and_the_worker_lives(self):
        self.needs("rust")
        folder = self.made("lines", "rust", "step")
        source = folder / "src/lib.rs"
        whole = source.read_text()
        self.change(source, "let lines = content", "let none: Vec<u8> = vec![];\n        let _ = none[content.len()];\n        let lines = content")
        self.run_here("mfdata-plugin", "build", folder)
        self.assertIn("result: failed: index out of bounds: the len is 0", self.run_plugin(folder))
        self.assertNotIn("A6 ", "".join(line for line in self.run_here("mfdata-plugin", "validate", folder, check=False).splitlines(True) if "FAILED" in line))
        source.write_text(whole)
        self.change(source, "let dest_dir = String", "let _: u32 = std::env::var(\"NEVER_SET\").unwrap().parse().unwrap();\n        let dest_dir = String")
        self.run_here("mfdata-plugin", "build", folder)
        self.assertIn("the plugin does not start: called `Result::unwrap()` on an `Err` value: NotPresent", self.run_plugin(folder))

    def test_build_never_writes_into_a_library_that_is_in_use(self):
        cases = [("c", "Makefile", ""), ("c++", "Makefile", ""), ("c++", "meson.build", MESON), ("c++", "CMakeLists.txt", CMAKE), ("rust", "Makefile", "")]
        for language, recipe, text in cases:
            if language == "rust" and not shutil.which("cargo"):
                continue
            with self.subTest(language=language, recipe=recipe):
                shutil.rmtree(self.directory / "lines", ignore_errors=True)
                folder = self.made("lines", language, "step")
                if text:
                    (folder / "Makefile").unlink()
                    (folder / recipe).write_text(text)
                self.run_here("mfdata-plugin", "build", folder)
                with open(folder / "lines.so", "rb") as in_use:
                    before = in_use.read()
                    source = folder / {"c": "lines.c", "c++": "lines.cpp", "rust": "src/lib.rs"}[language]
                    self.change(source, "0.1.0", "0.2.0")
                    self.run_here("mfdata-plugin", "build", folder)
                    in_use.seek(0)
                    self.assertEqual(in_use.read(), before)
                self.assertIn(b"0.2.0", (folder / "lines.so").read_bytes())

    def listening(self, override=""):
        folder = self.directory / "listener"
        if not folder.exists():
            self.run_here("mfdata-plugin", "build", self.made("listener", "c++", "listener"))
        home = self.home("archive", folder, settings='[data]\nentry_step = "archive/main"\n', overrides={"listener": override}).start()
        address = home.root / "run/listener.sock"

        def connected():
            peer = socket.socket(socket.AF_UNIX)
            peer.settimeout(120)
            if peer.connect_ex(str(address)) == 0:
                self.addCleanup(peer.close)
                return peer
            return peer.close()
        return home, lambda: wait_for(connected, "a connection")

    def test_listener_stops_while_a_sender_says_nothing(self):
        home, connect = self.listening()
        peer = connect()
        peer.sendall(b"name.txt\nbeginning")
        wait_for(lambda: any(b"beginning" in path.read_bytes() for path in (home.data / "tmp").rglob("*") if path.is_file()), "the beginning in the spool")
        self.assertEqual(home.stop(), 0)
        self.assertEqual(peer.recv(100), b"failed\n")
        self.assertEqual(home.spooled(), [])

    def test_sender_that_is_slow_for_ever_holds_nobody_up(self):
        home, connect = self.listening("[custom]\npatience = 1\n")
        slow, next_one = connect(), connect()
        next_one.sendall(b"next.txt\nof the next one")
        next_one.shutdown(socket.SHUT_WR)
        slow.settimeout(0.1)
        answers = []

        def answered():
            try:
                slow.send(b"x")
                answers.append(slow.recv(100))
            except TimeoutError:
                return False
            except OSError:
                return True
            return True
        wait_for(answered, "the end of the slow one")
        self.assertLessEqual(set(answers), {b"failed\n"})
        self.assertEqual(next_one.recv(100), b"ok\n")
        home.wait_idle()
        self.assertEqual(len(home.files()), 1)

    def test_listener_tells_a_bad_name_from_being_busy(self):
        _, connect = self.listening()
        for text in (b"x" * 5000, b"y" * 300 + b"\ncontent"):
            peer = connect()
            peer.sendall(text)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.recv(100), b"bad name\n")


if __name__ == "__main__":
    main()
