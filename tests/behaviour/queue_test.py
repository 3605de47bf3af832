"""queue list, show, drop, move; pause and resume; explain."""
import fcntl
import gzip
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, context_of, main, one_of, wait_for
from switch_test import NAME, block

ENTRY = '[data]\nentry_step = "copy/main"\n'


class Queue(Case):
    def held_home(self, names=("a", "b", "c"), big=False):
        """Files that wait before the step held/main, whose worker is not started."""
        home = self.home("copy", settings=ENTRY, overrides={"copy": '[custom]\ndest_dirs = ["held/main"]\n'})
        for name in ("held", "other"):
            home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/move", "--new-name", name)
            home.override(name, f'[step.main]\nnumprocesses = {int(name == "other")}\n[custom]\ndrop_tags = false\ndest_dir = "{home.root}/{name}"\n')
            os.mkdir(home.root / name)
        home.start()
        for name in names:
            home.drop(name, name.encode() * 3)
        self.waiting = home.data / "step.held.main"
        wait_for(lambda: len(list(self.waiting.iterdir())) == len(names), "the files before their step")
        return home

    def listed(self, home, *arguments):
        return json.loads(home.run(MFDATA, "queue", "list", *arguments, "--json").stdout)

    def test_list_shows_what_waits(self):
        home = self.held_home()
        rows = self.listed(home, "held/main")
        self.assertEqual([(row["original_name"], row["size"], row["state"], row["attempts"], row["step"]) for row in rows],
                         [(name, 3, "waiting", 0, "held/main") for name in "abc"])
        self.assertTrue(all(0 <= row["age_s"] < 3600 for row in rows))
        self.assertEqual([row["uid"] for row in self.listed(home)], [row["uid"] for row in rows], "without a step: all of them")
        self.assertEqual(self.listed(home, "other/main"), [])
        text = home.run(MFDATA, "queue", "list").stdout
        self.assertEqual(len(text.splitlines()), 4)
        self.assertIn("ORIGINAL NAME", text)
        self.assertIn("and 2 more", home.run(MFDATA, "queue", "list", "--limit", "1").stdout)
        self.assertEqual(self.listed(home, "held/main", "--older", "1h"), [])

    def test_show_prints_tags(self):
        home = self.held_home(["a"])
        [row] = self.listed(home)
        shown = json.loads(home.run(MFDATA, "queue", "show", "held/main", row["uid"]).stdout)
        self.assertEqual((shown["tags"]["first.core.original_basename"], content(shown["path"])), ("a", b"aaa"))

    def test_drop_removes_the_chosen_ones(self):
        home = self.held_home()
        rows = self.listed(home)
        self.assertIn("1 file removed", home.run(MFDATA, "queue", "drop", "held/main", rows[1]["name"]).stdout)
        self.assertEqual([row["original_name"] for row in self.listed(home)], ["a", "c"])
        self.assertIn("2 files removed", home.run(MFDATA, "queue", "drop", "held/main", "--all").stdout)
        self.assertEqual(self.listed(home), [])
        self.assertEqual(home.left_over(), [])

    def test_move_puts_files_before_another_step_with_their_tags(self):
        home = self.held_home(["a", "b"])
        row = next(row for row in self.listed(home) if row["original_name"] == "a")
        self.assertIn("1 file moved before other/main", home.run(MFDATA, "queue", "move", "held/main", row["uid"], "--to", "other/main").stdout)
        path = home.root / "other/a"
        wait_for(path.exists, "the file to be delivered by the other step")
        header, tags = context_of(path)
        self.assertEqual((content(path), header["uid"]), (b"aaa", row["uid"]))
        self.assertEqual((tags["latest.core.step_counter"], tags["first.core.original_basename"]), (b"1", b"a"))
        self.assertEqual([row["original_name"] for row in self.listed(home)], ["b"])
        wait_for(lambda: not home.left_over(), "nothing to be left of the delivery")

    def test_files_with_a_sidecar_are_moved_and_dropped_with_it(self):
        home = self.held_home([])
        home.stop()
        home.override("copy", '[custom]\ndest_dirs = ["held/main*", "held2/main*"]\n')
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/move", "--new-name", "held2")
        home.override("held2", f'[step.main]\nnumprocesses = 0\n[custom]\ndest_dir = "{home.root}"\n')
        home.start()
        for name in ("a", "b"):
            home.drop(name, b"x")
        wait_for(lambda: len(self.listed(home)) == 4, "two links of each")
        sidecars = home.data / "tmp/context"
        self.assertGreaterEqual(len(list(sidecars.iterdir())), 2)
        linked = [row for row in self.listed(home) if row["name"].endswith("c")]
        home.run(MFDATA, "queue", "drop", linked[0]["step"], linked[0]["uid"])
        self.assertFalse((sidecars / linked[0]["uid"]).exists())
        home.run(MFDATA, "queue", "move", linked[1]["step"], linked[1]["uid"], "--to", "other/main")
        wait_for((home.root / "other" / linked[1]["original_name"]).exists, "the moved one")
        wait_for(lambda: not (sidecars / linked[1]["uid"]).exists(), "its sidecar to be gone")
        wait_for(lambda: not home.left_over(), "nothing to be left of the delivery")

    def test_waiting_for_a_retry_is_shown_and_can_be_moved(self):
        home = self.home("exec", settings='[data]\nentry_step = "exec/main"\n', overrides={
            "exec": f'[step.main]\nretry_total = 5\nretry_min_wait = 5000\nretry_max_wait = 5000\n[custom]\ncommand = ["{sys.executable}", "-c", """\n'
                    'import json, sys\nsys.stdin.readline()\nprint(json.dumps(dict(type="hello", version=1)), flush=True)\nfor line in sys.stdin:\n'
                    '    print(json.dumps(dict(type="result", id=json.loads(line)["id"], status="retry")), flush=True)\n"""]\n'})
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/move", "--new-name", "other")
        home.override("other", f'[custom]\ndest_dir = "{home.root}/other"\n')
        os.mkdir(home.root / "other")
        home.start()
        home.drop("a", b"x")
        [row] = wait_for(lambda: [row for row in self.listed(home, "exec/main") if row["state"] == "retry"], "the file to wait")
        self.assertEqual((row["state"], row["attempts"], row["original_name"]), ("retry", 1, "a"))
        self.assertTrue(1000 < row["due_in_s"] <= 5001, row)
        home.run(MFDATA, "queue", "move", "exec/main", "--all", "--to", "other/main")
        wait_for((home.root / "other/a").exists, "the file to be delivered")

    def test_wrong_use_is_said(self):
        home = self.held_home(["a"])
        for arguments, words, code in ((["list", "hold/main"], 'did you mean "held/main"?', 1), (["drop", "held/main"], "say which files", 2),
                                       (["drop", "held/main", "nobody"], "no file nobody waits before held/main", 1),
                                       (["move", "held/main", "--all", "--to", "othr/main"], 'did you mean "other/main"?', 1),
                                       (["move", "held/main", "--all"], "--to is required", 2), (["list", "--older", "soon"], "--older: takes a time", 2),
                                       (["drop"], "STEP is required", 2)):
            with self.subTest(arguments):
                done = home.run(MFDATA, "queue", *arguments, check=False)
                self.assertEqual(done.returncode, code)
                self.assertIn(words, done.stderr)
        self.assertEqual(len(self.listed(home)), 1)

    def test_broken_configuration_and_another_user_are_refused(self):
        home = self.held_home(["a"])
        settings = (home.root / "etc/mfdata.toml").read_text()
        (home.root / "etc/mfdata.toml").write_text(settings + "[data\n")
        for arguments in (["queue", "list"], ["queue", "drop", "held/main", "--all"], ["trash", "list"], ["explain", home.root / "etc/mfdata.toml"]):
            done = home.run(MFDATA, *arguments, check=False)
            self.assertEqual((done.returncode, "the configuration is wrong" in done.stderr), (1, True), arguments)
        (home.root / "etc/mfdata.toml").write_text(settings)
        self.assertEqual(len(self.listed(home)), 1)
        if os.geteuid() == 0:  # somebody who does not own the home, and could change it
            home.stop()
            os.chown(home.data, 65534, 65534)
            done = home.run(MFDATA, "queue", "drop", "held/main", "--all", check=False)
            os.chown(home.data, 0, 0)
            self.assertIn("belongs to user 65534: run this as that user", done.stderr)
            self.assertEqual(len(self.listed(home)), 1)

    def test_file_that_a_killed_command_had_in_hand_is_found_by_the_next_one(self):
        home = self.held_home(["a", "b"])
        slot = home.data / "tmp/held.main/999999/in"
        slot.mkdir(parents=True)
        [first, _] = sorted(self.waiting.iterdir())
        os.rename(first, slot / first.name)
        self.assertIn("2 files moved", home.run(MFDATA, "queue", "move", "held/main", "--all", "--to", "other/main").stdout)
        wait_for(lambda: len(os.listdir(home.root / "other")) == 2, "both")

    def test_arrival_before_a_step_is_dropped_by_its_name_only(self):
        home = self.held_home(["a"])
        (self.waiting / "upload").write_text("half")
        self.assertEqual([row["state"] for row in self.listed(home, "held/main")], ["waiting", "arrival"])
        home.run(MFDATA, "queue", "drop", "held/main", "--all")
        self.assertEqual([path.name for path in self.waiting.iterdir()], ["upload"])
        home.run(MFDATA, "queue", "drop", "held/main", "upload")
        self.assertEqual(list(self.waiting.iterdir()), [])

    def test_files_that_flow_are_moved_and_dropped_once_or_not_at_all(self):
        """The queue commands race with the workers, who are let go at the same moment: each file ends once, at one place."""
        home = self.held_home([])
        home.stop()
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork", "--new-name", "slow")
        home.override("slow", '[step.main]\nnumprocesses = 2\n[custom]\ncommand = ["sh", "-c", "cp \\"$1\\" f; echo FILEPATH: f", "sh", "{PATH}"]\ndest_dir = "held/main"\n')
        home.override("copy", '[custom]\ndest_dirs = ["slow/main"]\n')
        home.override("held", f'[custom]\ndest_dir = "{home.root}/held"\n')
        home.start()
        names, taken = [], {"moved": 0, "removed": 0}

        def raced(number):
            """True once all three have had some of the files."""
            home.run(MFDATA, "pause", "slow/main")
            for i in range(100):
                names.append(f"f{number}-{i}")
                home.drop(names[-1], names[-1].encode())
            wait_for(lambda: home.step_status("slow/main")["queued"] == 100, "the files before their step")
            words = ("drop", "slow/main", "--all") if number % 2 else ("move", "slow/main", "--all", "--to", "other/main")
            command = subprocess.Popen([MFDATA, "queue", *words], env=home.environment, stdout=subprocess.PIPE, text=True)
            home.run(MFDATA, "resume", "slow/main")
            said, _ = command.communicate(timeout=120)
            self.assertEqual(command.returncode, 0, said)
            taken["removed" if number % 2 else "moved"] += int(said.split()[0])
            home.wait_idle()
            return all(taken.values()) and os.listdir(home.root / "held")
        one_of(raced, "files that are moved, dropped and treated", 30)
        held, other = (os.listdir(home.root / place) for place in ("held", "other"))
        self.assertEqual(len(other), taken["moved"])
        self.assertEqual(len(held) + len(other) + taken["removed"], len(names))
        self.assertEqual(len({*held, *other}), len(held) + len(other))
        self.assertEqual([content(home.root / place / name).decode() for place in ("held", "other") for name in os.listdir(home.root / place)], held + other)
        self.assertEqual((home.left_over(), os.listdir(home.data / "tmp/context")), ([], []))

    def test_commands_wait_for_a_loader_that_is_just_starting_and_touch_nothing_meanwhile(self):
        home = self.held_home(["a", "b"])
        home.stop()

        def waits(command):
            """It has its turn among the commands, and not yet that beside the workers."""
            with open(home.root / "run/trash.lock", "a+b") as turn:
                try:
                    fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return command.poll() is None
                return False
        for words, said in ((["queue", "drop", "held/main", "--all"], "2 files removed"), (["trash", "purge", "--all"], "0 files removed")):
            with self.subTest(words), open(home.root / "run/workers.lock", "r+b") as recovering:
                fcntl.flock(recovering, fcntl.LOCK_EX)
                command = subprocess.Popen([MFDATA, *words], env=home.environment, stdout=subprocess.PIPE, text=True)
                wait_for(lambda: waits(command), "the command to wait")
                self.assertEqual(len(self.listed(home)), 2 if words[0] == "queue" else 0)
                fcntl.flock(recovering, fcntl.LOCK_UN)
                self.assertIn(said, command.communicate(timeout=120)[0])
        with open(home.root / "run/workers.lock", "r+b") as recovering:
            fcntl.flock(recovering, fcntl.LOCK_EX)
            done = home.run(MFDATA, "trash", "retry", "--all", check=False)
            self.assertEqual((done.returncode, "a loader is just starting" in done.stderr), (1, True))


