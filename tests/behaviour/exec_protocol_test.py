"""The line protocol of exec, version 1: each part of it with a program in Python, and programs that do not keep to it."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import tempfile
import textwrap
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, PROJECT, Case, content, main, parse_tags_file, wait_for

MFDATA = BUILD / "tools/mfdata"
PRELUDE = """
    import json, os, signal, sys, time
    def say(**message):
        print(json.dumps(message), flush=True)
    def name_of(request):
        return request["tags"]["first.core.original_basename"]
    def result(request, status="ok", **more):
        say(type="result", id=request["id"], status=status, **more)
    hello = json.loads(sys.stdin.readline())
"""
ORDINARY = """
    say(type="hello", version=1)
    for line in sys.stdin:
        request = json.loads(line)
        name = name_of(request)
"""
BATCHES = """
    say(type="hello", version=1)
    files = []
    def batches():
        for line in sys.stdin:
            request = json.loads(line)
            if request["type"] == "file":
                files.append(request)
            else:
                yield request
                files.clear()
    for batch in batches():
"""


def blocks_of_the_document():
    text = (PROJECT / "doc/exec.md").read_text()
    return {name: block for name, block in re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL)}


class Protocol(Case):
    def write(self, home, *parts):
        """The program: each part dedented; the last is the body of the loop of the part before it, when that has one."""
        text = ""
        for part in parts:
            indent = "    " if text.rstrip().endswith(("name = name_of(request)", "for batch in batches():")) else ""
            text += textwrap.indent(textwrap.dedent(part), indent)
        self.program = home.root / "program.py"
        self.program.write_text(text)
        return f'command = ["{sys.executable}", "{self.program}"]\n'

    def plugin(self, component):
        """A plugin of exec's library that is named exec, with this section instead of its step."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-exec-test-"))
        self.addCleanup(shutil.rmtree, folder)
        for path in (BUILD / "sample_plugins/exec").glob("*.*"):
            if path.is_file():
                shutil.copy(path, folder)
        toml = folder / "plugin.toml"
        toml.write_text(toml.read_text().replace("[step.main] ", component + " "))
        return folder

    def exec_home(self, *parts, custom="", sections="", component="", settings="", start=True):
        step = re.search(r"step\.(\w+)", component or "step.main")[1]
        home = self.home(self.plugin(component) if component else "exec", "archive", settings=f'[data]\nentry_step = "exec/{step}"\n{settings}')
        command = self.write(home, PRELUDE, *parts)
        home.override("exec", f'[custom]\n{command}dest_dir = "archive/main"\n{custom}\n{sections}\n')
        return home.start() if start else home

    def archived(self, home, number, directory=None):
        """{original name: [(content, tags)]} once so many files stand in the archive."""
        paths = wait_for(lambda: home.files(directory) if len(home.files(directory)) == number else None, f"{number} files in the archive")
        home.wait_idle()
        found = {}
        for path in paths:
            tags = parse_tags_file(path + b".tags")
            found.setdefault(tags["first.core.original_basename"].decode(errors="surrogateescape"), []).append((content(path), tags))
        return found

    def failed(self, home, number, step="exec/main"):
        notes = wait_for(lambda: home.trash(step) if len(home.trash(step)) == number else None, f"{number} files in trash")
        return {note["original_name"]: note["error"] for note in notes}


