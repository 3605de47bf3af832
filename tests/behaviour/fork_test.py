"""fork: the exit status decides, nothing of a name reaches the shell, files come only from where they may, all is bounded."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import MFDATA, Case, alive, content, main, mount_tmpfs, need_root, one_of, parse_tags_file, wait_for

ENTRY = '[data]\nentry_step = "fork/main"\n'
RUNNER = (54321, 54321)  # not root, who may write what is read-only


class Fork(Case):
    def fork_home(self, custom, step="", start=True, settings=ENTRY, **more):
        home = self.home("fork", "archive", settings=settings, overrides={
            "fork": f'[step.main]\n{step}\n[custom]\ndest_dir = "archive/main"\n{custom}\n'}, **more)
        return home.start() if start else home

    def script(self, text):
        """custom keys that run a script of sh with the file as $1."""
        return "command = " + json.dumps(["/bin/sh", "-c", text, "sh", "{PATH}"])

    def failed(self, home, name="f", data=b"content"):
        home.drop(name, data)
        [note] = wait_for(lambda: [n for n in home.trash("fork/main") if n["path"]], "the file in trash")
        self.assertEqual(content(note["path"]), data)
        home.wait_idle()
        self.assertEqual((home.files(), home.left_over()), ([], []))
        return note["error"]

    def test_files_that_the_command_names_go_on_with_the_tags(self):
        home = self.fork_home(self.script('tr a-z A-Z < "$1" > one; cp "$1" two; echo "not a path"; echo "FILEPATH: $MFDATA_SCRATCH_DIR/one"; echo FILEPATH:two'))
        home.drop("name", b"content")
        wait_for(lambda: len(home.files()) == 2, "both files in the archive")
        self.assertEqual(sorted(map(content, home.files())), [b"CONTENT", b"content"])
        for path in home.files():
            self.assertEqual(parse_tags_file(path + b".tags")["first.core.original_basename"], b"name")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_temporary_files_of_the_command_stand_in_its_scratch_directory_and_go_away_with_it(self):
        home = self.fork_home(self.script('kept=$(mktemp) && mktemp && test "$TMPDIR" = "$MFDATA_SCRATCH_DIR" && cp "$1" "$kept" && env | grep -c ^TMPDIR= && echo "FILEPATH: $kept"'), start=False)
        outside = home.root / "outside"
        outside.mkdir()
        home.environment["TMPDIR"] = str(outside)
        home.start()
        home.drop("f", b"content")
        [path] = wait_for(home.files, "the file in the archive")
        home.wait_idle()
        self.assertEqual((content(path), home.left_over(), os.listdir(outside)), (b"content", [], []))

    def test_a_variable_that_the_command_is_given_replaces_the_worker_s(self):
        home = self.fork_home(self.script('test "$(env | grep -c ^TMPDIR=)" = 1'), start=False)
        home.environment["TMPDIR"] = "/tmp"
        home.start()
        home.drop("f", b"content")
        wait_for(lambda: home.status()["files_done"] == 1, "the file")
        self.assertEqual(home.trash("fork/main"), [])

    def test_a_command_that_names_nothing_ends_the_file(self):
        home = self.fork_home(self.script("exit 0"))
        home.drop("f", b"x")
        wait_for(lambda: home.status()["files_done"] == 1, "the file")
        home.wait_idle()
        self.assertEqual((home.files(), home.trash("fork/main")), ([], []))

    def test_files_go_to_guess_file_type_by_default(self):
        home = self.home("fork", "guess_file_type", "archive", settings=ENTRY, overrides={
            "fork": "[custom]\n" + self.script('cp "$1" out; echo FILEPATH: out') + "\n", "guess_file_type": '[custom]\ndest_dir = "archive/main"\n'}).start()
        home.drop("f", b"content")
        [path] = wait_for(home.files, "the file in the archive")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual((content(path), tags["latest.core.step_counter"]), (b"content", b"2"))
        self.assertIn("1.guess_file_type.main.system_magic", tags)

    def test_command_that_fails_is_run_again_as_often_as_the_step_says(self):
        home = self.fork_home(self.script('echo run >> "$RUNS"; exit 1'), step='retry_total = 2\nretry_min_wait = "50ms"', start=False)
        home.environment["RUNS"] = str(home.root / "runs")
        home.start()
        self.assertIn("exit code 1", self.failed(home))
        self.assertEqual([note["attempts"] for note in home.trash("fork/main")], [3])
        self.assertEqual((home.root / "runs").read_text(), "run\n" * 3)

    def test_exit_status_and_last_words_reach_log_and_trash(self):
        home = self.fork_home(self.script("echo FILEPATH:one; echo x > one; echo 'no such station' >&2; exit 3"))
        self.assertRegex(self.failed(home), "exit code 3: no such station")
        self.assertIn("no such station", home.step_log("fork/main"))

    def test_signal_and_missing_program_are_failures(self):
        self.assertIn("signal 9", self.failed(self.fork_home(self.script("kill -9 $$"))))
        self.assertIn("no_such_program", self.failed(self.fork_home('command = ["no_such_program"]')))

    def test_nothing_of_a_name_is_run_by_the_shell(self):
        home = self.fork_home('command_template = "printf %s {ORIGINAL_BASENAME} > name; cat {PATH} > all; echo FILEPATH: name; echo FILEPATH: all"')
        self.assert_only_text(home)

    def test_nothing_of_a_name_is_run_by_the_shell_between_double_quotes(self):
        self.assert_only_text(self.fork_home(
            'command_template = "printf %s \\"{ORIGINAL_BASENAME}\\" > name; cat \\"{PATH}\\" > all; echo FILEPATH: name; echo FILEPATH: all"'))

    def test_input_that_the_command_names_goes_on_itself(self):
        for anywhere in ("", "allow_paths_anywhere = true\n"):
            home = self.fork_home(anywhere + self.script('echo "FILEPATH: $1"'))
            home.drop("f", b"content")
            [path] = wait_for(home.files, "the file in the archive")
            home.wait_idle()
            self.assertEqual((content(path), home.trash("fork/main"), home.left_over()), (b"content", [], []))
            self.assertEqual(list((home.data / "trash/fork.main").glob("*")), [])

    def test_placeholder_where_its_quotes_would_not_hold_is_refused(self):
        for text in ('X="$(printf %s {ORIGINAL_BASENAME})"', "echo `cat {PATH}`", "cat <<END\n{PATH}\nEND"):
            with self.subTest(text):
                home = self.fork_home(f"command_template = {json.dumps(text)}")
                wait_for(lambda: "keep it in a variable before" in home.step_status("fork/main").get("failure", ""), "the problem in the status")

    def test_placeholder_that_is_kept_in_a_variable_is_one_word_everywhere(self):
        text = "f={ORIGINAL_BASENAME}; p={PATH} # it's a comment\nX=\"$(printf %s \"$f\")\"; printf %s \"$X\" > name; cat \"$p\" > all; echo FILEPATH: name; echo FILEPATH: all"
        self.assert_only_text(self.fork_home(f"command_template = {json.dumps(text)}"))

    def test_placeholder_between_single_quotes_is_refused(self):
        home = self.fork_home("command_template = \"echo '{PATH}'\"")
        wait_for(lambda: "single quotes" in home.step_status("fork/main").get("failure", ""), "the problem in the status")

    def test_unknown_placeholder_in_a_command_stops_the_step_and_its_files_wait(self):
        for custom, key in (('command = ["touch", "x_{PAHT}"]', "command"), ('command_template = "touch x_{PAHT}"', "command_template")):
            with self.subTest(custom):
                home = self.fork_home(custom)
                home.drop("f", b"content")
                words = key + ": there is no placeholder {PAHT}, did you mean {PATH}?"
                wait_for(lambda: words in home.step_status("fork/main").get("failure", ""), words)
                self.assertEqual(home.status()["files_done"], 0)
                home.override("fork", '[custom]\ndest_dir = "archive/main"\n' + self.script('cp "$1" out; echo FILEPATH: out') + "\n")
                home.run(MFDATA, "reload")
                [path] = wait_for(home.files, "the file that waited")
                self.assertEqual(content(path), b"content")
                home.stop()

    def test_braces_of_the_program_itself_reach_it(self):
        for custom in ('command = ["awk", "{{print}}", "{PATH}"]', 'command = ["awk", "{ print }", "{PATH}"]', 'command_template = "awk \'{{print}}\' {PATH}"',
                       'command = ["sh", "-c", "f=$1; cat \\"${f}\\"", "sh", "{PATH}"]'):
            with self.subTest(custom):
                home = self.fork_home("", start=False)
                script = home.root / "run.sh"
                script.write_text('#!/bin/sh\n"$@" > out && echo FILEPATH: out\n')
                script.chmod(0o755)
                wrapped = custom.replace('command = [', f'command = ["{script}", ').replace('command_template = "', f'command_template = "{script} ')
                home.override("fork", f'[custom]\ndest_dir = "archive/main"\n{wrapped}\n')
                home.start().drop("f", b"content\n")
                [path] = wait_for(home.files, "what the program wrote")
                self.assertEqual(content(path), b"content\n")
                home.stop()

    def assert_only_text(self, home):
        evil = "a'; touch pwned; echo '$(touch pwned)`touch pwned` \"x\" \\ {PATH} ü\n* ;"
        home.drop(evil, b"content")
        wait_for(lambda: len(home.files()) == 2, "both files")
        home.wait_idle()
        self.assertEqual(sorted(map(content, home.files())), sorted([evil.encode(), b"content"]))
        self.assertEqual([p for p in home.root.rglob("pwned")], [])

    def test_time_limit_ends_a_command_that_ignores_sigterm_and_what_it_started(self):
        home = self.fork_home(self.script("trap '' TERM; sleep 300 & echo $! > $HOME/pid; while :; do sleep 1; done") + '\ncommand_timeout = "500ms"\n', start=False)
        home.environment["HOME"] = str(home.root)
        home.start()

        def told_its_number(_):  # before the time limit
            self.assertIn("took too long", self.failed(home))
            home.run(MFDATA, "trash", "purge", "--all")
            return (home.root / "pid").exists() and (home.root / "pid").read_text()
        pid = int(one_of(told_its_number, "a command that has started another one within its time"))
        wait_for(lambda: not alive(pid), "what it started to be dead")

    def test_child_that_holds_the_output_open_does_not_hold_up_the_file(self):
        for start in ("", "setsid "):
            home = self.fork_home(self.script(start + "sleep 300 & cp \"$1\" out; echo FILEPATH:out"))
            home.drop("f", b"content")
            wait_for(lambda: len(home.files()) == 1, "the file")
            home.stop()

    def test_errors_without_end_are_bounded_by_the_time_limit(self):
        self.assertIn("took too long", self.failed(self.fork_home(self.script("yes >&2") + '\ncommand_timeout = "500ms"\n')))

    def test_time_limits_of_step_and_command_fit_together(self):
        home = self.fork_home(self.script("sleep 0.2; cp \"$1\" out; echo FILEPATH:out"), step='timeout = "2s"')

        def passes(number):  # in time
            home.drop(f"f{number}", b"content")
            wait_for(lambda: home.files() or len(home.trash("fork/main")) > number, "its end")
            home.wait_idle()
            return home.files()
        one_of(passes, "a command that ends within a second")
        home.stop()
        error = self.failed(self.fork_home(self.script("sleep 300") + '\ncommand_timeout = "10m"\n', step='timeout = "2s"'))
        self.assertIn("took too long", error)

    @need_root
    def test_read_only_files_are_taken(self):
        home = self.fork_home(self.script("for m in 400 000; do cp \"$1\" $m; chmod $m $m; echo FILEPATH:$m; done"), user=RUNNER, start=False)
        home.start().stop()
        home.drop("f", b"content")
        os.chown(home.incoming / "f", *RUNNER)
        home.start()
        wait_for(lambda: len(home.files()) == 2, "both files in the archive")
        self.assertEqual(home.trash("fork/main"), [])

    @need_root
    def test_full_disk_under_the_command_is_not_the_file_s_failure(self):
        mounted = mount_tmpfs(self, "size=8m")
        settings = f'[data]\ndir = "{mounted}/in"\nentry_step = "fork/main"\nmin_free_space = "0"\nmin_free_inodes = "0"\n'
        home = self.fork_home(self.script("dd if=/dev/zero of=out bs=1M count=4 2>/dev/null || exit 1; echo FILEPATH:out"),
                              step='failure_policy = "delete"', settings=settings, start=False)
        home.data = mounted / "in"
        home.incoming = home.data / "incoming"
        home.start()
        ballast = mounted / "ballast"
        ballast.write_bytes(bytes(6_000_000))
        home.drop("f", b"content")
        wait_for(lambda: "full" in home.log(), "the log to say that the disk is full")
        ballast.unlink()
        # The archive is on another filesystem: the file is copied under a hidden name first.
        [path] = wait_for(lambda: [path for path in home.files() if not os.path.basename(path).startswith(b".")], "the file in the archive")
        self.assertEqual(len(content(path)), 4 << 20)

    def test_output_without_end_is_stopped(self):
        self.assertIn("wrote more", self.failed(self.fork_home(self.script("yes"))))

    def test_files_from_elsewhere_need_a_permission(self):
        outside = self.home("archive").root / "outside"
        outside.write_bytes(b"elsewhere")
        self.assertIn("scratch directory", self.failed(self.fork_home(self.script(f"echo FILEPATH: {outside}"))))
        self.assertIn("adopt", self.failed(self.fork_home(self.script("ln -s /etc/passwd l; echo FILEPATH: l"))))
        self.assertIn("adopt", self.failed(self.fork_home(self.script("echo FILEPATH: ../in/x"))))
        self.assertTrue(outside.exists())
        home = self.fork_home(self.script(f"echo FILEPATH: {outside}") + "\nallow_paths_anywhere = true\n")
        home.drop("f", b"content")
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(content(path), b"elsewhere")
        self.assertFalse(outside.exists(), "it was moved")

    def test_input_may_only_be_read(self):
        self.assertIn("only read", self.failed_input(self.script('echo more >> "$1"')))

    def failed_input(self, custom):
        home = self.fork_home(custom)
        home.drop("f", b"content")
        [note] = wait_for(lambda: [n for n in home.trash("fork/main") if n["path"]], "the file in trash")
        return note["error"]

    def test_wrong_configuration_says_what_to_write(self):
        home = self.fork_home("")
        wait_for(lambda: "command_template" in home.step_status("fork/main").get("failure", ""), "the problem in the status")


if __name__ == "__main__":
    main()
