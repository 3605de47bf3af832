"""The SDK as it is installed, in an empty directory: the tutorial, every template, and other build systems."""
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, PROJECT, content, context_of, main, mount_tmpfs, need_root, wait_for
from installed import Installed

TEMPLATES = [("c", "step"), ("c", "listener"), ("c++", "step"), ("c++", "batch"), ("c++", "transform"), ("c++", "predicate"), ("c++", "listener"), ("python", "step"), ("rust", "step"),
             ("toml", "archive"), ("toml", "fork"), ("toml", "move")]
SCRIPTS = {("python", "step"): ".py", ("toml", "fork"): ".sh"}  # what stands beside the plugin.toml of one that has a base
CMAKE = """cmake_minimum_required(VERSION 3.20)
project(lines CXX)
find_package(mfdata-sdk 0.1 REQUIRED)
mfdata_add_plugin(lines lines.cpp)
"""
MESON = """project('lines', 'cpp', default_options: ['cpp_std=c++20'])
sdk = dependency('mfdata-sdk')
shared_module('lines', 'lines.cpp', name_prefix: '', dependencies: sdk, gnu_symbol_visibility: 'hidden',
  link_args: '-Wl,--version-script=' + sdk.get_variable('version_script'))
"""


def commands_of(page):
    """The indented lines of a page, as one shell script."""
    lines = re.findall(r"^    (.+)$", (PROJECT / page).read_text(), re.MULTILINE)
    return "set -euo pipefail\n" + "\n".join(lines) + "\nwait\n"