class Handshake(Protocol):
    def test_host_names_versions_features_kind_and_the_keys_of_the_program(self):
        home = self.exec_home(ORDINARY, 'result(request, hop_tags={"hello": json.dumps(hello)}, outputs=[{"path": request["path"]}])',
                              sections='[custom.settings]\nport = 8\nratio = 0.5\nopen = true\nword = "5"\nmany = ["a", 2, [true]]\n[custom.settings.deep]\nmore = "caf\\u00e9"\n[custom.settings.nothing]\n')
        home.drop("a", b"x")
        [(_, tags)] = self.archived(home, 1)["a"]
        hello = json.loads(tags["latest.exec.main.hello"])
        settings = hello.pop("config")["settings"]
        self.assertEqual(hello, {"type": "hello", "protocol": "mfdata-exec", "versions": [1], "kind": "step", "features": ["cancel"], "plugin": "exec", "step": "main",
                                 "log_level": "info", "max_line": 4 << 20})
        self.assertEqual(settings, {"port": 8, "ratio": 0.5, "open": True, "word": "5", "many": ["a", 2, [True]], "deep": {"more": "caf\u00e9"}, "nothing": {}})

    def test_program_that_does_not_agree_stops_the_step_and_not_its_files(self):
        home = self.exec_home("", start=False)
        wrong = {
            'say(type="hello", version=2)': "it speaks version 2 of the protocol, this host speaks version 1",
            'say(type="hello")': "no version, which is a whole number",
            'say(type="hello", version=1, encoding="latin1")': 'encoding is "surrogates" or "percent"',
            'say(type="hello", version=1, metrics=[{"kind": "sum", "name": "a"}])': 'is "counter", "gauge" or "histogram"',
            'say(type="hello", version=1, metrics=[{"kind": "counter", "name": "A b"}])': 'metric "A b": bad argument',
            'say(type="error", reason="there is no model of the language")': "there is no model of the language",
            'say(ready=True)': 'has no "type"',
            'say(type="result", id="1", status="ok")': "its first message is not its hello",
            'print("hello")': '"hello" is no JSON object',
            'sys.stdout.write(\'{"type": "hel\'); sys.exit(0)': "ended with exit code 0 (before its hello)",
            'sys.exit("on purpose")': "ended with exit code 1: on purpose (before its hello)",
            'print("x" * 100_000_000)': "a line of more than 4 MiB",
            'time.sleep(1000)': "too long and was ended before its hello",
        }
        home.incoming.mkdir(parents=True)
        home.drop("waits", b"x")
        for program, words in wrong.items():
            with self.subTest(program):
                command = self.write(home, PRELUDE, program + "\ntime.sleep(1000)\n")
                quick = "start_timeout = 1\n" if "sleep(1000)" in program else ""
                home.override("exec", f"[custom]\n{command}{quick}")
                home.start()
                wait_for(lambda: words in home.step_status("exec/main").get("failure", ""), words)
                home.stop()
        self.assertEqual((home.trash("exec/main"), os.listdir(home.incoming)), ([], ["waits"]))

    def test_strict_parsers_get_and_give_bytes_as_percents(self):
        home = self.exec_home('''
            say(type="hello", version=1, encoding="percent", features=["invented", "cancel"], program="invented")
            for line in sys.stdin:
                line.encode()  # no lone surrogate
                request = json.loads(line)
                json.dumps(request, ensure_ascii=False).encode()
                everything = "".join(f"%{byte:02x}" for byte in range(256))
                result(request, hop_tags={"echo": name_of(request), "all": everything, "%61": "%C3%A9 \\u00e9 \\ufdd0"},
                       outputs=[{"path": request["path"]}] if name_of(request) != "bad" else [], **({"reason": "100%", "status": "fail"} if name_of(request) == "bad" else {}))
        ''')
        name = b"caf\xe9 \xff 100% \" \\ \xf0\x9f\x98\x80 \xed\xb2\x80"
        home.drop(name, b"x")
        [path] = wait_for(home.files, "the archive")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual(tags["latest.exec.main.echo"], name)
        self.assertEqual(tags["latest.exec.main.all"], bytes(range(256)))
        self.assertEqual(tags["latest.exec.main.a"], "\u00e9 \u00e9 \ufdd0".encode())
        home.drop("bad", b"x")
        self.assertIn("two hexadecimal digits", self.failed(home, 1)["bad"])

    def test_lines_of_the_host_are_read_the_same_in_each_locale(self):
        home = self.exec_home(ORDINARY, 'result(request, hop_tags={"ascii": str(line.isascii()), "echo": name}, outputs=[{"path": request["path"]}])',
                              custom='environment = ["PYTHONIOENCODING=latin1", "PYTHONUTF8=0"]')
        home.drop("caf\u00e9 \U0001f600".encode(), b"x")
        [[(_, tags)]] = self.archived(home, 1).values()
        self.assertEqual((tags["latest.exec.main.ascii"], tags["latest.exec.main.echo"]), (b"True", "caf\u00e9 \U0001f600".encode()))


