"""What a bad plugin can do: lose nothing, hold up no other step, and leave a note that says what it did."""
import datetime
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA_PLUGIN, Case, alive, content, context_of, main, parse_tags_file, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"
SETTINGS = '[data]\nentry_step = "mischief/main"\n'
GOOD = '[step.main]\nwatched_directories = ["good"]\n'
GOOD_FILES = 200


def entered(path):
    """When a file of the archive entered the bad step, in seconds since 1970."""
    text = context_of(path)[1]["0.mischief.main.enter_step"].decode()
    return datetime.datetime.strptime(text + "+0000", "%Y-%m-%dT%H:%M:%S:%f%z").timestamp()


class BadPlugins(Case):
    def mischief(self, step="", custom="", start=True, **more):
        """A home whose incoming belongs to mischief/main, with archive/main as the good step beside it."""
        override = f'[step.main]\n{step}\n[custom]\ndest_dir = "archive/main"\n{custom}\n'
        home = self.home(MISCHIEF, "archive", settings=SETTINGS, overrides={"mischief": override, "archive": GOOD}, **more)
        return home.start() if start else home

    def drop_good(self, home, count=GOOD_FILES):
        for number in range(count):
            home.drop(f"good{number}", b"good %d" % number, directory=home.data / "good")

    def good_in_archive(self, home):
        return [path for path in home.files() if content(path).startswith(b"good ")]

    def assert_good_step_worked(self, home, pid):
        """The step beside treats what it treats in a run without mischief: all of it; and the loader is the same."""
        wait_for(lambda: len(self.good_in_archive(home)) == GOOD_FILES, f"{GOOD_FILES} good files in the archive")
        self.assertEqual(sorted(content(path) for path in self.good_in_archive(home)),
                         sorted(b"good %d" % number for number in range(GOOD_FILES)))
        self.assertEqual(home.trash("archive/main"), [])
        self.assertIsNone(home.loader.poll(), "the loader runs")
        self.assertEqual(home.status()["pid"], pid)

    def test_calls_of_another_thread_are_refused(self):
        (sample := self.home("archive").root / "sample").write_text("content")
        done = subprocess.run([MFDATA_PLUGIN, "--json", "run", MISCHIEF, sample, "--set", 'mode = "call_from_a_thread"'], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=120)
        out = json.loads(done.stdout)
        self.assertEqual((out["result"], out["reason"], out["outputs"]), ("ok", "", []))

    def treat_one(self, mode, step="", custom=""):
        """A file of this mode beside good ones, until it is in trash: (home, note)."""
        home = self.mischief(step, custom)
        pid = home.status()["pid"]
        data = f"{mode}\nthe content".encode()
        home.drop("bad", data)
        self.drop_good(home)
        [note] = home.wait_trash("mischief/main")
        self.assert_good_step_worked(home, pid)
        self.assertEqual(note["original_name"], "bad")
        self.assertEqual((note["plugin"], note["step"], note["version"]), ("mischief", "main", "6.6.6"))
        if not mode.endswith("_input"):
            self.assertEqual(content(note["path"]), data)
        self.assertEqual(context_of(note["path"])[1]["first.core.original_basename"], b"bad")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])
        return home, note


class Control(BadPlugins):
    def test_good_step_without_mischief(self):
        home = self.mischief()
        pid = home.status()["pid"]
        self.drop_good(home)
        self.assert_good_step_worked(home, pid)

    def test_mischief_that_does_nothing_bad_passes_its_files_on(self):
        home = self.mischief()
        home.drop("fine", b"pass\n")
        wait_for(home.files, "the file in the archive")
        self.assertEqual(home.trash("mischief/main"), [])


