"""Deposits of listeners whose worker dies: what was not committed goes away, and nothing that another listener writes."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA_PLUGIN, Case, content, main, wait_for

STARTER = BUILD / "tests/plugins/starter"


class DeadListener(Case):
    def scribes(self):
        """Two listeners, each of which writes one deposit and commits it once the gate is there."""
        home = self.home("archive", STARTER)
        gate = home.root / "gate"
        home.run(MFDATA_PLUGIN, "install", STARTER, "--new-name", "other")
        for plugin in ("starter", "other"):
            home.override(plugin, f'[step.main]\nnumprocesses = 0\n[listener.scribe]\nnumprocesses = 1\n[custom]\ngate = "{gate}"\n')
        home.start()
        return home, gate

    def written(self, home):
        """Names of the deposits whose content is there, by the process that wrote it."""
        pages = {path.name: path.read_bytes() for path in (home.data / "tmp/accept").iterdir()}
        return {int(text.rpartition(b" ")[2]): name for name, text in pages.items() if text.startswith(b"written by ")}

    def pid(self, home, plugin):
        pids = home.step_status(f"{plugin}/scribe")["pids"]
        return pids[0] if pids else None

    def test_uncommitted_deposit_of_a_dead_listener_goes_and_those_of_living_ones_stay(self):
        home, gate = self.scribes()
        wait_for(lambda: len(self.written(home)) == 2, "a deposit of each listener")
        dying, living = self.pid(home, "starter"), self.pid(home, "other")
        before = self.written(home)
        os.kill(dying, signal.SIGKILL)
        wait_for(lambda: before[dying] not in os.listdir(home.data / "tmp/accept"), "the dead listener's deposit to go")
        wait_for(lambda: len(self.written(home)) == 2, "its successor's")
        after = self.written(home)
        self.assertEqual(after[living], before[living])
        gate.touch()
        paths = wait_for(lambda: len(found := home.files()) == 2 and found, "both in the archive")
        self.assertEqual({content(path) for path in paths}, {b"written by %d" % pid for pid in after})
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_committed_deposit_of_a_listener_that_then_dies_is_accepted_once(self):
        home, gate = self.scribes()
        wait_for(lambda: len(self.written(home)) == 2, "a deposit of each listener")
        pids = [self.pid(home, plugin) for plugin in ("starter", "other")]
        gate.touch()
        wait_for(lambda: len(home.files()) == 2, "both in the archive")
        gate.unlink()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(self.written(home)) == 2 and not set(pids) & set(self.written(home)), "deposits of their successors")
        self.assertEqual({content(path) for path in home.files()}, {b"written by %d" % pid for pid in pids})


if __name__ == "__main__":
    main()
