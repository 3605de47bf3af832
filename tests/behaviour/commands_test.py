"""The commands, as an operator uses them: what they do, print, and say of wrong input."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, LOADER, MFDATA, MFDATA_PLUGIN, Case, content, main, parse_tags_file, wait_for
from packages import NOBODY, need_another_user


class Commands(Case):
    def refused(self, home, *command, code=1):
        """The one-line error of a command that must fail with that exit code."""
        done = home.run(*command, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertTrue(done.stderr or code == 2, "an error without a word")
        return done.stderr

    def test_every_command_explains_itself_and_wrong_usage_exits_2(self):
        home = self.home("archive")
        for command in ([MFDATA], [MFDATA_PLUGIN], [LOADER], *([MFDATA, c] for c in "init check status stop inject tags trash generate".split()),
                        *([MFDATA_PLUGIN, c] for c in "list install remove".split())):
            self.assertIn("--help", home.run(*command, "--help").stdout)
        self.refused(home, MFDATA, code=2)
        self.assertIn('there is no command "chekc": did you mean "check"?', self.refused(home, MFDATA, "chekc", code=2))
        self.assertIn('mfdata trash: there is no command "lsit": did you mean "list"?', self.refused(home, MFDATA, "trash", "lsit", code=2))
        self.assertIn('there is no option "--timeuot": did you mean "--timeout"?', self.refused(home, MFDATA, "stop", "--timeuot", "3", code=2))
        self.assertIn('did you mean "rollback"?', self.refused(home, MFDATA_PLUGIN, "rollbakc", code=2))
        self.refused(home, MFDATA, "inject", code=2)
        self.refused(home, MFDATA_PLUGIN, "install", code=2)
        self.assertIn("0.1.0", home.run(MFDATA, "--version").stdout)

    def test_output_that_cannot_be_written_is_an_error_of_every_command(self):
        home = self.home("archive").start()
        home.run(MFDATA, "pause", "archive/main")
        (home.root / "b").write_text("b")
        home.run(MFDATA, "inject", home.root / "b", "--step", "archive/main")
        home.run(MFDATA, "tags", "set", home.root / "b", "my.tag=1")
        commands = ([MFDATA, "--version"], [MFDATA, "--help"], [MFDATA, "check", "--no-trial"], [MFDATA, "status"], [MFDATA, "status", "--json"],
                    [MFDATA, "tags", "print", home.root / "b"], [MFDATA, "queue", "list"], [MFDATA, "trash", "list"], [MFDATA, "trash", "purge", "--all"],
                    [MFDATA, "trash", "retry", "--all"], [MFDATA, "queue", "drop", "archive/main", "--all"], [MFDATA, "explain", home.root / "b"],
                    [MFDATA, "resume", "archive/main"], [MFDATA, "inject", "--wait", home.root / "b"], [MFDATA_PLUGIN, "list"], [MFDATA_PLUGIN, "--version"])
        for command in commands:
            with self.subTest(command), open("/dev/full", "wb") as full:
                done = subprocess.run(list(map(str, command)), env=home.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
                self.assertEqual((done.returncode, "the output cannot be written" in done.stderr), (1, True), done.stderr)

    def test_a_command_whose_output_is_closed_keeps_what_it_opens_apart_from_it(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n')
        (home.root / "b").write_text("content of b")
        home.start()
        done = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&- >&-', str(MFDATA), "inject", "--wait", str(home.root / "b")], env=home.environment, stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual((done.returncode, "the output cannot be written" in done.stderr), (1, True), done.stderr)
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(content(path), b"content of b")

    def test_init_makes_a_home_once_and_keeps_it_the_second_time(self):
        home = self.home("archive")
        home.override("archive", '[custom]\nkeep_tags_suffix = ""\n')
        settings = content(home.root / "etc/mfdata.toml")
        home.run(MFDATA, "init", home.root, "--plugins", "archive,delete")
        self.assertEqual(content(home.root / "etc/mfdata.toml"), settings)
        self.assertEqual(sorted(p["name"] for p in json.loads(home.run(MFDATA_PLUGIN, "list", "--json").stdout)), ["archive", "delete"])
        self.assertIn("no plugin", self.refused(home, MFDATA, "init", home.root / "x", "--plugins", "archvie"))

    def test_init_alone_installs_guess_file_type_and_switch_and_files_enter_there(self):
        home = self.home()
        self.assertEqual(sorted(p["name"] for p in json.loads(home.run(MFDATA_PLUGIN, "list", "--json").stdout)), ["guess_file_type", "switch"])
        home.start()
        home.drop("a", b"some text\n")
        [note] = home.wait_trash("switch/main")
        self.assertEqual((note["reason"], note["tags"]["0.guess_file_type.main.system_magic"]), ("unmatched", "ASCII text"))

    def test_a_directory_that_is_no_home_is_named_with_what_to_do(self):
        home = self.home("archive")
        for command in ([MFDATA, "check"], [MFDATA, "status"], [MFDATA_PLUGIN, "list"], [LOADER]):
            self.assertIn("mfdata init", self.refused(home, *command, "--home", home.root / "log"))

    def test_check_prints_every_problem_with_file_line_and_hint(self):
        home = self.home("archive")
        self.assertIn("no problems", home.run(MFDATA, "check").stdout)
        home.configure('[data]\nentry_step = "archiv/main"\n')
        self.assertIn('did you mean "archive/main"?', self.refused(home, MFDATA, "check"))
        home.configure('[data]\nentry_step = "archive/main"\ndurabilty = "process"\nready = "soon"\n')
        home.override("archive", "[step.main]\nnumprocesses = -1\n")
        text = self.refused(home, MFDATA, "check")
        self.assertIn("etc/mfdata.toml:3:", text)
        self.assertIn('did you mean "durability"?', text)
        self.assertIn("archive.toml:2:", text)
        problems = json.loads(home.run(MFDATA, "check", "--json", check=False).stdout)
        self.assertEqual({p["severity"] for p in problems}, {"error"})
        self.assertEqual([p["line"] for p in problems if p["file"].endswith("mfdata.toml")][0], 3)
        home.override("archive", '[custom]\ndest_dri = "/x"\n')
        self.assertIn('did you mean "dest_dir"?', self.refused(home, MFDATA, "check"))
        home.start(wait=False)
        self.assertEqual(home.loader.wait(120), 1, "the loader started with a broken configuration")

    def test_a_second_loader_says_who_runs_and_exits(self):
        home = self.home("archive").start()
        self.assertIn(str(home.loader.pid), self.refused(home, LOADER))
        self.assertIsNone(home.loader.poll())

    def test_status_shows_steps_trash_and_files_without_a_plugin(self):
        home = self.home("archive", "minimal")
        self.assertEqual(json.loads(home.run(MFDATA, "status", "--json", check=False).stdout)["state"], "not running")
        home.start()
        row = wait_for(lambda: home.step_status("archive/main").get("workers") and home.step_status("archive/main"), "a worker")
        self.assertEqual((row["version"], row["state"], row["numprocesses"]), ("1.0.0", "running", 1))
        home.stop()
        (home.data / "step.gone.main").mkdir()
        (home.data / "step.gone.main/f").write_text("x")
        self.assertEqual(json.loads(home.run(MFDATA, "status", "--json", check=False).stdout)["no_plugin"], {"gone/main": 1})

    def test_stop_waits_until_the_loader_is_gone(self):
        home = self.home("archive").start()
        self.assertIn("stopped", home.run(MFDATA, "stop").stdout)
        self.assertEqual(home.loader.wait(120), 0)
        self.assertIn("no loader runs", self.refused(home, MFDATA, "stop"))

    def test_inject_waits_for_its_file_where_it_may_not_look_into_a_part_of_the_spool(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY).start()
        source = home.root / "source"
        source.write_text("text")
        source.chmod(0o644)
        (home.data / "step.closed.main").mkdir(mode=0o700)   # root's
        self.assertIn("delivered to", home.run(MFDATA, "inject", source, "--wait").stdout)

    def test_inject_puts_files_into_incoming_or_before_a_step_with_tags(self):
        home = self.home("archive", "minimal").start()
        source = home.root / "source file"
        source.write_text("text")
        home.run(MFDATA, "inject", source, "--wait")
        home.run(MFDATA, "inject", source, "--step", "archive/main", "--tag", "a.b=c=d", "--tag", "x=y", "--wait")
        self.assertTrue(source.exists())
        (home.data / "step.stray").write_text("no step directory holds it: nobody waits for it")
        home.run(MFDATA, "inject", source, "--random-basename", "--move", "--wait")
        self.assertFalse(source.exists())
        tags = [parse_tags_file(path + b".tags") for path in home.files()]
        self.assertEqual(sorted(t["first.core.original_basename"] == b"source file" for t in tags), [False, True, True])
        [tagged] = [t for t in tags if "a.b" in t]
        self.assertEqual((tagged["a.b"], tagged["x"]), (b"c=d", b"y"))
        self.assertEqual(tagged["first.core.original_dirname"], os.fsencode(home.root.name))
        self.assertIn("no step", self.refused(home, MFDATA, "inject", LOADER, "--step", "archive/man"))
        self.assertIn("cannot read", self.refused(home, MFDATA, "inject", "/no/such/file"))
        self.assertIn("not a regular file", self.refused(home, MFDATA, "inject", home.root))
        self.assertIn("--step", self.refused(home, MFDATA, "inject", LOADER, "--tag", "a=b", code=2))
        self.assertIn("belongs to mfdata", self.refused(home, MFDATA, "inject", LOADER, "--step", "archive/main", "--tag", "latest.core.x=1"))

    def test_inject_before_a_step_of_a_stopped_home_waits_for_its_loader(self):
        home = self.home("archive")
        home.start().stop()
        home.run(MFDATA, "inject", LOADER, "--step", "archive/main")
        home.start()
        wait_for(lambda: len(home.files()) == 1, "the injected file")

    def test_tags_are_printed_read_set_unset_and_copied(self):
        home = self.home("archive")
        one, two = home.root / "one", home.root / "two"
        one.write_text("1")
        two.write_text("2")
        self.assertIn("has no tags", self.refused(home, MFDATA, "tags", "print", one))
        home.run(MFDATA, "tags", "set", one, "a=x=y")
        home.run(MFDATA, "tags", "set", one, "b=line\nbreak")
        self.assertEqual(home.run(MFDATA, "tags", "print", one).stdout, "a = x=y\nb = line%0Abreak\n")
        self.assertEqual(home.run(MFDATA, "tags", "get", one, "a").stdout, "x=y\n")
        self.assertEqual(json.loads(home.run(MFDATA, "tags", "print", "--json", one).stdout), {str(one): {"a": "x=y", "b": "line\nbreak"}})
        home.run(MFDATA, "tags", "copy", one, two)
        home.run(MFDATA, "tags", "unset", two, "b")
        self.assertEqual(home.run(MFDATA, "tags", "print", two).stdout, "a = x=y\n")
        self.assertIn("no tag b", self.refused(home, MFDATA, "tags", "get", two, "b"))
        self.assertIn("bad tag name", self.refused(home, MFDATA, "tags", "set", one, "a b=1"))

    def test_generate_makes_whole_files_of_the_size_asked_for(self):
        home = self.home("archive")
        target = home.root / "generated"
        target.mkdir()
        home.run(MFDATA, "generate", target, "--count", "5", "--size", "3KiB", "--rate", "1000")
        self.assertEqual([p.stat().st_size for p in target.iterdir()], [3072] * 5)
        self.assertEqual(len({p.read_bytes() for p in target.iterdir()}), 5)
        self.assertIn("--size", self.refused(home, MFDATA, "generate", target, "--size", "big", code=2))

    def every_command(self, program, *words):
        """Each command with its help, also those below others."""
        text = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout
        yield words, text
        for name in re.findall(r"^  ([a-z]+)  ", text.partition("Subcommands:")[2], re.M):
            yield from self.every_command(program, *words, name)

    def test_every_number_of_every_command_has_its_range(self):
        numbers = 0
        for program in (MFDATA, MFDATA_PLUGIN, LOADER):
            for words, text in self.every_command(program):
                self.assertNotRegex(text, r" (U?INT|FLOAT)\b", f"{words}: a number without a range")
                for option, kind, most in re.findall(r"^  (--[a-z-]+) (NUMBER|TIME|BYTES) \(\d+ to (\d+)[sd]?\)", text, re.M):
                    for wrong in ("-1", "-0.5", "nan", "inf", "", "x", "5x", "1e300", "99999999999999999999", most + "0d" if kind == "TIME" else most + "0"):
                        done = subprocess.run([program, *words, option + "=" + wrong], capture_output=True, text=True, timeout=60)
                        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), f"{words} {option}={wrong}: {done.stderr}")
                        self.assertIn(f"{option}: ", done.stderr)
                    numbers += 1
        self.assertGreaterEqual(numbers, 14)

    def test_generate_with_a_count_below_zero_ends_at_once_and_makes_nothing(self):
        home = self.home("archive")
        for wrong in (("--count", "-1"), ("--size", "-1"), ("--rate", "-1"), ("--count", "0")):
            self.assertIn(wrong[0], self.refused(home, MFDATA, "generate", home.root / "log", *wrong, code=2))
        self.assertEqual(os.listdir(home.root / "log"), [])

    def test_plugins_are_installed_listed_and_removed(self):
        home = self.home("archive")
        folder = home.root / "folder"
        shutil.copytree(BUILD / "sample_plugins/delete", folder, ignore=shutil.ignore_patterns("*.p"))
        home.run(MFDATA_PLUGIN, "install", folder)
        self.assertIn("--force", self.refused(home, MFDATA_PLUGIN, "install", folder))
        home.run(MFDATA_PLUGIN, "install", folder, "--force")
        home.run(MFDATA_PLUGIN, "install", folder, "--new-name", "trashbin")
        plugins = {p["name"]: p for p in json.loads(home.run(MFDATA_PLUGIN, "list", "--json").stdout)}
        self.assertEqual(sorted(plugins), ["archive", "delete", "trashbin"])
        self.assertEqual(plugins["trashbin"]["versions"], ["1.0.0"])
        home.start()
        wait_for(lambda: home.step_status("trashbin/main").get("workers"), "a worker of the renamed plugin")
        home.stop()
        home.run(MFDATA_PLUGIN, "remove", "trashbin")
        self.assertTrue((home.data / "step.trashbin.main").is_dir())
        self.assertIn('did you mean "delete"?', self.refused(home, MFDATA_PLUGIN, "remove", "delte"))

    def test_a_bad_plugin_folder_is_refused_and_what_was_installed_stays(self):
        home = self.home("archive")
        folder = home.root / "folder"
        folder.mkdir()
        self.assertIn("plugin.toml", self.refused(home, MFDATA_PLUGIN, "install", folder))
        shutil.copytree(BUILD / "sample_plugins/archive", folder, ignore=shutil.ignore_patterns("*.p"), dirs_exist_ok=True)
        text = (folder / "plugin.toml").read_text().replace('version = "1.0.0"', 'version = "2.0.0"')
        for broken, said in ((text.replace("[step.main]", "[step.other]"), "component"), (text.replace('"archive.so"', '"none.so"'), "build it first"),
                             (text.replace('name = "archive"', 'name = "../x"'), "bad plugin name"), (text + "\n[stepp.x]\n", 'did you mean "step"?'),
                             (text.replace('version = "2.0.0"', 'version = "../2"'), "bad version")):
            (folder / "plugin.toml").write_text(broken)
            self.assertIn(said, self.refused(home, MFDATA_PLUGIN, "install", folder))
        (folder / "plugin.toml").write_text(text)
        (folder / "link").symlink_to("/etc/passwd")
        self.assertIn("not a regular file", self.refused(home, MFDATA_PLUGIN, "install", folder))
        self.assertEqual(os.readlink(home.root / "plugins/archive/current"), "1.0.0")
        self.assertEqual(sorted(os.listdir(home.root / "plugins/archive")), ["1.0.0", "current"])
        (folder / "link").unlink()
        home.run(MFDATA_PLUGIN, "install", folder)
        self.assertEqual(os.readlink(home.root / "plugins/archive/current"), "2.0.0")


if __name__ == "__main__":
    main()
