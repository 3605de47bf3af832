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
        for language in ("c", "c++", "python", "rust"):
            name = "made_" + language.replace("+", "p")
            self.assertIn(f"made ./{name}", self.run_here("mfdata-plugin", "new", name, "--language", language))
            self.assertIn("[step.main]", (self.directory / name / "plugin.toml").read_text())
        self.assertIn("say which language: c, c++, python, rust, toml", self.run_here("mfdata-plugin", "new", "other", check=False))

    def test_template_that_one_language_has_needs_no_language(self):
        for kind, said in (("fork", 'base = "fork"'), ("python", 'base = "exec"'), ("batch", "made_batch.so")):
            self.run_here("mfdata-plugin", "new", f"made_{kind}", "--template", kind)
            self.assertIn(said, (self.directory / f"made_{kind}/plugin.toml").read_text())
        self.assertIn("say which language", self.run_here("mfdata-plugin", "new", "other", "--template", "listener", check=False))

    def test_plugin_with_a_base_needs_nothing_to_build_it(self):
        folder = self.made("lines", "python", "step")
        (folder / "Makefile").unlink()
        self.assertIn("nothing is to be built: lines runs by the library of its base exec", self.run_here("mfdata-plugin", "build", folder))

    def test_build_says_by_which_of_several_recipes_it_builds(self):
        folder = self.made("lines", "c", "step")
        (folder / "CMakeLists.txt").write_text("message(FATAL_ERROR not_this_one)\n")
        self.assertIn("is built by its Makefile; CMakeLists.txt is not used", self.run_here("mfdata-plugin", "build", folder))
        self.assertTrue((folder / "lines.so").exists())

    def test_makefile_links_the_libraries_of_pkgs_and_ldlibs(self):
        for language, source, libraries in (("c", "lines.c", "LDLIBS"), ("c++", "lines.cpp", "PKGS")):
            with self.subTest(language=language):
                shutil.rmtree(self.directory / "lines", ignore_errors=True)
                folder = self.made("lines", language, "step")
                (folder / source).write_text('#include <zlib.h>\n' + (folder / source).read_text().replace("0.1.0", "0.1.0") + "\nextern const char *version_of_zlib(void);\n"
                                             "const char *version_of_zlib(void) { return zlibVersion(); }\n")
                self.assertIn("zlibVersion", self.run_here("mfdata-plugin", "build", folder, check=False))
                self.change(folder / "Makefile", f"{libraries} =\n", f"{libraries} = {'-lz' if libraries == 'LDLIBS' else 'zlib'}\n")
                self.run_here("mfdata-plugin", "build", folder)
                self.assertIn("libz.so", self.run_here("ldd", folder / "lines.so"))

    def test_package_leaves_build_trees_out_unless_they_are_taken_back(self):
        folder = self.made("lines", "python", "step")
        for path in ("build/a", "build-debug/a", "target/release/a", "__pycache__/a.pyc", ".git/HEAD", "deep/build/a", "lines.o", "data/a.txt", "builder.py"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("x")
        packed = lambda: self.run_here("tar", "tzf", self.run_here("mfdata-plugin", "pack", folder).strip().splitlines()[-1]).split()
        kept = ["manifest.json", "builder.py", "data/a.txt", "lines.py", "plugin.toml"]
        self.assertEqual(packed(), kept)
        with open(folder / ".releaseignore", "a") as ignore:
            ignore.write("!target/\n")
        self.assertEqual(sorted(packed()), sorted([*kept, "target/release/a"]))

    def test_library_in_a_build_tree_is_said_to_be_left_out_and_how_it_is_taken_back(self):
        folder = self.made("lines", "c", "step")
        self.run_here("mfdata-plugin", "build", folder)
        (folder / "build").mkdir()
        (folder / "lines.so").rename(folder / "build/lines.so")
        self.change(folder / "plugin.toml", '"lines.so"', '"build/lines.so"')
        home = self.home("archive")
        for words in (("pack", folder), ("--home", home.root, "install", folder)):
            self.assertIn('a line "!build/" in .releaseignore takes that folder back', self.run_here("mfdata-plugin", *words, check=False))
        with open(folder / ".releaseignore", "a") as ignore:
            ignore.write("!build/\n")
        self.run_here("mfdata-plugin", "--home", home.root, "install", folder)

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

    def listening(self, override="", language="c++"):
        folder = self.directory / "listener"
        shutil.rmtree(folder, ignore_errors=True)
        self.run_here("mfdata-plugin", "build", self.made("listener", language, "listener"))
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
        for language in ("c", "c++"):
            with self.subTest(language=language):
                self.stops_while_a_sender_says_nothing(language)

    def stops_while_a_sender_says_nothing(self, language):
        home, connect = self.listening(language=language)
        peer = connect()
        peer.sendall(b"name.txt\nbeginning")
        wait_for(lambda: any(b"beginning" in path.read_bytes() for path in (home.data / "tmp").rglob("*") if path.is_file()), "the beginning in the spool")
        self.assertEqual(home.stop(), 0)
        self.assertEqual(peer.recv(100), b"failed\n")
        self.assertEqual(home.spooled(), [])

    def test_sender_that_is_slow_for_ever_holds_nobody_up(self):
        for language in ("c", "c++"):
            with self.subTest(language=language):
                self.slow_sender_holds_nobody_up(language)

    def slow_sender_holds_nobody_up(self, language):
        home, connect = self.listening("[custom]\npatience = 1\n", language)
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
        for language in ("c", "c++"):
            with self.subTest(language=language):
                self.tells_a_bad_name(language)

    def tells_a_bad_name(self, language):
        home, connect = self.listening(language=language)
        self.addCleanup(home.stop)
        for text in (b"x" * 5000, b"y" * 300 + b"\ncontent"):
            peer = connect()
            peer.sendall(text)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.recv(100), b"bad name\n")


if __name__ == "__main__":
    main()
