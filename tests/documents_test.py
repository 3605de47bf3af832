"""What the documents say is true: every command shown runs, every file named exists, and no default stands twice."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "harness"))
from harness import BUILD, PROJECT, Case, main, wait_for

DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "doc").glob("*.md"))]
TUTORIAL = "tutorial.md"  # as a whole in installed_sdk_test
# Shown commands that other suites run, or that run for long: by their first words.
ELSEWHERE = ("tools/quickstart.sh", "tests/run.sh", "tests/fuzz/run.sh", "tests/bench/run.sh", "python3 tests/", "ninja ",
             "MFDATA_BUILD=", "export ", "mfdata-loader", "build/tests/unit", "build/tools/", "mfdata-plugin new ", "mfdata-plugin build ")


def shown_commands():
    """(document, command) of each indented line that begins with a program of ours or a compiler."""
    for document in (page for page in DOCUMENTS if page.name != TUTORIAL):
        for line in document.read_text().splitlines():
            match = re.match(r"    ((?:mfdata|mfdata-plugin|mfdata-loader|cc|tools/|tests/|ninja|python3|build/|MFDATA_BUILD=|export)\S* ?.*?)(?:  +#.*)?$", line)
            if match:
                yield document.name, match[1].strip()


class Documents(Case):
    def test_every_command_shown_runs(self):
        home = self.home("archive")
        home.start()
        report = home.root / "report.txt"
        report.write_text("a report")
        home.drop("f", b"x")
        [archived] = wait_for(lambda: home.files(), "a file with tags")
        bin_directory = home.root / "bin"
        bin_directory.mkdir()
        for name, path in (("mfdata", "tools/mfdata"), ("mfdata-plugin", "tools/mfdata-plugin")):
            (bin_directory / name).write_text(f'#!/bin/sh\nexec {BUILD / path} "$@"\n')
            (bin_directory / name).chmod(0o755)
        environment = dict(home.environment, PATH=f"{bin_directory}:{os.environ['PATH']}")
        ran = 0
        for document, command in shown_commands():
            if command.startswith((*ELSEWHERE, "mfdata/1 ")):
                continue
            command = command.replace("/srv/mfdata", str(home.root / "new")).replace("report.txt", str(report)).replace(" FILE", f" {archived.decode()}")
            command = command.replace("-o minimal.so", f"-o {home.root}/minimal.so")
            with self.subTest(document=document, command=command):
                done = subprocess.run(command, shell=True, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
                self.assertEqual(done.returncode, 0, done.stdout)
                ran += 1
        self.assertGreater(ran, 6)
        self.assertEqual(home.loader.wait(120), 0, "mfdata stop is the last command of the README")

    def test_reference_of_plugin_toml_is_what_the_tables_of_keys_say(self):
        written = subprocess.run([BUILD / "tools/plugin_toml_document"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertEqual((PROJECT / "doc/plugin_toml.md").read_text(), written, "write it anew: build/tools/plugin_toml_document > doc/plugin_toml.md")

    def test_first_example_of_the_readme_ends_in_the_archive(self):
        text = (PROJECT / "README.md").read_text()
        plugins = re.search(r"mfdata init /srv/mfdata --plugins (\S+)", text)[1]
        path, rules = re.search(r"```toml\n# (etc/plugins\.d/\S+)\n(.*?)```", text, re.DOTALL).groups()
        self.assertIn("    mfdata inject report.txt --wait ", text)
        home = self.home(*plugins.split(","))
        (home.root / path).write_text(rules)
        checked = home.run(BUILD / "tools/mfdata", "check")
        self.assertEqual((checked.stdout, checked.stderr), ("no problems: 3 plugins, 3 steps\n", ""))
        home.start()
        report = home.root / "report.txt"
        report.write_text("It rains.\n")
        home.run(BUILD / "tools/mfdata", "inject", report, "--wait")
        self.assertEqual([pathlib.Path(os.fsdecode(path)).read_text() for path in home.files()], ["It rains.\n"])

    def test_top_level_holds_what_it_should_and_nothing_else(self):
        tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        top = {path.split("/")[0] for path in tracked if not path.startswith(".")}
        self.assertEqual(top, {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "doc", "libmfdata", "loader", "meson.build", "sample_plugins", "sdk", "tests", "tools"})

    def test_every_path_named_exists(self):
        for document in DOCUMENTS:
            text = document.read_text()
            for link in re.findall(r"\]\(([^)#]+)\)", text):
                self.assertTrue((document.parent / link).exists(), f"{document.name} links {link}")
            for path in re.findall(r"`((?:tests|libmfdata|loader|sdk|tools|sample_plugins|doc)/[\w./-]+)`", text):
                self.assertTrue((PROJECT / path).exists() or (PROJECT / "libmfdata/include" / path).exists(), f"{document.name} names {path}")

    def test_messages_that_are_explained_are_those_of_the_programs_and_none_of_a_package_s_refusals_is_missing(self):
        table = re.findall(r"^\| (.*?) \| .* \|$", (PROJECT / "doc/plugins.md").read_text().split("Why was my plugin")[1].split("\n## ")[0], re.MULTILINE)[2:]
        self.assertGreater(len(table), 20)
        explained = [part.strip(" ,:;") for row in table for part in re.split(r" / |\.\.\.", row) if part.strip(" ,:;")]
        sources = [path for folder in ("libmfdata", "loader", "tools") for path in sorted((PROJECT / folder).rglob("*.cpp"))]
        said = {path.name: re.sub(r'(?<!\\)"\s*"', "", path.read_text()).replace('\\"', '"') for path in sources}
        for words in explained:
            of_the_system = words.startswith(("undefined symbol", "version `GLIBC_", "' not found"))
            self.assertTrue(of_the_system or any(words in text for text in said.values()), f"no program says: {words}")
        refusals = [" ".join(re.findall(r'"(.*?)"', call)) for call in re.findall(r"refused\((.*?)\);", said["package.cpp"])]
        self.assertGreater(len(refusals), 20)
        for refusal in filter(str.strip, refusals):
            self.assertTrue(any(words in refusal for words in explained), f"doc/plugins.md does not explain: {refusal}")

    def test_scripts_shown_elsewhere_are_there_and_explain_themselves(self):
        for script in ("tools/quickstart.sh", "tests/run.sh", "tests/fuzz/run.sh", "tests/bench/run.sh", ".ci/run"):
            self.assertTrue(os.access(PROJECT / script, os.X_OK), f"{script} cannot be run")
        self.assertIn("tests/run.sh", (PROJECT / ".ci/run").read_text())

    def test_quickstart_archives_its_sample_files_also_when_it_is_run_again(self):
        home = tempfile.mkdtemp(prefix="mfdata-quickstart-")
        self.addCleanup(shutil.rmtree, home)
        environment = dict(os.environ, MFDATA_QUICKSTART_HOME=f"{home}/home", MFDATA_BUILD=str(BUILD))
        count = len(list((PROJECT / "tools/sample_data").iterdir()))
        self.assertGreater(count, 1)
        for times in (1, 2):
            done = subprocess.run([PROJECT / "tools/quickstart.sh"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn(f"{count} of {count} files are in", done.stdout)
            self.assertIn("first.core.original_basename = ", done.stdout)
            archived = [path for path in pathlib.Path(home).glob("home/var/archive/*/*") if path.suffix != ".tags"]
            self.assertEqual(len(archived), times * count)

    def test_no_document_or_source_names_a_machine(self):
        files = subprocess.run(["git", "grep", "-nIE", r"/work/|/root/|deb\.debian\.org|registry\.npmjs"], cwd=PROJECT, stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual([line for line in files.splitlines() if "documents_test.py" not in line], [])


if __name__ == "__main__":
    main()