class Crashes(BadPlugins):
    def crash(self, mode, words, step="", deaths=3):
        home, note = self.treat_one(mode, step)
        self.assertEqual(note["attempts"], deaths, "it was tried three times")
        text = note["reason"] + " " + note["error"]
        for word in words:
            self.assertIn(word, text.lower())
        self.assertIn("6.6.6", home.log() + home.step_log("mischief/main"))
        home.drop("after", b"pass\n")
        wait_for(lambda: [path for path in home.files() if content(path) == b"pass\n"], "the step to treat the next file")
        return home, note

    def test_segmentation_fault_puts_its_file_into_trash_after_three(self):
        self.crash("crash", ["signal 11"])

    def test_exit_0_with_a_file_in_hand_is_a_crash(self):
        self.crash("exit_0", ["exit code 0"])

    def test_exit_1_with_a_file_in_hand_is_a_crash(self):
        self.crash("exit_1", ["exit code 1"])

    def test_step_that_hangs_is_killed_after_its_timeout(self):
        self.crash("hang", ["timeout"], 'timeout = "500ms"')

    def test_step_that_hangs_and_ignores_sigterm_is_killed_after_its_timeout(self):
        self.crash("hang_deaf", ["timeout"], 'timeout = "500ms"')

    def crash_with_children(self, mode, each):
        home = self.mischief()
        pid = home.status()["pid"]
        self.drop_good(home)
        home.drop("before", b"pass\n")  # the worker has done something useful: the next one starts at once
        wait_for(lambda: b"pass\n" in map(content, home.files()), "the first file in the archive")
        home.drop("bad", f"{mode}\n".encode())
        [note] = home.wait_trash("mischief/main")
        children = (home.root / "children").read_text().split()
        self.assertEqual([pid for pid in children if alive(pid)], [])
        self.assertIn("signal 11", note["error"])
        self.assertEqual(len(children), 3 * each, "each attempt left its children")
        self.assertFalse((home.root / "survivors").exists(), "the file was treated again while what the dead worker started lived")
        self.assert_good_step_worked(home, pid)

    def test_child_of_a_dead_worker_is_dead_before_its_file_is_treated_again(self):
        self.crash_with_children("child_then_crash", 1)

    def test_child_in_a_session_of_its_own_is_dead_before_the_file_is_treated_again(self):
        self.crash_with_children("session_child_then_crash", 1)

    def test_descendants_in_sessions_of_their_own_are_dead_before_the_file_is_treated_again(self):
        self.crash_with_children("session_grandchild_then_crash", 3)

    def leave_child_and_pass(self, mode):
        home = self.mischief()
        pid = home.status()["pid"]
        self.drop_good(home)
        home.drop("bad", f"{mode}\n".encode())
        wait_for(lambda: len(home.files()) == GOOD_FILES + 1, "the file in the archive")
        self.assert_good_step_worked(home, pid)
        self.assertEqual(home.trash("mischief/main"), [])
        [child] = (home.root / "children").read_text().split()
        self.assertEqual(home.stop(), 0)
        wait_for(lambda: not alive(child), "the child to end with the loader")

    def test_child_that_a_step_leaves_does_not_outlive_the_loader(self):
        self.leave_child_and_pass("child_then_pass")

    def test_child_in_a_session_of_its_own_does_not_outlive_the_loader(self):
        self.leave_child_and_pass("session_child_then_pass")

    def test_stop_ends_a_step_that_hangs_and_ignores_sigterm_and_keeps_its_file(self):
        home = self.mischief('timeout = "2s"', start=False)
        home.configure(SETTINGS + "[loader]\nmax_crashes = 1000\n")  # of a stop that comes late
        home.start()
        home.drop("bad", b"hang_deaf\n")
        wait_for(lambda: not os.listdir(home.incoming), "the file to be taken")
        self.assertEqual(home.stop(), 0)
        home.override("mischief", '[custom]\nmode = "pass"\ndest_dir = "archive/main"\n')
        home.start()
        wait_for(lambda: [content(path) for path in home.files()] == [b"hang_deaf\n"], "the file in the archive")

    def test_file_that_crashed_is_taken_after_those_that_did_not(self):
        home = self.mischief(start=False)
        home.start().stop()
        home.drop("bad", b"crash\n")
        os.utime(home.incoming / "bad", (0, 0))  # the oldest
        for number in range(20):
            home.drop(f"f{number}", b"pass\n%d" % number)
        home.start()
        [note] = home.wait_trash("mischief/main")
        wait_for(lambda: len(home.files()) == 20, "the others in the archive")
        crashed = note["path"].with_name(note["uid"] + ".json").stat().st_mtime
        self.assertLess(max(map(entered, home.files())), crashed, "the others were treated before it had crashed three times")


