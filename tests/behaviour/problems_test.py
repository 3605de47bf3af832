"""What is wrong in a configuration, or hardly meant: where it is reported, with what hint, and what it keeps from running."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import MFDATA, Case, main, wait_for

ENTRY = '[data]\nentry_step = "switch/main"\n'
RULE = '[[switch_rules]]\ntype = "alwaystrue"\nrules = { all = ["main"] }\n'


class Problems(Case):
    def problems(self, home):
        """(exit code, [{severity, file, line, column, text, hint}]) of `mfdata check`."""
        done = home.run(MFDATA, "check", "--json", check=False)
        return done.returncode, json.loads(done.stdout)

    def only(self, home, severity="error"):
        """The one thing that is wrong."""
        code, problems = self.problems(home)
        self.assertEqual(len(problems), 1, problems)
        self.assertEqual((problems[0]["severity"], code), (severity, 1 if severity == "error" else 0))
        return problems[0]


class Warnings(Problems):
    def test_a_rule_for_a_step_without_processes_is_warned_of_and_everything_runs(self):
        home = self.home("switch", "archive", settings=ENTRY)
        home.override("archive", "[step.main]\nnumprocesses = 0\n" + RULE)
        warning = self.only(home, "warning")
        self.assertIn("archive/main has numprocesses = 0", warning["text"])
        self.assertEqual((os.path.basename(warning["file"]), warning["line"]), ("archive.toml", 5))
        done = home.run(MFDATA, "check")
        self.assertIn("archive.toml:5:17: warning: [[switch_rules]]: archive/main", done.stderr)
        self.assertIn("no problems, 1 warning: 2 plugins, 2 steps", done.stdout)
        home.start()
        wait_for(lambda: "numprocesses = 0" in home.log(), "the warning in the loader's log")
        before = home.log().count("numprocesses = 0")
        home.override("archive", "[step.main]\nnumprocesses = 0\nmax_age = 5000\n" + RULE)
        home.run(MFDATA, "reload")
        self.assertGreater(home.log().count("numprocesses = 0"), before, "the warning of the reload")


if __name__ == "__main__":
    main()
