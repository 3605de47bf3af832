"""What is in hand, and what stands before it: shown with and without a loader, ended by an operator, named by what waits for it."""
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, alive, main, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"
ENTRY = '[data]\nentry_step = "mischief/main"\n'


class InHand(Case):
    def mischief(self, settings=""):
        """What files of mischief do stands in their first line; what passes waits before archive/main, which has no worker."""
        return self.home(MISCHIEF, "archive", settings=ENTRY + settings, overrides={
            "mischief": '[custom]\ndest_dir = "archive/main"\n', "archive": "[step.main]\nnumprocesses = 0\n"}).start()

    def treatments(self, home, step="mischief/main"):
        return home.step_status(step).get("in_hand", [])

    def hanging(self, home, name="f"):
        """The treatment of a file that never ends."""
        home.drop(name, b"hang\n")
        [treatment] = wait_for(lambda: [one for one in self.treatments(home) if list((home.data / "tmp/mischief.main").glob("*/in/*"))], "the file to be in hand")
        return treatment

    def listed(self, home, *arguments):
        return {row["original_name"]: row for row in json.loads(home.run(MFDATA, "queue", "list", *arguments, "--json").stdout)}

    def fails(self, home, *command):
        done = home.run(*command, check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        return done.stderr


class Shown(InHand):
    def test_queue_list_shows_arrivals_and_what_is_in_hand(self):
        home = self.mischief()
        self.hanging(home)
        home.run(MFDATA, "pause", "mischief/main")
        home.drop("b", b"pass\n")
        home.drop("c.tmp", b"ignored\n")
        for rows in (self.listed(home), self.listed(home, "mischief/main")):
            self.assertEqual({name: row["state"] for name, row in rows.items()}, {"f": "in hand", "b": "arrival"})
            self.assertEqual(rows["b"]["directory"], "incoming")
        self.assertEqual(self.listed(home, "archive/main"), {})
        self.assertRegex(home.run(MFDATA, "queue", "list").stdout, r"(?m)^mischief/main +\w+\.0 +in hand .* f$")
        self.assertIn("is in hand of a worker", self.fails(home, MFDATA, "queue", "drop", "mischief/main", rows["f"]["name"]))
        self.assertIn("is not accepted yet", self.fails(home, MFDATA, "queue", "drop", "mischief/main", "b"))
        self.assertTrue((home.incoming / "b").exists())
        home.kill()
        self.assertEqual({name: row["state"] for name, row in self.listed(home).items()}, {"f": "in hand", "b": "arrival"}, "without a loader")

    def test_status_of_a_dead_loader_shows_what_stands_on_disk(self):
        home = self.mischief()
        home.drop("waits", b"pass\n")
        wait_for(lambda: list((home.data / "step.archive.main").iterdir()), "a file before archive/main")
        home.drop("fails", b"fail\n")
        home.wait_trash("mischief/main")
        self.hanging(home)
        home.kill()
        home.drop("late", b"pass\n")
        (home.data / "tmp/accept/mischief.main.accept.0").mkdir(parents=True)  # as an accept leaves it that was killed
        done = home.run(MFDATA, "status", check=False)
        self.assertEqual(done.returncode, 1)
        for line in ("loader: not running", "waits on disk: archive.main 1", "was in hand: mischief.main 1", "arrivals on disk: incoming 1", "being taken in: 1", "in trash: mischief.main 1"):
            self.assertIn(line + "\n", done.stdout)
        disk = json.loads(home.run(MFDATA, "status", "--json", check=False).stdout)["disk"]
        self.assertEqual((disk["in_hand"], disk["arrivals"], disk["taken_in"]), ({"mischief.main": 1}, {"incoming": 1}, 1))

    def test_status_says_how_many_refusals_it_does_not_show_and_shows_all_when_asked(self):
        home = self.mischief("rescan_interval = 1\n")  # no event tells of a symbolic link
        for number in range(105):
            os.symlink("/nowhere", home.incoming / f"link{number}")
        wait_for(lambda: home.status().get("refused_total") == 105, "all to be refused")
        text = home.run(MFDATA, "status").stdout
        self.assertIn("refused: 100 of 105 refusals are shown; to see all: mfdata status --refused", text)
        self.assertEqual(text.count("/link"), 100)
        self.assertEqual(home.run(MFDATA, "status", "--refused").stdout.count("/link"), 105)
        self.assertEqual(len(json.loads(home.run(MFDATA, "status", "--refused", "--json").stdout)["refused"]), 105)

    def test_file_that_a_worker_died_on_is_counted_once_in_the_queue(self):
        home = self.mischief()
        pid = self.hanging(home)["pid"]
        home.run(MFDATA, "pause", "mischief/main")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: [p.name for p in (home.data / "step.mischief.main").iterdir() if p.name.endswith("~1")], "the file before its step")
        wait_for(lambda: home.step_status("mischief/main")["workers"] == 1, "another worker")
        self.assertEqual([home.step_status("mischief/main")[key] for key in ("queued", "in_flight")], [1, 0])