class FilesCommittedTogether(BadPlugins):
    """What takes a transaction waits for others that do: a bad file among them is the only one that pays."""
    def among_rewritten(self, mode, settings="", rewrite="rewrite", count=60, bad=b"", step=""):
        home = self.mischief(step, start=False)
        home.configure(SETTINGS + settings)
        home.start().stop()  # makes incoming
        rewritten = [f"{rewrite}\n{number}".encode() for number in range(count)]
        for number, data in enumerate(rewritten):
            home.drop(f"f{number:03}", data)
            if number == count // 10:
                home.drop(f"f{number:03}-bad", f"{mode}\n".encode() + bad)
        home.start()
        wait_for(lambda: len(home.files()) == count, "all that were rewritten in the archive")
        home.wait_trash("mischief/main")
        home.wait_idle()
        [note] = home.trash("mischief/main")
        self.assertTrue(note["original_name"].endswith("-bad"))
        self.assertEqual(sorted(map(content, home.files())), sorted(rewritten))
        self.assertEqual(home.left_over(), [])
        return note

    def test_crash_is_charged_to_the_file_in_hand_alone(self):
        self.assertIn("signal 11", self.among_rewritten("crash", "[loader]\nmax_crashes = 1\n")["error"])

    def test_file_whose_output_is_gone_goes_to_trash_alone(self):
        self.among_rewritten("unlink_output")

    def test_file_whose_output_is_gone_goes_to_trash_while_a_backlog_waits(self):
        self.among_rewritten("unlink_output", rewrite="rewrite_slowly", count=600)

    def test_death_in_the_common_commit_is_charged_until_the_culprit_is_found(self):
        note = self.among_rewritten("copy", bad=bytes(2_000_000), step='rlimit_fsize = "1MB"')
        self.assertRegex(note["error"] + note["reason"], "signal 25|large")


class Results(BadPlugins):
    def test_exception_fails_the_file_with_its_text_at_once(self):
        _, note = self.treat_one("throw")
        self.assertIn("thrown by the test", note["error"])
        self.assertEqual(note["attempts"], 1)

    def test_exception_of_unknown_type_fails_the_file(self):
        self.assertTrue(self.treat_one("throw_number")[1]["error"])

    def test_unknown_result_is_a_failure_that_names_the_number(self):
        self.assertIn("77", self.treat_one("unknown_result")[1]["error"])

    def test_negative_result_is_a_failure_that_names_the_number(self):
        self.assertIn("-12345", self.treat_one("negative_result")[1]["error"])

    def test_failure_after_staging_makes_nothing_visible(self):
        home, note = self.treat_one("emit_then_fail")
        self.assertIn("failed after it had staged", note["error"])
        self.assertNotIn(b"emit_then_fail", b"".join(content(path) for path in home.files()))
        self.assertEqual(note["tags"].get("0.mischief.main.staged"), "1", "the note has the tags of the failed attempt")
        self.assertNotIn("0.mischief.main.staged", context_of(note["path"])[1])

    def input_is_changed(self, mode):
        home, note = self.treat_one(mode)
        self.assertRegex((note["reason"] + " " + note["error"]).lower(), "input|changed|modified")
        self.assertEqual(len(home.files()), GOOD_FILES, "it was not passed on")

    def test_step_that_appends_to_its_input_fails_with_that_reason(self):
        self.input_is_changed("append_to_input")

    def test_step_that_overwrites_its_input_fails_with_that_reason(self):
        self.input_is_changed("overwrite_input")

    def test_step_that_truncates_its_input_fails_with_that_reason(self):
        self.input_is_changed("truncate_input")

    def test_step_that_unlinks_its_input_costs_that_file_only(self):
        home = self.mischief()
        pid = home.status()["pid"]
        home.drop("bad", b"unlink_input\n")
        self.drop_good(home)
        self.assert_good_step_worked(home, pid)
        home.drop("after", b"pass\n")
        wait_for(lambda: b"pass\n" in map(content, home.files()), "the step to treat the next file")
        [note] = home.wait_trash("mischief/main")
        self.assertEqual((note["error"], content(note["path"])), ("the step removed, moved or replaced its input, which it may only read", b"unlink_input\n"))
        home.wait_idle()
        self.assertEqual(home.step_status("mischief/main")["state"], "running")

    def test_input_that_a_step_moves_away_or_replaces_is_kept_as_it_was(self):
        for word in (b"rename_input", b"replace_input", b"replace_input_keeping_a_backup"):
            home = self.mischief()
            home.drop("bad", word + b"\n")
            [note] = home.wait_trash("mischief/main")
            self.assertEqual((note["error"], content(note["path"])), ("the step removed, moved or replaced its input, which it may only read", word + b"\n"))
            home.wait_idle()
            self.assertEqual((home.left_over(), home.files()), ([], []))
            home.drop("after", b"pass\n")
            wait_for(home.files, "the next file")
            home.stop()
            home.start()
            home.wait_idle()
            self.assertEqual(list(map(content, home.files())), [b"pass\n"])

    def wrong_batch(self, extra, results):
        home = self.home(BUILD / "tests/plugins/wrong_batch", "archive", settings='[data]\nentry_step = "wrong_batch/main"\n',
                         overrides={"wrong_batch": f"[step.main]\nmax_wait = 1000\n[custom]\nextra = {extra}\n", "archive": GOOD})
        home.start().stop()
        for number in range(5):
            home.drop(f"f{number}", b"%d" % number)
        home.start()
        pid = home.status()["pid"]
        self.drop_good(home)
        notes = home.wait_trash("wrong_batch/main", 5)
        self.assert_good_step_worked(home, pid)
        for note in notes:
            self.assertRegex(note["error"], f"{results} results.*5")
            self.assertEqual(note["attempts"], 1)
        self.assertEqual(sorted(content(note["path"]) for note in notes), [b"0", b"1", b"2", b"3", b"4"])
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_batch_with_too_many_results_fails_all_its_files(self):
        self.wrong_batch(1, 6)

    def test_batch_with_too_few_results_fails_all_its_files(self):
        self.wrong_batch(-2, 3)

    def test_batch_without_results_fails_all_its_files(self):
        self.wrong_batch(-5, 0)


