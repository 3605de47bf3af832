"""What does not start is found before it replaces what runs: by `mfdata check`, and by a reload."""
import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, main, wait_for

METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'
ENTRY = '[data]\nentry_step = "archive/main"\n'


class StartTrial(Case):
    def checked(self, home, *options):
        """Exit code and output of mfdata check."""
        done = home.run(MFDATA, "check", *options, check=False)
        return done.returncode, done.stdout + done.stderr

    def reload(self, home, *options):
        done = home.run(MFDATA, "reload", *options, check=False)
        return done.returncode, done.stdout + done.stderr

    def file(self, home, name="given"):
        path = home.root / name
        path.write_text(name)
        return path

    def test_check_names_every_component_that_does_not_start_with_its_reason_and_file(self):
        home = self.home("archive", "move", "copy", "guess_file_type", "switch", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork")
        fine = {"archive": '[[switch_rules]]\ntype = "alwaystrue"\nrules = { "" = ["main"] }\n', "move": '[custom]\ndest_dir = "archive/main"\n', "copy": '[custom]\ndest_dirs = ["archive/main"]\n',
                "guess_file_type": "", "switch": "", "fork": '[custom]\ncommand = ["true"]\n'}
        for plugin, text in fine.items():
            home.override(plugin, text)
        self.assertEqual(self.checked(home), (0, "no problems: 6 plugins, 6 steps\n"))
        wrong = [("archive", 'lifetime = "five"', "lifetime is a number of days"),
                 ("archive", 'force_chmod = "rw-r--r--"', "force_chmod is octal permission bits"),
                 ("archive", 'force_chmod = "-644"', "force_chmod is octal permission bits"),
                 ("archive", 'dest_dir = "var/archive"', "dest_dir is an absolute directory"),
                 ("move", 'dest_dir = ""', "dest_dir is empty"),
                 ("copy", "dest_dirs = []", "dest_dirs is empty"),
                 ("guess_file_type", 'magic_custom_file = "/nowhere/magic"', "magic_custom_file"),
                 ("guess_file_type", 'dest_dir = ""', "dest_dir is a step"),
                 ("guess_file_type", "ascii_header_max_length = -1", "ascii_header_max_length is 0 to 16384, not -1"),
                 ("switch", 'no_match_policy = "kep"', 'no_match_policy is one of keep|delete, not "kep" (did you mean "keep"?)'),
                 ("archive", 'dest_basename = "%Y/{ORIGINAL_NAME}"', "there is no placeholder {ORIGINAL_NAME}, did you mean {ORIGINAL_BASENAME}?"),
                 ("move", 'dest_basename = "%Q"\ndest_dir = "archive/main"', "dest_basename"),
                 ("fork", 'command = ["touch", "x_{PAHT}"]', "there is no placeholder {PAHT}, did you mean {PATH}?"),
                 ("fork", "command = []", "write either command"),
                 ("fork", 'command = ["true"]\ncommand_template = "true"', "write either command")]
        for plugin, text, words in wrong:
            with self.subTest(text=text):
                home.override(plugin, f"[custom]\n{text}\n")
                code, said = self.checked(home)
                self.assertEqual((code, words in said, f"{plugin}.toml:2:" in said), (1, True, True), said)
                home.override(plugin, fine[plugin])
        self.assertEqual(self.checked(home)[0], 0)

    def test_reload_refuses_what_does_not_start_and_what_ran_goes_on(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.start()
        wait_for(lambda: home.step_status("archive/main").get("workers") == 1, "the worker")
        before = home.worker_pids("archive/main")
        home.override("archive", '[custom]\nlifetime = "five"\n')
        code, said = self.reload(home)
        self.assertEqual((code, "lifetime is a number of days" in said, "archive.toml:2:" in said), (1, True, True), said)
        self.assertIn("lifetime is a number", home.status()["configuration"]["problem"])
        self.assertEqual((home.step_status("archive/main")["state"], home.worker_pids("archive/main")), ("running", before))
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "the file in the archive")
        home.override("archive", '[custom]\nlifetime = "5d"\n')
        self.assertEqual(self.reload(home), (0, "reloaded\n"))
        self.assertEqual(home.status()["configuration"]["problem"], "")

    def test_reload_without_trial_takes_up_what_does_not_start(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.start()
        home.override("archive", '[custom]\nlifetime = "five"\n')
        self.assertEqual(self.reload(home, "--no-trial"), (0, "reloaded\n"))
        wait_for(lambda: "lifetime" in home.step_status("archive/main")["failure"], "the step to say why it does not start")
        self.assertEqual(self.checked(home, "--no-trial")[0], 0)

    def test_wrong_rule_is_left_out_at_a_start_named_by_check_and_makes_a_reload_refuse(self):
        home = self.home("switch", "archive", settings='[data]\nentry_step = "switch/main"\n' + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/judge")
        always = '[[switch_rules]]\ntype = "alwaystrue"\nrules = { "" = ["main"] }\n'
        rules = {"judge": ('[[switch_rules]]\ntype = "plugin"\nrules = { "nobody_has_it()" = ["main"] }\n', "judge.toml:3", "nobody_has_it"),
                 "archive": (always + '[[switch_rules]]\ntype = "regex"\ntag = "t"\nrules = { "(" = ["main"] }\n', "archive.toml:7:", "regular expression")}
        home.override("archive", always)
        home.start()
        wait_for(lambda: home.step_status("switch/main").get("workers") == 1, "the worker")
        for plugin, (text, place, words) in rules.items():
            with self.subTest(plugin=plugin):
                home.override(plugin, text)
                for code, said in (self.checked(home), self.reload(home)):
                    self.assertEqual((code, place in said, words in said), (1, True, True), said)
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "the file in the archive")
        home.stop()
        home.start()
        home.drop("b", b"b")
        wait_for(lambda: len(home.files()) == 2, "the file in the archive")
        self.assertIn("a rule is left out", home.log())
        home.wait_log("switch.main", "a rule is left out")

    def test_metrics_address_that_is_taken_is_a_problem_but_not_to_the_loader_that_serves_on_it(self):
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
            busy, own = (server.getsockname()[1] for server in (taken, free))
            free.close()
            home = self.home("archive", settings=ENTRY + f'[metrics]\nlisten = "127.0.0.1:{own}"\n')
            self.assertEqual(self.checked(home)[0], 0)
            home.start()
            self.assertEqual(self.checked(home)[0], 0)
            home.configure(ENTRY + f'[metrics]\nlisten = "127.0.0.1:{busy}"\n')
            for code, said in (self.checked(home), self.reload(home)):
                self.assertEqual((code, f"127.0.0.1:{busy}" in said, "mfdata.toml:4:" in said), (1, True, True), said)
            home.drop("a", b"a")
            wait_for(lambda: len(home.files()) == 1, "the file in the archive")

    def test_check_touches_neither_the_spool_nor_a_file_in_hand(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork")
        gate = home.root / "gate"
        home.override("fork", f'[custom]\ndest_dir = "archive/main"\ncommand = ["sh", "-c", "while [ ! -e {gate} ]; do sleep 0.05; done"]\n')
        before = sorted(home.data.rglob("*"))
        self.assertEqual(self.checked(home)[0], 0)
        self.assertEqual(sorted(home.data.rglob("*")), before)
        home.start()
        home.run(MFDATA, "inject", self.file(home), "--step", "fork/main")
        wait_for(lambda: home.step_status("fork/main").get("in_flight") == 1 and home.left_over(), "the file to be in hand")
        before = home.spooled()
        self.assertEqual(self.checked(home)[0], 0)
        self.assertEqual((home.spooled(), home.step_status("fork/main")["in_flight"]), (before, 1))
        gate.touch()
        home.wait_idle()


class ReloadBesideFiles(Case):
    """The program of `exec` says that it is ready once a gate is open: until then a reload that changes it is under way."""

    PROGRAM = "while [ ! -e GATE ]; do sleep 0.05; done; exec python3 {plugin_dir}/count_lines.py"

    def start(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/exec")
        home.override("exec", "[step.main]\nnumprocesses = 0\n")
        home.start()
        wait_for(lambda: home.step_status("archive/main").get("workers") == 1, "the worker")
        self.gate = home.root / "gate"
        self.exec(home)
        return home

    def exec(self, home, more=""):
        program = self.PROGRAM.replace("GATE", str(self.gate))
        home.override("exec", f'[step.main]\n{more}\n[custom]\ncommand = ["sh", "-c", "{program}"]\nstart_timeout = 50\n')

    def reload(self, home):
        process = subprocess.Popen([MFDATA, "reload"], env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def reading(self, home):
        return home.status()["configuration"]["reading"]

    def no_plugin(self, home):
        return json.loads(home.run(MFDATA, "status", "--json", check=False).stdout)["no_plugin"]

    def test_files_flow_and_commands_are_answered_while_a_reload_is_under_way(self):
        home = self.start()
        reload = self.reload(home)
        wait_for(lambda: self.reading(home), "the reload to be under way")
        for number in range(5):
            home.drop(f"f{number}", b"x")
        wait_for(lambda: len(home.files()) == 5, "the files in the archive")
        home.run(MFDATA, "pause", "archive/main")
        home.run(MFDATA, "resume", "archive/main")
        self.assertEqual((reload.poll(), self.reading(home), home.worker_pids("exec/main")), (None, True, []))
        self.gate.touch()
        self.assertEqual((reload.wait(60), reload.stdout.read()), (0, "reloaded\n"))
        wait_for(lambda: home.step_status("exec/main")["workers"] == 1, "the worker")

    def test_last_state_of_the_disk_wins_when_another_reload_is_asked_for_meanwhile(self):
        home = self.start()
        first = self.reload(home)
        wait_for(lambda: self.reading(home), "the reload to be under way")
        self.exec(home, "numprocesses = 2")
        others = [self.reload(home) for _ in range(3)]
        home.loader.send_signal(signal.SIGHUP)
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "a file in the archive")
        self.gate.touch()
        for process in (first, *others):
            self.assertEqual(process.wait(120), 0, process.stdout.read())
        wait_for(lambda: home.step_status("exec/main")["workers"] == 2 and not self.reading(home), "two workers")

    def test_stop_ends_a_reload_that_is_under_way(self):
        home = self.start()
        reload = self.reload(home)
        wait_for(lambda: self.reading(home), "the reload to be under way")
        home.run(MFDATA, "stop")
        self.assertEqual(reload.wait(60), 1)
        self.assertIn("the loader is stopping", reload.stdout.read())
        self.assertEqual(home.loader.wait(60), 0)

    def test_commands_that_look_at_the_spool_need_no_file_of_a_plugin(self):
        home = self.start()
        home.run(MFDATA, "pause", "archive/main")
        path = home.root / "given"
        path.write_text("x")
        home.run(MFDATA, "inject", path, "--step", "archive/main")
        home.override("exec", "this is no TOML")
        self.assertEqual(len(json.loads(home.run(MFDATA, "queue", "list", "archive/main", "--json").stdout)), 1)
        self.assertEqual(json.loads(home.run(MFDATA, "trash", "list", "--json").stdout), [])
        self.assertEqual(self.no_plugin(home), {})
        self.assertIn('did you mean "archive/main"', home.run(MFDATA, "queue", "list", "archiv/main", check=False).stderr)
        home.stop()
        self.assertEqual(self.no_plugin(home), {})
        home.run(MFDATA_PLUGIN, "remove", "archive", "--force")
        self.assertEqual(self.no_plugin(home), {"archive/main": 1})


if __name__ == "__main__":
    main()