class InstalledSdk(Installed):
    @staticmethod
    def nothing_but_the_prefix():
        """A command whose words run where the source and the build directory are empty; for root only, where it may mount."""
        if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode != 0:
            print("the source stays visible: only root can hide it, and not in a chroot without a mount of its own")
            return []
        hidden = sorted({str(PROJECT), str(BUILD)}, key=len)
        mounts = [f"test ! -d {shlex.quote(path)} || mount -t tmpfs tmpfs {shlex.quote(path)}" for path in hidden]
        looks = [f"test ! -e {shlex.quote(str(path))}" for path in (PROJECT / "sdk", BUILD / "tools")]
        return ["unshare", "--mount", "bash", "-ec", "\n".join([*mounts, *looks, 'exec "$@"']), "bash"]

    def tutorial(self, language):
        self.needs(language)
        script = commands_of("doc/tutorial.md")
        self.assertIn("--language c++ --template step", script)
        self.assertIn("\nsleep 1\n", script)  # for people; here a loader may need longer
        script = script.replace("\nsleep 1\n", "\nuntil mfdata --home home status > /dev/null 2>&1; do sleep 0.1; done\n")
        self.assertIn("\nmfdata --home home stop\n", script)  # what was rebuilt is there before
        script = script.replace("\nmfdata --home home stop\n", "\nuntil mfdata-plugin --home home list | grep -q '^lines.* 0[.]3[.]0'; do sleep 0.1; done\nmfdata --home home stop\n")
        script = script.replace("--language c++", f"--language {language}").replace("lines/lines.cpp", {"c": "lines/lines.c", "c++": "lines/lines.cpp", "python": "lines/lines.py", "rust": "lines/src/lib.rs"}[language])
        out = self.run_here(*self.nothing_but_the_prefix(), "bash", "-c", script)
        self.assertIn(" 0 failed", out)
        self.assertIn("installed lines 0.2.0; the loader takes it up", out)
        self.assertRegex(out, r"lines +0\.2\.0")
        self.assertIn("lines is back at 0.1.0", out)
        self.assertIn("latest.lines.main.", out)

    def test_tutorial_in_cpp(self):
        self.tutorial("c++")

    def test_tutorial_in_c(self):
        self.tutorial("c")

    def test_tutorial_in_python(self):
        self.tutorial("python")

    def test_tutorial_in_rust(self):
        self.tutorial("rust")

    def test_every_template_builds_passes_its_test_and_is_packed(self):
        self.assertEqual(sorted(path.relative_to(PROJECT / "sdk/templates").parts for path in (PROJECT / "sdk/templates").glob("*/*")), sorted(TEMPLATES))
        for language, kind in TEMPLATES:
            if language == "rust" and not shutil.which("cargo"):
                continue
            name = f"my-{kind}"
            self.run_here("mfdata-plugin", "new", name, "--language", language, "--template", kind, "--directory", language)
            self.run_here("mfdata-plugin", "build", f"{language}/{name}", **{})
            self.run_here("make", "-C", f"{language}/{name}", "test")
            self.assertIn(" 0 failed", self.run_here("mfdata-plugin", "validate", f"{language}/{name}"))
            package = self.run_here("mfdata-plugin", "pack", f"{language}/{name}").strip().splitlines()[-1]
            script = SCRIPTS.get((language, kind)) if language in ("python", "toml") else ".so"
            self.assertEqual(self.run_here("tar", "tzf", package).split(), ["manifest.json", *([f"{name}{script}"] if script else []), "plugin.toml"])
            home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n')
            self.run_here("mfdata-plugin", "--home", home.root, "install", self.directory / package)
            self.assertIn(f"my-{kind}", self.run_here("mfdata-plugin", "--home", home.root, "list"))
            self.run_here("mfdata", "--home", home.root, "check")

    def test_listener_and_predicate_of_the_templates_run_in_a_loader(self):
        for kind, language in (("listener", "c"), ("predicate", "c++")):
            self.run_here("mfdata-plugin", "new", kind, "--language", language, "--template", kind)
            self.run_here("mfdata-plugin", "build", kind)
        home = self.home("switch", "archive", self.directory / "listener", self.directory / "predicate", settings='[data]\nentry_step = "switch/main"\n[loader]\npredicate_timeout = 60\n').start()
        address = home.root / "run/listener.sock"
        wait_for(lambda: self.listens(address), "the socket")
        for text, answer in ((b"a.txt\nhello you", b"ok\n"), (b"b.txt\nnot for us", b"ok\n"), (b"", b"no name\n"), (b"c.txt\nhello " + bytes(1_000_000), b"ok\n")):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(address))
                peer.sendall(text)
                peer.shutdown(socket.SHUT_WR)
                self.assertEqual(peer.recv(100), answer)
        wait_for(lambda: len(home.files()) == 2, "what the rule matched")
        home.wait_idle()
        self.assertEqual(sorted(len(content(path)) for path in home.files()), [9, 1_000_006])
        self.assertEqual(home.stop(), 0)

    @staticmethod
    def listens(address):
        with socket.socket(socket.AF_UNIX) as peer:
            return peer.connect_ex(str(address)) == 0

    def test_documents_are_installed_with_all_that_they_link_to(self):
        installed = self.prefix / "share/doc/mfdata"
        pages = [installed / "README.md", *sorted((installed / "doc").glob("*.md"))]
        self.assertEqual({page.name for page in pages}, {"README.md", *(page.name for page in (PROJECT / "doc").glob("*.md"))})
        for page in pages:
            for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
                self.assertTrue((page.parent / link).is_file(), f"{page.name} links {link}")
        self.assertTrue((installed / "sample_plugins/minimal/minimal.c").is_file())

    def test_failure_of_a_template_s_step_fails_its_test(self):
        self.run_here("mfdata-plugin", "new", "bad", "--language", "c++", "--template", "step")
        source = self.directory / "bad/bad.cpp"
        source.write_text(source.read_text().replace("return sdk::Result::ok();", 'return sdk::Result::fail("on purpose");'))
        self.run_here("mfdata-plugin", "build", "bad")
        with self.assertRaisesRegex(AssertionError, "on purpose"):
            self.run_here("make", "-C", "bad", "test")

    def test_other_build_systems_need_nothing_but_the_prefix(self):
        self.run_here("mfdata-plugin", "new", "lines", "--language", "c++", "--template", "step")
        for name, text in (("CMakeLists.txt", CMAKE), ("meson.build", MESON)):
            folder = self.directory / name.split(".")[0]
            shutil.copytree(self.directory / "lines", folder)
            (folder / "Makefile").unlink()
            (folder / name).write_text(text)
            self.run_here("mfdata-plugin", "build", folder)
            self.assertIn("step main", self.run_here("mfdata-plugin", "inspect", folder / "lines.so"))
            self.assertIn("result: ok", self.run_here("mfdata-plugin", "run", folder, __file__))
        self.run_here("mfdata-plugin", "new", "plain", "--language", "c", "--template", "step")
        self.run_here("cc", "-shared", "-fPIC", f"-I{self.prefix}/include", "plain/plain.c", "-o", "plain/plain.so")
        self.assertIn("result: ok", self.run_here("mfdata-plugin", "run", "plain", __file__))
        compiled = ["c++", "-std=c++20", "-shared", "-fPIC", f"-I{self.prefix}/include", "lines/lines.cpp", "-o", "lines/lines.so"]
        self.run_here(*compiled)
        self.assertIn("result: ok", self.run_here("mfdata-plugin", "run", "lines", __file__))

    def test_new_says_what_is_missing_or_wrong(self):
        for words, said in ((["x"], "say which language: c, c++, python, rust, toml"), (["x", "--language", "toml"], "say which template: archive, fork, move"), (["x", "--language", "c++", "--template", "stp"], 'did you mean "step"?'),
                            (["x", "--language", "C++"], 'did you mean "c++"?'), (["x", "--language", "c", "--template", "batch"], 'no template "batch"'),
                            (["a/b", "--language", "c", "--template", "step"], "bad plugin name"), (["core", "--language", "c", "--template", "step"], "bad plugin name")):
            self.assertIn(said, self.run_here("mfdata-plugin", "new", *words, check=False))
        self.assertEqual(list(self.directory.iterdir()), [self.temporary])
        (self.directory / "there").mkdir()
        self.assertIn("is there already", self.run_here("mfdata-plugin", "new", "there", "--language", "c", "--template", "step", check=False))

    def test_new_asks_on_a_terminal_for_what_is_left_open(self):
        master, slave = os.openpty()
        process = subprocess.Popen(["mfdata-plugin", "new", "asked"], cwd=self.directory, env=self.environment, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.write(master, b"c\nstep\n")
        out, error = process.communicate(timeout=300)
        os.close(master)
        os.close(slave)
        self.assertIn("language (c, c++, python, rust, toml):", error)
        self.assertIn("made ./asked", out)

    @need_root
    def test_new_leaves_nothing_when_it_fails(self):
        full = mount_tmpfs(self, "size=8k,mode=0700")
        self.assertIn("cannot write", self.run_here("mfdata-plugin", "new", "lines", "--language", "c++", "--template", "step", "--directory", full, check=False))
        self.assertEqual(list(full.iterdir()), [])

    def test_plugin_whose_name_begins_with_a_digit_builds(self):
        for language in ("c", "c++", "rust"):
            if language == "rust" and not shutil.which("cargo"):
                continue
            self.run_here("mfdata-plugin", "new", "7-up", "--language", language, "--template", "step", "--directory", language)
            self.run_here("mfdata-plugin", "build", f"{language}/7-up")
            self.assertIn("result: ok", self.run_here("mfdata-plugin", "run", f"{language}/7-up", __file__))

    def test_batch_of_the_template_runs_in_a_loader(self):
        self.run_here("mfdata-plugin", "new", "together", "--language", "c++", "--template", "batch")
        self.run_here("mfdata-plugin", "build", "together")
        home = self.home("archive", self.directory / "together", settings='[data]\nentry_step = "together/main"\n')
        home.start()
        for number in range(10):
            home.drop(f"file{number}", b"%d" % number)
        wait_for(lambda: len(home.files()) == 10, "ten files in the archive")
        home.wait_idle()
        sizes = [int(context_of(path)[1]["latest.together.main.together"]) for path in home.files()]
        self.assertGreater(max(sizes), 1, "some came together")
        self.assertEqual(sorted(content(path) for path in home.files()), sorted(b"%d" % number for number in range(10)))
        self.assertEqual(home.stop(), 0)

    def test_exec_runs_in_the_folder_of_the_plugin_with_its_environment(self):
        self.run_here("mfdata", "init", "home", "--plugins", "archive")
        out = self.run_here("mfdata-plugin", "--home", "home", "exec", "archive", "--", "sh", "-c", 'pwd; echo "$MFDATA_PLUGIN_NAME $MFDATA_PLUGIN_DIR $MFDATA_HOME"; exit 0')
        folder = str((self.directory / "home/plugins/archive/1.0.0").resolve())
        self.assertEqual(out.split(), [folder, "archive", folder, str((self.directory / "home").resolve())])
        self.assertIn('did you mean "archive"?', self.run_here("mfdata-plugin", "--home", "home", "exec", "archiv", "--", "true", check=False))


if __name__ == "__main__":
    main()