class Policies(BadPlugins):
    def fail_one(self, step, mode="fail"):
        home = self.mischief(step)
        home.drop("name", f"{mode}\n".encode())
        wait_for(lambda: not os.listdir(home.incoming), "the file to be taken")
        return home

    def test_failure_policy_keep_is_the_default_and_keeps_file_tags_and_reason_in_trash(self):
        home = self.fail_one("")
        [note] = home.wait_trash("mischief/main")
        self.assertEqual(note["error"], "failed as asked")
        tags = parse_tags_file(home.data / "trash/mischief.main" / (note["uid"] + ".tags"))
        self.assertEqual(tags["first.core.original_basename"], b"name")
        self.assertTrue(note["path"].name.startswith(note["uid"]))

    def test_failure_policy_delete_deletes(self):
        home = self.fail_one('failure_policy = "delete"')
        home.wait_idle()
        self.assertEqual((home.trash("mischief/main"), home.files()), ([], []))
        home.wait_log("mischief/main", "failed as asked")

    def test_failure_policy_move_to_a_step_keeps_the_tags(self):
        home = self.fail_one('failure_policy = "move"\nfailure_policy_move_dest_dir = "archive/main"', "emit_then_fail")
        [path] = wait_for(home.files, "the file in the archive")
        tags = context_of(path)[1]
        self.assertEqual(tags["first.core.original_basename"], b"name")
        self.assertEqual(tags["latest.core.step_counter"], b"1")
        self.assertNotIn("0.mischief.main.staged", tags, "what a failed attempt staged is not visible")
        self.assertEqual(home.trash("mischief/main"), [])

    def test_failure_policy_move_to_an_absolute_directory_writes_a_tags_file(self):
        home = self.mischief(start=False)
        failed = home.root / "var/failed"
        failed.mkdir()
        home.override("mischief", f'[step.main]\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "{failed}"\n')
        home.start()
        for number in range(2):
            home.drop("name", b"fail\n%d" % number)
            wait_for(lambda: not os.listdir(home.incoming), "the file to be taken")
        wait_for(lambda: len(home.files(failed)) == 2, "both files in the directory")
        home.wait_idle()
        self.assertEqual(sorted(os.listdir(failed)), ["name", "name-1", "name-1.tags", "name.tags"], "nothing is overwritten")
        self.assertEqual({content(failed / name) for name in ("name", "name-1")}, {b"fail\n0", b"fail\n1"})
        self.assertEqual(parse_tags_file(failed / "name.tags")["first.core.original_basename"], b"name")

    def test_failures_are_counted_for_their_step_and_logged_as_warnings(self):
        home = self.mischief(start=False)
        home.configure(SETTINGS + '[metrics]\nlisten = "127.0.0.1:0"\n')
        home.start()
        self.drop_good(home, 3)
        for mode in ("fail", "throw", "pass"):
            home.drop(mode, f"{mode}\n".encode())
        home.wait_trash("mischief/main", 2)
        wait_for(lambda: len(home.files()) == 4, "all of the others in the archive")
        home.wait_idle()
        counted = {(step, result): home.metric("mfdata_files_total", plugin=step, step="main", result=result)
                   for step in ("mischief", "archive") for result in ("ok", "failed")}
        self.assertEqual(counted, {("mischief", "failed"): 2, ("mischief", "ok"): 1, ("archive", "failed"): 0, ("archive", "ok"): 4})
        for words in ("failed as asked", "thrown by the test"):
            [line] = [line for line in home.step_log("mischief/main").splitlines() if words in line]
            self.assertIn(" warning ", line)

    RETRIES = 'retry_total = 2\nretry_min_wait = "100ms"\nretry_max_wait = "1s"'

    def test_retry_that_succeeds_leaves_no_attempt_tag_and_is_no_hop(self):
        home = self.mischief(self.RETRIES.replace("= 2", "= 1000000"), start=False)
        (home.root / "broken").touch()
        home.start()
        home.drop("name", b"retry_while_broken\n")
        waiting = home.data / "step.mischief.main_reinject"
        names = wait_for(lambda: os.listdir(waiting), "the file to wait for another attempt")
        self.assertRegex(names[0], r"^[0-9]{13}\.[0-9a-f]{32}\.[0-9]+c?$")
        wait_for(lambda: home.step_log("mischief/main").count("still broken") >= 3, "three attempts")
        (home.root / "broken").unlink()
        [path] = wait_for(home.files, "the file in the archive")
        tags = context_of(path)[1]
        self.assertNotIn("latest.mischief.main_reinject.attempt", tags)
        self.assertEqual(tags["latest.core.step_counter"], b"1")

    def test_retry_total_exhausted_goes_to_the_failure_policy(self):
        began = time.monotonic()
        home = self.fail_one(self.RETRIES, "retry")
        [note] = home.wait_trash("mischief/main")
        self.assertGreater(time.monotonic() - began, 0.2, "it waited between the attempts")
        self.assertEqual(note["error"], "retried as asked")
        self.assertEqual(note["attempts"], 3)
        self.assertEqual(context_of(note["path"])[1]["latest.mischief.main_reinject.attempt"], b"2")
        self.assertEqual(context_of(note["path"])[1].get("latest.core.step_counter", b"0"), b"0", "a retry is not a hop")

    def test_attempt_tag_counts_while_the_file_waits(self):
        home = self.fail_one('retry_total = 5\nretry_min_wait = "1h"\nretry_max_wait = "2h"', "retry")
        waiting = home.data / "step.mischief.main_reinject"
        [name] = wait_for(lambda: os.listdir(waiting), "the file to wait for another attempt")
        self.assertEqual(context_of(waiting / name)[1]["latest.mischief.main_reinject.attempt"], b"1")
        due_s = int(name.split(".")[0]) / 1000 - time.time()
        self.assertTrue(3000 < due_s <= 3600, due_s)
        wait_for(lambda: home.status()["waiting"] == 1, "the loader to know it")

    def test_wait_before_each_attempt_grows_by_the_backoff_up_to_its_limit(self):
        home = self.fail_one('retry_total = 4\nretry_min_wait = "1000s"\nretry_max_wait = "6000s"\nretry_backoff = "2000s"', "retry")
        waiting = home.data / "step.mischief.main_reinject"
        waits = []
        for attempt in range(1, 5):
            [name] = wait_for(lambda: os.listdir(waiting), f"the file to wait for retry {attempt}")
            self.assertEqual(context_of(waiting / name)[1]["latest.mischief.main_reinject.attempt"], b"%d" % attempt)
            waits.append(int(name.split(".")[0]) / 1000 - time.time())
            os.rename(waiting / name, home.data / "step.mischief.main" / name.split(".", 1)[1])  # as if its time had come
        for wait, expected in zip(waits, (3000, 5000, 6000, 6000)):
            self.assertTrue(expected - 500 < wait <= expected, waits)
        [note] = home.wait_trash("mischief/main")
        self.assertEqual(note["attempts"], 5)

    def test_plain_failure_is_not_tried_again(self):
        home = self.fail_one(self.RETRIES, "fail")
        [note] = home.wait_trash("mischief/main")
        self.assertEqual((note["error"], note["attempts"]), ("failed as asked", 1))
        self.assertNotIn("latest.mischief.main_reinject.attempt", context_of(note["path"])[1])
        home.wait_idle()
        home.wait_log("mischief/main", "failed as asked")
        self.assertEqual(home.step_log("mischief/main").count("failed as asked"), 1)

    def test_retry_without_retry_total_goes_to_the_failure_policy_at_once(self):
        home = self.fail_one("", "retry")
        [note] = wait_for(lambda: home.trash("mischief/main"), "the file in trash")
        self.assertEqual((note["error"], note["attempts"]), ("retried as asked", 1))

    def test_due_time_survives_a_restart(self):
        home = self.mischief('retry_total = 1000\nretry_min_wait = "2s"\nretry_max_wait = "2s"', start=False)
        (home.root / "broken").touch()
        home.start()
        home.drop("name", b"retry_while_broken\n")
        waiting = home.data / "step.mischief.main_reinject"
        wait_for(lambda: os.listdir(waiting), "the file to wait for another attempt")
        home.kill()
        due_ms = [int(name.split(".")[0]) for name in os.listdir(waiting)]  # none: its time had come just then
        (home.root / "broken").unlink()
        home.start()
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(content(path), b"retry_while_broken\n")
        for due in due_ms:
            self.assertGreaterEqual(entered(path), due / 1000)

    def test_skip_deletes_by_default(self):
        home = self.fail_one("", "skip")
        home.wait_idle()
        self.assertEqual((home.trash("mischief/main"), home.files()), ([], []))

    def test_skip_keeps_with_unmatched_policy_keep(self):
        home = self.fail_one('unmatched_policy = "keep"', "skip")
        [note] = home.wait_trash("mischief/main")
        self.assertIn("skipped as asked", note["error"])
        self.assertEqual(content(note["path"]), b"skip\n")