class Ended(InHand):
    def test_hung_treatment_is_shown_with_name_age_and_worker(self):
        home = self.mischief()
        treatment = self.hanging(home)
        self.assertEqual([treatment["pid"]], home.worker_pids("mischief/main"))
        self.assertEqual((treatment["name"], treatment["files"], treatment["stopping"]), ("f", 1, False))
        self.assertGreaterEqual(treatment["age_s"], 0)
        takes_long = wait_for(lambda: [line for line in home.run(MFDATA, "status").stdout.splitlines() if line.startswith("takes long: ")], "the line of what takes long")
        self.assertRegex(takes_long[0], rf"^takes long: mischief/main treats f for \d+ s, worker {treatment['pid']}, version 6.6.6; to end it: mfdata kill mischief/main$")

    def test_kill_ends_a_hung_treatment_and_its_file_goes_back_uncharged(self):
        home = self.mischief()
        treatment = self.hanging(home)
        home.run(MFDATA, "pause", "mischief/main")
        done = home.run(MFDATA, "kill", "mischief/main")
        self.assertRegex(done.stdout, rf"^mischief/main: ended the treatment of f for \d+ s, worker {treatment['pid']}")
        self.assertIn("The file goes back before its step", done.stdout)
        [waiting] = wait_for(lambda: list((home.data / "step.mischief.main").iterdir()), "the file before its step")
        self.assertRegex(waiting.name, r"^[0-9a-f]{32}\.0$")
        self.assertFalse(alive(treatment["pid"]))
        self.assertIn("an operator ended the treatment of f by worker", home.log())
        self.assertNotIn("died", home.log())
        wait_for(lambda: home.step_status("mischief/main")["workers"] == 1, "another worker")
        self.assertIn("mischief/main has nothing in hand", self.fails(home, MFDATA, "kill", "mischief/main"))
        self.assertIn('did you mean "mischief/main"?', self.fails(home, MFDATA, "kill", "mischeif/main"))

    def test_kill_ends_the_treatment_that_is_in_hand_longest_and_with_all_every_one(self):
        home = self.home(MISCHIEF, "archive", settings=ENTRY, overrides={"mischief": '[step.main]\nnumprocesses = 2\n[custom]\ndest_dir = "archive/main"\n'}).start()
        first = self.hanging(home, "first")
        home.drop("second", b"hang\n")
        wait_for(lambda: len(self.treatments(home)) == 2, "both files to be in hand")
        home.run(MFDATA, "pause", "mischief/main")
        done = home.run(MFDATA, "kill", "mischief/main")
        self.assertIn("ended the treatment of first for", done.stdout)
        self.assertNotIn("second", done.stdout)
        [left] = wait_for(lambda: [rest for rest in [self.treatments(home)] if len(rest) == 1], "one to be left")[0]
        self.assertEqual(left["name"], "second")
        self.assertNotEqual(left["pid"], first["pid"])
        self.assertIn("ended the treatment of second for", home.run(MFDATA, "kill", "mischief/main", "--all").stdout)
        wait_for(lambda: len(list((home.data / "step.mischief.main").iterdir())) == 2, "both before their step")

    def test_kill_with_charge_counts_as_a_crash(self):
        home = self.mischief("[loader]\nmax_crashes = 1\n")
        self.hanging(home)
        self.assertIn("It counts as a crash", home.run(MFDATA, "kill", "mischief/main", "--charge").stdout)
        [note] = home.wait_trash("mischief/main")
        self.assertEqual((note["reason"], note["error"], note["original_name"]), ("crashed", "ended by an operator", "f"))

    def test_kill_ends_a_batch_and_all_of_its_files_go_back(self):
        home = self.home(BUILD / "tests/plugins/gather", "archive", settings='[data]\nentry_step = "gather/main"\n',
                         overrides={"gather": '[custom]\ngate = "{home}/gate"\n[step.main]\nmax_size = 3\nmax_wait = 1000\n'}).start()
        for number in range(3):
            home.drop(f"f{number}", b"x")
        wait_for(lambda: self.treatments(home, "gather/main"), "the batch")
        home.run(MFDATA, "pause", "gather/main")
        self.assertIn("gather/main: ended the treatment of a batch of 3 files for", home.run(MFDATA, "kill", "gather/main").stdout)
        names = wait_for(lambda: [n for n in [[p.name for p in (home.data / "step.gather.main").iterdir()]] if len(n) == 3], "the files before their step")[0]
        self.assertTrue(all(name.endswith(".0") for name in names), names)
        (home.root / "gate").touch()
        home.run(MFDATA, "resume", "gather/main")
        wait_for(lambda: len(home.files()) == 3, "all of them to be archived")


