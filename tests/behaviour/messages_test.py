"""What the commands say, and that they leave nothing half done."""
import json
import os
import pty
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, LOADER, MFDATA, MFDATA_PLUGIN, Case, content, context_of, main, parse_tags_file, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"


class Messages(Case):
    def failing_home(self, mode="fail"):
        home = self.home(MISCHIEF, "archive", settings='[data]\nentry_step = "mischief/main"\n')
        home.override("mischief", f'[custom]\nmode = "{mode}"\ndest_dir = "archive/main"\n')
        return home.start()

    def said(self, home, *command, code=1):
        done = home.run(*command, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr if code else done.stdout

    def test_words_of_the_toml_library_have_advice_beside_them(self):
        home = self.home("archive")
        for line, advice in (('regex = "a\\d"', "write '...' for text with backslashes"), ("rules = {\n  a = 1,\n}", "stands on one line"),
                             ("a = 1\na = 2", "a key is written once"), ("a =", "a value is missing"), ("[custom", 'ends with "]"'), ("a = word", "text stands between")):
            with self.subTest(line):
                home.override("archive", "[custom]\n" + line + "\n")
                self.assertIn(advice, self.said(home, MFDATA, "check"))

    def test_a_line_end_behind_a_reason_is_not_shown(self):
        home = self.failing_home("fail_with_a_line_end")
        home.drop("a", b"1")
        [note] = home.wait_trash("mischief/main")
        self.assertEqual(note["error"], "failed\nas asked")
        self.assertNotIn("asked\\x0a", home.run(MFDATA, "trash", "list").stdout)
        self.assertIn("failed\\x0aas asked", home.run(MFDATA, "trash", "list").stdout)

    def test_one_is_said_as_one(self):
        home = self.home("archive")
        self.assertIn("no problems: 1 plugin, 1 step\n", home.run(MFDATA, "check").stdout)

    def test_directory_that_is_gone_under_a_command_is_an_error(self):
        home = self.home("archive")
        gone = home.root / "gone"
        gone.mkdir()
        done = subprocess.run(["sh", "-c", f'cd "{gone}" && rmdir "{gone}" && "{MFDATA}" init other --plugins archive'], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("mfdata", done.stderr)

    def test_a_filter_of_trash_that_matches_nothing_names_the_near_miss(self):
        home = self.failing_home()
        home.drop("the one", b"1")
        home.wait_trash("mischief/main")
        for filters, words in ((["--name", "the on"], 'the name "the on": did you mean "the one"?'), (["--reason", "faild"], 'the reason "faild": did you mean "failed"?'), (["--reason", "zzz"], ", but failed"),
                               (["--step", "mischeif/main"], 'did you mean "mischief/main"?')):
            done = home.run(MFDATA, "trash", "list", *filters)
            self.assertEqual(done.stdout, "nothing in trash matches\n")
            self.assertIn(words, done.stderr)
            self.assertIn(words, home.run(MFDATA, "trash", "purge", *filters).stderr)
        self.assertEqual(home.run(MFDATA, "trash", "list", "--reason", "failed", "--step", "mischief/main").stderr, "")

    def test_trash_finds_a_name_that_is_no_utf8_by_its_bytes(self):
        home = self.failing_home()
        for name in (b"caf\xe9.grib", b"caf\xe8.grib", b"other"):
            home.drop(os.fsdecode(name), b"1")
        home.wait_trash("mischief/main", 3)
        for pattern, count in ((b"caf\xe9*", 1), (b"caf*", 2), (b"caf?.grib", 2), (b"*", 3)):
            listed = json.loads(home.run(MFDATA, "trash", "list", "--json", "--name", os.fsdecode(pattern)).stdout)
            self.assertEqual(len(listed), count, pattern)

    def test_tags_set_changes_the_companion_too(self):
        home = self.home("archive").start()
        home.drop("a", b"content")
        [path] = wait_for(home.files, "the file in the archive")
        wait_for(lambda: os.path.exists(path + b".tags"), "its companion")
        home.wait_idle()
        mode = os.stat(path + b".tags").st_mode
        before = parse_tags_file(path + b".tags")
        home.run(MFDATA, "tags", "set", os.fsdecode(path), "my.tag=a\nb%c = d")
        home.run(MFDATA, "tags", "unset", os.fsdecode(path), "first.core.original_dirname")
        after = parse_tags_file(path + b".tags")
        self.assertEqual(after, {**{k: v for k, v in before.items() if k != "first.core.original_dirname"}, "my.tag": b"a\nb%c = d"})
        self.assertEqual(after, context_of(path)[1])
        self.assertEqual(os.stat(path + b".tags").st_mode, mode)

    def test_tags_set_changes_a_companion_with_another_suffix_too(self):
        home = self.home("archive", overrides={"archive": '[custom]\nkeep_tags_suffix = ".meta"\ndest_basename = "{ORIGINAL_BASENAME}"\n'}).start()
        for data in (b"1", b"2"):
            home.drop("a", data)
            wait_for(lambda: [path for path in home.files() if content(path) == data and os.path.exists(path + b".meta")], "the file in the archive")
        home.wait_idle()
        one, two = sorted((path for path in home.files() if not path.endswith(b".meta")), key=len)
        self.assertTrue(two.endswith(b"a-1"), two)
        others = parse_tags_file(two + b".meta")
        home.run(MFDATA, "tags", "set", os.fsdecode(one), "my.tag=1")
        home.run(MFDATA, "tags", "unset", os.fsdecode(one), "first.core.original_dirname")
        self.assertEqual(parse_tags_file(one + b".meta"), context_of(one)[1])
        self.assertEqual(parse_tags_file(one + b".meta")["my.tag"], b"1")
        self.assertEqual(parse_tags_file(two + b".meta"), others, "the companion of another file")
        self.assertEqual(sorted(os.listdir(os.path.dirname(one))), [b"a", b"a-1", b"a-1.meta", b"a.meta"])

    def test_tags_set_asks_which_companion_is_meant_where_there_are_several(self):
        home = self.home("archive", overrides={"archive": '[custom]\nkeep_tags_suffix = ".meta"\n'}).start()
        home.drop("a", b"1")
        path = wait_for(lambda: sorted(home.files(), key=len), "the file in the archive")[0]
        wait_for(lambda: os.path.exists(path + b".meta"), "its companion")
        home.wait_idle()
        shutil.copy(path + b".meta", path + b".copy")
        before = content(path + b".meta")
        said = self.said(home, MFDATA, "tags", "set", os.fsdecode(path), "my.tag=1")
        self.assertIn("say which with --suffix", said)
        self.assertNotIn("my.tag", context_of(path)[1])
        home.run(MFDATA, "tags", "set", os.fsdecode(path), "my.tag=1", "--suffix", ".copy")
        self.assertEqual((parse_tags_file(path + b".copy")["my.tag"], content(path + b".meta"), context_of(path)[1]["my.tag"]), (b"1", before, b"1"))
        self.assertIn("is not there: nothing is changed", self.said(home, MFDATA, "tags", "set", os.fsdecode(path), "my.tag=2", "--suffix", ".gone"))
        self.assertEqual(context_of(path)[1]["my.tag"], b"1")

    def test_tags_set_leaves_a_file_alone_that_is_only_called_like_a_companion(self):
        home = self.home("archive")
        (home.root / "a").write_text("x")
        (home.root / "a.tags").write_text("notes of somebody\n")
        home.run(MFDATA, "tags", "set", home.root / "a", "my.tag=1")
        self.assertEqual((home.root / "a.tags").read_text(), "notes of somebody\n")
        self.assertEqual(context_of(home.root / "a")[1], {"my.tag": b"1"})

    def test_init_over_a_home_says_that_it_is_one_and_keeps_it(self):
        home = self.home("archive")
        (home.root / "etc/mfdata.toml").write_text("# mine\n")
        self.assertIn("is a home already", home.run(MFDATA, "init", home.root, "--plugins", "archive").stdout)
        self.assertEqual((home.root / "etc/mfdata.toml").read_text(), "# mine\n")
        self.assertIn("no plugin", self.said(home, MFDATA, "init", home.root, "--plugins", "delete,archvie"))
        self.assertEqual([p["name"] for p in json.loads(home.run(MFDATA_PLUGIN, "list", "--json").stdout)], ["archive"])

    def test_init_that_fails_leaves_nothing_and_one_that_is_killed_is_completed_by_the_next(self):
        home = self.home("archive")
        place, broken = home.root / "new", home.root / "broken"
        broken.mkdir()
        (broken / "plugin.toml").write_text("[plugin]\nname = 1\n")
        self.said(home, MFDATA, "init", place, "--plugins", f"archive,{broken}")
        self.assertEqual(os.listdir(place) if place.exists() else [], [])
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        killed = home.run("strace", "-qq", "-o", "/dev/null", "-e", "inject=symlink,symlinkat:signal=KILL", MFDATA, "init", place, "--plugins", "archive", check=False)
        self.assertNotEqual(killed.returncode, 0)
        for command in ([MFDATA, "check"], [LOADER]):
            self.assertIn("is half made", self.said(home, *command, "--home", place))
        self.assertIn("made the home", home.run(MFDATA, "init", place, "--plugins", "archive").stdout)
        self.assertIn("no problems", home.run(MFDATA, "check", "--home", place).stdout)

    def test_long_commands_show_their_progress_on_a_terminal_only(self):
        home = self.home("archive")
        command = [MFDATA, "generate", home.root / "log", "--count", "40", "--rate", "40", "--size", "1"]
        self.assertEqual(home.run(*command).stderr, "")
        code, shown = self.on_a_terminal(home, *command)
        self.assertEqual(code, 0)
        self.assertRegex(shown, rb"\rgenerated|\x1b\[Kgenerated \d+ of 40")
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)

    def on_a_terminal(self, home, *command):
        """The exit code of a command whose errors go to a terminal, and what it shows there."""
        terminal, side = pty.openpty()
        self.addCleanup(os.close, terminal)
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=side, env=home.environment) as running:
            os.close(side)
            shown = b""
            while True:
                try:
                    block = os.read(terminal, 4096)
                except OSError:   # its other side is closed
                    break
                shown += block
            return running.wait(60), shown

    def test_check_shows_how_many_components_it_has_started(self):
        home = self.home("archive", "exec", settings='[data]\nentry_step = "archive/main"\n')
        home.override("exec", '[custom]\ncommand = ["sh", "-c", "sleep 2; exit 1"]\nstart_timeout = 50\n')
        _, shown = self.on_a_terminal(home, MFDATA, "check")
        self.assertRegex(shown, rb"\x1b\[Kcomponents started on trial: \d of 2")
        self.assertNotIn("components started on trial", home.run(MFDATA, "check", check=False).stderr)

    def test_queue_commands_show_how_many_files_they_have_looked_at(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        home = self.home("archive", "move", settings='[data]\nentry_step = "archive/main"\n', overrides={"archive": "[step.main]\nnumprocesses = 0\n"}).start()
        for number in range(20):
            (home.root / f"f{number}").write_text("x")
        home.run(MFDATA, "inject", "--step", "archive/main", *(home.root / f"f{number}" for number in range(20)))
        slowly = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=unlink,unlinkat,rename,renameat,renameat2:delay_enter=100000"]
        home.run(MFDATA, "pause", "move/main")
        for command in (["move", "archive/main", "--all", "--to", "move/main"], ["drop", "move/main", "--all"]):
            code, shown = self.on_a_terminal(home, *slowly, MFDATA, "queue", *command)
            self.assertEqual(code, 0)
            self.assertRegex(shown, rb"\x1b\[Kqueue \d+ of 20\b")
            self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)

    def test_a_loader_whose_event_loop_is_dead_does_not_exit_0(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        home = self.home("archive")
        home.start(wait=False, prefix=["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=epoll_wait,epoll_pwait,epoll_pwait2:error=EBADF:when=3+"])
        self.assertEqual(home.loader.wait(120), 1)
        self.assertIn("the event loop has ended", home.log())

    def test_event_loop_that_dies_after_a_reload_is_no_fault_of_the_configuration(self):
        if os.geteuid() != 0 or not shutil.which("strace"):
            self.skipTest("strace is not installed, or may not look at another process")
        home = self.home("archive").start()
        home.configure('[data]\nentry_step = "archive/main"\n[loader]\ncpu_policy = "inherited"\n')
        home.run(MFDATA, "reload")
        strace = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-e", "inject=epoll_wait,epoll_pwait,epoll_pwait2:error=EBADF", "-p", str(home.loader.pid)])
        self.addCleanup(strace.wait)
        self.assertEqual(home.loader.wait(120), 1)
        self.assertNotIn("the one before runs again", home.log())


if __name__ == "__main__":
    main()