class Hooks(Case):
    def diary_home(self):
        return self.home(BUILD / "tests/plugins/diary", settings='[data]\nentry_step = "diary/main"\n')

    def calls(self, home):
        """(hook, seconds, files ended before) of each call so far."""
        path = home.root / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(hook, int(ms) / 1000, int(files)) for hook, ms, files in map(str.split, lines)]

    def ticks(self, home):
        return [at for hook, at, _ in self.calls(home) if hook == "tick"]

    def about_a_second(self, ticks):
        """Whether two of them are, of which the machine held up none."""
        return any(after - before < 2 for before, after in zip(ticks, ticks[1:]))

    def assert_order(self, calls):
        hooks = [hook for hook, _, _ in calls]
        self.assertEqual(hooks, ["create"] + ["tick"] * (len(hooks) - 3) + ["drain", "destroy"])

    def test_idle_step_ticks_about_once_a_second_and_ends_with_one_drain_and_one_destroy(self):
        began = time.monotonic()
        home = self.diary_home().start()
        wait_for(lambda: len(self.ticks(home)) >= 3 and self.about_a_second(self.ticks(home)), "ticks about a second apart")
        self.assertEqual(home.stop(), 0)
        self.assert_order(self.calls(home))
        self.assertLessEqual(len(self.ticks(home)), time.monotonic() - began + 1, self.calls(home))

    def test_step_with_a_backlog_ticks_while_it_treats_it(self):
        files = 600
        home = self.diary_home()
        home.start().stop()
        (home.root / "diary").unlink(missing_ok=True)  # of a worker that had begun
        for number in range(files):
            home.drop(f"f{number}", b"x")
        began = time.monotonic()
        home.start()
        wait_for(lambda: home.status()["files_done"] == files, "all files")
        self.assertEqual(home.stop(), 0)
        calls = self.calls(home)
        self.assert_order(calls)
        self.assertEqual(calls[-1][2], files)
        busy = [at for hook, at, ended in calls if hook == "tick" and 0 < ended < files]
        self.assertGreaterEqual(len(busy), 2, calls)  # each file takes 5 ms at least: three seconds
        self.assertLessEqual(len(self.ticks(home)), time.monotonic() - began + 1, calls)


