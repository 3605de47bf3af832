"""What is wrong in a configuration, or hardly meant: where it is reported, with what hint, and what it keeps from running."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, main, wait_for

ENTRY = '[data]\nentry_step = "switch/main"\n'
RULE = '[[switch_rules]]\ntype = "alwaystrue"\nrules = { all = ["main"] }\n'


class Problems(Case):
    def problems(self, home):
        """(exit code, [{severity, file, line, column, text, hint}]) of `mfdata check`, of what it finds by reading."""
        done = home.run(MFDATA, "check", "--no-trial", "--json", check=False)
        return done.returncode, json.loads(done.stdout)

    def only(self, home, severity="error"):
        """The one thing that is wrong."""
        code, problems = self.problems(home)
        # Most homes here route nothing, which is warned of besides.
        problems = [problem for problem in problems if "ends in trash, unmatched" not in problem["text"]] or problems
        self.assertEqual(len(problems), 1, problems)
        self.assertEqual((problems[0]["severity"], code), (severity, 1 if severity == "error" else 0))
        return problems[0]


class Warnings(Problems):
    def test_what_a_thousand_rules_have_in_common_is_said_once(self):
        home = self.home("switch", "archive", settings=ENTRY)
        many = "\n".join(f'"x{number}" = ["main"]' for number in range(1000))
        home.override("archive", f'[step.main]\nnumprocesses = 0\n[[switch_rules]]\ntype = "equal"\ntag = "t"\n[switch_rules.rules]\n{many}\n')
        warning = self.only(home, "warning")
        self.assertIn("waits there, untreated: numprocesses = 0 (so with 999 other rules)", warning["text"])
        self.assertEqual((os.path.basename(warning["file"]), warning["line"]), ("archive.toml", 7))

    def test_a_rule_for_a_step_without_processes_is_warned_of_and_everything_runs(self):
        home = self.home("switch", "archive", settings=ENTRY)
        home.override("archive", "[step.main]\nnumprocesses = 0\n" + RULE)
        warning = self.only(home, "warning")
        self.assertIn("what this rule gives to archive/main waits there, untreated: numprocesses = 0", warning["text"])
        self.assertEqual((os.path.basename(warning["file"]), warning["line"]), ("archive.toml", 5))
        done = home.run(MFDATA, "check")
        self.assertIn("archive.toml:5:17: warning: [[switch_rules]]: what this rule gives to archive/main", done.stderr)
        self.assertIn("no problems, 1 warning: 2 plugins, 2 steps", done.stdout)
        home.start()
        wait_for(lambda: "numprocesses = 0" in home.log(), "the warning in the loader's log")
        before = home.log().count("numprocesses = 0")
        home.override("archive", "[step.main]\nnumprocesses = 0\nmax_age = 5000\n" + RULE)
        home.run(MFDATA, "reload")
        self.assertGreater(home.log().count("numprocesses = 0"), before, "the warning of the reload")

    def test_a_switch_that_nobody_has_a_rule_for_is_warned_of_by_check_and_by_init(self):
        home = self.home("guess_file_type", "switch")
        warning = self.only(home, "warning")
        self.assertEqual(warning["text"], "switch: no installed plugin has a rule for it: every file ends in trash, unmatched")
        self.assertIn("mfdata-plugin install archive", warning["hint"])
        said = home.run(MFDATA, "init", home.root / "another").stderr
        self.assertIn("warning: switch: no installed plugin has a rule for it", said)
        home.override("switch", '[custom]\nno_match_policy = "delete"\n')
        self.assertIn("every file is deleted", self.only(home, "warning")["text"])
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/archive")
        self.only(home, "warning")
        home.override("archive", RULE)
        self.assertEqual(self.problems(home), (0, []))

    def test_a_switch_whose_rules_lead_nowhere_is_warned_of(self):
        home = self.home("switch", "archive", settings=ENTRY, overrides={"archive": RULE.replace("main", "mian")})
        code, problems = self.problems(home)
        self.assertEqual((code, [p["text"] for p in problems if p["severity"] == "warning"]),
                         (1, ["switch: no rule for it has a target that is there: every file ends in trash, unmatched"]))

    def test_a_switch_whose_rules_compare_tags_that_nobody_sets_is_warned_of(self):
        rule = '[[switch_rules]]\ntype = "{}"\ntag = "latest.guess_file_type.main.system_magic"\nrules = {{ "{}" = ["main"] }}\n'
        home = self.home("switch", "archive", settings=ENTRY, overrides={"archive": rule.format("fnmatch", "PNG*")})
        self.assertIn("no rule for it can ever match", self.only(home, "warning")["text"])
        for kind, pattern in (("equal", "{NOT_FOUND}"), ("fnmatch", "*"), ("notequal", "x"), ("regex", "PNG")):
            home.override("archive", rule.format(kind, pattern))
            self.assertEqual(self.problems(home), (0, []), (kind, pattern))
        home.override("archive", rule.format("fnmatch", "PNG*"))
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/guess_file_type")
        self.assertEqual(self.problems(home), (0, []))


class Overrides(Problems):
    def test_override_cannot_add_a_step(self):
        home = self.home("archive")
        home.override("archive", "[step.mian]\nnumprocesses = 2\n")
        problem = self.only(home)
        self.assertIn('has no step "mian", and an override cannot add one', problem["text"])
        self.assertEqual((problem["hint"], os.path.basename(problem["file"]), problem["line"]), ('did you mean "main"?', "archive.toml", 1))
        home.start(wait=False)
        self.assertEqual(home.loader.wait(60), 1, "the loader started")
        home.override("archive", '[step."main[PROD]"]\nnumprocesses = 2\n')
        self.assertEqual(self.problems(home), (0, []))

    def test_override_cannot_change_what_the_plugin_is(self):
        home = self.home("archive")
        for text, section in (('[plugin]\nversion = "2"\n', "[plugin]"), ('[schema.lifetime]\ntype = "duration"\n', "[schema]")):
            home.override("archive", text)
            problem = self.only(home)
            self.assertIn(section + " stands in the plugin's own plugin.toml", problem["text"])
            self.assertEqual(problem["line"], 1)

    def test_file_that_is_nearly_an_override_is_an_error(self):
        home = self.home("archive")
        for name in ("Archive.toml", "archive.tml", "archive.TOML", "archive"):
            with self.subTest(name):
                path = home.root / "etc/plugins.d" / name
                path.write_text("[custom]\nlifetime = -1\n")
                problem = self.only(home)
                self.assertEqual((problem["file"], problem["hint"]), (str(path), 'did you mean "archive.toml"?'))
                self.assertIn("this file is not read", problem["text"])
                path.unlink()

    def test_override_of_a_plugin_that_may_come_is_warned_of(self):
        home = self.home("archive")
        for name, words in (("ungzip.toml", '"ungzip" is not installed'), ("archive2.toml", '"archive2" is not installed'), ("archiv.toml", '"archiv" is not installed'), ("notes.txt", "is called PLUGIN.toml")):
            with self.subTest(name):
                path = home.root / "etc/plugins.d" / name
                path.write_text("")
                self.assertIn(words, self.only(home, "warning")["text"])
                path.unlink()
        home.override("archive", "")
        (home.root / "etc/plugins.d/archiv.toml").write_text("")
        self.assertEqual(self.only(home, "warning")["hint"], 'did you mean "archive"?')

    def test_override_with_a_suffix_too_many_is_warned_of_unless_it_is_a_copy_that_was_put_aside(self):
        home = self.home("archive")
        folder = home.root / "etc/plugins.d"
        for name in ("archive.toml.txt", "archive.toml.TXT", "Archive.toml.txt", "archive.toml.", "archive.toml.toml"):
            with self.subTest(name):
                (folder / name).write_text("[custom]\nlifetime = -1\n")
                warning = self.only(home, "warning")
                self.assertEqual((warning["file"], warning["hint"]), (str(folder / name), 'did you mean "archive.toml"?'))
                self.assertIn("this file is not read", warning["text"])
                (folder / name).unlink()
        (folder / "archive.toml.txt").write_text("not TOML [")
        home.override("archive", "")
        self.assertEqual(self.problems(home), (0, []))

    def test_what_editors_and_packages_leave_beside_an_override_is_nothing(self):
        home = self.home("archive")
        for name in ("archive.toml.2026-11-29", "archive.toml.1", "archive.toml.ucf-dist", "archive.toml.disabled", "archive.toml~", ".archive.toml.swp", "#archive.toml#", "archive.toml.bak", "archive.toml.dpkg-old", "archive.toml.rpmsave", "archive.bak", "README", "4913"):
            (home.root / "etc/plugins.d" / name).write_text("not TOML [")
        self.assertEqual(self.problems(home), (0, []))


class NoEffect(Problems):
    def test_sections_that_nothing_reads_are_refused(self):
        home = self.home("archive")
        settings = (home.root / "etc/mfdata.toml").read_text()
        home.configure(settings + '\n[journal]\nmax_size = "1GB"\n')
        self.assertIn("[journal] is not supported yet", self.only(home)["text"])
        home.configure(settings)
        for section in ("daemon", "timer"):
            home.override("archive", f'[{section}.x]\ncommand = ["true"]\n')
            self.assertIn(f"[{section}] is not supported yet", self.only(home)["text"])

    def test_rule_back_to_the_entry_is_warned_of(self):
        home = self.home("guess_file_type", "switch", "archive")
        for target in ("guess_file_type/main", "switch/main"):
            home.override("archive", RULE.replace("main", target))
            warning = self.only(home, "warning")
            self.assertIn(f"what this rule gives to {target} comes to this rule again", warning["text"])
            self.assertEqual(warning["line"], 3)

    def test_step_without_processes_that_something_is_sent_to_is_warned_of(self):
        home = self.home("guess_file_type", "switch", "archive", "move")
        idle = "waits there, untreated: numprocesses = 0"
        home.override("guess_file_type", "[step.main]\nnumprocesses = 0\n")
        self.assertIn("what arrives waits before guess_file_type/main", self.only(home, "warning")["text"])
        home.override("guess_file_type", "")
        home.override("archive", "[step.main]\nnumprocesses = 0\nwatched_directories = [\"lost\"]\n")
        self.assertIn('what arrives in "lost" ' + idle, self.only(home, "warning")["text"])
        home.override("archive", "[step.main]\nnumprocesses = 0\n")
        home.override("move", '[step.main]\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "archive/main"\n')
        warning = self.only(home, "warning")
        self.assertIn("move/main: failure_policy_move_dest_dir: what comes to archive/main " + idle, warning["text"])
        self.assertEqual(warning["line"], 3)
        home.override("move", '[custom]\ndest_dir = "archive/main"\n')
        self.assertIn("move: [custom] dest_dir: what comes to archive/main " + idle, self.only(home, "warning")["text"])

    def test_two_steps_that_share_a_directory_are_warned_of(self):
        home = self.home("archive", "move", settings='[data]\nentry_step = "archive/main"\n')
        home.override("move", '[step.main]\nwatched_directories = ["in2"]\n')
        self.assertEqual(self.problems(home), (0, []))
        home.override("archive", '[step.main]\nwatched_directories = ["incoming", "./in2/"]\n')
        warning = self.only(home, "warning")
        self.assertIn('files in "in2" go to archive/main or to move/main: each to one of them, by its name', warning["text"])
        self.assertEqual((os.path.basename(warning["file"]), warning["line"]), ("move.toml", 2))

    def test_one_directory_under_two_names_is_an_error(self):
        home = self.home("archive", "move", settings='[data]\nentry_step = "archive/main"\n')
        home.incoming.mkdir()
        os.symlink(home.incoming, home.root / "link")
        home.override("move", f'[step.main]\nwatched_directories = ["{home.root}/link"]\n')
        self.assertIn('are the same directory', self.only(home)["text"])

    def test_keys_that_have_no_effect_are_warned_of(self):
        home = self.home("archive")
        for text, words in (('failure_policy_move_dest_dir = "/x"', 'no effect without failure_policy = "move"'), ("retry_min_wait = 1", "no effect without retry_total"),
                            ("retry_total = 2\nretry_min_wait = 300", "retry_min_wait is longer than retry_max_wait"),
                            ('failure_policy = "move"\nfailure_policy_move_dest_dir = "archive/main"', "comes back to the same step")):
            home.override("archive", f"[step.main]\n{text}\n")
            warning = self.only(home, "warning")
            self.assertIn(words, warning["text"])
            self.assertEqual(warning["line"], len(text.split("\n")) + 1)
        home.override("archive", "")
        home.configure('[data]\nentry_step = "archive/main"\n[data.watch.incomming]\nready = "rename"\n')
        self.assertEqual(self.only(home, "warning")["hint"], 'did you mean "incoming"?')


class Places(Problems):
    def at(self, home, severity="error"):
        """(file, line, text) of the one problem."""
        problem = self.only(home, severity)
        return os.path.basename(problem["file"]), problem["line"], problem["text"]

    def test_problem_stands_at_the_line_of_the_layer_that_wrote_the_value(self):
        home = self.home("switch", "archive", settings=ENTRY)
        for text, place, words in (
                ('[step.main]\n\nwatched_directories = [\n  "ok",\n  "tmp/x"\n]\n', 5, '"tmp/x" cannot be watched'),
                ('[step.main]\nfailure_policy = "move"\n\nfailure_policy_move_dest_dir = "archiv/main"\n', 4, 'failure_policy_move_dest_dir: there is no step "archiv/main"'),
                ('[step.main]\n\nfailure_policy = "move"\n', 3, 'failure_policy = "move" needs failure_policy_move_dest_dir'),
                ('[[switch_rules]]\ntype = "alwaystrue"\nswitch = "swich"\n\nrules = { all = ["main"] }\n', 3, 'there is no plugin "swich" to evaluate the rule'),
                ('[[switch_rules]]\ntype = "alwaystrue"\nrules = { all = [\n""] }\n', 4, 'a target of "all" is empty'),
                ('[step.main]\ntimeout = 5\ntimeout = 6\n', 3, "")):
            with self.subTest(text):
                home.override("archive", text)
                file, line, said = self.at(home)
                self.assertEqual((file, line), ("archive.toml", place), said)
                self.assertIn(words, said)
        home.override("archive", "")
        home.configure('[data]\n\nentry_step = ""\n')
        self.assertEqual(self.at(home)[:2], ("mfdata.toml", 3))
        self.assertIn("[data] entry_step is empty", self.at(home)[2])

    def test_queue_of_a_step_cannot_be_watched(self):
        home = self.home("archive")
        os.symlink(home.data, home.root / "link")
        for directory in ("step.archive.main", "{step_dir}", "incoming/../step.archive.main", f"{home.root}/link/step.archive.main", "{data_dir}//step.archive.main/"):
            home.override("archive", f'[step.main]\nwatched_directories = ["{directory}"]\n')
            file, line, text = self.at(home)
            self.assertEqual((file, line), ("archive.toml", 2), directory)
            self.assertIn("it is the queue of a step", text)
        for directory in ("{data_dir}", ".", f"{home.root}/link"):
            home.override("archive", f'[step.main]\nwatched_directories = ["{directory}"]\n')
            self.assertIn("it is the data directory itself", self.at(home)[2])
        home.override("archive", '[step.main]\nwatched_directories = ["../elsewhere"]\n')
        self.assertIn("write an absolute path", self.at(home)[2])

    def test_unknown_placeholder_in_a_path_is_an_error_with_what_was_meant(self):
        home = self.home("archive")
        for text, line in (('[custom]\ndest_dir = "/x/{hom}/archive"\n', 2), ('[step.main]\n\nwatched_directories = ["{hom}/x"]\n', 3),
                           ('[step.main]\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "{hom}/x"\n', 3)):
            home.override("archive", text)
            problem = self.only(home)
            self.assertEqual((os.path.basename(problem["file"]), problem["line"]), ("archive.toml", line))
            self.assertIn("there is no placeholder {hom}", problem["text"])
            self.assertIn("did you mean {home}?", problem["hint"])
        home.override("archive", '[custom]\ndest_dir = "/x/{fiel:/etc/secret}"\n')
        self.assertIn("did you mean {file:/etc/secret}?", self.only(home)["hint"])
        home.override("archive", "")
        for key in ("[log]\ndirectory", "[data]\nentry_step = \"archive/main\"\ndir", '[data]\nentry_step = "archive/main"\n[data.watch."{hom}/x"]\nignore'):
            value = "[]" if key.endswith("ignore") else '"{hom}/x"'
            entry = "" if "entry_step" in key else '[data]\nentry_step = "archive/main"\n'
            home.configure(f"{entry}{key} = {value}\n")
            problem = self.only(home)
            self.assertIn("there is no placeholder {hom}", problem["text"])
            self.assertEqual(os.path.basename(problem["file"]), "mfdata.toml")

    def test_unknown_placeholder_in_the_name_of_a_step_is_reported_once(self):
        home = self.home("copy", "archive", "fork", settings='[data]\nentry_step = "copy/main"\n')
        home.override("fork", '[custom]\ncommand = ["true"]\ndest_dir = "archive/main"\n')
        home.override("copy", '[custom]\ndest_dirs = ["archive/main", "{hom}/main"]\n')
        problem = self.only(home)
        self.assertIn("there is no placeholder {hom}", problem["text"])
        self.assertEqual((os.path.basename(problem["file"]), problem["line"]), ("copy.toml", 2))
        home.override("copy", '[custom]\ndest_dirs = ["archive/main"]\n')
        home.override("fork", '[custom]\ncommand = ["true"]\ndest_dir = "{hom}/main"\n')
        self.assertIn("there is no placeholder {hom}", self.only(home)["text"])

    def test_braces_of_a_path_itself_are_doubled(self):
        home = self.home("archive", overrides={"archive": '[custom]\ndest_dir = "{home}/{{x}}"\ndest_basename = "{ORIGINAL_BASENAME}"\n'})
        home.start().drop("a", b"content")
        wait_for((home.root / "{x}/a").exists, "the file in the directory with braces")

    def test_near_miss_of_a_placeholder_in_any_text_is_warned_of(self):
        home = self.home("fork", "archive", settings='[data]\nentry_step = "fork/main"\n')
        home.override("fork", '[custom]\ndest_dir = "archive/main"\ncommand = ["{plugin_dri}/run", "{PATH}", "{ print }", "${hom}", "{print}"]\n')
        warning = self.only(home, "warning")
        self.assertIn("{plugin_dri} is no placeholder and stays as it is", warning["text"])
        self.assertEqual((warning["line"], warning["hint"]), (3, "did you mean {plugin_dir}?"))


if __name__ == "__main__":
    main()