class Step(Protocol):
    def test_one_file_to_several_steps_and_directories_each_in_its_way(self):
        home = self.exec_home(ORDINARY, '''
            new = os.path.join(request["scratch"], "sub", "new")
            os.mkdir(os.path.dirname(new))
            open(new, "w").write("new")
            out = os.path.join(os.path.dirname(sys.argv[0]), "out")
            there = {"directory": out, "name": "2026/" + name + ".txt", "make_directories": True, "directory_mode": "0750", "mode": "0604", "tags_suffix": ".meta"}
            result(request, tags={"latest.common": "yes"}, outputs=[
                {"path": request["path"], "hop_tags": {"which": "input"}, "to": [{"step": "archive/main", "op": "move"}, {**there, "op": "copy"}, {"step": "archive/main", "op": "link"}]},
                {"path": "sub/new", "hop_tags": {"which": {"value": "new", "latest": False}}, "to": ["archive/main", out, {"directory": out, "name": "bare", "drop_tags": True}]},
            ])
        ''', start=False)
        out = home.root / "out"
        out.mkdir()
        home.start()
        home.drop("a", b"content")
        found = sorted((data, tags.get("latest.exec.main.which"), tags["0.exec.main.which"], tags["latest.common"]) for data, tags in self.archived(home, 3)["a"])
        self.assertEqual(found, [(b"content", b"input", b"input", b"yes")] * 2 + [(b"new", None, b"new", b"yes")])
        self.assertEqual(sorted(os.path.relpath(os.fsdecode(path), out) for path in home.files(out)), ["2026/a.txt", "2026/a.txt.meta", "a", "bare"])
        self.assertEqual((content(out / "2026/a.txt"), content(out / "a"), content(out / "bare")), (b"content", b"new", b"new"))
        self.assertEqual((oct((out / "2026").stat().st_mode & 0o777), oct((out / "2026/a.txt").stat().st_mode & 0o777)), ("0o750", "0o604"))
        self.assertEqual(parse_tags_file(os.fsencode(out / "2026/a.txt.meta"))["latest.exec.main.which"], b"input")
        self.assertTrue(os.listxattr(out / "a") and not os.listxattr(out / "bare"), "tags of one, none of the other")
        self.assertEqual(home.left_over(), [])

    def test_directory_as_dest_dir_and_one_that_is_missing(self):
        home = self.exec_home(ORDINARY, 'result(request, outputs=[{"path": request["path"], **({} if name == "a" else {"to": "/no/such/directory"})}])', start=False)
        out = home.root / "out"
        out.mkdir()
        home.override("exec", (home.root / "etc/plugins.d/exec.toml").read_text().replace('"archive/main"', f'"{out}"'))
        home.start()
        home.drop("a", b"content")
        wait_for(lambda: home.files(out), "the delivery")
        home.drop("b", b"content")
        wait_for(lambda: "/no/such/directory" in json.dumps(home.status()), "a file that is held back")
        self.assertEqual(home.trash("exec/main"), [])

    def test_log_lines_have_their_levels_and_come_at_any_time(self):
        home = self.exec_home('''
            say(type="log", level="info", text="before the hello")
            say(type="hello", version=1)
            import threading
            def later():
                time.sleep(0.3)
                say(type="log", level="error", text="between two files")
                sys.stdout.write('{"type": "log", "level": "debug", "text": "a half')
                sys.stdout.flush()
            for line in sys.stdin:
                request = json.loads(line)
                for level in ("debug", "info", "warning", "error", "invented"):
                    say(type="log", level=level, text=level + " of caf\\udce9\\nand more")
                print("to standard error", file=sys.stderr, flush=True)
                result(request, outputs=[{"path": request["path"]}])
                threading.Thread(target=later).start()
        ''', start=False)
        settings = home.root / "etc/mfdata.toml"
        settings.write_text(settings.read_text() + '\n[log]\nlevel = "debug"\n')
        home.start()
        home.drop("first", b"x")
        self.archived(home, 1)
        home.wait_log("exec/main", "between two files")
        log = home.step_log("exec/main")
        levels = {words: re.search(r"(\S+)[^\n]*" + words, log)[0] for words in ("debug of", "info of", "warning of", "error of", "invented of", "before the hello", "between two files")}
        for words, level in (("debug of", "debug"), ("info of", "info"), ("warning of", "warning"), ("error of", "error"), ("invented of", "info"), ("before the hello", "info"), ("between two files", "error")):
            line = next(line for line in log.splitlines() if words in line)
            self.assertIn(level, line.lower().split(words)[0], levels)
        self.assertIn("caf\\xe9\\x0aand more", log)
        self.assertIn("the program says: to standard error", log)
        self.assertNotIn("it is started again", log, "half a line between two files is none yet")

    def test_metrics_of_the_program_are_exported(self):
        home = self.exec_home('''
            say(type="hello", version=1, metrics=[{"kind": "counter", "name": "lines_total", "help": "lines", "labels": ["language"]},
                                                   {"kind": "histogram", "name": "seconds", "help": "seconds", "buckets": [0.1, 1]}])
            for line in sys.stdin:
                request = json.loads(line)
                say(type="metric", name="lines_total", value=2, labels=["en"])
                say(type="metric", name="lines_total", labels=["en"])
                say(type="metric", name="seconds", value=0.5)
                say(type="metric", name="invented")
                result(request, outputs=[{"path": request["path"]}])
                if name_of(request) == "last":
                    break
        ''', settings='[metrics]\nlisten = "127.0.0.1:0"\n')
        for name in ("a", "last", "b"):
            home.drop(name, b"x")
            home.wait_idle()
        def exported():
            return urllib.request.urlopen(f"http://127.0.0.1:{home.status()['metrics_port']}/metrics", timeout=60).read().decode()
        wait_for(lambda: re.search(r'lines_total\{[^}]*language="en"[^}]*\} 9\b', exported()), "nine lines")
        self.assertRegex(exported(), r'seconds_bucket\{[^}]*le="1"[^}]*\} 3\b')
        home.wait_log("exec/main", 'counts "invented" with 0 labels')

    def test_cancel_gives_a_long_file_back_unharmed(self):
        home = self.exec_home('''
            say(type="hello", version=1, features=["cancel"])
            for line in sys.stdin:
                request = json.loads(line)
                say(type="log", text="in hand")
                cancel = json.loads(sys.stdin.readline())
                assert cancel == {"type": "cancel", "id": request["id"]}
                result(request, "cancelled")
        ''')
        home.drop("long", b"x")
        home.wait_log("exec/main", "in hand")
        self.assertEqual(home.stop(), 0)
        self.assertEqual((home.trash("exec/main"), home.files()), ([], []))
        self.write(home, PRELUDE, ORDINARY, 'result(request, outputs=[{"path": request["path"]}])')
        home.start()
        self.assertEqual(list(self.archived(home, 1)), ["long"])

    def test_full_disk_of_the_program_waits_and_fails_no_file(self):
        home = self.exec_home(ORDINARY, '''
            if os.path.exists(sys.argv[0] + ".room"):
                result(request, outputs=[{"path": request["path"]}])
            else:
                result(request, "full", reason="no room for the model")
        ''')
        home.drop("a", b"x")
        wait_for(lambda: "no room for the model" in json.dumps(home.status()) + home.log() + home.step_log("exec/main"), "a file that waits")
        (home.root / "program.py.room").touch()
        self.assertEqual(list(self.archived(home, 1)), ["a"])

    def test_bad_programs_fail_their_file_and_the_next_one_passes(self):
        bad = {
            "garbage": ("os.write(1, bytes(range(256)) + b'\\n')", "is no JSON object"),
            "empty": ("print(flush=True)", "is no JSON object"),
            "half": ("os.write(1, b'{\"type\": \"res'); time.sleep(1000)", "took too long"),
            "half_and_end": ("os.write(1, b'{\"type\": \"res'); sys.exit(3)", "ended with exit code 3"),
            "long": ("os.write(2, b'before it\\n'); print('x' * 100_000_000, flush=True); time.sleep(1000)", "a line of more than 4 MiB: before it"),
            "closed": ("os.close(1); time.sleep(1000)", "ended with"),
            "hello": ("say(type='hello', version=1)", "none of a step"),
            "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "ended with signal 9"),
            "end": ("sys.exit(0)", "ended with exit code 0"),
        }
        home = self.exec_home("bad = " + repr({name: code for name, (code, _) in bad.items()}), ORDINARY, '''
            exec(bad.get(name, ""))
            result(request, outputs=[{"path": request["path"]}])
        ''', custom='command_timeout = "8s"')
        for number, (name, (_, words)) in enumerate(bad.items(), 1):
            with self.subTest(name):
                home.drop(name, b"x")
                self.assertIn(words, self.failed(home, number)[name])
        home.drop("good", b"x")
        self.assertEqual(list(self.archived(home, 1)), ["good"])

    def test_very_many_short_lines_cost_their_length_alone(self):
        home = self.exec_home(ORDINARY, '''
            sys.stdout.write('{"type": "log", "level": "debug", "text": "x"}\\n' * 50000)
            sys.stdout.flush()
            result(request, outputs=[{"path": request["path"]}])
        ''', custom='command_timeout = "100s"')
        home.drop("a", b"x")
        self.assertEqual(list(self.archived(home, 1)), ["a"])

    def test_example_of_the_document(self):
        home = self.exec_home(start=False)
        self.program.write_text(blocks_of_the_document()["step.py"])
        home.start()
        home.drop("a", b"one\ntwo\n")
        [(_, tags)] = self.archived(home, 1)["a"]
        self.assertEqual(tags["latest.exec.main.lines"], b"2")
        home.wait_log("exec/main", "has 2 lines")