class Leaks(BadPlugins):
    def leak(self, mode, step, custom, files):
        home = self.mischief(step, custom)
        pid = home.status()["pid"]
        first = wait_for(lambda: home.worker_pids("mischief/main"), "a worker")
        self.drop_good(home)
        for number in range(files):
            home.drop(f"f{number}", f"{mode}\n{number}".encode())
        wait_for(lambda: not os.listdir(home.incoming), "all arrivals to be taken")
        home.wait_idle()
        self.assertEqual([note["error"] for note in home.trash("mischief/main")], [], "no file is charged")
        self.assertEqual(len(home.files()), files + GOOD_FILES)
        self.assert_good_step_worked(home, pid)
        self.assertNotEqual(home.worker_pids("mischief/main"), first, "the worker was replaced")
        self.assertIn("replaced", home.step_log("mischief/main") + home.log())

    def test_worker_that_leaks_descriptors_is_replaced_before_its_limit(self):
        self.leak("leak_descriptors", "rlimit_nofile = 64", "leak_descriptors = 2", 150)

    def test_worker_that_leaks_many_descriptors_a_file_is_replaced_before_its_limit(self):
        self.leak("leak_descriptors", "rlimit_nofile = 256", "leak_descriptors = 30", 60)

    def test_worker_that_leaks_memory_is_replaced_before_its_limit(self):
        self.leak("leak_memory", 'rlimit_as = "1GB"', "leak_bytes = 4000000", 1000)

    def test_worker_that_leaks_much_memory_a_file_is_replaced_before_its_limit(self):
        self.leak("leak_memory", 'rlimit_as = "1GB"', "leak_bytes = 40000000", 100)


