"""What does not start is found before it replaces what runs: by `mfdata check`, and by a reload."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, main, wait_for

METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'
ENTRY = '[data]\nentry_step = "archive/main"\n'


class StartTrialCase(Case):
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


class StartTrial(StartTrialCase):
    def test_check_names_every_component_that_does_not_start_with_its_reason_and_file(self):
        home = self.home("archive", "move", "copy", "guess_file_type", "switch", "ungzip", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork")
        fine = {"archive": '[[switch_rules]]\ntype = "alwaystrue"\nrules = { "" = ["main"] }\n', "move": '[custom]\ndest_dir = "archive/main"\n', "copy": '[custom]\ndest_dirs = ["archive/main"]\n',
                "guess_file_type": "", "switch": "", "ungzip": "", "fork": '[custom]\ncommand = ["true"]\n'}
        for plugin, text in fine.items():
            home.override(plugin, text)
        self.assertEqual(self.checked(home), (0, "no problems: 7 plugins, 7 steps\n"))
        wrong = [("archive", 'lifetime = "five"', "lifetime is a number of days"),
                 ("archive", 'force_chmod = "rw-r--r--"', "force_chmod is octal permission bits"),
                 ("archive", 'force_chmod = "-644"', "force_chmod is octal permission bits"),
                 ("archive", 'dest_dir = "var/archive"', "dest_dir is an absolute directory"),
                 ("move", 'dest_dir = ""', "dest_dir is empty"),
                 ("copy", "dest_dirs = []", "dest_dirs is empty"),
                 ("copy", 'dest_dirs = ["archive/main", ""]', "dest_dirs has an empty entry"),
                 ("ungzip", 'dest_dir = ""', "dest_dir is empty"),
                 ("archive", 'clock_file = "{hom}/c"', "{hom}"),
                 ("guess_file_type", 'magic_custom_file = "{hom}/x"', "{hom}"),
                 ("guess_file_type", 'magic_custom_file = "/nowhere/magic"', "magic_custom_file"),
                 ("guess_file_type", 'dest_dir = ""', "dest_dir is a step"),
                 ("guess_file_type", "ascii_header_max_length = -1", "ascii_header_max_length is 0 to 16384, not -1"),
                 ("switch", 'no_match_policy = "kep"', 'no_match_policy is one of keep|delete, not "kep" (did you mean "keep"?)'),
                 ("archive", 'dest_basename = "%Y/{ORIGINAL_NAME}"', "there is no placeholder {ORIGINAL_NAME}, did you mean {ORIGINAL_BASENAME}?"),
                 ("archive", 'dest_basename = "../{ORIGINAL_BASENAME}"', 'a part of it is "..", and files only go below dest_dir'),
                 ("archive", 'dest_basename = "%Y/"', "a part of it is empty"),
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
        wait_for(lambda: home.step_status("archive/main")["state"] == "does not start", "its state to be none of a step that runs", 60)
        self.assertRegex(home.run(MFDATA, "status").stdout, r"(?m)^archive/main +1\.0\.0 +does not start +0 +0 +0/1$")
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


class Misbehaviour(StartTrialCase):
    """What a plugin may do when it is made on trial, and what may be in the way."""

    def starter(self, custom="", listens=False):
        lamp = "[listener.lamp]\nnumprocesses = 1\n" if listens else ""
        return lamp + (f"[custom]\n{custom}" if custom else "")

    def running(self, custom="", listens=False):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/starter")
        home.override("starter", self.starter(custom, listens))
        return home.start()

    def test_plugin_that_ends_the_process_with_success_does_not_start(self):
        home = self.running()
        home.override("starter", self.starter('at_start = "exit"\n'))
        for code, said in (self.checked(home), self.reload(home)):
            self.assertEqual((code, "starter/main does not start: its process ends with the status 0" in said), (1, True), said)

    def test_reason_is_what_is_said_last_however_much_is_printed_before(self):
        home = self.running()
        home.override("starter", self.starter('at_start = "print and throw"\n'))
        for code, said in (self.checked(home), self.reload(home)):
            self.assertEqual((code, "starter/main does not start: said at the end" in said), (1, True), said[-2000:])

    def test_check_leaves_no_process_and_no_directory_behind(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/starter")
        temporary = home.root / "temporary"
        temporary.mkdir()
        home.environment["TMPDIR"] = str(temporary)
        for deed, code in (("orphans", 0), ("exit", 1)):
            home.override("starter", self.starter(f'at_start = "{deed}"\nrecord = "{home.root}/record"\n'))
            self.assertEqual(self.checked(home)[0], code)
            self.assertEqual(list(temporary.iterdir()), [])
        pids = [int(line) for line in (home.root / "record").read_text().split()]
        self.assertEqual((len(pids), [pid for pid in pids if os.path.exists(f"/proc/{pid}")]), (3, []))

    def test_interrupted_check_ends_what_it_has_started(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/exec")
        program = f"echo $$ > {home.root}/pid; exec sleep 1000"
        home.override("exec", f'[custom]\ncommand = ["sh", "-c", "{program}"]\nstart_timeout = 50\n')
        check = subprocess.Popen([MFDATA, "check"], env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(check.stdout.close)
        pid = wait_for(lambda: (home.root / "pid").exists() and (home.root / "pid").read_text().strip(), "the program")
        check.send_signal(signal.SIGINT)
        self.assertEqual((check.wait(60), "interrupted" in check.stdout.read()), (1, True))
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_missing_directory_for_temporary_files_keeps_nothing_from_being_tried(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.environment["TMPDIR"] = "/nowhere/at/all"
        self.assertEqual(self.checked(home)[0], 0)
        home.start()
        home.override("archive", '[custom]\nlifetime = "five"\n')
        self.assertIn("lifetime is a number of days", self.reload(home)[1])

    def test_listener_that_runs_keeps_its_socket_whatever_is_tried(self):
        home = self.running(listens=True)
        lit = lambda: home.step_status("starter/lamp").get("workers") == 1
        wait_for(lit, "the lamp")
        self.assertIn("not started on trial, since it runs: starter/lamp", self.checked(home)[1])
        home.loader.send_signal(signal.SIGSTOP)  # it does not say what runs
        try:
            code, said = self.checked(home)
        finally:
            home.loader.send_signal(signal.SIGCONT)
        self.assertEqual((code, "not started on trial" in said), (0, True), said)
        self.assertTrue((home.root / "run/lamp.sock").exists())
        # A second one of the same socket, and something else that is wrong: nothing is taken up, and nothing taken away.
        home.override("archive", '[custom]\nlifetime = "five"\n')
        done = home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/starter", "--new-name", "second", check=False)
        self.assertEqual((done.returncode, "lifetime is a number" in done.stderr), (1, True), done)
        self.assertTrue((home.root / "run/lamp.sock").exists() and lit())

    def test_listener_that_does_not_run_is_tried(self):
        home = self.running()
        home.override("starter", self.starter('socket = "/nowhere/lamp.sock"\n', listens=True))
        for code, said in (self.checked(home), self.reload(home)):
            self.assertEqual((code, "starter/lamp does not start: cannot listen on socket" in said), (1, True), said)

    def test_address_of_metrics_that_only_has_the_port_of_the_loader_is_tried(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        home = self.home("archive", settings=ENTRY + f'[metrics]\nlisten = "127.0.0.1:{port}"\n').start()
        home.configure(ENTRY + f'[metrics]\nlisten = "203.0.113.1:{port}"\n')
        for code, said in (self.checked(home), self.reload(home)):
            self.assertEqual((code, "mfdata.toml:4:" in said), (1, True), said)
        home.configure(ENTRY + f'[metrics]\nlisten = "{port}"\n')
        self.assertEqual((self.checked(home)[0], self.reload(home)), (0, (0, "reloaded\n")))
        wait_for(lambda: home.status()["state"] == "running", "the loader")
        self.assertEqual(self.checked(home)[0], 0)

    def test_reload_that_takes_longer_than_its_timeout_says_so(self):
        home = self.running()
        home.override("starter", self.starter(f'at_start = "wait"\ngate = "{home.root}/gate"\n'))
        code, said = self.reload(home, "--timeout", "0.2")
        self.assertEqual((code, "has not answered within" in said), (1, True), said)
        self.assertIn("a new configuration is being read and tried\n", home.run(MFDATA, "status").stdout)
        (home.root / "gate").touch()
        wait_for(lambda: home.status()["configuration"]["generation"] == 2, "the new configuration")

    def test_plugin_that_lacks_a_key_is_in_nobodys_way_when_it_is_stopped(self):
        home = self.running()
        home.override("starter", self.starter('at_start = "throw"\n'))
        self.assertEqual(self.reload(home)[0], 1)
        home.run(MFDATA_PLUGIN, "stop", "starter")
        self.assertEqual(self.reload(home), (0, "reloaded\n"))

    def test_no_trial_of_one_reload_spares_no_other(self):
        home = self.running()
        gate = home.root / "gate"
        home.override("starter", self.starter(f'at_start = "wait"\ngate = "{gate}"\n'))
        first = self.ask(home, {"command": "reload"})
        wait_for(lambda: home.status()["configuration"]["reading"], "the reload to be under way")
        home.override("starter", self.starter('at_start = "throw"\n'))
        others = [self.ask(home, {"command": "reload", "trial": trial}) for trial in (True, False)]
        home.status()  # it has taken both
        gate.touch()
        for one in (first, *others):
            self.answer(one)
        self.assertIn("said at the end", home.status()["configuration"]["problem"])

    @unittest.skipUnless(os.geteuid() == 0, "no other user without root")
    def test_reload_at_the_limit_of_processes_is_refused_and_the_loader_goes_on(self):
        base = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, base, ignore_errors=True)
        os.chmod(base, 0o777)
        home = self.home("archive", settings=ENTRY + METRICS, base=base, user=(65531, 65531))  # nobody else's processes count
        home.start(prefix=("prlimit", "--nproc=3:3"))  # the loader, its server of metrics, and the worker
        wait_for(lambda: home.step_status("archive/main").get("workers") == 1, "the worker")
        home.override("archive", '[custom]\nlifetime = "5d"\n')
        code, said = self.reload(home)
        self.assertEqual((code, "Resource temporarily unavailable" in said), (1, True), said)
        self.assertEqual((home.loader.poll(), home.status()["state"]), (None, "running"))

    def ask(self, home, request):
        """A connection on which the answer comes; its own end is closed for writing, as some programs do."""
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.connect(str(home.root / "run/control.sock"))
        connection.sendall(json.dumps(request).encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
        return connection

    def answer(self, connection):
        connection.settimeout(60)
        with connection.makefile() as lines:
            return json.loads(lines.readline())

    def test_change_with_errors_is_told_of_when_everything_begins_anew_without_it(self):
        home = self.home("archive", settings=ENTRY + METRICS)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/fork")
        gate = home.root / "gate"
        home.override("fork", f'[custom]\ndest_dir = "archive/main"\ncommand = ["sh", "-c", "while [ ! -e {gate} ]; do sleep 0.05; done"]\n')
        home.start()
        path = home.root / "given"
        path.write_text("x")
        home.run(MFDATA, "inject", path, "--step", "fork/main")
        wait_for(lambda: home.step_status("fork/main").get("in_flight") == 1 and home.left_over(), "the file to be in hand")
        home.configure(ENTRY + METRICS + '[loader]\ncpu_policy = "inherited"\n')
        first = self.ask(home, {"command": "reload"})
        wait_for(lambda: home.status()["state"] == "reloading", "everything to begin anew")
        home.override("archive", "[custom]\nlifetme = 3\n")
        second = self.ask(home, {"command": "reload"})
        for connection in (first, second):
            self.assertEqual(self.answer(connection), {"reloaded": "everything"})
        gate.touch()
        wait_for(lambda: home.status()["state"] == "running", "the next loader")
        self.assertIn("was changed once more and has errors", home.status()["configuration"]["problem"])

    def test_files_flow_again_at_once_when_a_reload_is_asked_for_while_everything_begins_anew(self):
        home = self.running()
        gate = home.root / "gate"
        home.override("starter", self.starter(f'at_start = "wait"\ngate = "{gate}"\n'))
        home.configure(ENTRY + METRICS + '[loader]\ncpu_policy = "inherited"\n')
        home.run(MFDATA, "reload", "--no-trial")
        for _ in range(20):
            home.loader.send_signal(signal.SIGHUP)
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "the file in the archive")
        gate.touch()
        wait_for(lambda: home.step_status("starter/main").get("workers") == 1, "the plugin")


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
