"""exec: a program that stays treats files; what it answers, and what it does wrong."""
import json
import os
import sys
import textwrap

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import PROJECT, Case, content, main, one_of, parse_tags_file, wait_for

SETTINGS = '[data]\nentry_step = "exec/main"\n'
LOOP = """
    import json, os, signal, sys, time
    def say(**message):
        print(json.dumps(message), flush=True)
    hello = json.loads(sys.stdin.readline())
    say(type="hello", version=1)
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        name = request["tags"]["first.core.original_basename"]
        data = open(request["path"], "rb").read()
        def answer(**what):
            say(**{"type": "result", "id": request["id"], **what})
"""


class Exec(Case):
    def exec_home(self, body=None, step="", custom="", settings=SETTINGS):
        """A home whose files go to exec; `body` is what the program does with each file."""
        home = self.home("exec", "archive", settings=settings)
        self.program = home.root / "program.py"
        command = ""
        if body is not None:
            self.program.write_text(textwrap.dedent(LOOP) + textwrap.indent(textwrap.dedent(body), "    "))
            command = f'command = ["{sys.executable}", "{self.program}"]\n'
        home.override("exec", f'[step.main]\n{step}\n[custom]\n{command}dest_dir = "archive/main"\n{custom}\n')
        return home.start()

    def archived(self, home, number):
        """{original name: (content, tags)} once so many files stand in the archive."""
        paths = wait_for(lambda: home.files() if len(home.files()) == number else None, "the archive")
        home.wait_idle()
        found = {}
        for path in paths:
            tags = parse_tags_file(path + b".tags")
            found.setdefault(tags["first.core.original_basename"].decode(errors="surrogateescape"), []).append((content(path), tags))
        return found

    def passes(self, home, name):
        """A file that is passed on in time; false when it was too slow for a program with a time limit."""
        done = len(home.files()), len(home.trash("exec/main"))
        home.drop(name, b"x")
        wait_for(lambda: (len(home.files()), len(home.trash("exec/main"))) != done, "its end")
        home.wait_idle()
        return len(home.files()) > done[0]

    def failed(self, home, number):
        notes = wait_for(lambda: home.trash("exec/main") if len(home.trash("exec/main")) == number else None, "the trash")
        return {note["original_name"]: note["error"] for note in notes}

    def test_death_is_noticed_though_a_child_holds_the_output_open(self):
        home = self.exec_home("""
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(3)
        """)
        home.drop("f", b"x")
        self.assertEqual(self.failed(home, 1), {"f": "the program ended with exit code 3"})

    def test_example_tags_text_and_passes_it_on(self):
        self.assertLessEqual(len((PROJECT / "sample_plugins/exec/count_lines.py").read_text().splitlines()), 20)
        home = self.exec_home()
        home.drop("text", b"one\ntwo\n")
        home.drop("binary", b"\0\1")
        [(data, tags)] = self.archived(home, 1)["text"]
        self.assertEqual((data, tags["latest.exec.main.lines"], tags["0.exec.main.lines"]), (b"one\ntwo\n", b"2", b"2"))
        self.assertEqual(self.failed(home, 1), {"binary": "it is no text"})

    def test_one_process_for_many_files(self):
        home = self.exec_home('answer(status="ok", hop_tags={"pid": str(os.getpid()), "number": str(number)}, outputs=[{"path": request["path"]}])')
        for i in range(50):
            home.drop(f"f{i}", b"x")
        files = self.archived(home, 50)
        self.assertEqual(len({tags["latest.exec.main.pid"] for [(_, tags)] in files.values()}), 1)
        self.assertEqual({int(tags["latest.exec.main.number"]) for [(_, tags)] in files.values()}, set(range(50)))

    def test_several_outputs_none_and_tags_of_each(self):
        home = self.exec_home('''
            if name == "none":
                answer(status="ok")
                continue
            outputs = [{"path": request["path"], "hop_tags": {"part": "all"}, "tags": {"latest.only_first": "1"}}]
            for part in ("a", "b"):
                with open(os.path.join(request["scratch"], part), "wb") as out:
                    out.write(data + part.encode())
                outputs.append({"path": part, "to": "archive/main", "hop_tags": {"part": part}, "tags": {"latest.mine": None}})
            answer(status="ok", tags={"latest.mine": "yes"}, outputs=outputs)
        ''')
        home.drop("none", b"")
        home.drop("three", b"data ")
        found = sorted((data, tags["latest.exec.main.part"], tags.get("latest.mine"), tags.get("latest.only_first")) for data, tags in self.archived(home, 3)["three"])
        self.assertEqual(found, [(b"data ", b"all", b"yes", b"1"), (b"data a", b"a", None, None), (b"data b", b"b", None, None)])
        self.assertEqual(home.left_over(), [])

    def test_any_bytes_in_names_and_tags(self):
        home = self.exec_home('''
            echoed = request["tags"]["first.core.original_basename"]
            answer(status="ok", hop_tags={"echo": echoed, "all": "".join(os.fsdecode(bytes([b])) for b in range(1, 256)), "pair": "\\U0001f600 \\u00e9 \\ufdd0"},
                   outputs=[{"path": request["path"]}])
        ''')
        name = b"caf\xe9 \xff \" \\ % \xf0\x9f\x98\x80 \xed\xb2\x80"
        home.drop(name, b"x")
        [path] = wait_for(home.files, "the archive")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual(tags["first.core.original_basename"], name)
        self.assertEqual(tags["latest.exec.main.echo"], name)
        self.assertEqual(tags["latest.exec.main.all"], bytes(range(1, 256)))
        self.assertEqual(tags["latest.exec.main.pair"], "\U0001f600 \u00e9 \ufdd0".encode())

    def test_statuses_other_than_ok(self):
        home = self.exec_home('''
            if name == "skip":
                answer(status="skip", reason="not mine")
            elif name == "retry" and "latest.exec.main_reinject.attempt" not in request["tags"]:
                answer(status="retry", reason="later", delay=0.05)
            elif name == "fail":
                answer(status="fail", reason="it is bad", outputs=[{"path": request["path"]}])
            else:
                answer(status="ok", outputs=[{"path": request["path"]}])
        ''', step='retry_total = 1\nunmatched_policy = "keep"')
        for name in ("skip", "retry", "fail"):
            home.drop(name, b"x")
        self.assertEqual(list(self.archived(home, 1)), ["retry"])
        self.assertEqual(self.failed(home, 2), {"skip": "not mine", "fail": "it is bad"})

    def test_wrong_answers_fail_their_file_and_nothing_else(self):
        def result(status="ok", **more):
            return json.dumps({"type": "result", "id": "%i", "status": status, **more})
        answers = {
            "no_json": ('nonsense', 'is no JSON object (only messages of the protocol go to standard output)'),
            "array": ("[1]", "is no JSON object"),
            "no_type": ('{"status": "ok"}', 'has no "type"'),
            "type": ('{"type": "answer"}', 'no message of type "answer" in version 1'),
            "no_id": ('{"type": "result", "status": "ok"}', "id is missing"),
            "hello": ('{"type": "hello", "version": 1}', "none of a step"),
            "deposit": ('{"type": "deposit", "id": "1", "data": ""}', "none of a step"),
            "status": (result(status="fine"), 'status is "ok", "fail", "retry", "skip", "full" or "cancelled"'),
            "cancelled": (result(status="cancelled"), "nobody asked it to stop"),
            "delay": (result(status="retry", delay=-1), "delay is a number of seconds"),
            "tags": (result(tags={"a": 1}), "the value of a tag is a text"),
            "hop_tags": (result(hop_tags={"a": None}), "the value of a tag is a text"),
            "name": (result(tags={"no name": "1"}), 'tag "no name"'),
            "reserved": (result(tags={"first.core.original_uid": "1"}), "first.core.original_uid"),
            "outputs": (result(outputs="x"), "outputs is an array"),
            "output": (result(outputs=["x"]), "an output is an object"),
            "missing": (result(outputs=[{"path": "nobody"}]), 'adopt "nobody"'),
            "outside": (result(outputs=[{"path": "/etc/passwd"}]), 'adopt "/etc/passwd"'),
            "dotdot": (result(outputs=[{"path": "../../x"}]), 'adopt "../../x"'),
            "step": (result(outputs=[{"path": "%s", "to": "nobody/main"}]), 'target "nobody/main"'),
            "nowhere": (result(outputs=[{"path": "%s", "to": []}]), "to is an empty array"),
            "both": (result(outputs=[{"path": "%s", "to": {"step": "a/b", "directory": "/"}}]), 'to a "step" or into a "directory"'),
            "op": (result(outputs=[{"path": "%s", "to": {"step": "archive/main", "op": "steal"}}]), 'op is "move", "copy" or "link"'),
            "mode": (result(outputs=[{"path": "%s", "to": {"directory": "/tmp", "mode": "rw"}}]), 'octal digits like "0640"'),
            "inherit": (result(outputs=[{"path": "%s", "inherit": "1"}]), "inherit belongs to the result of a batch"),
            "deep": ("[" * 10000 + "]" * 10000, "is no JSON object"),
            "later": (result(outputs=[{"path": "%s", "to": "archive/main", "invented": 1}], invented=[1]), ""),
        }
        home = self.exec_home('''
            if name == "good":
                answer(status="ok", outputs=[{"path": request["path"]}])
            else:
                print(json.load(open(os.path.join(os.path.dirname(__file__), "answers.json")))[name].replace("%s", request["path"]).replace("%i", request["id"]), flush=True)
        ''')
        (home.root / "answers.json").write_text(json.dumps({name: text for name, (text, _) in answers.items()}))
        for name in answers:
            home.drop(name, b"x")
        failed = self.failed(home, len(answers) - 1)
        for name, (_, words) in answers.items():
            with self.subTest(name):
                self.assertIn(words, failed[name] if words else "")
        home.drop("good", b"good")
        self.assertEqual(sorted(self.archived(home, 2)), ["good", "later"], "members that nobody knows are left alone")

    def test_program_that_ends_or_writes_too_much_is_started_again(self):
        home = self.exec_home('''
            print("about to " + name, file=sys.stderr, flush=True)
            if name == "segv":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif name == "raise":
                raise ValueError("on purpose")
            elif name == "flood":
                while True:
                    sys.stdout.write("x" * 65536)
            elif name == "unread":
                sys.stdout.write("x")
            answer(status="ok", hop_tags={"pid": str(os.getpid())}, outputs=[{"path": request["path"]}])
        ''')
        expected = {"segv": "signal 11", "raise": "ended with exit code 1: about to raise", "flood": "more than 4 MiB", "unread": "is no JSON object"}
        for number, name in enumerate(expected, 1):
            home.drop(name, b"x")
            self.failed(home, number)
        for name, words in expected.items():
            with self.subTest(name):
                self.assertIn(words, self.failed(home, len(expected))[name])
        self.assertIn("on purpose", self.failed(home, len(expected))["raise"])
        home.wait_log("exec/main", "about to segv")
        home.drop("good", b"x")
        self.archived(home, 1)

    def test_program_that_hangs_is_started_again(self):
        home = self.exec_home('''
            if name == "hang":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(1000)
            answer(status="ok", outputs=[{"path": request["path"]}])
        ''', custom='command_timeout = "1s"')
        home.drop("hang", b"x")
        self.assertIn("took too long", self.failed(home, 1)["hang"])
        one_of(lambda number: self.passes(home, f"good{number}"), "a file that is treated within a second")

    def test_program_that_ends_by_itself_between_two_files_fails_nothing(self):
        home = self.exec_home('''
            answer(status="ok", hop_tags={"pid": str(os.getpid())}, outputs=[{"path": request["path"]}])
            if number == 4:
                sys.exit(0)
        ''')
        for i in range(30):
            home.drop(f"f{i}", b"x")
        files = self.archived(home, 30)
        self.assertGreaterEqual(len({tags["latest.exec.main.pid"] for [(_, tags)] in files.values()}), 6)
        self.assertEqual(home.trash("exec/main"), [])

    def test_program_that_cannot_run_stops_the_step_and_not_its_files(self):
        home = self.exec_home("answer(status='ok')", custom="")
        home.stop()
        for command, words in ((["/no/such/program"], "cannot start"), ([sys.executable, "-c", "import nothing_there"], "nothing_there"),
                               ([sys.executable, "-c", "print('hello')"], '"hello" is no JSON object'), ([], 'write command = ')):
            with self.subTest(command):
                home.override("exec", f"[custom]\ncommand = {json.dumps(command)}\n")
                home.start()
                home.drop("waits", b"x")
                wait_for(lambda: words in home.status()["steps"][1]["failure"] + home.status()["steps"][0]["failure"], words)
                home.stop()
                self.assertEqual(home.trash("exec/main"), [])

    def test_start_of_the_program_is_not_the_time_of_a_file(self):
        home = self.exec_home('''
            if name == "segv":
                os.kill(os.getpid(), signal.SIGSEGV)
            answer(status="ok", outputs=[{"path": request["path"]}])
        ''', custom='command_timeout = "1s"')
        self.program.write_text("import time\ntime.sleep(1.5)\n" + self.program.read_text())

        def passes_after_a_crash(number):
            self.assertFalse(self.passes(home, "segv"))
            return self.passes(home, f"good{number}")
        one_of(passes_after_a_crash, "a file that is treated within a second")

    def test_program_that_cannot_be_started_again_fails_no_file(self):
        home = self.exec_home('''
            answer(status="ok", outputs=[{"path": request["path"]}])
            sys.exit(0)
        ''')
        home.drop("first", b"x")
        self.archived(home, 1)
        good = self.program.read_text()
        self.program.write_text("raise ValueError('not now')")
        for i in range(5):
            home.drop(f"f{i}", b"x")
        wait_for(lambda: "the program does not start" in home.step_log("exec/main"), "a line in the log")
        self.assertEqual(home.trash("exec/main"), [])
        self.program.write_text(good)
        self.assertEqual(len(self.archived(home, 6)), 6)
        self.assertEqual(home.trash("exec/main"), [])

    def test_second_answer_to_a_file_reaches_no_other_file(self):
        home = self.exec_home('''
            answers = [{"type": "result", "id": request["id"], "status": status, "outputs": [{"path": request["path"]}]} for status in ("ok", "fail")]
            os.write(1, "".join(json.dumps(one) + "\\n" for one in answers).encode())  # at once: both are there
        ''')
        for i in range(10):
            home.drop(f"f{i}", b"x")
            self.archived(home, i + 1)
        home.wait_log("exec/main", "a line that nobody asked for")
        self.assertEqual(home.trash("exec/main"), [])

    def test_late_second_answer_to_a_file_fails_no_other_file(self):
        home = self.exec_home('''
            answer(status="ok", outputs=[{"path": request["path"]}])
            if name == "twice":
                following = json.loads(sys.stdin.readline())  # the next file is in hand when the second answer comes
                answer(status="fail", reason="of another file")
        ''')
        home.drop("twice", b"x")
        self.archived(home, 1)
        home.drop("next", b"x")
        self.assertEqual(sorted(self.archived(home, 2)), ["next", "twice"])
        self.assertEqual(home.trash("exec/main"), [])

    def test_answer_with_the_id_of_another_request_fails_the_file(self):
        home = self.exec_home('''
            answer(status="ok", id="no such" if name == "bad" else request["id"], outputs=[{"path": request["path"]}])
        ''')
        home.drop("bad", b"x")
        self.assertIn("another request", self.failed(home, 1)["bad"])
        home.drop("good", b"x")
        self.assertEqual(list(self.archived(home, 1)), ["good"])

    def test_program_has_not_the_channel_of_its_worker(self):
        home = self.exec_home("""
            links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
            answer(status="ok", hop_tags={"open": " ".join(os.readlink(link) for link in links if os.path.exists(link))}, outputs=[{"path": request["path"]}])
        """)
        home.drop("a", b"x")
        [(_, tags)] = self.archived(home, 1)["a"]
        self.assertIn(b"pipe:", tags["latest.exec.main.open"])
        self.assertNotIn(b"socket:", tags["latest.exec.main.open"])

    def test_nothing_of_it_lives_on(self):
        home = self.exec_home('''
            if os.fork() == 0:
                time.sleep(1000)
            answer(status="ok", hop_tags={"pid": str(os.getpid())}, outputs=[{"path": request["path"]}])
        ''')
        home.drop("a", b"x")
        [(_, tags)] = self.archived(home, 1)["a"]
        home.stop()
        wait_for(lambda: not os.path.exists(f"/proc/{tags['latest.exec.main.pid'].decode()}"), "its end")
        mine = str(self.program).encode()
        wait_for(lambda: not [p for p in os.listdir("/proc") if p.isdigit() and mine in self.command_line(p)], "the end of what it started")

    @staticmethod
    def command_line(pid):
        try:
            return content(f"/proc/{pid}/cmdline")
        except OSError:
            return b""

    def test_placeholder_of_a_file_in_a_program_that_stays_is_refused(self):
        for custom, key in (('command = ["cat", "{PATH}"]', "command"), ('command = ["cat"]\nenvironment = ["FILE={PATH}"]', "environment")):
            home = self.home("exec", "archive", settings=SETTINGS, overrides={"exec": f"[custom]\n{custom}\n"}).start()
            wait_for(lambda: key + ": there is no placeholder {PATH} (there is none of a file here" in home.step_status("exec/main").get("failure", ""), key)
            home.stop()


if __name__ == "__main__":
    main()