class Suspension(BadPlugins):
    def test_ten_files_crashing_in_a_row_suspend_the_step_with_all_files_intact(self):
        home = self.mischief(start=False)
        home.start().stop()
        (home.root / "broken").touch()
        contents = sorted(b"crash_while_broken\n%d" % number for number in range(10))
        for number, data in enumerate(contents):
            home.drop(f"bad{number}", data)
        home.start()
        pid = home.status()["pid"]
        self.drop_good(home)
        wait_for(lambda: home.step_status("mischief/main").get("state") == "suspended", "the step to be suspended")
        line = next(line for line in home.log().splitlines() if "suspended" in line)
        for word in ("mischief/main", "6.6.6", "mfdata-plugin rollback mischief"):
            self.assertIn(word, line)
        self.assert_good_step_worked(home, pid)
        self.assertEqual(home.trash("mischief/main"), [])
        home.drop("later", b"crash_while_broken\nlater")
        probes = home.log().count("died")
        wait_for(lambda: home.log().count("died") >= probes + 3, "three probes", 300)
        self.assertEqual(home.step_status("mischief/main")["state"], "suspended")
        self.assertEqual(home.trash("mischief/main"), [], "counts are not raised while the step is suspended")
        (home.root / "broken").unlink()
        wait_for(lambda: len(home.files()) == GOOD_FILES + 11, "all files in the archive once the plugin works again", 300)
        self.assertEqual(sorted(content(path) for path in home.files() if content(path).startswith(b"crash")),
                         sorted(contents + [b"crash_while_broken\nlater"]))
        self.assertEqual(home.step_status("mischief/main")["state"], "running")
        self.assertEqual(home.trash("mischief/main"), [])

    def test_one_bad_file_does_not_suspend_its_step(self):
        home = self.mischief()
        for number in range(6):
            home.drop(f"bad{number}", b"crash\n")
            home.wait_trash("mischief/main", number + 1)
            home.drop(f"good{number}", b"pass\n%d" % number)
            wait_for(lambda: len(home.files()) == number + 1, "the good file in the archive")
        self.assertNotIn("suspended", home.log())


