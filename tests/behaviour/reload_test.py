"""A configuration that changes while files flow: only what it touches begins anew, and nobody waits for a slow file of others."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, main, parse_tags_file, wait_for


class Reload(Case):
    """A home with a step `slow` (the plugin fork, which holds a file until the gate is open) and the step `archive`."""

    METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'

    def start(self, **overrides):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n' + self.METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork", "--new-name", "slow")
        self.gate = home.root / "gate"
        self.slow(home)
        for plugin, text in overrides.items():
            home.override(plugin, text)
        home.start()
        wait_for(lambda: home.step_status("slow/main").get("workers") == 1 and home.step_status("archive/main").get("workers") == 1, "the workers")
        return home

    def slow(self, home, step="", custom=""):
        wait = f"while [ ! -e {self.gate} ]; do sleep 0.05; done"
        home.override("slow", f'[step.main]\n{step}\n[custom]\ncommand = ["sh", "-c", "{wait}"]\n{custom}')

    def hold_a_file(self, home, *names):
        for name in names or ("held",):
            home.run(MFDATA, "inject", self.file(home, name), "--step", "slow/main")
        wait_for(lambda: home.step_status("slow/main").get("in_flight", 0) >= 1, "a file to be in hand")

    def file(self, home, name):
        path = home.root / name
        path.write_bytes(name.encode())
        return path

    def originals(self, home, directory=None):
        return sorted(parse_tags_file(path + b".tags")["first.core.original_basename"].decode() for path in home.files(directory))

    def test_file_that_takes_long_delays_no_step_that_is_added_or_removed(self):
        home = self.start()
        self.hold_a_file(home)
        before = home.worker_pids("slow/main")
        for number in (1, 2):
            home.run(MFDATA_PLUGIN, "install", "delete")
            wait_for(lambda: home.step_status("delete/main").get("workers") == 1, "the new step's worker")
            home.run(MFDATA, "inject", self.file(home, "d"), "--step", "delete/main")
            wait_for(lambda: home.metric("mfdata_files_total", plugin="delete", step="main", result="ok") >= number, "the new step to treat a file")
            home.drop("a", b"a")
            wait_for(lambda: len(home.files()) == 1, "a file of another step")
            for path in home.files():
                os.unlink(path)
                os.unlink(path + b".tags")
            home.run(MFDATA_PLUGIN, "remove", "delete")
            self.assertEqual(home.step_status("delete/main"), {})
        self.assertEqual((home.worker_pids("slow/main"), home.step_status("slow/main")["in_flight"]), (before, 1))
        self.gate.touch()
        home.wait_idle()
        self.assertEqual((home.left_over(), home.trash("slow/main")), ([], []))

    def test_more_and_fewer_workers_of_one_step_leave_the_others_alone(self):
        home = self.start()
        self.hold_a_file(home)
        archive = home.worker_pids("archive/main")
        for number in (3, 1, 2, 0, 1):
            home.override("archive", f"[step.main]\nnumprocesses = {number}\n")
            home.run(MFDATA, "reload")
            wait_for(lambda: len(home.worker_pids("archive/main")) == number and home.step_status("archive/main")["workers"] == number, f"{number} workers")
        self.assertEqual(home.step_status("slow/main")["in_flight"], 1)
        self.slow(home, "numprocesses = 3")
        home.run(MFDATA, "reload")
        self.hold_a_file(home, "b", "c")
        wait_for(lambda: home.step_status("slow/main")["in_flight"] == 3, "three files in hand")
        self.slow(home, "numprocesses = 1")
        home.run(MFDATA, "reload")
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "a file of another step")
        self.assertNotEqual(home.worker_pids("archive/main"), archive)
        self.gate.touch()
        home.wait_idle()
        wait_for(lambda: home.step_status("slow/main")["workers"] == 1 and len(home.worker_pids("slow/main")) == 1, "one worker")
        self.assertEqual(home.left_over(), [])

    def test_watched_directory_changes_its_step_after_what_the_earlier_one_holds(self):
        home = self.start()
        inbox = home.data / "inbox"
        self.slow(home, 'watched_directories = ["inbox"]')
        home.run(MFDATA, "reload")
        for name in ("first", "second"):
            home.drop(name, name.encode(), directory=inbox)
        wait_for(lambda: "first" not in os.listdir(inbox) and home.step_status("slow/main")["in_flight"] >= 1, "the file to be in hand")
        self.slow(home)
        home.override("archive", '[step.main]\nwatched_directories = ["inbox"]\n')
        home.run(MFDATA, "reload")
        home.drop("third", b"third", directory=inbox)
        home.drop("other", b"other")
        wait_for(lambda: "other" in self.originals(home), "a file that arrives elsewhere")
        self.gate.touch()
        wait_for(lambda: {"second", "third"} <= set(self.originals(home)), "the others in the archive")
        home.wait_idle()
        self.assertEqual(self.originals(home), ["other", "second", "third"])  # the first ended with the step that had it
        self.assertEqual(home.metric("mfdata_files_total", plugin="slow", step="main", result="ok"), 1)

    def test_entrance_changes_in_place(self):
        home = self.start()
        home.run(MFDATA_PLUGIN, "install", "delete")
        home.drop("a", b"a")
        wait_for(lambda: self.originals(home) == ["a"], "the file in the archive")
        home.configure('[data]\nentry_step = "delete/main"\n' + self.METRICS)
        home.run(MFDATA, "reload")
        home.drop("b", b"b")
        wait_for(lambda: home.metric("mfdata_files_total", plugin="delete", step="main", result="ok") == 1, "the file to be deleted")
        home.configure('[data]\nentry_step = "archive/main"\nready = "quiet:1s"\n' + self.METRICS)
        home.run(MFDATA, "reload")
        home.drop("c", b"c")
        wait_for(lambda: self.originals(home) == ["a", "c"], "the file in the archive")

    def test_files_of_a_removed_step_wait_and_flow_again_when_it_is_back(self):
        home = self.start()
        home.run(MFDATA_PLUGIN, "install", "delete")
        home.run(MFDATA, "pause", "delete/main")
        for number in range(20):
            home.run(MFDATA, "inject", self.file(home, f"f{number}"), "--step", "delete/main")
        wait_for(lambda: home.step_status("delete/main")["queued"] == 20, "the files to wait")
        home.run(MFDATA_PLUGIN, "remove", "delete")
        self.assertEqual(len(home.spooled()), 20)
        home.run(MFDATA_PLUGIN, "install", "delete")
        wait_for(lambda: home.step_status("delete/main").get("queued") == 20, "the files to wait again")
        self.assertEqual(home.step_status("delete/main")["state"], "paused")
        home.run(MFDATA, "resume", "delete/main")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_removed_plugin_keeps_its_folder_until_its_file_is_finished(self):
        home = self.start()
        self.hold_a_file(home)
        done = home.run(MFDATA_PLUGIN, "remove", "slow")
        self.assertIn("workers still finish files with it", done.stdout)
        folder = home.root / "plugins/slow"
        self.assertTrue(any(path.name == "fork.so" for path in folder.rglob("*")))
        self.assertNotIn("slow", home.run(MFDATA_PLUGIN, "list").stdout)
        self.assertEqual(home.step_status("slow/main")["state"], "ending")
        home.run(MFDATA_PLUGIN, "install", "delete")  # clears away what is over, not this
        self.assertTrue(folder.exists())
        self.gate.touch()
        wait_for(lambda: home.step_status("slow/main") == {}, "its worker to end")
        home.run(MFDATA_PLUGIN, "remove", "slow", "--clean")
        self.assertFalse(folder.exists() or (home.data / "step.slow.main").exists())
        self.assertIn("no plugin", home.run(MFDATA_PLUGIN, "remove", "slow", check=False).stderr)

    def test_removed_plugin_keeps_its_folder_while_its_predicates_are_asked(self):
        home = self.home("switch", "archive", settings='[data]\nentry_step = "switch/main"\n[loader]\npredicate_timeout = 600\n' + self.METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/judge")
        home.override("judge", '[[switch_rules]]\ntype = "plugin"\nrules = { "does(hang, held)" = ["main"] }\n')
        home.override("archive", '[[switch_rules]]\ntype = "alwaystrue"\nrules = { "" = ["main"] }\n')
        home.start()
        home.drop("held", b"x")
        wait_for(lambda: home.step_status("switch/main").get("in_flight") == 1, "the file to be in hand")
        removal = subprocess.Popen([MFDATA_PLUGIN, "remove", "judge"], env=home.environment, stdout=subprocess.PIPE, text=True)
        wait_for(lambda: home.step_status("judge/main") == {}, "its own worker to end")
        self.assertIn("judge", home.status()["plugins_in_use"])
        self.assertTrue(any((home.root / "plugins/judge").rglob("judge.so")))
        [worker] = [one["pid"] for one in home.step_status("switch/main")["in_hand"]]  # beside it the next one stands by
        os.kill(int(subprocess.run(["pgrep", "-P", str(worker)], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]), signal.SIGKILL)
        self.assertEqual((removal.wait(60), (home.root / "plugins/judge").exists()), (0, False))
        removal.stdout.close()
        wait_for(lambda: self.originals(home) == ["held"], "the file in the archive")

    def test_plugin_that_is_installed_again_while_it_ends_runs_again(self):
        home = self.start()
        self.hold_a_file(home)
        home.run(MFDATA_PLUGIN, "remove", "slow")
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork", "--new-name", "slow")
        self.gate.touch()
        wait_for(lambda: home.step_status("slow/main").get("workers") == 1, "its worker")
        home.run(MFDATA, "inject", self.file(home, "another"), "--step", "slow/main", "--wait")
        home.wait_idle()
        self.assertEqual((home.left_over(), home.trash("slow/main")), ([], []))

    def test_fall_back_is_to_what_was_taken_up_last(self):
        home = self.start()
        home.run(MFDATA_PLUGIN, "install", "delete")
        home.configure('[data]\nentry_step = "delete/main"\n' + self.METRICS)
        home.run(MFDATA, "reload")
        (home.root / "in-the-way").write_text("")
        home.configure('[data]\nentry_step = "delete/main"\ndir = "{home}/in-the-way/in"\n' + self.METRICS)
        self.assertEqual(home.run(MFDATA, "reload", check=False).returncode, 1)
        self.assertIn("the one before runs again", home.log())
        home.drop("a", b"a")
        home.wait_idle()
        self.assertEqual((home.files(), "delete/main" in [row["step"] for row in home.status()["steps"]]), ([], True))

    def test_other_readiness_of_a_directory_does_not_wait_for_a_slow_file(self):
        home = self.start()
        inbox = home.data / "inbox"
        self.slow(home, 'watched_directories = ["inbox"]\nnumprocesses = 2')
        home.run(MFDATA, "reload")
        home.drop("first", b"1", directory=inbox)
        wait_for(lambda: home.step_status("slow/main")["in_flight"] == 1 and not os.listdir(inbox), "the file to be in hand")
        home.configure('[data]\nentry_step = "archive/main"\nready = "quiet:0.1s"\n' + self.METRICS)
        home.run(MFDATA, "reload")
        home.drop("second", b"2", directory=inbox)
        wait_for(lambda: home.step_status("slow/main")["in_flight"] == 2 and not os.listdir(inbox), "the next file to be in hand")
        self.gate.touch()
        home.wait_idle()

    def test_removal_cleans_up_also_when_it_is_said_again(self):
        home = self.start()
        self.hold_a_file(home)
        home.run(MFDATA_PLUGIN, "remove", "slow")
        self.gate.touch()
        wait_for(lambda: home.step_status("slow/main") == {}, "its worker to end")
        home.run(MFDATA_PLUGIN, "remove", "slow", "--clean")
        self.assertFalse((home.root / "etc/plugins.d/slow.toml").exists())

    def test_age_of_workers_alone_is_taken_up(self):
        home = self.start()
        before = home.worker_pids("archive/main")
        home.override("archive", "[step.main]\nmax_age = 0.2\n")
        home.run(MFDATA, "reload")
        for _ in range(2):
            wait_for(lambda: home.worker_pids("archive/main") not in ([], before), "another worker", 60)
            before = home.worker_pids("archive/main")

    def test_step_and_listener_of_one_name_are_refused(self):
        home = self.start()
        path = next((home.root / "plugins/slow").glob("*/plugin.toml"))
        path.write_text(path.read_text() + "\n[listener.main]\n")
        done = home.run(MFDATA, "reload", check=False)
        self.assertEqual((done.returncode, "a listener needs a name of its own" in done.stderr), (1, True))

    def test_directory_that_cannot_be_made_changes_nothing(self):
        home = self.start()
        (home.root / "in-the-way").write_text("")
        home.override("archive", f'[step.main]\nwatched_directories = ["{home.root}/in-the-way/inbox"]\n')
        done = home.run(MFDATA, "reload", check=False)
        self.assertEqual((done.returncode, "in-the-way" in done.stderr), (1, True))
        self.assertIn("in-the-way", home.status()["configuration"]["problem"])
        home.drop("a", b"a")
        wait_for(lambda: self.originals(home) == ["a"], "the file in the archive")


if __name__ == "__main__":
    main()
