"""What is too old is collected: trash, backlogs when a lifetime says so, the archive. That what waits is never removed else
(defect 2), and how long an archive keeps by default, is tested with the time passed in: tests/unit."""
import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, context_of, main, one_of, wait_for

ENTRY = '[data]\nentry_step = "{}"\n'
REFUSES = '[custom]\nno_match_policy = "keep"\n'  # of a switch without rules: everything goes to trash


class Collection(Case):
    def wait_for_age(self, directory, seconds):
        """Until all that stands in a directory came there so long ago."""
        def old():
            with contextlib.suppress(FileNotFoundError):  # collected meanwhile: another look
                return all(time.time() - os.stat(path).st_ctime > seconds for path in directory.iterdir())

        wait_for(old, "their age")

    def again(self, home):
        """A start collects at once (otherwise each minute does), in a process that is no worker; until it has ended."""
        home.stop()
        home.start()
        tasks = f"/proc/{home.loader.pid}/task"
        children = lambda: {int(pid) for task in os.listdir(tasks) for pid in content(f"{tasks}/{task}/children").split()}
        wait_for(lambda: children() <= set(home.worker_pids()), "the end of the collection")
        return home

    def test_trash_is_kept_for_its_lifetime_and_then_removed_with_all_that_belongs_to_it(self):
        settings = ENTRY.format("switch/main") + 'trash_max_lifetime = "{}"\n'
        home = self.home("switch", settings=settings.format("1h"), overrides={"switch": REFUSES}).start()
        directory = home.data / "trash/switch.main"
        home.drop("old", b"x")
        home.wait_trash("switch/main")
        self.again(home)
        self.assertEqual(len(list(directory.iterdir())), 3, "not old enough")
        home.configure(settings.format("2s"))

        def young_stays(number):
            """False when it was not young any more, or the collection had no time."""
            self.wait_for_age(directory, 3.1)  # whole seconds count
            began = time.time()
            home.drop(f"young{number}", b"x")
            wait_for(lambda: any(note["path"] and note["original_name"] == f"young{number}" for note in home.trash("switch/main")), "the second file in trash")
            self.again(home)
            left = [note["original_name"] for note in home.trash("switch/main")]
            self.assertTrue(f"young{number}" in left or time.time() - began > 2, "it was removed before its time")
            return left == [f"young{number}"]
        one_of(young_stays, "a young file that is kept when the others are removed")
        self.assertEqual(len(list(directory.iterdir())), 3, "with what belongs to it")
        wait_for(lambda: "files in trash were older than trash_max_lifetime" in home.log(), "a line in the log")

    def test_trash_without_a_lifetime_stays(self):
        home = self.home("switch", settings=ENTRY.format("switch/main") + "trash_max_lifetime = 0\n", overrides={"switch": REFUSES}).start()
        home.drop("a", b"x")
        home.wait_trash("switch/main")
        self.wait_for_age(home.data / "trash/switch.main", 1.2)
        self.again(home)
        self.assertEqual(len(home.trash("switch/main")), 1)

    def test_collection_that_cannot_run_is_said(self):
        home = self.home("archive", settings=ENTRY.format("archive/main"))
        (home.root / "run/trash.lock").mkdir()
        home.start()
        wait_for(lambda: "a task of the loader ended with the status" in home.log() and "trash.lock" in home.log(), "the warning, and why")
        home.drop("a", b"x")
        wait_for(home.files, "files to flow")

    def backlog(self, more=""):
        home = self.home("guess_file_type", "archive", settings=ENTRY.format("guess_file_type/main") + more,
                         overrides={"guess_file_type": '[custom]\ndest_dir = "archive/main"\n', "archive": "[step.main]\nnumprocesses = 0\n"}).start()
        home.drop("waits", b"content")
        waiting = home.data / "step.archive.main"
        wait_for(lambda: list(waiting.iterdir()), "the file before its step")
        return home, waiting

    def test_backlog_with_a_lifetime_goes_to_trash_with_its_context(self):
        home, waiting = self.backlog('backlog_max_lifetime = "1s"\n')
        self.wait_for_age(waiting, 2.1)
        self.again(home)
        [note] = wait_for(lambda: [n for n in home.trash("archive/main") if n["path"]], "the file in trash")
        self.assertEqual((note["reason"], content(note["path"])), ("expired", b"content"))
        header, tags = context_of(note["path"])
        self.assertEqual(tags["first.core.original_basename"], b"waits")
        wait_for(lambda: "1 waiting files were older than backlog_max_lifetime" in home.log(), "a line in the log")
        self.assertEqual(list(waiting.iterdir()), [])

    def test_archive_removes_what_it_has_kept_for_its_lifetime_and_nothing_else(self):
        """Below its directory also lie an archive that keeps for ever, what `move` brought, a spool, and files of people."""
        home = self.home("archive", "copy", settings=ENTRY.format("copy/main"))
        for plugin, name in (("archive", "long"), ("move", "moved")):
            home.run(MFDATA_PLUGIN, "install", BUILD / f"sample_plugins/{plugin}", "--new-name", name)
        home.override("copy", '[custom]\ndest_dirs = ["archive/main", "long/main", "moved/main"]\n')
        base = home.root
        day = base / "day"
        home.override("archive", f'[custom]\ndest_dir = "{base}"\nlifetime = "2s"\ndest_basename = "day/{{ORIGINAL_BASENAME}}"\n')
        home.override("long", f'[custom]\ndest_dir = "{base}"\nlifetime = -1\ndest_basename = "day/long-{{ORIGINAL_BASENAME}}"\n')
        home.override("moved", f'[custom]\ndest_dir = "{day}"\ndest_basename = "moved"\ndrop_tags = false\n')
        for directory in ("day", "people"):
            (base / directory).mkdir()
        (base / "day/by_hand").write_text("not ours")
        home.start()
        home.drop("a", b"x")
        kept = ["by_hand", "long-a", "long-a.tags", "moved"]
        wait_for(lambda: sorted(path.name for path in day.iterdir()) == sorted(["a", "a.tags", *kept]), "all that is delivered")
        self.wait_for_age(day, 3)
        home.stop()
        home.drop("waits", b"x")
        home.override("moved", f'[step.main]\nnumprocesses = 0\n[custom]\ndest_dir = "{day}"\n')
        home.start()
        wait_for(lambda: not (day / "a").exists() and not (day / "a.tags").exists(), "the old file to be removed")
        self.assertTrue(set(kept) <= {path.name for path in day.iterdir()})
        self.assertTrue((base / "people").is_dir() and (home.data / "tmp/commit").is_dir(), "empty directories of others stay")
        wait_for(lambda: len(list((home.data / "step.moved.main").iterdir())) == 1, "what waits in a spool below it to stay")

    def test_archive_removes_the_directories_that_it_empties(self):
        home = self.home("archive", settings=ENTRY.format("archive/main"), overrides={"archive": '[custom]\nlifetime = "1s"\ndest_basename = "day/{ORIGINAL_BASENAME}"\n'}).start()
        home.drop("a", b"x")
        wait_for(lambda: (home.archive / "day/a.tags").exists(), "the file and its tags")
        self.wait_for_age(home.archive / "day", 2.1)
        self.again(home)
        wait_for(lambda: not (home.archive / "day").exists(), "the directory to go")
        home.drop("b", b"x")
        wait_for(lambda: (home.archive / "day/b").exists(), "a young one")

    def test_archive_goes_past_directories_that_it_may_not_read(self):
        user = (65534, 65534) if os.geteuid() == 0 else None
        home = self.home("archive", settings=ENTRY.format("archive/main"), overrides={"archive": '[custom]\nlifetime = "1s"\ndest_basename = "m/{ORIGINAL_BASENAME}"\n'}, user=user)
        for name in "abcxyz":
            (home.archive / name).mkdir()
            (home.archive / name).chmod(0)
        home.start()
        sample = home.root / "sample"
        sample.write_bytes(b"x")
        sample.chmod(0o644)
        home.run(MFDATA, "inject", sample, "--wait")
        self.wait_for_age(home.archive / "m", 2.1)
        self.again(home)
        wait_for(lambda: not (home.archive / "m").exists(), "the directory with the old file to go")
        self.assertNotIn("cannot be looked for", home.step_log("archive/main"))

    def clock_was_set_forward(self, file, days=8, waited_s=0):
        """As if what a clock file remembers of this machine were of before the clock was set forward by some days; `waited_s`: so long ago."""
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        until = int(boot) + 3600 - waited_s if waited_s else 0
        boot_id = content("/proc/sys/kernel/random/boot_id").decode().strip()
        file.write_text(f"{int(time.time()) - days * 86400} {int(boot)} {until} {boot_id}\n")

    def test_clock_that_is_set_forward_by_days_empties_no_trash_for_an_hour_and_is_said(self):
        settings = ENTRY.format("switch/main") + 'trash_max_lifetime = "1s"\n[metrics]\nlisten = "127.0.0.1:0"\n'
        home = self.home("switch", settings=settings, overrides={"switch": REFUSES}).start()
        directory = home.data / "trash/switch.main"
        self.again(home)
        self.assertTrue((home.root / "run/clock").exists())
        home.stop()
        home.configure(settings.replace('"1s"', "0"))
        home.start()
        home.drop("old", b"x")
        home.wait_trash("switch/main")
        home.configure(settings)
        self.wait_for_age(directory, 2.1)
        home.stop()
        self.clock_was_set_forward(home.root / "run/clock")
        home.start()
        wait_for(lambda: home.metric("mfdata_trash_files") == 1, "a collection that counts the trash")
        self.assertEqual(len(home.trash("switch/main")), 1)
        self.assertRegex(home.log(), r"the clock went forward by 691\d{3} s more than time has passed: nothing is removed by its age for 60 minutes")
        self.assertTrue(3000 < home.status()["collection_waits_s"] <= 3600)
        self.assertIn("collection: nothing is removed by its age for", home.run(MFDATA, "status").stdout)
        refused = home.run(MFDATA, "trash", "purge", "--older", "1s", check=False)
        self.assertEqual((refused.returncode, len(home.trash("switch/main"))), (1, 1))
        self.assertIn("nothing is chosen by --older: the clock went forward", refused.stderr)
        home.stop()
        self.clock_was_set_forward(home.root / "run/clock", waited_s=3601)
        home.start()
        wait_for(lambda: not home.trash("switch/main"), "the trash to be emptied once the clock is believed")

    def test_clock_that_is_set_forward_by_days_empties_no_archive_for_an_hour_and_is_said(self):
        home = self.home("archive", settings=ENTRY.format("archive/main"),
                         overrides={"archive": '[custom]\nlifetime = "1s"\ndest_basename = "m/{ORIGINAL_BASENAME}"\n'})
        self.clock_was_set_forward(home.root / "run/archive.clock")
        home.start()
        home.drop("a", b"x")
        wait_for(lambda: (home.archive / "m/a.tags").exists(), "the file and its tags")
        self.wait_for_age(home.archive / "m", 2.1)
        home.wait_log("archive/main", "nothing that is old is removed for an hour")
        self.again(home)
        home.wait_log("archive/main", "nothing that is old is removed for an hour", 2)
        self.assertTrue((home.archive / "m/a").exists())
        home.stop()
        self.clock_was_set_forward(home.root / "run/archive.clock", waited_s=3601)
        home.start()
        wait_for(lambda: not (home.archive / "m").exists(), "the old file to go once the clock is believed")

    def test_wrong_lifetime_of_the_archive_is_said(self):
        home = self.home("archive", settings=ENTRY.format("archive/main"), overrides={"archive": '[custom]\nlifetime = "soon"\n'}).start()
        wait_for(lambda: 'lifetime is a number of days' in home.status()["steps"][0]["failure"], "the reason")


if __name__ == "__main__":
    main()