class Loading(BadPlugins):
    def replaced(self, change):
        """A home where the library of an installed plugin was changed by `change(path)` after its installation."""
        home = self.mischief(start=False)
        [library] = (home.root / "plugins/mischief").glob("6.6.6/*.so")
        change(library)
        return home.start()

    def assert_refused(self, home, *words):
        pid = home.status()["pid"]
        home.drop("waits", b"pass\n")
        self.drop_good(home)
        failure = wait_for(lambda: home.step_status("mischief/main").get("failure"), "status to show the failure")
        for word in words:
            self.assertIn(word, failure)
        self.assertIn(words[0], home.log())
        self.assert_good_step_worked(home, pid)
        self.assertEqual((content(home.incoming / "waits"), home.trash("mischief/main")), (b"pass\n", []))
        return home

    def test_plugin_of_another_abi_is_refused_and_others_run(self):
        other = BUILD / "tests/plugins/other_abi/other_abi.so"
        self.assert_refused(self.replaced(lambda library: library.write_bytes(other.read_bytes())), "ABI", "2")

    def test_library_without_the_entry_point_is_refused_and_others_run(self):
        other = BUILD / "tests/plugins/no_entry/no_entry.so"
        self.assert_refused(self.replaced(lambda library: library.write_bytes(other.read_bytes())), "mfdata_plugin_v1")

    def test_library_that_is_no_elf_file_is_refused_and_others_run(self):
        self.assert_refused(self.replaced(lambda library: library.write_bytes(b"#!/bin/sh\nexit 0\n")), "mischief.so")

    def test_library_that_is_cut_off_is_refused_and_others_run(self):
        self.assert_refused(self.replaced(lambda library: os.truncate(library, 2000)), "mischief.so")

    def test_library_that_is_gone_is_refused_and_others_run(self):
        self.assert_refused(self.replaced(lambda library: library.unlink()), "mischief.so")

    def test_library_writable_by_others_is_refused_and_others_run(self):
        self.assert_refused(self.replaced(lambda library: library.chmod(0o666)), "writable")

    def test_library_in_a_directory_writable_by_others_is_refused_and_others_run(self):
        self.assert_refused(self.replaced(lambda library: library.parent.chmod(0o777)), "writable")

    def test_refused_library_is_used_once_it_is_mended(self):
        home = self.replaced(lambda library: library.chmod(0o666))
        home.drop("waits", b"pass\n")
        wait_for(lambda: home.step_status("mischief/main").get("failure"), "status to show the failure")
        [library] = (home.root / "plugins/mischief").glob("6.6.6/*.so")
        library.chmod(0o644)
        wait_for(lambda: b"pass\n" in map(content, home.files()), "the file in the archive", 300)
        self.assertEqual(home.step_status("mischief/main")["failure"], "")

    def test_plugin_of_a_later_minor_version_with_larger_structures_loads(self):
        home = self.home(BUILD / "tests/plugins/future", "archive", settings='[data]\nentry_step = "future/main"\n').start()
        home.drop("name", b"x")
        [path] = wait_for(home.files, "the file in the archive")
        self.assertIn("0.future.main.enter_step", context_of(path)[1])

    def test_install_refuses_what_would_not_load_and_leaves_nothing(self):
        home = self.mischief(start=False)
        for name, word in (("other_abi", "ABI"), ("no_entry", "mfdata_plugin_v1")):
            done = home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins" / name, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(word, done.stderr)
            self.assertFalse((home.root / "plugins" / name).exists())
        listed = home.run(MFDATA_PLUGIN, "list", "--json").stdout
        self.assertNotIn("other_abi", listed)


if __name__ == "__main__":
    main()