class WaitedFor(InHand):
    def assert_named(self, text):
        self.assertRegex(text, r"(?m)^waits for mischief/main, which still treats f for \d+ s, worker \d+, version 6.6.6; to end it: mfdata kill mischief/main$")

    def test_stop_names_what_it_waits_for_and_goes_on_when_that_is_ended(self):
        home = self.mischief()
        self.hanging(home)
        self.assert_named(self.fails(home, MFDATA, "stop", "--timeout", "1"))
        wait_for(lambda: "was asked to stop and still treats f for" in home.log(), "the same in the log")
        home.run(MFDATA, "kill", "mischief/main")
        self.assertEqual(home.loader.wait(60), 0)

    def test_reload_names_the_worker_that_finishes_its_file_on_the_settings_before(self):
        home = self.mischief()
        self.hanging(home)
        home.override("mischief", '[step.main]\nmax_age = 1000\n[custom]\ndest_dir = "archive/main"\n')
        done = home.run(MFDATA, "reload")
        self.assertEqual(done.stdout, "reloaded\n")
        self.assert_named(done.stderr)
        home.run(MFDATA, "kill", "mischief/main")
        wait_for(lambda: not any(one["stopping"] for one in self.treatments(home)), "the worker of before to be gone")


class WaitedForByPlugins(WaitedFor):
    def another_version(self, home, version):
        folder = home.root / f"mischief-{version}"
        shutil.copytree(MISCHIEF, folder, ignore=shutil.ignore_patterns("*.p"))
        manifest = folder / "plugin.toml"
        manifest.write_text(manifest.read_text().replace('"6.6.6"', f'"{version}"'))
        return folder

    def ends_after_kill(self, home):
        home.run(MFDATA, "kill", "mischief/main")
        wait_for(lambda: not any(one["stopping"] for one in self.treatments(home)), "the worker of before to be gone")

    def test_upgrade_and_rollback_name_the_file_that_the_version_before_still_has_in_hand(self):
        home = self.mischief()
        self.hanging(home)
        done = home.run(MFDATA_PLUGIN, "install", self.another_version(home, "6.6.7"))
        self.assertIn("installed mischief 6.6.7; the loader takes it up", done.stdout)
        self.assert_named(done.stderr)
        home.run(MFDATA, "pause", "mischief/main")
        self.ends_after_kill(home)

    def test_stop_of_a_plugin_names_what_it_waits_for(self):
        home = self.mischief()
        self.hanging(home)
        done = home.run(MFDATA_PLUGIN, "stop", "mischief")
        self.assert_named(done.stderr)
        self.ends_after_kill(home)


if __name__ == "__main__":
    main()