class Batch(Protocol):
    def batch_home(self, *parts, size=4, wait=30, keys="", **more):
        return self.exec_home(*parts, component=f'[step.many]\ncomponent = "batch"\nmax_size = {size}\nmax_wait = {wait}\nunmatched_policy = "keep"\n{keys}\n', **more)

    def drop_all(self, home, *names):
        for name in names:
            home.drop(name, name.encode())

    def test_each_file_has_its_result_and_the_batch_has_outputs(self):
        home = self.batch_home(BATCHES, '''
            by_name = {name_of(file): file for file in files}
            assert batch["files"] == [file["id"] for file in files] and {file["batch"] for file in files} == {batch["id"]}
            result(by_name["bad"], "fail", reason="it is bad")
            result(by_name["skip"], "skip", reason="not mine")
            result(by_name["own"], hop_tags={"which": "own"}, outputs=[{"path": by_name["own"]["path"]}])
            for name in ("whole", "of_rest", "of_bad"):
                open(os.path.join(files[0]["scratch"], name), "w").write(name)
            result(batch, outputs=[{"path": "whole", "tags": {"latest.kind": "whole"}}, {"path": "of_rest", "inherit": by_name["rest"]["id"], "hop_tags": {"which": "rest"}},
                                   {"path": "of_bad", "inherit": by_name["bad"]["id"]}, {"path": by_name["rest"]["path"], "inherit": by_name["rest"]["id"]}])
        ''')
        self.drop_all(home, "bad", "skip", "own", "rest")
        paths = wait_for(lambda: home.files() if len(home.files()) == 4 else None, "four files")
        home.wait_idle()
        found = {content(path): parse_tags_file(path + b".tags") for path in paths}
        self.assertEqual(set(found), {b"own", b"rest", b"whole", b"of_rest"}, "an output of a file that failed does not come about")
        self.assertEqual((found[b"own"]["latest.exec.many.which"], found[b"of_rest"]["latest.exec.many.which"], found[b"whole"]["latest.kind"]), (b"own", b"rest", b"whole"))
        self.assertEqual(self.failed(home, 2, "exec/many"), {"bad": "it is bad", "skip": "not mine"})
        self.assertEqual(home.left_over(), [])

    def test_program_that_is_lost_with_a_batch_fails_the_file_that_is_to_blame_alone(self):
        home = self.batch_home(BATCHES, '''
            names = [name_of(file) for file in files]
            if "segv" in names:
                result(files[0], outputs=[{"path": files[0]["path"]}])  # of no worth: the batch does not end
                os.kill(os.getpid(), signal.SIGSEGV)
            if "garbage" in names:
                print("garbage", flush=True)
            if "twice" in names:
                result(files[0])
                result(files[0])
            for file in files:
                result(file, outputs=[{"path": file["path"]}])
            result(batch)
        ''')
        for number, poison in enumerate(("segv", "garbage", "twice"), 1):
            self.drop_all(home, f"a{number}", f"b{number}", poison, f"c{number}")
            self.failed(home, number, "exec/many")
            self.archived(home, 3 * number)
        failed = self.failed(home, 3, "exec/many")
        for name, words in (("segv", "signal 11"), ("garbage", "is no JSON object"), ("twice", "twice")):
            self.assertIn(words, failed[name])
        home.wait_log("exec/many", "with a batch of 4 files: each of them is tried alone", 3)

    def test_file_that_hangs_costs_the_others_of_its_batch_nothing(self):
        home = self.batch_home(BATCHES, '''
            if "hang" in [name_of(file) for file in files]:
                time.sleep(1000)
            for file in files:
                result(file, outputs=[{"path": file["path"]}])
            result(batch)
        ''', wait=1, keys="timeout = 10")
        self.drop_all(home, "a", "hang", "b", "c")
        self.assertIn("took too long", self.failed(home, 1, "exec/many")["hang"])
        self.assertEqual(sorted(self.archived(home, 3)), ["a", "b", "c"])

    def test_wrong_result_of_a_batch_fails_all_of_it(self):
        home = self.batch_home(BATCHES, '''
            for file in files:
                result(file, outputs=[{"path": file["path"]}])
            result(batch, **{"a": {"status": "fine"}, "b": {"tags": {"a": "b"}}, "c": {"outputs": [{"path": "none", "inherit": "0"}]},
                             "d": {"outputs": [{"path": files[0]["path"]}]}}[name_of(files[0])[0]])
        ''', size=2)
        wrong = {"a": "status is", "b": "the result of a batch has no tags", "c": '"0" is no file of this batch', "d": "adopt"}
        for number, (name, words) in enumerate(wrong.items(), 1):
            self.drop_all(home, name + "1", name + "2")
            failed = self.failed(home, 2 * number, "exec/many")
            self.assertIn(words, failed[name + "1"])
            self.assertEqual(failed[name + "2"], failed[name + "1"])
        self.assertEqual(home.files(), [])

    def test_example_of_the_document(self):
        home = self.batch_home(start=False, size=3)
        self.program.write_text(blocks_of_the_document()["batch.py"])
        home.start()
        self.drop_all(home, "one", "two")
        home.drop("empty", b"")
        [[(data, _)]] = self.archived(home, 1).values()
        self.assertEqual(sorted([data[:3], data[3:]]), [b"one", b"two"])
        self.assertEqual(self.failed(home, 1, "exec/many"), {"empty": "it is empty"})


