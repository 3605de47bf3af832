"""`mfdata inject --wait` follows its own files, and says where each of them ended."""
import contextlib
import gzip
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, context_of, elsewhere, main, wait_for
from packages import NOBODY, need_another_user

MISCHIEF = BUILD / "tests/plugins/mischief"
BAD = '[data]\nentry_step = "mischief/main"\n'


class Inject(Case):
    def inject(self, home, *arguments, code=0, **more):
        done = home.run(MFDATA, "inject", *arguments, check=False, timeout=300, **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr if code else done.stdout

    @contextlib.contextmanager
    def background(self, home, *arguments, prefix=()):
        inject = subprocess.Popen([*prefix, str(MFDATA), "inject", *map(str, arguments)], env=home.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            yield inject
        finally:
            inject.kill()
            inject.communicate()

    def source(self, home, name, data="text\n"):
        (home.root / "sources").mkdir(exist_ok=True)
        path = home.root / "sources" / name
        path.write_text(data)
        return path

    def bad_home(self, step="", **more):
        override = f'[step.main]\n{step}\n[custom]\ndest_dir = "archive/main"\n'
        return self.home(MISCHIEF, "archive", "delete", settings=BAD, overrides={"mischief": override}, **more).start()

    def test_wait_says_where_each_file_was_delivered(self):
        home = self.home("archive").start()
        said = self.inject(home, self.source(home, "a"), self.source(home, "b b"), "--wait")
        for path in home.files():
            self.assertIn(f"{os.fsdecode(path)}\n", said)
        self.assertRegex(said, r"sources/a: delivered to /.*\n")
        self.assertEqual(len(said.splitlines()), 2)
        self.assertIn("delivered to", self.inject(home, self.source(home, "c"), "--step", "archive/main", "--wait"))
        self.assertIn("delivered to", self.inject(home, self.source(home, "a"), "--incoming", home.incoming, "--wait"))

    def test_wait_names_the_place_that_each_file_has_when_its_name_was_taken(self):
        for far in (False, True):
            home = self.home("archive", overrides={"archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\nkeep_tags_suffix = ""\n'})
            if far:
                place = tempfile.mkdtemp(dir="/tmp")
                self.addCleanup(shutil.rmtree, place, ignore_errors=True)
                home.override("archive", f'[custom]\ndest_dir = "{place}"\ndest_basename = "{{ORIGINAL_BASENAME}}"\nkeep_tags_suffix = ""\n')
            home.start()
            for number, tail in enumerate(("", "-1", "-2")):
                content = f"{number}\n"
                said = self.inject(home, self.source(home, "m", content), "--wait")
                path = said.rstrip("\n").split("delivered to ")[1]
                self.assertEqual((os.path.basename(path), pathlib.Path(path).read_text()), ("m" + tail, content))
            home.stop()

    def test_timeout_holds_for_all_of_it_when_the_loader_hangs(self):
        home = self.home("archive").start()
        home.run(MFDATA, "pause", "archive/main")
        files = [self.source(home, f"f{number}") for number in range(20)]
        with self.background(home, files[0], "--wait", "--timeout", "1") as inject:
            wait_for(lambda: home.status()["waiting"] or home.step_status("archive/main")["queued"], "the file to wait")
            home.loader.send_signal(signal.SIGSTOP)
            try:
                self.assertEqual(inject.wait(60), 1)
                said = self.inject(home, *files[1:], "--wait", "--timeout", "1", code=1)
            finally:
                home.loader.send_signal(signal.SIGCONT)
        self.assertIn("busy", said)

    def test_interrupted_wait_says_what_is_under_way_and_the_loader_follows_no_more(self):
        home = self.home("archive").start()
        home.run(MFDATA, "pause", "archive/main")
        with self.background(home, self.source(home, "a"), "--wait") as inject:
            wait_for(lambda: home.status()["followed_files"] == 1, "the file to be followed")
            inject.send_signal(signal.SIGINT)
            self.assertEqual((inject.wait(60), "interrupted: 1 file is still under way" in inject.stderr.read()), (1, True))
        self.assertEqual(home.status()["followed_files"], 0)

    def test_inject_that_is_interrupted_says_which_files_are_not_injected(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        home = self.home("archive").start()
        home.run(MFDATA, "pause", "archive/main")
        sources = [self.source(home, f"f{number:02}") for number in range(30)]
        slowly = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=rename,renameat,renameat2:delay_enter=1000000"]
        with self.background(home, *sources, "--wait", prefix=slowly) as inject:
            wait_for(lambda: home.status()["followed_files"] > 1, "some files to be followed")
            inject.send_signal(signal.SIGINT)
            said, code = inject.communicate(timeout=60)[1], inject.returncode
        [left, first] = re.search(r"(\d+) files are not injected, from .*/f(\d+) on", said).groups()
        self.assertEqual((code, int(left)), (1, 30 - int(first)), said)
        self.assertIn("are still under way", said)
        home.run(MFDATA, "resume", "archive/main")
        wait_for(lambda: len(home.files()) == int(first), "those that are injected")
        home.wait_idle()
        self.assertEqual(len(home.files()), int(first))
        self.assertEqual(home.status()["followed_files"], 0)

    def test_directory_that_nobody_takes_from_is_said_once_with_how_many_files_are_not_injected(self):
        home = self.home("archive").start()
        wrong = self.inject(home, *[self.source(home, f"f{number}") for number in range(5)], "--wait", "--incoming", home.root, code=1)
        self.assertEqual(len(wrong.splitlines()), 2, wrong)
        self.assertRegex(wrong, r"5 files are not injected, from .*/f0 on")

    def test_timeout_without_wait_and_an_empty_version_are_misuse(self):
        home = self.home("archive")
        self.inject(home, self.source(home, "a"), "--timeout", "5", code=2)
        self.assertEqual(home.run(MFDATA_PLUGIN, "rollback", "archive", "", check=False).returncode, 2)

    def test_wait_exits_1_for_a_file_that_went_to_trash_and_says_why(self):
        home = self.bad_home()
        good, bad = self.source(home, "good", "pass\n"), self.source(home, "bad", "fail\n")
        said = self.inject(home, good, bad, "--wait", code=1)
        self.assertEqual(said, f"{bad}: in trash of mischief/main: failed as asked\n")

    def test_wait_exits_1_for_a_file_that_no_rule_matches_kept_or_deleted(self):
        rules = '[[switch_rules]]\ntype = "equal"\nrules = { "another" = ["main"] }\n'
        for policy, words in (("keep", "in trash of switch/main: "), ("delete", "skipped by switch/main and deleted: ")):
            with self.subTest(policy=policy):
                home = self.home("switch", "archive", settings='[data]\nentry_step = "switch/main"\n',
                                 overrides={"archive": rules, "switch": f'[custom]\nno_match_policy = "{policy}"\n'}).start()
                self.assertIn("sources/a: " + words, self.inject(home, self.source(home, "a"), "--wait", code=1))

    def test_wait_exits_1_for_a_file_that_its_failure_policy_deleted(self):
        home = self.bad_home('failure_policy = "delete"')
        self.assertIn("failed in mischief/main: failed as asked", self.inject(home, self.source(home, "bad", "fail\n"), "--wait", code=1))

    def test_wait_tells_of_a_file_that_killed_its_workers(self):
        home = self.bad_home()
        self.assertIn("in trash of mischief/main: ", self.inject(home, self.source(home, "bad", "crash\n"), "--wait", code=1))

    def test_wait_follows_a_file_over_the_deaths_of_its_workers(self):
        home = self.home(MISCHIEF, "archive", settings=BAD + '[loader]\nmax_crashes = 9\n',
                         overrides={"mischief": '[custom]\ndest_dir = "archive/main"\n'})
        (home.root / "broken").write_text("")
        home.start()
        with self.background(home, self.source(home, "a", "crash_while_broken\n"), "--wait") as inject:
            wait_for(lambda: "a worker of version 6.6.6 died" in home.log(), "the death of a worker")
            (home.root / "broken").unlink()
            said, errors = inject.communicate(timeout=120)
        self.assertRegex(said, r"sources/a: delivered to /.*\n", errors)
        self.assertEqual(inject.returncode, 0)

    def test_wait_follows_a_file_that_is_tried_again(self):
        home = self.home(MISCHIEF, "archive", settings=BAD, overrides={
            "mischief": '[step.main]\nretry_total = 1000\nretry_min_wait = 0.1\nretry_backoff = 0\n[custom]\ndest_dir = "archive/main"\n'})
        (home.root / "broken").write_text("")
        home.start()
        source = self.source(home, "a", "retry_while_broken\n")
        said = self.inject(home, source, "--wait", "--timeout", "2", code=1)
        self.assertIn("sources/a waits for another attempt in mischief/main: still broken; ", said)
        with self.background(home, source, "--wait") as inject:
            (home.root / "broken").unlink()
            said, errors = inject.communicate(timeout=120)
        self.assertRegex(said, r"sources/a: delivered to /.*\n", errors)

    def test_wait_follows_each_file_of_a_batch(self):
        home = self.home(BUILD / "tests/plugins/gather", "archive", settings='[data]\nentry_step = "gather/main"\n',
                         overrides={"gather": '[step.main]\nmax_size = 3\nmax_wait = 1000\n[custom]\neach = true\ndest_dir = "archive/main"\n'}).start()
        names = ("good", "fail", "skip")
        said = self.inject(home, *(self.source(home, name) for name in names), "--wait", code=1)
        self.assertEqual(sorted(line.split("sources/")[1] for line in said.splitlines()),
                         ["fail: in trash of gather/main: fail is bad", "skip: skipped by gather/main and deleted: skip is none of ours"])
        [archived] = home.files()
        self.assertEqual(context_of(archived)[1]["first.core.original_basename"], b"good")

    def test_wait_follows_a_file_whose_content_a_step_makes_anew(self):
        home = self.home("ungzip", "archive", settings='[data]\nentry_step = "ungzip/main"\n', overrides={"ungzip": '[custom]\ndest_dir = "archive/main"\n'}).start()
        path = home.root / "x.gz"
        path.write_bytes(gzip.compress(b"text"))
        self.assertRegex(self.inject(home, path, "--wait"), r"x.gz: delivered to /.*\n")

    def test_wait_follows_files_into_a_watched_directory_on_another_filesystem(self):
        if not elsewhere():
            self.skipTest("there is one filesystem only")
        with tempfile.TemporaryDirectory(dir=elsewhere()) as place:
            home = self.home("archive", overrides={"archive": f'[step.main]\nwatched_directories = ["{place}"]\n'}).start()
            said = self.inject(home, self.source(home, "a"), self.source(home, "b"), "--incoming", place, "--wait")
            self.assertEqual(len(said.splitlines()), 2, said)

    def test_wait_ends_when_the_loader_does(self):
        for ends in (lambda home: home.kill(), lambda home: home.stop()):
            home = self.home("archive").start()
            home.run(MFDATA, "pause", "archive/main")
            with self.background(home, self.source(home, "a"), "--wait", "--timeout", "0") as inject:
                wait_for(lambda: (home.incoming / "a").exists(), "the file")
                ends(home)
                said = inject.communicate(timeout=120)[1]
            self.assertIn("it cannot be told what became of it: no loader runs", said)
            self.assertEqual(inject.returncode, 1)

    def test_wait_over_a_reload_follows_on(self):
        home = self.home("archive", "delete").start()
        home.run(MFDATA, "pause", "archive/main")
        with self.background(home, self.source(home, "a"), "--wait") as inject:
            wait_for(lambda: (home.incoming / "a").exists(), "the file")
            home.override("archive", "[step.main]\nnumprocesses = 2\n")
            home.run(MFDATA, "reload")
            home.run(MFDATA, "resume", "archive/main")
            said, errors = inject.communicate(timeout=120)
        self.assertRegex(said, r"sources/a: delivered to /.*\n", errors)

    def test_more_files_than_are_read_at_once_are_followed(self):
        home = self.home("delete", settings='[data]\nentry_step = "delete/main"\n').start()
        sources = [self.source(home, f"f{number}") for number in range(1100)]
        said = self.inject(home, *sources, "--wait")
        self.assertEqual(sorted(said.splitlines()), sorted(f"{source}: ended in delete/main" for source in sources))

    def test_wait_follows_every_copy_that_the_rules_make(self):
        rules = '[[switch_rules]]\ntype = "alwaystrue"\nrules = { "x" = ["main", "delete/main"] }\n'
        home = self.home("switch", "archive", "delete", settings='[data]\nentry_step = "switch/main"\n', overrides={"archive": rules}).start()
        said = self.inject(home, self.source(home, "a"), "--wait")
        self.assertRegex(said, r"sources/a: (delivered to /.*; ended in delete/main|ended in delete/main; delivered to /.*)\n")

    def test_wait_does_not_wait_for_the_files_of_others(self):
        home = self.home("archive", "delete").start()
        home.run(MFDATA, "pause", "archive/main")
        home.drop("of somebody else", b"1")
        self.assertIn("ended in delete/main", self.inject(home, self.source(home, "mine"), "--step", "delete/main", "--wait"))

    def test_wait_ends_with_its_timeout_and_says_where_the_file_is(self):
        home = self.home("archive").start()
        home.run(MFDATA, "pause", "archive/main")
        said = self.inject(home, self.source(home, "a"), "--wait", "--timeout", "200ms", code=1)
        self.assertRegex(said, r"1 file is still under way after 0.2 s .*sources/a was not taken yet")

    def test_a_name_that_is_ignored_is_refused_at_once_and_injects_nothing(self):
        home = self.home("archive").start()
        ignored, taken = self.source(home, "x.tmp"), self.source(home, "x")
        said = self.inject(home, ignored, taken, "--wait", code=1)
        self.assertIn("x.tmp is ignored ([data] ignore, *.tmp)", said)
        self.assertEqual([content(path) for path in home.files()], [b"text\n"])
        self.assertFalse((home.incoming / "x.tmp").exists())
        self.inject(home, ignored, "--step", "archive/main", "--wait")

    def test_wait_tells_of_a_file_that_is_refused(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\nmax_file_size = 3\n').start()
        said = self.inject(home, self.source(home, "large", "much"), "--wait", code=1)
        self.assertIn(f"large: refused, it stays in {home.incoming}/large: ", said)

    def test_wait_without_a_loader_says_so_and_injects_nothing(self):
        home = self.home("archive")
        self.assertIn("nothing is injected: no loader runs", self.inject(home, self.source(home, "a"), "--wait", code=1))
        self.assertEqual(os.listdir(home.incoming) if home.incoming.exists() else [], [])

    def test_wait_in_a_directory_that_nobody_watches_says_so(self):
        home = self.home("archive").start()
        (home.root / "elsewhere").mkdir()
        said = self.inject(home, self.source(home, "a"), "--incoming", home.root / "elsewhere", "--wait", code=1)
        self.assertIn("no step takes files from", said)
        self.assertEqual(os.listdir(home.root / "elsewhere"), [])

    def test_root_injects_into_the_home_of_another_user_as_its_owner(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY).start()
        source = self.source(home, "a")
        source.chmod(0o600)   # root's own
        for more in ((), ("--step", "archive/main")):
            self.assertIn("delivered to", self.inject(home, source, "--wait", *more, user=0, group=0, extra_groups=[0]))
        self.assertEqual({os.stat(path).st_uid for path in home.files()}, {NOBODY[0]})


if __name__ == "__main__":
    main()
