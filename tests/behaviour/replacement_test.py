"""Workers that a reload replaces: the one before goes on until the next one is ready, and never more of them treat files than before."""
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, main, wait_for

SETTINGS = '[data]\nentry_step = "archive/main"\n[metrics]\nlisten = "127.0.0.1:0"\n'


class Replacement(Case):
    """A home with `archive` and `starter`, whose start waits for a gate from its second process on: the first is the trial."""

    def running(self, *more):
        home = self.home("archive", settings=SETTINGS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/starter")
        for plugin in more:
            home.run(MFDATA_PLUGIN, "install", BUILD / f"sample_plugins/{plugin}")
        self.gate, self.record = home.root / "gate", home.root / "record"
        home.start()
        for step in ("archive/main", "starter/main"):
            wait_for(lambda: home.step_status(step).get("workers") == 1, f"the worker of {step}")
        return home

    def waits_at_its_start(self, home, step=""):
        home.override("starter", f'[step.main]\n{step}\n[custom]\nat_start = "wait but first"\ngate = "{self.gate}"\nrecord = "{self.record}"\n')

    def noted(self):
        return [int(line) for line in self.record.read_text().split()] if self.record.exists() else []

    def asked_to_reload(self, home):
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.connect(str(home.root / "run/control.sock"))
        connection.sendall(json.dumps({"command": "reload"}).encode() + b"\n")
        return connection

    def answer(self, connection):
        connection.settimeout(60)
        with connection.makefile() as lines:
            return json.loads(lines.readline())

    def inject(self, home, name, step="starter/main"):
        path = home.root / name
        path.write_text(name)
        home.run(MFDATA, "inject", path, "--step", step)

    def ended(self, home, step="starter"):
        return home.metric("mfdata_files_total", plugin=step, step="main", result="ok") or 0

    def workers(self, home, step, state):
        return home.metric("mfdata_workers", plugin=step, step="main", state=state) or 0

    def test_old_worker_goes_on_treating_files_while_the_next_one_starts(self):
        home = self.running()
        archive, [old] = home.worker_pids("archive/main"), home.worker_pids("starter/main")
        self.waits_at_its_start(home)
        reload = self.asked_to_reload(home)
        wait_for(lambda: len(self.noted()) == 2, "the next worker, after the trial")
        for number in (1, 2):
            self.inject(home, f"f{number}")
            wait_for(lambda: self.ended(home) == number, "the file to be treated")
        next_one = self.noted()[1]
        self.assertEqual(sorted(home.worker_pids("starter/main")), sorted([old, next_one]))
        self.assertEqual(home.step_status("starter/main")["workers"], 1)
        self.gate.touch()
        self.assertEqual(self.answer(reload), {"reloaded": "workers"})
        wait_for(lambda: home.worker_pids("starter/main") == [next_one] and home.step_status("starter/main")["workers"] == 1, "the next worker alone")
        self.inject(home, "f3")
        wait_for(lambda: self.ended(home) == 3, "the file to be treated")
        self.assertEqual((home.worker_pids("starter/main"), home.worker_pids("archive/main")), ([next_one], archive))
        home.wait_idle()
        self.assertEqual((home.left_over(), home.trash("starter/main")), ([], []))

    def test_next_worker_begins_no_file_before_the_old_one_has_finished_its_own(self):
        home = self.running("fork")
        turn = home.root / "turn"
        def command(more):
            home.override("fork", f'[custom]\ncommand = ["sh", "-c", "{more}while [ ! -e {turn} ]; do sleep 0.05; done"]\n')
        command("")
        home.run(MFDATA, "reload")
        wait_for(lambda: home.step_status("fork/main")["workers"] == 1, "the worker")
        self.inject(home, "first", "fork/main")
        wait_for(lambda: len(home.step_status("fork/main")["in_hand"]) == 1, "the file in hand")
        [old] = home.worker_pids("fork/main")
        command(f"echo >> {home.root}/as-it-says-now; ")
        home.run(MFDATA, "reload")
        self.inject(home, "second", "fork/main")
        wait_for(lambda: self.workers(home, "fork", "standby") == 1, "the next worker to stand by")
        wait_for(lambda: home.step_status("fork/main")["queued"] == 1, "the second file to wait")
        self.assertEqual([one["pid"] for one in home.step_status("fork/main")["in_hand"]], [old])
        self.assertFalse((home.root / "as-it-says-now").exists())
        turn.touch()
        wait_for(lambda: self.ended(home, "fork") == 2, "both files")
        self.assertEqual((home.root / "as-it-says-now").read_text(), "\n")
        wait_for(lambda: len(home.worker_pids("fork/main")) == 1 and old not in home.worker_pids("fork/main"), "the next worker alone")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_step_that_cannot_run_twice_is_replaced_after_its_old_worker_has_ended(self):
        home = self.running()
        home.override("starter", f'[custom]\nat_start = "alone"\nrecord = "{self.record}"\n')
        home.run(MFDATA, "reload")
        wait_for(lambda: len(home.worker_pids("starter/main")) == 1 and home.step_status("starter/main")["workers"] == 1, "the worker")
        [old] = home.worker_pids("starter/main")
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/delete")  # each worker knows all steps
        wait_for(lambda: old not in home.worker_pids("starter/main") and home.step_status("starter/main")["workers"] == 1, "its next worker")
        self.assertIn("its next worker cannot be started beside the one that it replaces (the plugin does not start: somebody else has it", home.log())
        [old] = home.worker_pids("starter/main")
        home.override("starter", f'[step.main]\ntimeout = 500\n[custom]\nat_start = "alone"\nrecord = "{self.record}"\n')
        self.assertEqual(home.run(MFDATA, "reload", check=False).returncode, 1)
        self.assertEqual(home.worker_pids("starter/main"), [old])
        home.run(MFDATA, "reload", "--no-trial")
        wait_for(lambda: old not in home.worker_pids("starter/main") and home.step_status("starter/main")["workers"] == 1, "its next worker")
        self.inject(home, "f")
        wait_for(lambda: self.ended(home) == 1, "the file to be treated")

    def test_directory_that_is_added_is_taken_by_the_worker_that_knows_it(self):
        home = self.running()
        inbox = home.data / "inbox"
        self.waits_at_its_start(home, 'watched_directories = ["inbox"]')
        reload = self.asked_to_reload(home)
        wait_for(lambda: len(self.noted()) == 2 and inbox.exists(), "the next worker")
        home.drop("early", b"early", directory=inbox)
        self.inject(home, "other")
        wait_for(lambda: self.ended(home) == 1, "a file of the old worker")
        self.assertEqual(os.listdir(inbox), ["early"])
        self.gate.touch()
        self.assertEqual(self.answer(reload), {"reloaded": "workers"})
        wait_for(lambda: self.ended(home) == 2, "the file of the new directory")
        self.assertEqual(os.listdir(inbox), [])

    def test_later_reload_does_not_wait_for_what_an_earlier_one_starts(self):
        home = self.running()
        [old] = home.worker_pids("starter/main")
        self.waits_at_its_start(home)
        first = self.asked_to_reload(home)
        wait_for(lambda: len(self.noted()) == 2, "the next worker")
        home.override("starter", '[step.main]\ntimeout = 500\n')
        self.assertEqual(home.run(MFDATA, "reload").stdout, "reloaded\n")
        self.assertEqual(self.answer(first), {"reloaded": "workers"})
        wait_for(lambda: home.step_status("starter/main")["workers"] == 1 and not {old, self.noted()[1]} & set(home.worker_pids("starter/main")),
                 "the worker of the last reload alone")
        self.inject(home, "f")
        wait_for(lambda: self.ended(home) == 1, "the file to be treated")

    def test_death_of_the_old_worker_leaves_the_step_to_the_one_that_starts(self):
        home = self.running()
        self.waits_at_its_start(home)
        reload = self.asked_to_reload(home)
        wait_for(lambda: len(self.noted()) == 2, "the next worker")
        [old] = [pid for pid in home.worker_pids("starter/main") if pid != self.noted()[1]]
        os.kill(old, 9)
        self.assertEqual(self.answer(reload), {"reloaded": "workers"})
        self.inject(home, "f")
        self.gate.touch()
        wait_for(lambda: self.ended(home) == 1, "the file to be treated")
        self.assertEqual(home.worker_pids("starter/main"), self.noted()[1:])

    def test_loader_stops_while_a_worker_starts_beside_another_one(self):
        home = self.running()
        self.waits_at_its_start(home)
        self.asked_to_reload(home)
        wait_for(lambda: len(self.noted()) == 2, "the next worker")
        home.run(MFDATA, "stop")
        self.assertEqual((home.loader.wait(60), home.left_over()), (0, []))


if __name__ == "__main__":
    main()