class Pause(Case):
    def state(self, home, step):
        return home.step_status(step)["state"]

    def test_paused_step_keeps_its_files_also_after_a_restart_and_goes_on_when_resumed(self):
        home = self.home("move", settings='[data]\nentry_step = "move/main"\n')
        os.mkdir(home.root / "out")
        home.override("move", f'[custom]\ndest_dir = "{home.root}/out"\n')
        home.start()
        self.assertIn("mfdata resume move/main", home.run(MFDATA, "pause", "move/main").stdout)
        self.assertEqual(self.state(home, "move/main"), "paused")
        for i in range(20):
            home.drop(f"f{i}", b"x")
        wait_for(lambda: home.step_status("move/main")["queued"] == 20, "the files to wait")
        home.stop()
        home.start()
        self.assertEqual(self.state(home, "move/main"), "paused")
        self.assertIn("is paused since an earlier run", home.log())
        wait_for(lambda: home.step_status("move/main")["queued"] == 20, "the files to wait")
        self.assertEqual(os.listdir(home.root / "out"), [])
        home.run(MFDATA, "resume", "move/main")
        wait_for(lambda: len(os.listdir(home.root / "out")) == 20, "the files to be delivered")
        self.assertEqual(self.state(home, "move/main"), "running")
        home.stop()
        home.start()
        self.assertEqual(self.state(home, "move/main"), "running")

    def test_pause_takes_back_what_the_worker_has_not_begun(self):
        script = ["sh", "-c", 'touch "$MFDATA_HOME/begun"; while [ ! -e "$MFDATA_HOME/gate" ]; do sleep 0.02; done']
        home = self.home("fork", settings='[data]\nentry_step = "fork/main"\n', overrides={"fork": f"[custom]\ncommand = {json.dumps(script)}\n"})
        home.start().stop()
        for i in range(30):  # all are there at once: names are sent ahead
            home.drop(f"f{i}", b"x")
        home.start()
        wait_for((home.root / "begun").exists, "the first file to be in hand")
        self.assertGreater(home.step_status("fork/main")["in_flight"], 1)
        home.run(MFDATA, "pause", "fork/main")
        self.assertEqual([home.step_status("fork/main")[key] for key in ("queued", "in_flight")], [29, 1])
        (home.root / "gate").touch()
        wait_for(lambda: home.step_status("fork/main")["in_flight"] == 0, "the file in hand to end")
        self.assertEqual((home.step_status("fork/main")["queued"], home.status()["files_done"]), (29, 1))

    def test_pause_is_remembered_of_a_plugin_that_is_gone_for_a_while(self):
        home = self.home("move", "archive", settings='[data]\nentry_step = "archive/main"\n').start()
        home.run(MFDATA, "pause", "move/main")
        home.stop()
        home.run(MFDATA_PLUGIN, "remove", "move")
        home.start()
        home.run(MFDATA, "pause", "archive/main")
        home.stop()
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/move")
        home.override("move", f'[custom]\ndest_dir = "{home.root}"\n')
        home.start()
        self.assertEqual({row["step"]: row["state"] for row in home.status()["steps"]}, {"archive/main": "paused", "move/main": "paused"})

    def test_pause_takes_nothing_back_of_a_batch_in_hand(self):
        home = self.home(BUILD / "tests/plugins/gather", "archive", settings='[data]\nentry_step = "gather/main"\n',
                         overrides={"gather": '[step.main]\nmax_wait = 1000\n[custom]\ngate = "{home}/gate"\n'}).start()
        for i in range(3):
            home.drop(f"f{i}", b"x")
        wait_for(lambda: "a batch is in hand" in home.step_log("gather/main"), "the batch")
        home.run(MFDATA, "pause", "gather/main")
        self.assertEqual([home.step_status("gather/main")[key] for key in ("queued", "in_flight")], [0, 3])
        (home.root / "gate").touch()
        wait_for(lambda: len(home.files()) == 3, "the batch to be done")
        wait_for(lambda: home.step_status("gather/main")["in_flight"] == 0, "its results")
        home.run(MFDATA, "resume", "gather/main")  # a name that a listing and an event brought may be looked for once more
        wait_for(lambda: home.step_status("gather/main")["queued"] == 0, "an empty queue")
        self.assertEqual(len(home.files()), 3)

    def test_wrong_step_and_no_loader_are_said(self):
        home = self.home("move").start()
        done = home.run(MFDATA, "pause", "mvoe/main", check=False)
        self.assertEqual((done.returncode, 'did you mean "move/main"?' in done.stderr), (1, True))
        home.stop()
        self.assertIn("no loader", home.run(MFDATA, "resume", "move/main", check=False).stderr)


