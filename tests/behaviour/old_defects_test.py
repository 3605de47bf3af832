"""Defects of the system that this one replaces: each has a test of its name, numbered as they are known. Those of plugins
that bring files in or send them over a network stand with them; 2 stands in tests/unit/collection_test.cpp, 19 in
packages_test.py."""
import glob
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, context_of, main, parse_tags_file, sha, wait_for
from switch_test import NAME, block

PORT_0 = '[metrics]\nlisten = "127.0.0.1:0"\n'


def entry(step):
    return f'[data]\nentry_step = "{step}"\n'


class OldDefects(Case):
    def fork_home(self, command, custom="", settings="", start=True):
        home = self.home("fork", "archive", settings=entry("fork/main") + settings, overrides={
            "fork": f"[custom]\ncommand = {json.dumps(command)}\ndest_dir = \"archive/main\"\n{custom}",
            "archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\n'})
        return home.start() if start else home

    def trashed(self, home, step):
        return wait_for(lambda: [note for note in home.trash(step) if note["path"]], "a file in trash")

    def test_1_crash_after_the_claim_loses_no_file(self):
        script = 'while [ ! -e "$GATE" ]; do sleep 0.02; done; cp "$1" out && echo FILEPATH: out'
        home = self.fork_home(["sh", "-c", script, "sh", "{PATH}"], start=False)
        gate = home.root / "gate"
        home.environment["GATE"] = str(gate)
        home.start()
        home.drop("a", b"content")
        wait_for(lambda: [path for path in glob.glob(f"{home.data}/tmp/fork.main/*/in/*")], "the claim")
        os.kill(home.worker_pids("fork/main")[0], signal.SIGKILL)
        gate.touch()
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(content(path), b"content")
        gate.unlink()
        home.drop("b", b"more")
        wait_for(lambda: [path for path in glob.glob(f"{home.data}/tmp/fork.main/*/in/*")], "the claim")
        home.kill()
        gate.touch()
        home.start()
        wait_for(lambda: len(home.files()) == 2, "the second file in the archive")

    def test_3_tags_stand_with_their_file_and_not_in_a_cache(self):
        home = self.home("guess_file_type", "archive", settings=entry("guess_file_type/main"), overrides={
            "guess_file_type": '[custom]\ndest_dir = "archive/main"\n', "archive": "[step.main]\nnumprocesses = 0\n"}).start()
        home.drop("a", b"some text\n")
        [path] = wait_for(lambda: list((home.data / "step.archive.main").iterdir()), "the file before the archive")
        home.stop()
        _, tags = context_of(path)
        self.assertEqual(tags["0.guess_file_type.main.system_magic"], b"ASCII text")
        home.override("archive", "")
        home.start()
        [path] = wait_for(home.files, "the file in the archive")
        self.assertLessEqual(tags.items(), dict(parse_tags_file(path + b".tags"), **{"latest.core.step_counter": tags["latest.core.step_counter"]}).items())

    def test_4_half_written_file_is_not_taken(self):
        home = self.home("archive").start()
        with open(home.incoming / "slow", "wb") as file:
            file.write(b"half")
            file.flush()
            home.drop("whole", b"whole")
            [whole] = wait_for(home.files, "the whole file in the archive")
            self.assertEqual(content(whole), b"whole")
            file.write(b" and half")
        wait_for(lambda: len(home.files()) == 2, "the other one")
        self.assertEqual(sorted(map(content, home.files())), [b"half and half", b"whole"])

    def test_5_fork_with_a_non_zero_exit_is_a_failure(self):
        home = self.fork_home(["sh", "-c", "cp \"$1\" out; echo FILEPATH: out; exit 1", "sh", "{PATH}"])
        home.drop("a", b"x")
        [note] = self.trashed(home, "fork/main")
        self.assertIn("exit code 1", note["error"])
        self.assertEqual(home.files(), [])

    def test_6_loop_guard_puts_the_file_into_trash_and_counts_it(self):
        home = self.home("copy", settings=entry("copy/main") + "[loader]\nstep_limit = 20\n" + PORT_0, overrides={"copy": '[custom]\ndest_dirs = ["copy/main"]\n'}).start()
        home.drop("a", b"content")
        [note] = self.trashed(home, "copy/main")
        self.assertEqual((note["reason"], content(note["path"])), ("loop", b"content"))
        self.assertEqual(context_of(note["path"])[1]["latest.core.step_counter"], b"20")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])
        wait_for(lambda: home.metric("mfdata_trash_files") == 1, "it to be counted")

    def test_9_duplicate_targets_are_merged(self):
        home = self.home("switch", "move", settings=entry("switch/main"), overrides={
            "move": block("equal", {"a": ["main", "main*", "move/main"]}) + block("alwaystrue", {"all": ["main"]}, tag=None)})
        os.mkdir(home.root / "out")
        with open(home.root / "etc/plugins.d/move.toml", "a") as file:
            file.write(f'\n[custom]\ndest_dir = "{home.root}/out"\n')
        home.start()
        home.drop("a", b"x")
        wait_for(lambda: os.listdir(home.root / "out"), "the delivery")
        home.wait_idle()
        self.assertEqual(os.listdir(home.root / "out"), ["a"])

    def test_10_one_bad_rule_breaks_no_other(self):
        home = self.home("switch", "archive", settings=entry("switch/main"), overrides={
            "archive": block("regex", {"(": ["main"], "a": ["main"]}) + block("equal", {"x": ["nobody/main"]}) + block("equal", {"b": ["main"]})}).start()
        for name in ("a", "b", "c"):
            home.drop(name, name.encode())
        wait_for(lambda: home.status()["results"] >= 5, "the treatments")
        home.wait_idle()
        self.assertEqual(sorted(content(path) for path in home.files()), [b"a", b"b"])

    def test_11_percent_in_an_original_name_is_no_strftime(self):
        home = self.home("archive", overrides={"archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\n'}).start()
        home.drop("%Y%m%d {STEP_COUNTER} 100%", b"x")
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(os.path.basename(path), b"%Y%m%d {STEP_COUNTER} 100%")

    def test_12_idle_system_restarts_nothing(self):
        home = self.home("guess_file_type", "switch", settings=entry("guess_file_type/main") + "rescan_interval = 1\n" + PORT_0,
                         overrides={"switch": block("alwaystrue", {"all": ["guess_file_type/main"]}, tag=None)}).start()
        pids = wait_for(lambda: home.worker_pids() if len(home.worker_pids()) == 2 else None, "the workers")
        wait_for(lambda: home.status()["uptime_s"] > 4, "some rescans")
        self.assertEqual(home.worker_pids(), pids)
        self.assertEqual(home.metric("mfdata_worker_exits_total"), 0)
        lines = [line for line in home.log().splitlines() if " warning loader: " not in line]  # of the configuration
        self.assertEqual(len(lines), 1, "one line: that it runs")

    def test_13_batch_results_of_the_wrong_number_crash_nothing(self):
        home = self.home(BUILD / "tests/plugins/wrong_batch", settings=entry("wrong_batch/main")).start()
        pids = wait_for(home.worker_pids, "the worker")
        home.drop("a", b"content")
        [note] = self.trashed(home, "wrong_batch/main")
        self.assertIn("results for a batch of", note["error"])
        self.assertEqual((content(note["path"]), home.worker_pids()), (b"content", pids))

    def test_14_move_that_fails_keeps_the_context(self):
        home = self.home("guess_file_type", "move", settings=entry("guess_file_type/main"), overrides={
            "guess_file_type": '[custom]\ndest_dir = "move/main"\n', "move": f'[custom]\ndest_dir = "{{home}}/var"\ndest_basename = "{"x" * 300}"\n'}).start()
        home.drop("a", b"some text\n")
        [note] = self.trashed(home, "move/main")
        _, tags = context_of(note["path"])
        self.assertEqual((tags["latest.guess_file_type.main.system_magic"], tags[NAME]), (b"ASCII text", b"a"))
        self.assertEqual(parse_tags_file(note["path"].with_name(note["uid"] + ".tags"))[NAME], b"a")

    def test_15_outputs_of_one_name_do_not_overwrite_each_other(self):
        home = self.fork_home(["sh", "-c", "for n in 1 2 3; do mkdir $n; echo $n > $n/same; echo FILEPATH: $n/same; done"])
        home.drop("a", b"x")
        wait_for(lambda: len(home.files()) == 3, "three files in the archive")
        self.assertEqual(sorted(content(path) for path in home.files()), [b"1\n", b"2\n", b"3\n"])
        self.assertEqual(sorted(os.path.basename(path) for path in home.files()), [b"a", b"a-1", b"a-2"])

    def test_17_secrets_stand_neither_in_status_nor_in_logs_nor_in_the_environment(self):
        home = self.home("exec", "archive", settings=entry("exec/main"))
        (home.root / "secret").write_text("hunter2\n")
        home.override("exec", '[custom]\ncommand = ["python3", "{plugin_dir}/count_lines.py"]\n'
                              f'environment = ["PASSWORD={{file:{home.root}/secret}}"]\ndest_dir = "archive/main"\n')
        home.start()
        home.drop("a", b"x")
        wait_for(home.files, "the file in the archive")
        [worker] = home.worker_pids("exec/main")
        shown = home.run(MFDATA, "status", "--json").stdout + home.run(MFDATA, "check", "--json").stdout + home.log() + home.step_log("exec/main")
        for text in (shown, content(f"/proc/{worker}/environ").decode(), content(f"/proc/{worker}/cmdline").decode()):
            self.assertNotIn("hunter2", text)
        [program] = [int(pid) for pid in content(f"/proc/{worker}/task/{worker}/children").split()]
        self.assertIn(b"PASSWORD=hunter2", content(f"/proc/{program}/environ"), "the program itself has it")


class Books(Case):
    def test_1000_files_through_the_standard_flow(self):
        home = self.home("guess_file_type", "switch", "archive", settings=entry("guess_file_type/main"),
                         overrides={"archive": block("fnmatch", {"*": ["main"]}, "latest.guess_file_type.main.system_magic")}).start()
        made = home.root / "made"
        made.mkdir()
        home.run(MFDATA, "generate", made, "--count", "1000", "--size", "1KiB")
        sent = {path.name: sha(path.read_bytes()) for path in made.iterdir()}
        self.assertEqual(len(set(sent.values())), 1000)
        for name in sent:
            os.rename(made / name, home.incoming / name)
        wait_for(lambda: len(home.files()) == 1000, "1000 files in the archive", 300)
        home.wait_idle()
        arrived = {parse_tags_file(path + b".tags")[NAME].decode(): sha(content(path)) for path in home.files()}
        self.assertEqual(arrived, sent)
        self.assertEqual(len(home.files(companions=True)), 2000)
        self.assertEqual((home.spooled(), home.left_over(), os.listdir(home.data / "tmp/context")), ([], [], []))
        self.assertEqual([path for path in glob.glob(f"{home.data}/trash/*/*")], [])

    def test_fan_out_of_links_takes_the_room_of_one_file(self):
        """Three targets by link and two by copy, one of which fails."""
        targets = ("t1", "t2", "t3", "t4")
        home = self.home("switch", "fork", settings=entry("switch/main"), overrides={"fork": '[custom]\ncommand = ["false"]\n'})
        for name in targets:
            home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/move", "--new-name", name)
            rules = block("alwaystrue", {"all": ["t1/main*", "t2/main*", "t3/main*", "t4/main", "fork/main"]}, tag=None) if name == "t1" else ""
            home.override(name, f'[step.main]\nnumprocesses = 0\n[custom]\ndrop_tags = false\ndest_dir = "{home.root}/{name}"\n{rules}')
            os.mkdir(home.root / name)
        home.start()
        size = 1 << 20
        home.drop("big", os.urandom(size))
        [note] = self.in_trash(home)
        waiting = wait_for(lambda: [p for t in targets for p in (home.data / f"step.{t}.main").iterdir()] if all(
            os.listdir(home.data / f"step.{t}.main") for t in targets) else None, "a file before each target")
        inodes = {os.stat(path).st_ino for path in waiting}
        self.assertEqual(len(inodes), 2, "one inode for the links, one for the copy")
        blocks = sum({os.stat(path).st_ino: os.stat(path).st_blocks * 512 for path in waiting}.values())
        self.assertLess(blocks, 2.2 * size)
        self.assertEqual(os.path.getsize(note["path"]), size)
        home.stop()
        for name in targets:
            path = home.root / f"etc/plugins.d/{name}.toml"
            path.write_text(path.read_text().replace("numprocesses = 0", "numprocesses = 1"))
        home.start()
        wait_for(lambda: all((home.root / name / "big").exists() for name in targets), "the deliveries")
        home.wait_idle()
        self.assertEqual([os.listdir(home.root / name) for name in targets], [["big"]] * 4)
        self.assertEqual(len({context_of(home.root / name / "big")[0]["uid"] for name in targets}), 4, "contexts are independent")
        self.assertEqual(home.left_over(), [])

    def in_trash(self, home):
        return wait_for(lambda: [note for note in home.trash("fork/main") if note["path"]], "the failed one in trash")


if __name__ == "__main__":
    main()
