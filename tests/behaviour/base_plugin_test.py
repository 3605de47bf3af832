"""A plugin with a base has a plugin.toml and no library: it is packed, signed, validated, installed, upgraded and run as others are."""
import json
import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import MFDATA, MFDATA_PLUGIN, content, context_of, main, wait_for
from packages import Packages, members, tool

MANIFEST = '[plugin]\nname = "sorted"\nversion = "%s"\nsummary = "sorts"\nbase = "fork"\n[step.lines]\ntimeout = "60s"\n[custom]\n%s'
COMMAND = 'command = ["sh", "{plugin_dir}/sorted.sh", "{PATH}"]\ndest_dir = "archive/main"\n'
SCRIPT = 'set -eu\nsort %s "$1" > out\necho "FILEPATH: $PWD/out"\n'
PROGRAM = r'''
import json, sys
sys.stdin.readline()
print(json.dumps({"type": "hello", "version": 1}), flush=True)
for request in map(json.loads, sys.stdin):
    print(json.dumps({"type": "result", "id": request["id"], "status": "ok", "hop_tags": {"edition": "%s"}, "outputs": [{"path": request["path"]}]}), flush=True)
'''


class BasePlugin(Packages):
    def source(self, version="1.0", options="", custom=COMMAND, name="sorted"):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "plugin.toml").write_text(MANIFEST % (version, custom))
        (folder / "sorted.sh").write_text(SCRIPT % options)
        return folder

    def packed_source(self, version, options=""):
        return pathlib.Path(tool("pack", self.source(version, options), "--output", self.folder).stdout.strip().splitlines()[-1])

    def sent(self, home, text, number):
        home.drop(f"file{number}", text)
        wait_for(lambda: len(home.files()) == number, "the file in the archive")
        home.wait_idle()
        [newest] = [path for path in home.files() if context_of(path)[1]["first.core.original_basename"] == b"file%d" % number]
        return content(newest)

    def test_package_has_no_library_and_says_its_base(self):
        package = self.packed_source("1.0")
        manifest = json.loads(members(package)["manifest.json"])
        self.assertEqual(sorted(members(package)), ["manifest.json", "plugin.toml", "sorted.sh"])
        self.assertEqual((manifest["base"], manifest["architecture"], manifest["components"]), ("fork", "", ["step lines"]))
        self.assertRegex(tool("info", package).stdout, r"(?m)^base +fork, by whose library")
        self.assertRegex(tool("info", self.folder / "sorted").stdout, r"(?m)^base +fork, by whose library")

    def test_signed_package_is_installed_runs_and_is_upgraded_while_files_flow(self):
        key = self.folder / "author.key"
        tool("keygen", "--key", key)
        home = self.home("archive", settings='[data]\nentry_step = "sorted/lines"\n')
        (home.root / "etc/keys").mkdir(exist_ok=True)
        (home.root / "etc/keys/author.pub").write_text((self.folder / "author.pub").read_text())
        first = self.packed_source("1.0")
        self.assertIn("is not signed", self.refused(home, first))
        tool("sign", first, "--key", key)
        home.run(MFDATA_PLUGIN, "install", first)
        home.start()
        self.assertEqual(self.sent(home, b"b\na\n", 1), b"a\nb\n")
        second = self.packed_source("2.0", "-r")
        tool("sign", second, "--key", key)
        home.run(MFDATA_PLUGIN, "install", second)
        self.assertEqual(self.sent(home, b"a\nb\n", 2), b"b\na\n")
        home.run(MFDATA_PLUGIN, "rollback", "sorted")
        self.assertEqual(self.sent(home, b"d\nc\n", 3), b"c\nd\n")

    def test_operator_overrides_what_the_plugin_sets_and_the_base_has(self):
        home = self.home("archive", self.source(), settings='[data]\nentry_step = "sorted/lines"\n',
                         overrides={"sorted": '[custom]\ncommand = ["sh", "-c", "tac $0 > out; echo FILEPATH: $PWD/out", "{PATH}"]\ncommand_timeout = "30s"\n'})
        home.start()
        self.assertEqual(self.sent(home, b"b\nc\na\n", 1), b"a\nc\nb\n")
        home.stop()
        (home.root / "etc/plugins.d/sorted.toml").write_text('[custom]\ncomand = "x"\n')
        wrong = home.run(MFDATA, "check", check=False).stderr
        self.assertIn('the plugin has no key "comand" in [custom]', wrong)
        self.assertIn('did you mean "command"?', wrong)
        (home.root / "etc/plugins.d/sorted.toml").write_text('[step.main]\n')
        self.assertIn('the plugin has no step "main"', home.run(MFDATA, "check", check=False).stderr)

    def test_what_a_base_does_not_allow_is_said_with_its_place(self):
        for custom, head, said in (
                ('comand = ["true"]\n', "", '[custom] comand: its base fork has no such key (did you mean "command"?)'),
                ('command_timeout = "soon"\n', "", "[custom] command_timeout takes a duration"),
                (COMMAND + '[schema.command]\ntype = "any"\n', "", "[schema.command]: its base fork has this key"),
                (COMMAND, 'base = "frok"', '[plugin] base: this installation of mfdata has no plugin "frok"'),
                (COMMAND, 'base = "fork"\nlibrary = "x.so"', "[plugin] base: a plugin has a library or a base, not both"),
                (COMMAND, "", "")):
            with self.subTest(said=said):
                folder = self.source(custom=custom)
                manifest = folder / "plugin.toml"
                manifest.write_text(manifest.read_text().replace('base = "fork"', head or 'base = "fork"'))
                done = tool("pack", folder, "--output", self.folder, check=False)
                self.assertEqual(done.returncode, 1 if said else 0, done.stderr)
                self.assertIn(said, done.stderr)
                self.assertTrue(not said or f"{manifest}:" in done.stderr, done.stderr)
        self.assertIn('did you mean "fork"?', self.with_base("frok"))
        self.assertIn("it has archive, copy, delete", self.with_base("something_else"))

    def with_base(self, base):
        folder = self.source()
        manifest = folder / "plugin.toml"
        manifest.write_text(manifest.read_text().replace('base = "fork"', f'base = "{base}"'))
        return tool("pack", folder, "--output", self.folder, check=False).stderr

    def test_key_of_its_own_is_declared_in_its_own_schema(self):
        folder = self.source(custom=COMMAND + 'mine = 3\n[schema.mine]\ntype = "integer"\nmax = 2\n')
        self.assertIn("[custom] mine is above 2", tool("pack", folder, "--output", self.folder, check=False).stderr)

    def test_validate_passes_a_plugin_with_a_base_and_shows_nothing_of_its_library(self):
        out = tool("validate", self.source()).stdout
        self.assertIn(" 0 failed", out)
        self.assertNotIn(" A15 ", out)

    def test_default_of_the_base_that_names_its_folder_means_the_folder_of_the_base(self):
        folder = self.folder / "counted"
        folder.mkdir()
        (folder / "plugin.toml").write_text('[plugin]\nname = "counted"\nversion = "1"\nbase = "exec"\n[step.main]\n[custom]\ndest_dir = "archive/main"\n')
        (self.folder / "two").write_bytes(b"1\n2\n")
        self.assertIn("latest.counted.main.lines = 2", tool("run", folder, self.folder / "two").stdout.replace(": ", " = "))

    def test_changed_script_of_a_developed_plugin_runs_soon(self):
        folder = self.folder / "edited"
        folder.mkdir()
        (folder / "plugin.toml").write_text('[plugin]\nname = "edited"\nversion = "1"\nbase = "exec"\n[step.main]\n[custom]\n'
                                            'command = ["python3", "{plugin_dir}/edited.py"]\ndest_dir = "archive/main"\n')
        (folder / "edited.py").write_text(PROGRAM % "first")
        home = self.home("archive")
        home.run(MFDATA_PLUGIN, "develop", folder)
        (home.root / "etc/mfdata.toml").write_text('[data]\nentry_step = "edited/main"\n[metrics]\nlisten = ""\n')
        home.start()
        number = 0

        def edition():
            nonlocal number
            number += 1
            home.drop(f"file{number}", b"x")
            wait_for(lambda: len(home.files()) == number, "the file in the archive")
            tags = [context_of(path)[1] for path in home.files()]
            return next(one["latest.edited.main.edition"] for one in tags if one["first.core.original_basename"] == b"file%d" % number).decode()
        self.assertEqual(edition(), "first")
        (folder / "edited.py").write_text(PROGRAM % "second")
        wait_for(lambda: edition() == "second", "the changed script")


if __name__ == "__main__":
    main()
