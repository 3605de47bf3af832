"""What a plugin does to the process that it shares with its host: it costs that process, and the file it did it with."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, Case, content, main, wait_for

SPOILER = BUILD / "tests/plugins/spoiler"
SETTINGS = '[data]\nentry_step = "spoiler/main"\n'


class SpoilerCase(Case):
    def spoiler(self, step="", custom="", settings="", listener="", broken=True):
        override = f"[step.main]\n{step}\n"
        if listener:
            override += f"[listener.radio]\nnumprocesses = 1\n{listener}\n"
        home = self.home(SPOILER, "archive", settings=SETTINGS + settings,
                         overrides={"spoiler": f"{override}[custom]\n{custom}\n"})
        if broken:
            (home.root / "broken").touch()
        return home.start()

    def mend(self, home):
        (home.root / "broken").unlink()

    def seen(self, home):
        path = home.root / "seen"
        return path.read_text().split() if path.exists() else []

    def wait_archive(self, home, *contents):
        wait_for(lambda: sorted(map(content, home.files())) == sorted(contents), f"{contents} in the archive")


class ForkedChildren(SpoilerCase):
    def test_child_that_comes_back_from_process_is_ended_and_the_file_goes_on_once(self):
        home = self.spoiler()
        files = [b"fork and come back\n%d" % number for number in range(20)]
        for number, data in enumerate(files):
            home.drop(f"f{number}", data)
        self.wait_archive(home, *files)
        home.wait_idle()
        self.assertEqual((home.trash("spoiler/main"), home.left_over()), ([], []))
        self.assertEqual(self.seen(home), ["127"] * 20, "the parents saw their children end so")
        self.assertIn("came back from process and is ended", home.step_log("spoiler/main"))
        home.stop()
        home.start()
        home.wait_idle()
        self.assertEqual(len(home.files()), 20)

    def test_child_that_comes_back_from_any_other_call_is_ended(self):
        for call in ("at_create", "at_tick", "at_drain"):
            home = self.spoiler(custom=f'{call} = "fork"')
            home.drop("name", b"pass\n")
            self.wait_archive(home, b"pass\n")
            if call != "at_drain":
                wait_for(lambda: "child" in self.seen(home), "the child to have run")
                home.wait_log("spoiler/main", f"came back from {call[3:]} and is ended")
            self.assertEqual(home.stop(), 0)
            self.assertIn(f"came back from {call[3:]} and is ended", home.step_log("spoiler/main"))

    def test_child_of_a_listener_that_comes_back_from_run_is_ended(self):
        home = self.spoiler(custom='run = "fork"', listener="component = \"radio\"")
        home.wait_log("spoiler/radio", "came back from run and is ended")
        [pid] = wait_for(lambda: home.worker_pids("spoiler/radio"), "the listener")
        home.drop("name", b"pass\n")
        self.wait_archive(home, b"pass\n")
        self.assertEqual(home.worker_pids("spoiler/radio"), [pid], "the listener runs on")


class Spoiled(SpoilerCase):
    def charged(self, mode, words):
        """Its file goes to trash after three crashes; the next file is treated by another worker."""
        home = self.spoiler()
        home.drop("bad", mode.encode() + b"\n")
        [note] = home.wait_trash("spoiler/main")
        self.assertEqual((note["attempts"], note["reason"]), (3, "crashed"))
        self.assertIn(words, note["error"])
        self.assertIn(words, home.log())
        home.drop("after", b"pass\n")
        self.wait_archive(home, b"pass\n")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_plugin_that_closes_all_descriptors_pays_with_its_file(self):
        self.charged("closefrom", "has closed the descriptor of the spool")

    def test_plugin_that_closes_all_descriptors_pays_also_when_its_file_ends_in_a_transaction(self):
        self.charged("closefrom and rewrite", "has closed the descriptor of the spool")

    def test_plugin_whose_file_replaces_the_spools_descriptor_pays_with_its_file(self):
        self.charged("replace spool", "is that of another file now")

    def test_plugin_that_uses_up_the_descriptors_pays_with_a_file_that_needs_one(self):
        self.charged("use up descriptors and rewrite", "has used up all descriptors")

    def passes_and_is_replaced(self, mode, step=""):
        """What is left to the host is enough for this file: it goes on, and the next ones meet another worker."""
        home = self.spoiler(step)
        for number in range(3):
            home.drop(f"bad{number}", b"%s\n%d" % (mode, number))
            wait_for(lambda: len(home.files()) == 2 * number + 1, "the file in the archive")
            home.drop(f"good{number}", b"pass\n%d" % number)
            wait_for(lambda: len(home.files()) == 2 * number + 2, "the next file in the archive")
        home.wait_idle()
        self.assertEqual((home.trash("spoiler/main"), home.left_over()), ([], []))
        return home

    def test_worker_whose_descriptors_are_used_up_in_one_call_is_replaced(self):
        home = self.passes_and_is_replaced(b"use up descriptors", "rlimit_nofile = 200")
        self.assertRegex(home.step_log("spoiler/main"), "used up all descriptors|descriptors leak")

    def test_worker_whose_descriptor_limit_is_lowered_is_replaced(self):
        home = self.passes_and_is_replaced(b"lower nofile")
        self.assertIn("has lowered RLIMIT_NOFILE", home.step_log("spoiler/main"))

    def test_worker_whose_file_size_limit_is_lowered_is_replaced(self):
        home = self.passes_and_is_replaced(b"lower fsize")
        self.assertIn("has lowered RLIMIT_FSIZE", home.step_log("spoiler/main"))

    def test_close_of_the_first_descriptors_hits_nothing_of_the_host(self):
        home = self.spoiler()
        for number in range(30):
            home.drop(f"f{number}", b"close three\n%d" % number)
        wait_for(lambda: len(home.files()) == 30, "all files in the archive")
        home.wait_idle()
        self.assertEqual(home.trash("spoiler/main"), [])
        self.assertNotIn("replaced", home.step_log("spoiler/main"))

    def test_tick_that_closes_all_descriptors_is_logged_as_a_crash_and_charges_no_file(self):
        home = self.spoiler(custom='at_tick = "closefrom"')
        wait_for(lambda: "died: spoiled: the plugin has closed" in home.log(), "the crash in the log")
        home.drop("name", b"pass\n")
        self.mend(home)
        self.wait_archive(home, b"pass\n")
        self.assertEqual(home.trash("spoiler/main"), [])

    def test_exit_0_in_tick_is_a_crash_that_the_log_shows(self):
        home = self.spoiler(custom='at_tick = "exit 0"')
        wait_for(lambda: "died: exit code 0, which nobody has asked for" in home.log(), "the crash in the log")
        self.mend(home)
        home.drop("name", b"pass\n")
        self.wait_archive(home, b"pass\n")


class CallsThatDoNotReturn(SpoilerCase):
    def test_tick_that_does_not_return_is_killed_after_the_timeout(self):
        home = self.spoiler('timeout = "500ms"', 'at_tick = "hang"')
        wait_for(lambda: "died: timeout: more than 0.5 s in tick" in home.log(), "the kill in the log")
        home.drop("name", b"pass\n")
        self.mend(home)
        self.wait_archive(home, b"pass\n")
        self.assertEqual(home.trash("spoiler/main"), [])

    def stops_after(self, custom, words, step="", listener=""):
        home = self.spoiler(step, custom, listener=listener)
        home.drop("name", b"pass\n")
        self.wait_archive(home, b"pass\n")
        if listener:
            wait_for(lambda: self.seen(home) == ["created"], "the listener")
        self.assertEqual(home.stop(deadline=60), 0)
        self.assertIn(words, home.log())

    def test_drain_that_does_not_return_is_killed_after_the_timeout(self):
        self.stops_after('at_drain = "hang"', "died: timeout: more than 0.5 s in drain", 'timeout = "500ms"')

    def test_destroy_that_does_not_return_is_killed_after_the_timeout(self):
        self.stops_after('at_destroy = "hang"', "died: timeout: more than 0.5 s in destroy", 'timeout = "500ms"')

    def test_create_that_does_not_return_is_killed_after_the_start_timeout(self):
        home = self.spoiler('start_timeout = "1s"', 'at_create = "hang"')
        wait_for(lambda: "died: start_timeout: not ready after 1 s" in home.log(), "the kill in the log")
        self.mend(home)
        home.drop("name", b"pass\n")
        self.wait_archive(home, b"pass\n")

    def test_listener_that_does_not_stop_is_killed_after_its_timeout(self):
        for word in ("ignore", "hang"):
            self.stops_after(f'stop = "{word}"', "died: timeout: it did not stop within 0.5 s when asked", listener='timeout = "500ms"')

    def test_listener_whose_destroy_does_not_return_is_killed_after_its_timeout(self):
        self.stops_after('at_destroy = "hang"', "s in destroy", 'timeout = "1s"', 'timeout = "5s"')


class Listeners(SpoilerCase):
    def ends(self, run, words):
        home = self.spoiler(custom=f'run = "{run}"', listener="component = \"radio\"")
        home.wait_log("spoiler/radio", words)
        wait_for(lambda: "spoiler/radio: a worker of version 4.0.4 died: exit code 1" in home.log(), "the crash in the log")
        wait_for(lambda: len(self.seen(home)) >= 3, "it to be started again")
        self.assertLess(home.step_log("spoiler/radio").count(words), 20, "each start waits longer than the one before")
        self.mend(home)
        wait_for(lambda: home.step_status("spoiler/radio").get("pids"), "the listener")

    def test_listener_that_ends_unasked_with_ok_is_logged_and_started_again_ever_later(self):
        self.ends("ok", "the listener ended although nobody has asked it to: run returned MFDATA_OK")

    def test_listener_that_ends_unasked_as_cancelled_is_logged_and_started_again_ever_later(self):
        self.ends("cancelled", "the listener ended although nobody has asked it to: run returned MFDATA_CANCELLED, nobody listens")

    def test_listener_that_closes_all_descriptors_is_logged_as_a_crash(self):
        home = self.spoiler(custom='run = "closefrom"', listener="component = \"radio\"")
        home.wait_log("spoiler/radio", "has closed or replaced the descriptor of the channel")
        wait_for(lambda: "spoiler/radio: a worker of version 4.0.4 died" in home.log(), "the crash in the log")


class Reasons(SpoilerCase):
    def test_reason_of_a_tick_that_fails_is_logged_once_until_it_changes(self):
        home = self.spoiler(custom='at_tick = "throw"')
        home.wait_log("spoiler/main", "tick returned 1: the tower does not answer")
        self.mend(home)
        home.wait_log("spoiler/main", "tick returned MFDATA_OK again")
        self.assertEqual(home.step_log("spoiler/main").count("the tower does not answer"), 1)

    def test_reason_of_a_drain_that_fails_is_logged(self):
        home = self.spoiler(custom='at_drain = "throw"')
        home.drop("name", b"pass\n")
        self.wait_archive(home, b"pass\n")
        home.stop()
        self.assertIn("drain returned 1: the tower does not answer", home.step_log("spoiler/main"))

    def test_step_that_says_cancelled_unasked_is_tried_later_and_fails_at_last(self):
        home = self.spoiler('retry_total = 2\nretry_min_wait = "100ms"')
        home.drop("bad", b"cancelled\n")
        [note] = home.wait_trash("spoiler/main")
        self.assertEqual(note["attempts"], 3)
        self.assertIn("MFDATA_CANCELLED, although nobody has asked it to stop", note["error"])


if __name__ == "__main__":
    main()
