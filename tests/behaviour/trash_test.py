"""mfdata trash: what is in it, back to the step as if it had just arrived, or away."""
import fcntl
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import ATTRIBUTE, BUILD, MFDATA, Case, content, main, parse_tags_file, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"
SETTINGS = '[data]\nentry_step = "mischief/main"\n[loader]\nstep_limit = 5\n'


class Trash(Case):
    def trashing_home(self, mode, step=""):
        home = self.home(MISCHIEF, "archive", settings=SETTINGS)
        self.treat_as(home, mode, step)
        return home.start()

    def treat_as(self, home, mode, step="", dest="archive/main"):
        home.override("mischief", f'[step.main]\n{step}\n[custom]\nmode = "{mode}"\ndest_dir = "{dest}"\n')

    def in_trash(self, home, names):
        for name in names:
            home.drop(name, name.encode())
        home.wait_trash("mischief/main", len(names))
        home.wait_idle()

    def trash(self, home, *words, code=0):
        done = home.run(MFDATA, "trash", *words, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def listed(self, home, *words):
        return [note["original_name"] for note in json.loads(self.trash(home, "list", "--json", *words))]

    def test_list_and_show_say_what_is_known(self):
        home = self.trashing_home("fail")
        self.assertIn("nothing", self.trash(home, "list"))
        self.in_trash(home, ["one", "two"])
        self.assertEqual(sorted(self.listed(home)), ["one", "two"])
        text = self.trash(home, "list")
        for word in ("mischief/main", "failed", "one", "failed as asked"):
            self.assertIn(word, text)
        for words, count in ((("--step", "mischief/main"), 2), (("--step", "archive/main"), 0), (("--reason", "failed"), 2), (("--reason", "crashed"), 0),
                             (("--older", "0"), 2), (("--older", "1h"), 0), (("--reason", "failed", "--older", "1h"), 0)):
            self.assertEqual(len(self.listed(home, *words)), count, words)
        uid = json.loads(self.trash(home, "list", "--json"))[0]["uid"]
        note = json.loads(self.trash(home, "show", uid))
        self.assertEqual((note["uid"], note["tags"]["first.core.original_basename"]), (uid, note["original_name"]))
        self.assertTrue(os.path.exists(note["path"]))

    def test_retry_gives_files_back_as_if_they_had_just_arrived(self):
        home = self.trashing_home("retry", 'retry_total = 1\nretry_min_wait = "10ms"')
        self.in_trash(home, ["one", "two", "three"])
        self.assertEqual(home.trash("mischief/main")[0]["attempts"], 2)
        uid = next(n["uid"] for n in home.trash("mischief/main") if n["original_name"] == "two")
        home.stop()
        self.treat_as(home, "pass")
        home.start()
        self.assertIn("1 file", self.trash(home, "retry", uid))
        [path] = wait_for(home.files, "the file in the archive")
        tags = parse_tags_file(path + b".tags")
        self.assertEqual((content(path), tags["latest.core.step_counter"]), (b"two", b"1"))
        self.assertEqual([name for name in tags if "attempt" in name], [])
        self.assertIn("2 files", self.trash(home, "retry", "--reason", "failed"))
        wait_for(lambda: len(home.files()) == 3, "all in the archive")
        home.wait_idle()
        self.assertEqual([name for _, _, names in os.walk(home.data / "trash") for name in names], [], "no companion is left")
        self.assertEqual(home.left_over(), [])

    def test_retry_works_without_a_loader_and_forgets_crashes(self):
        home = self.trashing_home("crash")
        self.in_trash(home, ["one"])
        home.stop()
        self.treat_as(home, "pass")
        self.trash(home, "retry", "--all")
        [name] = os.listdir(home.data / "step.mischief.main")
        self.assertNotIn("~", name)
        home.start()
        wait_for(home.files, "the file in the archive")

    def test_retry_after_a_loop_counts_the_hops_anew(self):
        home = self.home(MISCHIEF, "archive", settings=SETTINGS)
        self.treat_as(home, "pass", dest="mischief/main")
        home.start()
        self.in_trash(home, ["round"])
        self.assertEqual(self.listed(home, "--reason", "loop"), ["round"])
        home.stop()
        self.treat_as(home, "pass")
        home.start()
        self.trash(home, "retry", "--reason", "loop")
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(parse_tags_file(path + b".tags")["latest.core.step_counter"], b"1")

    def test_retry_refuses_what_has_lost_its_tags_and_keeps_it(self):
        home = self.trashing_home("fail")
        self.in_trash(home, ["one", "two"])
        lost = next(n for n in home.trash("mischief/main") if n["original_name"] == "one")
        os.removexattr(lost["path"], ATTRIBUTE)
        home.stop()
        self.assertIn("inject", self.trash(home, "retry", "--all", code=1))
        self.assertEqual(self.listed(home), ["one"], "the other one went back")
        self.assertEqual(content(lost["path"]), b"one")

    def test_retry_that_was_killed_half_way_can_be_repeated(self):
        home = self.trashing_home("fail")
        self.in_trash(home, ["one"])
        home.stop()
        [note] = home.trash("mischief/main")
        directory = os.path.dirname(note["path"])
        os.rename(note["path"], os.path.join(directory, ".retry." + os.path.basename(note["path"])))
        os.rename(os.path.join(directory, note["uid"] + ".json"), os.path.join(directory, f".retry.{note['uid']}.json"))
        self.assertEqual(self.listed(home), ["one"], "it is shown, with its note")
        self.treat_as(home, "pass")
        self.assertIn("1 file", self.trash(home, "retry", "--all"))
        self.assertEqual(os.listdir(directory), [])
        home.start()
        wait_for(home.files, "the file in the archive")

    def test_one_at_a_time(self):
        home = self.trashing_home("fail")
        self.in_trash(home, ["one"])
        with open(home.root / "run/trash.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("another mfdata trash", self.trash(home, "retry", "--all", code=1))
        self.trash(home, "purge", "--all")

    def test_file_that_fails_again_at_once_has_its_new_note(self):
        home = self.trashing_home("fail")
        self.in_trash(home, [f"f{number}" for number in range(20)])
        for _ in range(5):
            self.trash(home, "retry", "--all")
            home.wait_trash("mischief/main", 20)

    def test_purge_removes_for_good_what_was_chosen(self):
        home = self.trashing_home("fail")
        self.in_trash(home, ["one", "two"])
        uid = next(n["uid"] for n in home.trash("mischief/main") if n["original_name"] == "one")
        self.assertIn("1 file", self.trash(home, "purge", uid))
        self.assertEqual(self.listed(home), ["two"])
        self.assertIn("--all", self.trash(home, "purge", code=2))
        self.assertIn("mfdata trash list", self.trash(home, "purge", uid, code=1))
        self.assertIn("--older", self.trash(home, "purge", "--older", "soon", code=2))
        self.trash(home, "purge", "--all")
        self.assertEqual([name for _, _, names in os.walk(home.data / "trash") for name in names], [])
        self.assertEqual(home.files(), [])


if __name__ == "__main__":
    main()