class Explain(Case):
    def explained(self, home, path, *more):
        return json.loads(home.run(MFDATA, "explain", path, *more, "--json").stdout)

    def test_every_rule_with_the_value_it_sees(self):
        home = self.home("switch", "move", settings='[data]\nentry_step = "switch/main"\n[loader]\npredicate_timeout = 60\n',
                         overrides={"switch": '[custom]\nno_match_policy = "keep"\n'})
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/judge")
        rules = (block("equal", {"a": ["main*"], "b": ["main"]}) + block("notregex", {"x": ["main", "judge/main"]}, tag="latest.nobody") +
                 block("regex", {"(a+)+$": ["main"]}, tag="long"))
        home.override("move", f'[custom]\ndest_dir = "{home.root}"\n' + rules)
        home.override("judge", block("plugin", {"begins_with(con)": ["main*"], "does(segv, a)": ["main"], "unknown": ["main"]}, tag=None))
        (home.root / "a").write_bytes(b"content")
        [switch] = self.explained(home, home.root / "a", "--tag", f"{NAME}=a", "--tag", "long=" + "a" * 60 + "b")
        by_pattern = {rule["pattern"]: rule for rule in switch["rules"]}
        self.assertEqual({pattern: rule["match"] for pattern, rule in by_pattern.items()},
                         {"a": True, "b": False, "x": True, "(a+)+$": False, "begins_with(con)": True, "does(segv, a)": False, "unknown": False})
        self.assertEqual((by_pattern["b"]["value"], by_pattern["x"]["value"], by_pattern["x"]["type"]), ("a", "{NOT_FOUND}", "notregex"))
        self.assertTrue(by_pattern["a"]["file"].endswith("etc/plugins.d/move.toml") and by_pattern["a"]["line"] > 1)
        self.assertEqual({target["step"]: target["link_allowed"] for target in switch["targets"]}, {"move/main": False, "judge/main": False})
        self.assertIn("within its limits", by_pattern["(a+)+$"]["problem"])
        text = home.run(MFDATA, "explain", home.root / "a", "--tag", f"{NAME}=b", "--matching").stdout
        self.assertRegex(text, r'match +.*move.toml:\d+  equal "b"  first.core.original_basename = "b"  -> move/main')
        self.assertNotIn('equal "a"', text)
        self.assertIn("goes to: judge/main move/main", text)

    def test_it_says_what_the_switch_does(self):
        home = self.home("switch", "archive", settings='[data]\nentry_step = "switch/main"\n', overrides={"archive": block("fnmatch", {"a*": ["main"]})}).start()
        home.drop("abc", b"x")
        [path] = wait_for(home.files, "the file in the archive")
        [switch] = self.explained(home, os.fsdecode(path))
        self.assertEqual([target["step"] for target in switch["targets"]], ["archive/main"])

    def test_it_looks_at_the_bytes_of_the_file(self):
        home = self.home("switch", "archive", settings='[data]\nentry_step = "switch/main"\n',
                         overrides={"archive": block("bytes", {"GRIB": ["main"], "@4:B": ["main"], "BUFR": ["main"]}, tag=None)}).start()
        home.drop("abc", b"GRIBB")
        [path] = wait_for(home.files, "the file in the archive")
        [switch] = self.explained(home, os.fsdecode(path))
        self.assertEqual({rule["pattern"]: rule["match"] for rule in switch["rules"]}, {"GRIB": True, "@4:B": True, "BUFR": False})
        self.assertEqual([target["step"] for target in switch["targets"]], ["archive/main"])

    def test_a_plain_file_is_explained_as_it_would_be_if_it_arrived_now(self):
        home = self.home("guess_file_type", "switch", "archive", overrides={
            "archive": block("fnmatch", {"ASCII text*": ["main"]}, tag="latest.guess_file_type.main.system_magic") + block("equal", {"a b": ["main*"]})})
        (home.root / "a b").write_text("some text\n")
        [switch] = self.explained(home, home.root / "a b")
        self.assertEqual({rule["pattern"]: (rule["match"], rule["value"]) for rule in switch["rules"]},
                         {"ASCII text*": (True, "ASCII text"), "a b": (True, "a b")})
        self.assertEqual([target["step"] for target in switch["targets"]], ["archive/main"])
        self.assertEqual((switch["entry"]["step"], switch["entry"]["result"], switch["entry"]["outputs"]), ("guess_file_type/main", "ok", ["switch/main"]))
        self.assertEqual((home.root / "a b").read_text(), "some text\n")
        self.assertRegex(home.run(MFDATA, "explain", home.root / "a b").stdout, r"(?m)^guess_file_type/main: ok  -> switch/main$")

    def test_what_an_arrival_meets_before_any_step_is_explained(self):
        home = self.home("guess_file_type", "switch", "archive", settings='[data]\nmax_file_size = "1KB"\n')
        (home.root / "x.tmp").write_text("ignored\n")
        (home.root / "large").write_bytes(bytes(2000))
        for name, words in (("x.tmp", "a file of this name is ignored ([data] ignore, *.tmp)"), ("large", "[data] max_file_size is 1000"),
                            ("etc", "it is no regular file")):
            done = home.run(MFDATA, "explain", home.root / name, check=False)
            self.assertEqual((done.returncode, words in done.stderr, done.stdout), (1, True, ""), done)

    def test_entry_step_that_dies_is_an_error_with_what_it_said_and_nothing_is_left_behind(self):
        home = self.home(BUILD / "tests/plugins/mischief", "switch", "archive", settings='[data]\nentry_step = "mischief/main"\n')
        temporary = home.root / "temporary"
        temporary.mkdir()
        home.environment["TMPDIR"] = str(temporary)
        (home.root / "bad").write_text("crash\n")
        done = home.run(MFDATA, "explain", home.root / "bad", check=False)
        self.assertEqual((done.returncode, "mischief/main: died" in done.stdout), (1, True), done)
        os.mkfifo(home.root / "fifo")
        self.assertEqual(home.run(MFDATA, "explain", home.root / "fifo", check=False).returncode, 1)
        self.assertEqual(list(temporary.iterdir()), [])

    def test_rules_see_what_the_entry_step_made_of_a_plain_file(self):
        home = self.home("ungzip", "switch", "archive", settings='[data]\nentry_step = "ungzip/main"\n', overrides={
            "ungzip": '[custom]\ndest_dir = "switch/main"\n',
            "archive": block("bytes", {"GRIB": ["main"]}, tag=None) + block("equal", {"incoming": ["main"]}, tag="first.core.original_dirname")})
        (home.root / "a.gz").write_bytes(gzip.compress(b"GRIB and more"))
        [switch] = self.explained(home, home.root / "a.gz")
        found = {rule["pattern"]: rule["match"] for rule in switch["rules"]}
        self.assertEqual((found["GRIB"], found["incoming"]), (True, True))

    def test_what_the_entry_step_made_of_a_plain_file_is_removed(self):
        home = self.home("guess_file_type", "switch")
        (home.root / "a").write_text("some text\n")
        (home.root / "tmp").mkdir()
        done = home.run(MFDATA, "explain", home.root / "a", env=dict(home.environment, TMPDIR=str(home.root / "tmp")))
        self.assertIn("goes to: nowhere: no rule matches, and it is kept in trash", done.stdout)
        self.assertEqual(os.listdir(home.root / "tmp"), [])

    def test_a_plain_file_that_no_rule_matches_would_be_kept_or_deleted(self):
        home = self.home("guess_file_type", "switch", "archive", overrides={"archive": block("equal", {"another": ["main"]})})
        (home.root / "a").write_text("some text\n")
        for policy, words in (("keep", "kept in trash"), ("delete", "deleted")):
            home.override("switch", f'[custom]\nno_match_policy = "{policy}"\n')
            self.assertIn(f"goes to: nowhere: no rule matches, and it is {words}", home.run(MFDATA, "explain", home.root / "a").stdout)

    def test_a_plain_file_whose_entry_step_delivers_or_fails_is_neither_delivered_nor_harmed(self):
        home = self.home("move")
        (home.root / "target").mkdir()
        home.override("move", f'[custom]\ndest_dir = "{home.root}/target"\n')
        (home.root / "a").write_text("x")
        [explained] = self.explained(home, home.root / "a")
        self.assertEqual(explained["entry"]["outputs"], [f"{home.root}/target/a"])
        self.assertEqual((os.listdir(home.root / "target"), (home.root / "a").read_text()), ([], "x"))

    def hanging_entry(self, step=""):
        """A home whose entry step writes its process id down and hangs, and a plain file."""
        home = self.home("fork", "switch", "archive", settings='[data]\nentry_step = "fork/main"\n')
        (home.root / "temporary").mkdir()
        home.environment["TMPDIR"] = str(home.root / "temporary")
        home.override("fork", f'[custom]\ncommand = ["sh", "-c", "echo $$ > {home.root}/pid; exec sleep 1000"]\n[step.main]\n{step}\n')
        (home.root / "a").write_text("x")
        return home

    def test_an_entry_step_that_hangs_is_killed_after_its_timeout(self):
        home = self.hanging_entry("timeout = 4")
        done = home.run(MFDATA, "explain", home.root / "a", check=False)
        self.assertIn("fork/main runs on a copy now: what it delivers is taken away again, but what it sends, and what its commands do, is really done", done.stderr)
        self.assertRegex(done.stdout, r"(?m)^fork/main: (failed: the command failed: it took too long and was ended|died: it took longer than 4 s)$")
        self.assertEqual(os.listdir(home.root / "temporary"), [])

    def test_an_entry_step_that_hangs_is_told_of_with_its_timeout(self):
        home = self.hanging_entry("timeout = 300")
        with subprocess.Popen([str(MFDATA), "explain", str(home.root / "a")], env=home.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
            line = next(line for line in running.stderr if "still runs" in line)
            running.send_signal(signal.SIGINT)
            self.assertIn("interrupted", running.stderr.read())
        self.assertRegex(line, r"^mfdata: fork/main still runs after \d+ s; it is killed after 300 s, its timeout$")

    def test_an_interrupt_ends_the_entry_step_that_explain_or_run_has_started_and_nothing_is_left_behind(self):
        home = self.hanging_entry()
        for command in ([MFDATA, "explain", home.root / "a"], [MFDATA_PLUGIN, "run", "fork", home.root / "a"], [MFDATA_PLUGIN, "run", "--keep", "fork", home.root / "a"]):
            (home.root / "pid").unlink(missing_ok=True)
            with subprocess.Popen(list(map(str, command)), env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
                pid = wait_for(lambda: (home.root / "pid").exists() and (home.root / "pid").read_text().strip(), "the command of the step")
                running.send_signal(signal.SIGINT)
                said = running.communicate(timeout=60)[0]
            self.assertEqual((running.returncode, "interrupted" in said), (1, True), said)
            self.assertEqual(os.listdir(home.root / "temporary"), [])
            wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the command to be gone")

    def test_help_of_explain_says_that_an_entry_step_is_really_run(self):
        self.assertIn("is really done", " ".join(self.home("archive").run(MFDATA, "explain", "--help").stdout.split()))

    def test_wrong_file_and_no_rules(self):
        home = self.home("switch")
        self.assertIn("No such file", home.run(MFDATA, "explain", "/no/such/file", check=False).stderr)
        (home.root / "plain").write_text("x")
        done = home.run(MFDATA, "explain", home.root / "plain")
        self.assertIn("no plugin has rules", done.stdout)
        self.assertIn("has no tags", done.stderr)


if __name__ == "__main__":
    main()
