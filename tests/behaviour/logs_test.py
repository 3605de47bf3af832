"""The logs: one that is taken away from outside is made anew, and one that cannot be written is said elsewhere."""
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, Case, main, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"
SETTINGS = '[data]\nentry_step = "mischief/main"\n[metrics]\nlisten = "127.0.0.1:0"\n'


class Logs(Case):
    def setUp(self):
        self.runs = self.home(MISCHIEF, settings=SETTINGS)
        self.own, self.step = self.runs.root / "log/loader.log", self.runs.root / "log/mischief.main.log"

    def fails(self, name):
        """A file that fails, which is a line in the log of its step."""
        before = len(self.runs.trash("mischief/main"))
        self.runs.drop(name, b"fail\n")
        self.runs.wait_trash("mischief/main", before + 1)

    def text(self, path):
        return path.read_text() if path.exists() else ""

    def test_log_that_was_removed_or_renamed_is_made_anew_and_written_on(self):
        self.runs.start()
        self.fails("a")
        wait_for(lambda: "went to trash" in self.text(self.step), "a line")
        self.step.rename(self.step.with_name("elsewhere"))
        self.own.unlink()
        wait_for(lambda: self.step.exists() and self.own.exists(), "new logs")
        self.fails("b")
        wait_for(lambda: self.text(self.step).count("went to trash") == 1, "the second line in the new log")
        self.assertEqual(self.text(self.step.with_name("elsewhere")).count("went to trash"), 1)

    def test_hangup_and_reload_open_the_logs_anew(self):
        self.runs.start()
        for generation, ask in enumerate((lambda: self.runs.loader.send_signal(signal.SIGHUP), lambda: self.runs.run(MFDATA, "reload")), 2):
            line = f"the configuration is taken up, generation {generation}\n"
            before = self.own.with_name("before")
            self.own.rename(before)
            ask()
            wait_for(lambda: line in self.text(self.own) + self.text(before), "the line of the reload")
            self.assertNotIn(line, self.text(before))

    def test_log_directory_that_cannot_be_written_is_said_on_stderr_in_status_and_by_a_metric(self):
        self.runs.start()
        self.runs.loader.send_signal(signal.SIGSTOP)  # it would make the directory again in between
        shutil.rmtree(self.runs.root / "log")
        (self.runs.root / "log").write_text("in the way")
        self.runs.loader.send_signal(signal.SIGCONT)
        said = lambda: self.runs.log().count(f"cannot open the log {self.own}")
        wait_for(said, "the reason on stderr")
        wait_for(lambda: self.runs.metric("mfdata_log_files_unwritable") >= 1, "the metric")
        self.assertIn(f"log: cannot open the log {self.own}", self.runs.run(MFDATA, "status").stdout)
        self.fails("a")
        wait_for(lambda: "went to trash" in self.runs.log(), "the line of the step on stderr")
        (self.runs.root / "log").unlink()
        wait_for(lambda: f"the log {self.own} is written again" in self.runs.log(), "the log to be written again")
        wait_for(lambda: not self.runs.status()["log_problems"], "no problem in status")
        self.assertEqual(said(), 1, "said once")
        self.fails("b")
        wait_for(lambda: "went to trash" in self.text(self.step), "the second line in the log")
        wait_for(lambda: self.runs.metric("mfdata_log_files_unwritable") == 0, "the metric")


if __name__ == "__main__":
    main()
