"""The main job on real files: incoming to archive, from step to step, with tags."""
import datetime
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, Case, content, context_of, main, parse_tags_file, wait_for

TWO_HOPS = '[data]\nentry_step = "minimal/main"\n'


class Flow(Case):
    def test_file_dropped_into_incoming_ends_in_the_archive_with_its_tags(self):
        home = self.home("archive").start()
        home.drop("hello.txt", b"hello")
        [path] = wait_for(lambda: home.files(), "the file in the archive")
        self.assertEqual(content(path), b"hello")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual(tags["first.core.original_basename"], b"hello.txt")
        self.assertEqual(tags["first.core.original_dirname"], b"incoming")
        self.assertEqual(tags["latest.core.step_counter"], b"0")
        self.assertEqual(os.path.basename(path), tags["first.core.original_uid"])
        self.assertEqual(context_of(path)[1], tags)
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_tags_follow_the_file_from_step_to_step(self):
        home = self.home("minimal", "archive", settings=TWO_HOPS).start()
        home.drop("a", b"12345")
        [path] = wait_for(lambda: home.files(), "the file in the archive")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual(tags["0.minimal.main.length"], b"5")
        self.assertEqual(tags["latest.minimal.main.length"], b"5")
        self.assertEqual(tags["latest.core.step_counter"], b"1")
        self.assertIn("0.minimal.main.enter_step", tags)
        self.assertIn("1.archive.main.enter_step", tags)

    def test_files_waiting_at_start_are_taken(self):
        home = self.home("archive")
        home.start().stop()
        for number in range(50):
            home.drop(f"f{number}", b"%d" % number)
        home.start()
        wait_for(lambda: len(home.files()) == 50, "50 files in the archive")

    def test_stop_finishes_and_leaves_no_process(self):
        home = self.home("archive").start()
        pids = wait_for(lambda: home.worker_pids(), "a worker")
        self.assertEqual(home.stop(), 0)
        for pid in pids:
            self.assertFalse(os.path.exists(f"/proc/{pid}"), "a worker outlived its loader")

    def test_stop_finishes_the_file_in_hand(self):
        script = 'echo run >> "$RUNS"; while [ ! -e "$GATE" ]; do sleep 0.02; done; cp "$1" out; echo FILEPATH: out'
        home = self.home("fork", "archive", settings='[data]\nentry_step = "fork/main"\n', overrides={
            "fork": "[custom]\ncommand = " + json.dumps(["/bin/sh", "-c", script, "sh", "{PATH}"]) + '\ndest_dir = "archive/main"\n'})
        runs, gate = home.root / "runs", home.root / "gate"
        home.environment.update(RUNS=str(runs), GATE=str(gate))
        home.start()
        home.drop("a", b"content")
        wait_for(runs.exists, "the command to run")
        home.loader.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in home.log(), "the loader to be told")
        gate.touch()
        self.assertEqual(home.stop(), 0)
        arrived = list((home.data / "step.archive.main").iterdir()) + home.files()
        self.assertEqual([content(path) for path in arrived], [b"content"], "its output has arrived when the loader ends")
        home.start()
        [path] = wait_for(home.files, "the file in the archive")
        home.wait_idle()
        self.assertEqual((content(path), runs.read_text()), (b"content", "run\n"))
        self.assertEqual((home.left_over(), home.trash("fork/main")), ([], []))

    def test_hop_tag_can_be_set_without_latest(self):
        home = self.home(BUILD / "tests/plugins/mischief", "archive", settings='[data]\nentry_step = "mischief/main"\n',
                         overrides={"mischief": '[custom]\nmode = "tag_without_latest"\ndest_dir = "archive/main"\n'}).start()
        home.drop("a", b"x")
        [path] = wait_for(home.files, "the file in the archive")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual((tags["0.mischief.main.only_of_the_hop"], tags["0.mischief.main.of_both"]), (b"1", b"2"))
        self.assertEqual({name: value for name, value in tags.items() if name.startswith("latest.mischief.")}, {"latest.mischief.main.of_both": b"2"})

    def test_enter_step_is_utc_wherever_the_loader_runs(self):
        home = self.home("archive")
        home.environment["TZ"] = "Pacific/Kiritimati"  # 14 hours before UTC
        home.start()
        home.drop("a", b"x")
        [path] = wait_for(home.files, "the file in the archive")
        entered = parse_tags_file(path + b".tags")["0.archive.main.enter_step"].decode()
        self.assertRegex(entered, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d:\d{6}$")
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        self.assertLess(abs(now - datetime.datetime.strptime(entered, "%Y-%m-%dT%H:%M:%S:%f")), datetime.timedelta(hours=1))


if __name__ == "__main__":
    main()