class Deposits(Protocol):
    def listener_home(self, *parts, custom="", sections="", start=True, settings=""):
        home = self.home(self.plugin('[listener.in]\ncomponent = "listener"\n'), "archive", settings=f'[data]\nentry_step = "archive/main"\n{settings}\n')
        command = self.write(home, PRELUDE, *parts)
        home.override("exec", f'[custom]\n{command}{custom}\n{sections}\n')
        return home.start() if start else home

    def answers(self, home, number):
        """What the program has heard, by id."""
        path = home.root / "heard"
        lines = wait_for(lambda: path.exists() and len(path.read_text().splitlines()) >= number and path.read_text().splitlines(), f"{number} replies")
        return {message.get("id"): message for message in map(json.loads, lines)}

    HEAR = '''
        say(type="hello", version=1, features=["pressure"])
        heard = open(os.path.join(os.path.dirname(sys.argv[0]), "heard"), "a", buffering=1)
        scratch = hello["scratch"]
        def hear():
            for line in sys.stdin:
                heard.write(line)
                if json.loads(line)["type"] == "stop":
                    sys.exit(0)
    '''

    def test_file_is_durable_before_the_program_hears_of_it(self):
        home = self.listener_home(self.HEAR, '''
            open(os.path.join(scratch, "part"), "wb").write(b"by path")
            open(os.path.join(scratch, "kept"), "wb").write(b"kept")
            say(type="deposit", id="path", path="part", name="caf\\udce9", tags={"latest.from": "me\\udcff"}, size=7)
            say(type="deposit", id="kept", path=os.path.join(scratch, "kept"), keep=True, to="archive/main")
            say(type="deposit", id="data", data="\\udcff\\u00e9\\u0000", name="data")
            say(type="deposit", id="empty", data="", name="empty")
            for line in sys.stdin:
                message = json.loads(line)
                if message["type"] == "deposited":
                    message["left"] = sorted(os.listdir(scratch))
                heard.write(json.dumps(message) + "\\n")
                if message["type"] == "stop":
                    break
        ''')
        answers = self.answers(home, 4)
        self.assertEqual({id: answer["status"] for id, answer in answers.items()}, dict.fromkeys(("path", "kept", "data", "empty"), "ok"))
        self.assertEqual(answers["path"]["left"], ["kept"])
        paths = wait_for(lambda: home.files() if len(home.files()) == 4 else None, "four files")
        found = {content(path): parse_tags_file(path + b".tags") for path in paths}
        self.assertEqual(set(found), {b"by path", b"kept", b"\xff\xc3\xa9\0", b""})
        self.assertEqual((found[b"by path"]["first.core.original_basename"], found[b"by path"]["latest.from"]), (b"caf\xe9", b"me\xff"))

    def test_deposit_that_is_wrong_is_refused_with_the_reason_and_its_file_stays(self):
        wrong = {
            "step": (dict(data="x", to="nobody/main"), 'deposit for "nobody/main": not found'),
            "size": (dict(path="part", size=3), "it has 4 bytes, and not the 3 that size says"),
            "missing": (dict(path="none"), "No such file"),
            "directory": (dict(path="."), "it is no regular file"),
            "link": (dict(path="link"), "symbolic links"),
            "pipe": (dict(path="pipe"), "it is no regular file"),
            "neither": (dict(name="x"), 'a "path" or "data"'),
            "both": (dict(path="part", data="x"), 'a "path" or "data"'),
            "tag": (dict(data="x", tags={"no name": "x"}), 'tag "no name"'),
            "value": (dict(data="x", tags={"a": None}), "the value of a tag is a text"),
            "key": (dict(data="x", key="1"), "key is not among the features of this host"),
            "sha256": (dict(path="part", sha256="00"), "sha256 is not among the features of this host"),
            "name": (dict(data="x", name="x" * 256), "bad argument"),
            "large": (dict(data="x" * 2000), "a limit was passed"),
        }
        home = self.listener_home(self.HEAR, "wrong = " + repr({name: deposit for name, (deposit, _) in wrong.items()}), '''
            open(os.path.join(scratch, "part"), "w").write("part")
            os.symlink("part", os.path.join(scratch, "link"))
            os.mkfifo(os.path.join(scratch, "pipe"))
            for name, deposit in wrong.items():
                say(type="deposit", id=name, **deposit)
            say(type="deposit", id="good", path="part")
            hear()
        ''', settings="max_file_size = 1000")
        answers = self.answers(home, len(wrong) + 1)
        for name, (_, words) in wrong.items():
            with self.subTest(name):
                self.assertEqual(answers[name]["status"], "fail", answers[name])
                self.assertIn(words, answers[name]["reason"])
        self.assertEqual(answers["good"]["status"], "ok")
        self.assertEqual(list(self.archived(home, 1).values())[0][0][0], b"part")
        self.assertEqual(home.left_over(), [])

    def test_many_deposits_under_way_all_come_to_an_end(self):
        home = self.listener_home(self.HEAR, '''
            import threading
            threading.Thread(target=hear, daemon=True).start()
            for number in range(3000):
                say(type="deposit", id=str(number), data=str(number), name=str(number))
            time.sleep(1000)
        ''')
        answers = self.answers(home, 3000)
        self.assertEqual(({answer["status"] for answer in answers.values()}, len(answers)), ({"ok"}, 3000))
        wait_for(lambda: len(home.files()) == 3000, "3000 files")

    def test_program_that_dies_is_started_again_and_what_it_heard_of_is_there(self):
        home = self.listener_home(self.HEAR, '''
            done = len(open(heard.name).read().splitlines())
            for number in range(done, 40):
                say(type="deposit", id=str(number), data=str(number), name=str(number))
                heard.write(sys.stdin.readline())
                if number % 20 == 15:
                    os.kill(os.getpid(), signal.SIGKILL)
            hear()
        ''')
        answers = self.answers(home, 40)
        self.assertEqual({answer["status"] for answer in answers.values()}, {"ok"})
        found = wait_for(lambda: home.files() if len(home.files()) == 40 else None, "40 files")
        self.assertEqual({content(path) for path in found}, {str(number).encode() for number in range(40)})
        self.assertIn("the program ended with signal 9", home.log() + home.step_log("exec/in"))

    def test_bad_listeners_end_with_the_reason_and_their_scratch_goes(self):
        home = self.listener_home("", custom="stop_timeout = 1\n", start=False)
        scratch = home.root / "scratch"
        scratch.mkdir()
        override = home.root / "etc/plugins.d/exec.toml"
        override.write_text(override.read_text().replace("stop_timeout", f'deposit_dir = "{scratch}"\nstop_timeout'))
        for program, words in {"print('garbage', flush=True)": "is no JSON object", "say(type='result', id='1', status='ok')": "none of a listener",
                               "sys.exit(0)": "the program ended with exit code 0", "say(type='deposit', data='x')": "id is missing"}.items():
            with self.subTest(program):
                self.write(home, PRELUDE, self.HEAR, program + "\nhear()\n")
                home.start()
                wait_for(lambda: words in home.log() + home.step_log("exec/in") + json.dumps(home.status()), words)
                home.stop()
                self.assertEqual(os.listdir(scratch), [])
        self.write(home, PRELUDE, self.HEAR, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen(os.path.join(scratch, 'mine'), 'w')\ntime.sleep(1000)\n")
        home.start()
        [left] = wait_for(lambda: [path for path in scratch.glob("*/mine")], "the program")
        self.assertEqual(home.stop(), 0, "a program that does not stop is killed")
        self.assertEqual(os.listdir(scratch), [])

    def test_scratch_of_a_killed_worker_is_removed_by_the_next(self):
        home = self.listener_home(self.HEAR, "open(os.path.join(scratch, 'mine'), 'w')\nhear()", start=False)
        scratch = home.root / "scratch"
        scratch.mkdir()
        override = home.root / "etc/plugins.d/exec.toml"
        override.write_text(override.read_text().replace("[custom]\n", f'[custom]\ndeposit_dir = "{scratch}"\n'))
        home.start()
        [first] = wait_for(lambda: list(scratch.glob("*/mine")), "the program")
        [worker] = wait_for(lambda: home.worker_pids("exec/in"), "the worker")
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: list(scratch.glob("*/mine")) not in ([], [first]) and not first.exists(), "another one")
        self.assertEqual(len(os.listdir(scratch)), 1)

    def test_pressure_is_told_and_a_refused_deposit_is_kept(self):
        home = self.listener_home(self.HEAR, '''
            pressure = json.loads(sys.stdin.readline())
            open(os.path.join(scratch, "part"), "w").write("part")
            say(type="deposit", id="1", path="part")
            refused = json.loads(sys.stdin.readline())
            heard.write(json.dumps({"id": "pressure", **pressure}) + "\\n")
            heard.write(json.dumps({**refused, "left": os.listdir(scratch)}) + "\\n")
            hear()
        ''', settings="", start=False)
        override = home.root / "etc/plugins.d/archive.toml"
        override.write_text("[step.main]\nmax_queue = 1\nnumprocesses = 0\n")
        home.start()
        for _ in range(3):
            home.run(MFDATA, "inject", "--step", "archive/main", self.program)
        answers = self.answers(home, 2)
        self.assertEqual((answers["pressure"]["status"], answers["1"]["status"], answers["1"]["left"]), ("busy", "busy", ["part"]))
        self.assertGreater(answers["1"]["retry_after"], 0)

    def test_example_of_the_document(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        home = self.listener_home(sections=f"[custom.settings]\nport = {port}\n", start=False)
        self.program.write_text(blocks_of_the_document()["listener.py"])
        home.start()

        def connected():
            try:
                return socket.create_connection(("127.0.0.1", port))
            except ConnectionRefusedError:
                return None
        with wait_for(connected, "the listener") as connection:
            connection.sendall(b"bytes \xff")
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.makefile("rb").read(), b"ok")
        [[(data, tags)]] = self.archived(home, 1).values()
        self.assertEqual((data, tags["first.core.original_basename"]), (b"bytes \xff", b"received"))
        self.assertEqual(home.stop(), 0)


if __name__ == "__main__":
    main()
