"""How files get in: noticed whatever the kernel's queue lost, whole, once, under any name, and never what is no file."""
import collections
import ctypes
import errno
import json
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import (BUILD, MFDATA, Case, children_of, content, context_of, main, mount_tmpfs, need_root, one_of, parse_tags_file,
                     wait_for)

METRICS = '[data]\nentry_step = "archive/main"\n%s\n[metrics]\nlisten = "127.0.0.1:0"\n'
RESCAN = METRICS % "rescan_interval = 1"
RUNNER = (65533, 65533)  # an unprivileged user for the loader, and its group
SENDER = 65532           # somebody else, in the group of the runner

HOSTILE_NAMES = [
    b"two words", b" leading and trailing ", b"new\nline", b"\n", b"tab\tand\rreturn", b"100%", b"%41%00%n%s", b"%Y%m%d",
    b"\x1b[31mred\x1b[0m", b"\x1b]0;title\x07", b"\x7f\x08\x01", b"\xc2\x9b31m", b"-rf", b"--help", b"-", b"\xff\xfe\x80", b"caf\xe9",
    "grüße €".encode(), b"'quoted' \"twice\"", b"back\\slash", b"$(touch x)`y`;&|<>*?[a]{ORIGINAL_BASENAME}", b"a=b", b"x.json", b"x.tags",
    b"~", b"a~1", b"n" * 255, b"\n" * 255, b"%" * 255, b"\xff" * 255, "é".encode() * 127,
    b"019ab3c4d5e67f8091a2b3c4d5e6f708.3", b"019ab3c4d5e67f8091a2b3c4d5e6f709.3c~1", b"swapped-1", b"user.mfdata.tags", b"core",
]


def renameat2(old, new, flags):
    """0, or the errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags)
    return 0 if done == 0 else ctypes.get_errno()


NOREPLACE, EXCHANGE = 1, 2
C1 = re.compile(rb"\xc2[\x80-\x9f]")  # U+0080 to U+009F: some terminals take U+009B for an escape


def arrive_unseen(home, name):
    """An empty file that nobody opens or renames: a listing finds it, or the loader a moment later by itself."""
    os.mknod(home.incoming / name, stat.S_IFREG | 0o644)


def place_link(directory, name, target):
    """A symbolic link whose name appears by a rename: that raises an event, making it does not."""
    hidden = os.path.join(os.fsencode(directory), b".link.tmp")
    os.symlink(target, hidden)
    os.rename(hidden, os.path.join(os.fsencode(directory), os.fsencode(name)))


def write_unnamed(directory, name, data, owner=None):
    """A file without a name that gets one by linkat(2): the descriptor, which is still open."""
    file = os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o640)
    if owner:
        os.fchown(file, *owner)
    os.write(file, data)
    os.link(f"/proc/self/fd/{file}", directory / name, src_dir_fd=0, follow_symlinks=True)
    return file


class Arrivals(Case):
    def archived(self, home):
        """(original basename, content) of each archived file, sorted."""
        return sorted((context_of(path)[1]["first.core.original_basename"], content(path)) for path in home.files())

    def wait_archived(self, home, count, deadline=120):
        """Until `count` files are archived and nothing waits; fails when there are more."""
        wait_for(lambda: len(home.files()) >= count, f"{count} files in the archive", deadline)
        home.wait_idle(deadline)
        found = self.archived(home)
        self.assertEqual(len(found), count)
        return found

    def wait_rescan(self, home):
        """Until the loader has listed incoming twice: the first listing may have begun before."""
        for _ in range(2):
            self.sentinels = getattr(self, "sentinels", 0) + 1
            name = f"sentinel{self.sentinels}"
            arrive_unseen(home, name)
            wait_for(lambda: not (home.incoming / name).exists(), "a rescan")

    def refused(self, home):
        return {row["path"]: row["reason"] for row in home.status().get("refused", [])}

    def assert_refused(self, home, name, path=None):
        """It is shown by status with a reason, stays, and is logged and counted once whatever the rescans."""
        path = path or home.incoming / name
        [reason] = wait_for(lambda: [why for where, why in self.refused(home).items() if where.endswith("/" + name)],
                            f"status to show {name} as refused")
        self.assertTrue(reason)
        self.wait_rescan(home)
        self.assertTrue(os.path.lexists(path), "a refused arrival is left where it is")
        lines = [line for line in home.log().splitlines() if "refused" in line and "/" + name in line]
        self.assertEqual(len(lines), 1, f"logged once: {lines}")
        self.assertIn(reason, lines[0])
        self.assertEqual(home.metric("mfdata_refused_files_total"), 1)
        return reason


class Noticed(Arrivals):
    def test_overflow_of_the_event_queue_leads_to_a_rescan(self):
        home = self.home("archive", settings=METRICS % "").start()
        home.drop("before", b"before")
        self.wait_archived(home, 1)
        self.assertEqual(home.metric("mfdata_inotify_overflows_total"), 0)
        with open("/proc/sys/fs/inotify/max_queued_events") as limit:
            count = int(limit.read()) + 3000
        home.loader.send_signal(signal.SIGSTOP)
        for number in range(count):
            with open(home.incoming / f"f{number}", "wb") as file:
                file.write(b"%d" % number)
        home.loader.send_signal(signal.SIGCONT)
        wait_for(lambda: not os.listdir(home.incoming), "all arrivals to be taken", 600)
        home.wait_idle(600)
        self.assertEqual(home.metric("mfdata_inotify_overflows_total"), 1)
        contents = sorted(content(path) for path in home.files())
        self.assertEqual(contents, sorted([b"before"] + [b"%d" % number for number in range(count)]))

    def test_50000_files_dropped_while_the_loader_is_stopped_are_all_taken_at_start(self):
        home = self.home("archive", overrides={"archive": '[custom]\nkeep_tags_suffix = ""\n'})
        home.start().stop()
        count = 50_000
        for number in range(count):
            with open(home.incoming / f"f{number}", "wb") as file:
                file.write(b"%d" % number)
        home.start()
        wait_for(lambda: not os.listdir(home.incoming), "all arrivals to be taken", 900)
        home.wait_idle(600)
        self.assertEqual(sorted(map(content, home.files())), sorted(b"%d" % number for number in range(count)))

    def test_watched_directory_deleted_and_made_again_at_once_is_watched_again(self):
        home = self.home("archive").start()
        home.drop("a", b"a")
        self.wait_archived(home, 1)
        os.rmdir(home.incoming)
        os.mkdir(home.incoming)
        home.drop("b", b"b")
        self.wait_archived(home, 2)
        home.drop("c", b"c")  # by an event: the next listing is five minutes away
        self.assertEqual(self.wait_archived(home, 3), [(b"a", b"a"), (b"b", b"b"), (b"c", b"c")])

    def test_watched_directory_that_was_gone_for_a_while_is_watched_when_it_is_back(self):
        home = self.home("archive").start()
        os.rmdir(home.incoming)
        wait_for(lambda: str(home.incoming) in home.log(), "the log to name the lost directory")
        os.mkdir(home.incoming)
        home.drop("b", b"b")
        self.wait_archived(home, 1)
        home.drop("c", b"c")
        self.wait_archived(home, 2)

    def test_directory_moved_away_is_not_watched_any_more_but_the_one_in_its_place_is(self):
        home = self.home("archive").start()
        home.drop("a", b"a")
        self.wait_archived(home, 1)
        aside = home.root / "aside"
        os.rename(home.incoming, aside)
        os.mkdir(home.incoming)
        home.drop("stays", b"stays", directory=aside)
        home.drop("b", b"b")
        self.wait_archived(home, 2)
        home.drop("c", b"c")
        self.wait_archived(home, 3)
        self.assertEqual(content(aside / "stays"), b"stays")

    def test_loader_starts_when_a_watched_directory_is_missing(self):
        home = self.home("archive")
        home.start().stop()
        os.rmdir(home.incoming)
        home.start()
        wait_for(home.incoming.is_dir, "the watched directory to be made")
        home.drop("a", b"a")
        self.wait_archived(home, 1)

    def test_file_that_raised_no_event_is_found_by_the_next_rescan(self):
        home = self.home("archive", settings=RESCAN).start()
        arrive_unseen(home, "quietly")
        self.assertEqual(self.wait_archived(home, 1), [(b"quietly", b"")])

    def test_file_that_appears_by_a_link_is_taken_long_before_the_next_listing(self):
        home = self.home("archive").start()
        (home.incoming / ".made").write_bytes(b"linked")
        os.link(home.incoming / ".made", home.incoming / "linked")
        os.unlink(home.incoming / ".made")
        self.assertEqual(self.wait_archived(home, 1), [(b"linked", b"linked")])

    def test_file_without_a_name_that_gets_one_is_taken_long_before_the_next_listing(self):
        home = self.home("archive").start()
        os.close(write_unnamed(home.incoming, "named", b"unnamed"))
        self.assertEqual(self.wait_archived(home, 1), [(b"named", b"unnamed")])

    def test_file_that_a_listing_meets_with_two_links_is_taken_soon_after_one_of_them_goes(self):
        home = self.home("archive")
        home.start().stop()
        (home.incoming / ".made").write_bytes(b"linked")
        os.link(home.incoming / ".made", home.incoming / "linked")
        home.start()
        wait_for(lambda: self.refused(home), "it to be refused")
        os.unlink(home.incoming / ".made")
        self.assertEqual(self.wait_archived(home, 1), [(b"linked", b"linked")])
        self.assertEqual(home.log().count("refused "), 1)

    def test_symbolic_link_that_symlink_makes_is_refused_long_before_the_next_listing(self):
        home = self.home("archive").start()
        home.drop("a", b"a")
        self.wait_archived(home, 1)
        os.symlink("/etc/hostname", home.incoming / "link")
        wait_for(lambda: list(self.refused(home).values()) == ["it is a symbolic link"], "it to be refused")

    @need_root
    def test_filesystem_that_is_mounted_over_a_watched_directory_is_watched_within_seconds(self):
        home = self.home("archive").start()
        home.drop("a", b"a")
        self.wait_archived(home, 1)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", home.incoming], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", home.incoming], stderr=subprocess.DEVNULL)
        home.drop("b", b"b")
        self.wait_archived(home, 2)
        home.drop("c", b"c")
        self.wait_archived(home, 3)
        self.assertIn("another directory stands at", home.log())
        subprocess.run(["umount", "-l", home.incoming], check=True)
        home.drop("d", b"d")
        self.assertIn((b"d", b"d"), self.wait_archived(home, 4))

    @need_root
    def test_directory_on_a_filesystem_that_is_not_known_to_be_local_is_listed_every_second_and_named(self):
        with open("/proc/filesystems") as known:
            kinds = [line.split()[-1] for line in known]
        kind = next((one for one in ("mqueue", "cgroup2", "debugfs") if one in kinds), None)
        if kind is None:
            self.skipTest("no such filesystem can be mounted")
        home = self.home("archive")
        place = home.root / "elsewhere"
        place.mkdir()
        if subprocess.run(["mount", "-t", kind, "none", place], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no such filesystem can be mounted")
        self.addCleanup(subprocess.run, ["umount", "-l", place])
        home.override("archive", f'[step.main]\nwatched_directories = ["{place}"]\n')
        checked = home.run(MFDATA, "check")
        self.assertIn(f"{place} is on an unknown filesystem", checked.stderr)
        home.start()
        wait_for(lambda: f"directory {place} is listed every second" in home.log(), "the log to say so")
        self.assertEqual(home.status()["polled"], [str(place)])
        self.assertIn(f"listed every second: {place}", home.run(MFDATA, "status").stdout)

    def test_foreign_name_in_a_step_directory_is_an_arrival_for_that_step(self):
        home = self.home("minimal", "archive", settings='[data]\nentry_step = "minimal/main"\n').start()
        home.drop("by hand", b"1", directory=home.data / "step.archive.main")
        self.assertEqual(self.wait_archived(home, 1), [(b"by hand", b"1")])
        [path] = home.files()
        self.assertNotIn("0.minimal.main.enter_step", context_of(path)[1])

    def test_name_of_ours_without_context_in_a_step_directory_is_an_arrival_only_in_generation_0(self):
        home = self.home("archive").start()
        uid = "019ab3c4d5e67f8091a2b3c4d5e6f708"
        home.drop(uid + ".0", b"arrives", directory=home.data / "step.archive.main")
        self.assertEqual(self.wait_archived(home, 1), [(uid.encode() + b".0", b"arrives")])
        home.drop(uid + ".3", b"lost its context", directory=home.data / "step.archive.main")
        [note] = wait_for(lambda: [n for n in home.trash("archive/main") if n["path"]], "the file in trash")
        self.assertIn("context", note["reason"] + note["error"])
        self.assertEqual(content(note["path"]), b"lost its context")


class Whole(Arrivals):
    def test_file_written_slowly_is_taken_whole_and_once_although_rescans_see_it(self):
        home = self.home("archive", settings=RESCAN).start()
        written = b""
        with open(home.incoming / "slow", "wb") as file:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                block = os.urandom(1000)
                file.write(block)
                file.flush()
                written += block
                self.assertEqual(home.files(), [], "it was taken while it was being written")
                time.sleep(0.1)  # the slow writer
        self.assertEqual(self.wait_archived(home, 1), [(b"slow", written)])

    def test_file_being_written_when_the_loader_starts_is_taken_whole(self):
        home = self.home("archive")
        home.start().stop()
        with open(home.incoming / "early", "wb") as file:
            file.write(b"first half, ")
            file.flush()
            home.start()
            home.drop("other", b"other")
            self.wait_other(home)
            file.write(b"second half")
        self.assertEqual(self.wait_archived(home, 2), [(b"early", b"first half, second half"), (b"other", b"other")])

    def wait_other(self, home):
        wait_for(lambda: len(home.files()) >= 1, "the other file in the archive")
        self.assertEqual([name for name, _ in self.archived(home)], [b"other"])

    def test_file_open_for_writing_holds_up_no_other_file(self):
        home = self.home("archive").start()
        with open(home.incoming / "open", "wb") as file:
            file.write(b"x")
            file.flush()
            with open(home.incoming / "open", "ab"):
                pass  # closed by a second writer: an event, while the first one still writes
            for number in range(20):
                home.drop(f"f{number}", b"y")
            wait_for(lambda: len(home.files()) == 20, "the other files in the archive")
            self.assertTrue((home.incoming / "open").exists())
        self.wait_archived(home, 21)

    def test_file_renamed_into_place_is_taken(self):
        home = self.home("archive").start()
        (home.incoming / "name.part").write_bytes(b"x")
        os.rename(home.incoming / "name.part", home.incoming / "name")
        self.assertEqual(self.wait_archived(home, 1), [(b"name", b"x")])

    def test_file_renamed_in_from_another_directory_is_taken(self):
        home = self.home("archive").start()
        (home.root / "elsewhere").write_bytes(b"x")
        os.rename(home.root / "elsewhere", home.incoming / "name")
        self.assertEqual(self.wait_archived(home, 1), [(b"name", b"x")])

    def test_files_of_one_name_one_after_the_other_are_all_treated(self):
        home = self.home("archive").start()
        for number in range(50):
            home.drop("same", b"%d" % number)
            wait_for(lambda: not (home.incoming / "same").exists(), "the file before to be taken")
        found = self.wait_archived(home, 50)
        self.assertEqual(sorted(found), sorted((b"same", b"%d" % number) for number in range(50)))

    def test_empty_file_is_accepted(self):
        home = self.home("archive").start()
        home.drop("empty", b"")
        self.assertEqual(self.wait_archived(home, 1), [(b"empty", b"")])

    def test_names_that_are_not_ready_are_left_alone_until_they_are_renamed(self):
        home = self.home("archive", settings=RESCAN).start()
        names = ["a.t", "a.tmp", "a.part", "a.filepart", "a.working", ".hidden"]
        for name in names:
            home.drop(name, name.encode(), hidden=False)
        self.wait_rescan(home)
        self.assertEqual({name for name, _ in self.archived(home)} - {b"sentinel1", b"sentinel2"}, set())
        for name in names:
            os.rename(home.incoming / name, home.incoming / name.replace(".", "_"))
        found = self.wait_archived(home, len(names) + 2)
        self.assertEqual({data for _, data in found if data}, {name.encode() for name in names})

    def test_ready_rename_leaves_a_file_that_was_only_closed(self):
        settings = METRICS % '[data.watch.incoming]\nready = "rename"\n'
        home = self.home("archive", settings=settings).start()
        home.drop("first", b"")  # the listing at the start is behind it: what a listing finds, is taken when it is quiet
        os.unlink(wait_for(home.files, "the first file in the archive")[0])
        home.drop("closed", b"half", hidden=False)
        home.drop("renamed", b"whole")
        self.assertEqual(self.wait_only(home), [(b"renamed", b"whole")])
        os.rename(home.incoming / "closed", home.incoming / "now")
        self.assertEqual(self.wait_archived(home, 2), [(b"now", b"half"), (b"renamed", b"whole")])

    RENAME = METRICS % 'rescan_interval = 1\n[data.watch.incoming]\nready = "rename"\n%s'

    def test_ready_rename_takes_what_it_finds_at_a_start_when_it_has_been_quiet_for_ready_at_start(self):
        home = self.home("archive", settings=self.RENAME % 'ready_at_start = "quiet:3s"\n')
        home.incoming.mkdir(parents=True, exist_ok=True)
        home.drop("before", b"whole")
        began = time.monotonic()
        home.start()
        self.assertEqual(self.wait_archived(home, 1), [(b"before", b"whole")])
        self.assertGreater(time.monotonic() - began, 3)

    def test_ready_rename_never_takes_an_upload_under_its_final_name_whatever_rescans_find(self):
        home = self.home("archive", settings=self.RENAME % 'ready_at_start = "quiet:100ms"\n').start()
        home.drop("first", b"first")  # the listing of the start is over: what it finds is taken when it is quiet
        self.wait_archived(home, 1)
        home.drop("upload", b"half", hidden=False)
        for number in range(4):  # each after a quiet time of what stands there, and after a rescan
            began = time.monotonic()
            wait_for(lambda: time.monotonic() > began + 1.2, "a rescan")
            home.drop(f"renamed{number}", b"x")
        wait_for(lambda: len(home.files()) >= 5, "the renamed files in the archive")
        self.assertEqual(content(home.incoming / "upload"), b"half")
        os.rename(home.incoming / "upload", home.incoming / "complete")
        self.assertIn((b"complete", b"half"), self.wait_archived(home, 6))

    def test_ready_rename_with_leave_leaves_what_stood_there_and_says_so(self):
        home = self.home("archive", settings=self.RENAME % 'ready_at_start = "leave"\n')
        home.incoming.mkdir(parents=True, exist_ok=True)
        home.drop("before", b"x")
        home.start()
        wait_for(lambda: "1 file stands in" in home.log() and "ready_at_start" in home.log(), "the log to say that it is left")
        home.drop("renamed", b"y")
        wait_for(home.files, "the renamed file in the archive")
        self.assertEqual(self.archived(home), [(b"renamed", b"y")])
        self.assertTrue((home.incoming / "before").exists())

    def test_ready_rename_takes_every_renamed_file_although_no_more_fit_into_the_queue(self):
        settings = self.RENAME % 'ready_at_start = "leave"\n' + "[loader]\nmax_queued = 100\n"
        home = self.home("archive", settings=settings).start()
        home.run(MFDATA, "pause", "archive/main")
        for number in range(400):
            home.drop(f"f{number}", b"%d" % number)
        wait_for(lambda: home.step_status("archive/main")["queued"] == 100, "a full queue")
        home.run(MFDATA, "resume", "archive/main")
        self.wait_archived(home, 400)

    def wait_only(self, home):
        wait_for(home.files, "a file in the archive")
        home.drop("renamed too", b"")  # whatever was going to be taken before it has been
        wait_for(lambda: len(home.files()) >= 2, "the file after it in the archive")
        found = [path for path in home.files() if content(path) == b""]
        for path in found:
            os.unlink(path)
        return self.archived(home)

    def test_ready_quiet_waits_until_a_file_has_not_changed_for_its_time(self):
        settings = METRICS % '[data.watch.incoming]\nready = "quiet:1s"\n'
        home = self.home("archive", settings=settings).start()

        def write_slowly(number):
            """A sender that opens and closes for each block; false when it was itself so slow that it was quiet."""
            name, written, early, times = f"blocks{number}", b"", False, [time.monotonic()]
            while not early and times[-1] < times[0] + 3:
                with open(home.incoming / name, "ab") as file:
                    file.write(b"0123456789")
                written += b"0123456789"
                early = bool(home.files())
                times.append(time.monotonic())
                time.sleep(0.2)  # the slow writer
            quick = all(after - before < 1 for before, after in zip(times[:1] + times, times[1:]))
            self.assertFalse(early and quick, "it was taken while it was being written")
            if quick:
                self.assertEqual(self.wait_archived(home, 1), [(name.encode(), written)])
            home.wait_idle()
            for path in home.files():
                os.unlink(path)
            return quick
        one_of(write_slowly, "a sender that never pauses for a second")

    def test_ready_quiet_counts_from_when_the_file_was_first_seen_whatever_its_own_times_say(self):
        settings = METRICS % '[data.watch.incoming]\nready = "quiet:2s"\n'
        home = self.home("archive", settings=settings).start()
        (home.incoming / ".old").write_bytes(b"old")
        os.utime(home.incoming / ".old", (0, 0))
        seen = time.monotonic()
        os.rename(home.incoming / ".old", home.incoming / "old")
        self.wait_archived(home, 1)
        self.assertGreater(time.monotonic() - seen, 2)

    def test_ready_of_one_directory_is_not_that_of_another(self):
        settings = METRICS % '[data.watch.late]\nready = "quiet:1h"\n'
        home = self.home("archive", settings=settings).start()
        home.drop("late", b"late", directory=home.data / "late")
        home.drop("now", b"now")
        wait_for(home.files, "the file in the archive")
        self.assertEqual(self.archived(home), [(b"now", b"now")])
        self.assertTrue((home.data / "late/late").exists())


class Names(Arrivals):
    def test_each_hostile_name_is_treated_once_and_is_the_original_basename(self):
        home = self.home("archive").start()
        for number, name in enumerate(HOSTILE_NAMES):
            home.drop(name, b"%d" % number)
        found = self.wait_archived(home, len(HOSTILE_NAMES))
        self.assertEqual(found, sorted((name, b"%d" % number) for number, name in enumerate(HOSTILE_NAMES)))
        for path in home.files():
            self.assertEqual(parse_tags_file(path + b".tags"), context_of(path)[1])

    def test_hostile_names_that_were_there_at_start_are_treated_once(self):
        home = self.home("archive")
        home.start().stop()
        for number, name in enumerate(HOSTILE_NAMES):
            home.drop(name, b"%d" % number)
        home.start()
        found = self.wait_archived(home, len(HOSTILE_NAMES))
        self.assertEqual(found, sorted((name, b"%d" % number) for number, name in enumerate(HOSTILE_NAMES)))

    def test_hostile_name_is_the_name_of_a_delivered_file_and_never_a_path(self):
        home = self.home("move", overrides={"move": '[custom]\ndest_dir = "{home}/var/out"\n'})
        out = home.root / "var/out"
        out.mkdir()
        home.start()
        for number, name in enumerate(HOSTILE_NAMES):
            home.drop(name, b"%d" % number)
        wait_for(lambda: len(os.listdir(out)) == len(HOSTILE_NAMES), "all files in the directory")
        home.wait_idle()
        got = {name: content(os.path.join(os.fsencode(out), name)) for name in os.listdir(os.fsencode(out))}
        self.assertEqual(got, {name: b"%d" % number for number, name in enumerate(HOSTILE_NAMES)})

    def logs(self, home):
        files = [home.root / "loader.stderr", *(home.root / "log").glob("*")]
        return b"".join(path.read_bytes() for path in files)

    def name_in_logs(self, settings=""):
        """A home in whose logs each hostile name should stand: as refused, and as failed."""
        home = self.home(BUILD / "tests/plugins/mischief", settings='[data]\nentry_step = "mischief/main"\n' + settings,
                         overrides={"mischief": '[custom]\nmode = "fail"\n'}).start()
        names = HOSTILE_NAMES + [b"x\n2020-01-01T00:00:00.000+00:00 info loader: FORGED"]
        for name in names:
            place_link(home.incoming, name[:200] + b".link", "/nowhere")
            home.drop(name, b"x")
        wait_for(lambda: len(home.trash("mischief/main")) == len(names), "the failed files in trash")
        wait_for(lambda: len(home.status()["refused"]) >= len({n[:200] for n in names}), "the links to be refused")
        home.stop()
        return home

    def test_hostile_name_never_brings_an_escape_or_a_line_into_the_logs(self):
        home = self.name_in_logs()
        logs = self.logs(home)
        self.assertIn(b"100%", logs, "names stand in the logs at all")
        for line in logs.split(b"\n"):
            self.assertIsNone(re.search(rb"[\x00-\x1f\x7f]", line), f"a control byte in {line!r}")
            self.assertFalse(line.startswith(b"2020-01-01"), f"a forged line: {line!r}")
            self.assertIsNone(C1.search(line), f"a C1 control character in {line!r}")

    def test_hostile_name_leaves_each_line_of_a_json_log_valid(self):
        home = self.name_in_logs('[log]\nformat = "json"\n')
        for line in self.logs(home).split(b"\n"):
            if line:
                json.loads(line.decode())  # UTF-8, and JSON

    def test_status_of_hostile_names_is_safe_on_a_terminal(self):
        home = self.home("archive").start()
        for name in HOSTILE_NAMES:
            place_link(home.incoming, name, "/nowhere")
        wait_for(lambda: len(home.status().get("refused", [])) == len(HOSTILE_NAMES), "all links to be refused")
        plain = subprocess.run([MFDATA, "status"], env=home.environment, stdout=subprocess.PIPE, check=True).stdout
        self.assertIn(b"--help", plain, "status shows them at all")
        self.assertIsNone(re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", plain))
        self.assertIsNone(C1.search(plain))


class Refused(Arrivals):
    def test_symbolic_link_is_refused_and_never_followed(self):
        home = self.home("archive", settings=RESCAN).start()
        outside = home.root / "outside"
        outside.write_bytes(b"secret")
        outside.chmod(0o640)
        os.symlink(outside, home.incoming / "link")
        self.assertIn("link", self.assert_refused(home, "link"))
        self.assertEqual((content(outside), stat.S_IMODE(outside.stat().st_mode), os.listxattr(outside)), (b"secret", 0o640, []))

    def test_fifo_is_refused_and_blocks_nothing(self):
        home = self.home("archive", settings=RESCAN)
        home.start().stop()
        os.mkfifo(home.incoming / "fifo")  # raises no event: found by the listing
        home.start()
        self.assertIn("FIFO", self.assert_refused(home, "fifo"))

    def test_socket_is_refused(self):
        home = self.home("archive", settings=RESCAN).start()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(home.incoming / "socket"))
            self.assertIn("socket", self.assert_refused(home, "socket"))

    @need_root
    def test_device_node_is_refused(self):
        home = self.home("archive", settings=RESCAN).start()
        os.mknod(home.incoming / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
        self.assertIn("device", self.assert_refused(home, "device"))

    def test_directory_stays_and_nothing_in_it_is_taken(self):
        home = self.home("archive", settings=RESCAN).start()
        (home.incoming / "directory").mkdir()
        (home.incoming / "directory/file").write_bytes(b"x")
        os.mkdir(home.root / "moved")
        (home.root / "moved/file").write_bytes(b"y")
        os.rename(home.root / "moved", home.incoming / "moved")
        self.wait_rescan(home)
        self.assertEqual(content(home.incoming / "directory/file"), b"x")
        self.assertEqual(content(home.incoming / "moved/file"), b"y")

    def test_hard_link_to_a_file_of_somebody_else_is_refused_and_the_file_is_untouched(self):
        home = self.home("archive", settings=RESCAN).start()
        outside = home.root / "outside"
        outside.write_bytes(b"precious")
        outside.chmod(0o640)
        os.link(outside, home.incoming / "link")
        self.assertIn("link", self.assert_refused(home, "link"))
        self.assertEqual((content(outside), stat.S_IMODE(outside.stat().st_mode), os.listxattr(outside)), (b"precious", 0o640, []))

    def test_hard_link_is_taken_once_it_is_the_only_one(self):
        home = self.home("archive", settings=RESCAN).start()
        outside = home.root / "outside"
        outside.write_bytes(b"x")
        os.link(outside, home.incoming / "link")
        wait_for(lambda: self.refused(home), "the link to be refused")
        outside.unlink()
        self.assertEqual(self.wait_archived(home, 1), [(b"link", b"x")])

    def test_sparse_file_of_1_tb_is_refused_by_max_file_size(self):
        home = self.home("archive", settings=RESCAN).start()
        with open(home.incoming / ".sparse", "wb") as file:
            file.truncate(1 << 40)
        os.rename(home.incoming / ".sparse", home.incoming / "sparse")
        self.assertIn("max_file_size", self.assert_refused(home, "sparse"))
        self.assertEqual((home.incoming / "sparse").stat().st_size, 1 << 40)

    def test_max_file_size_is_the_largest_size_that_is_taken(self):
        home = self.home("archive", settings=METRICS % 'max_file_size = "10KiB"').start()
        home.drop("above", b"x" * 10241)
        home.drop("at", b"x" * 10240)
        self.assertEqual([name for name, _ in self.wait_status_refused(home, 1)], [b"at"])

    def wait_status_refused(self, home, count):
        wait_for(lambda: len(self.refused(home)) == count and home.files(), "a refused and an archived file")
        return self.archived(home)

    def test_refused_arrival_that_is_taken_away_is_shown_no_more(self):
        home = self.home("archive", settings=RESCAN).start()
        os.symlink("/nowhere", home.incoming / "link")
        wait_for(lambda: self.refused(home), "the link to be refused")
        (home.incoming / "link").unlink()
        wait_for(lambda: not self.refused(home), "status to forget what is gone")

    def test_refused_arrival_that_was_replaced_by_a_good_file_is_taken_and_shown_no_more(self):
        home = self.home("archive", settings=RESCAN).start()
        os.symlink("/nowhere", home.incoming / "name")
        wait_for(lambda: self.refused(home), "the link to be refused")
        home.drop("name", b"good")
        self.assertEqual(self.wait_archived(home, 1), [(b"name", b"good")])
        wait_for(lambda: not self.refused(home), "status to forget what is gone")

    def test_refused_arrivals_hold_up_nothing_behind_them(self):
        home = self.home("archive").start()
        for number in range(300):
            place_link(home.incoming, f"link{number}", "/nowhere")
        for number in range(100):
            home.drop(f"f{number}", b"x")
        wait_for(lambda: len(home.files()) == 100, "the good files in the archive")
        wait_for(lambda: home.log().count("/link") == 300, "300 refusals in the log")

    @need_root
    def test_file_that_is_immutable_or_append_only_is_refused_once_and_taken_when_it_is_not_any_more(self):
        home = self.home("archive", settings=RESCAN)
        home.start().stop()
        for flag, word in (("i", "immutable"), ("a", "append-only")):
            path = home.incoming / word
            path.write_bytes(b"x")
            if subprocess.run(["chattr", "+" + flag, path], stderr=subprocess.DEVNULL).returncode != 0:
                self.skipTest("this filesystem has no such flags")
            self.addCleanup(subprocess.run, ["chattr", "-" + flag, path], stderr=subprocess.DEVNULL)
        home.start()
        wait_for(lambda: len(self.refused(home)) == 2, "both to be refused")
        self.assertIn("chattr -i", self.refused(home)["incoming/immutable"])
        self.assertIn("chattr -a", self.refused(home)["incoming/append-only"])
        self.wait_rescan(home)
        self.assertEqual(home.log().count("refused incoming/"), 2)
        self.assertNotIn("cannot accept", home.log())
        self.assertEqual(home.metric("mfdata_refused_files_total"), 2)
        subprocess.run(["chattr", "-i", home.incoming / "immutable"], check=True)
        wait_for(lambda: not (home.incoming / "immutable").exists(), "it to be taken")
        wait_for(lambda: b"immutable" in [name for name, _ in self.archived(home)], "it in the archive")

    def test_forged_attributes_are_dropped(self):
        home = self.home("archive").start()
        hidden = home.incoming / ".forged"
        hidden.write_bytes(b"x")
        uid = "019ab3c4d5e67f8091a2b3c4d5e6f708"
        os.setxattr(hidden, "user.mfdata.tags", f"mfdata/1 uid={uid} gen=3 size=1 crc32c=00000000 to=step.x.y\nevil=1\n".encode())
        os.setxattr(hidden, "user.mfdata.evil", b"1")
        os.setxattr(hidden, "user.mfdata.", b"1")
        os.rename(hidden, home.incoming / "forged")
        self.assertEqual(self.wait_archived(home, 1), [(b"forged", b"x")])
        [path] = home.files()
        header, tags = context_of(path)
        self.assertNotIn("evil", tags)
        self.assertNotEqual(header["uid"], uid)
        self.assertEqual(tags["latest.core.step_counter"], b"0")
        self.assertEqual([name for name in os.listxattr(path) if name.startswith("user.mfdata")], ["user.mfdata.tags"])

    def test_forged_context_in_a_step_directory_name_of_ours_is_not_believed_on_arrival(self):
        """A whole, correct context copied from another file: the new file is an arrival all the same."""
        home = self.home("archive").start()
        home.drop("real", b"real")
        self.wait_archived(home, 1)
        [path] = home.files()
        hidden = home.incoming / ".copy"
        hidden.write_bytes(b"real")
        os.setxattr(hidden, "user.mfdata.tags", os.getxattr(path, "user.mfdata.tags"))
        os.rename(hidden, home.incoming / "copy")
        found = self.wait_archived(home, 2)
        self.assertEqual(found, [(b"copy", b"real"), (b"real", b"real")])
        self.assertEqual(len({context_of(p)[0]["uid"] for p in home.files()}), 2)


class BoundedQueues(Arrivals):
    """More files than the loader may hold names of: the rest waits on disk, and each is treated once."""
    FILES = 1000
    BOUND = "\n[loader]\nmax_queued = 100\n"

    def assert_all_once(self, home, files=FILES):
        expected = sorted((b"f%04d" % number, b"%d" % number) for number in range(files))
        wait_for(lambda: len(home.files()) >= files, "all files in the archive")
        home.wait_idle()
        self.assertEqual((self.archived(home), home.left_over()), (expected, []))

    def drop_all(self, home, files=FILES, directory=None):
        for number in range(files):
            home.drop(f"f{number:04}", b"%d" % number, directory=directory)

    def test_arrivals_found_at_the_start(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n' + self.BOUND)
        home.start().stop()
        self.drop_all(home)
        self.assert_all_once(home.start())

    def test_arrivals_while_it_runs(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n' + self.BOUND).start()
        home.run(MFDATA, "pause", "archive/main")
        self.drop_all(home)
        wait_for(lambda: home.step_status("archive/main")["queued"] == 100, "a full queue")
        home.run(MFDATA, "resume", "archive/main")
        self.assert_all_once(home)

    def test_files_before_a_step_that_had_no_worker(self):
        home = self.home("move", "archive", settings='[data]\nentry_step = "move/main"\n' + self.BOUND,
                         overrides={"move": '[custom]\ndest_dir = "archive/main"\n', "archive": "[step.main]\nnumprocesses = 0\n"}).start()
        self.drop_all(home)
        wait_for(lambda: len(os.listdir(home.data / "step.archive.main")) == self.FILES, "all of them before the step")
        self.assertLessEqual(home.step_status("archive/main")["queued"], 100)
        home.override("archive", "")
        home.run(MFDATA, "reload")
        self.assert_all_once(home)

    def test_files_that_wait_for_another_attempt(self):
        home = self.home(BUILD / "tests/plugins/mischief", "archive", settings='[data]\nentry_step = "mischief/main"\n' + self.BOUND, overrides={
            "mischief": '[step.main]\nretry_total = 1000\nretry_min_wait = 2\nretry_max_wait = 2\n[custom]\nmode = "retry_while_broken"\ndest_dir = "archive/main"\n'})
        (home.root / "broken").touch()
        home.start()
        self.drop_all(home, 400)
        wait_for(lambda: len(os.listdir(home.data / "step.mischief.main_reinject")) > 200, "more of them to wait than are known")
        (home.root / "broken").unlink()
        self.assert_all_once(home, 400)

    def test_files_that_have_to_be_quiet(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\nready = "quiet:1s"\n' + self.BOUND).start()
        self.drop_all(home)
        self.assert_all_once(home)


@need_root
class OtherOwners(Arrivals):
    """The loader runs as an unprivileged user; senders of its group leave files in incoming (2770, setgid)."""

    def setUp(self):
        self.runs = self.home("archive", settings=METRICS % 'rescan_interval = 1\nforeign_quiet = "1s"', user=RUNNER)
        self.runs.start()
        self.assertEqual(stat.S_IMODE(self.runs.incoming.stat().st_mode), 0o2770)

    def send(self, name, data, mode, owner=SENDER, directory=None):
        directory = directory or self.runs.incoming
        hidden = directory / ".sent.tmp"
        hidden.write_bytes(data)
        os.chown(hidden, owner, RUNNER[1])
        hidden.chmod(mode)
        os.rename(hidden, directory / name)

    def test_file_of_another_owner_that_the_group_may_only_read_is_accepted(self):
        data = os.urandom(300_000)
        self.send("theirs", data, 0o640)
        self.assertEqual(self.wait_archived(self.runs, 1), [(b"theirs", data)])
        self.assertEqual(os.listdir(self.runs.incoming), [])
        self.assertEqual(self.runs.left_over(), [])

    def test_file_of_another_owner_that_the_group_may_write_is_accepted(self):
        self.send("theirs", b"x", 0o660)
        self.assertEqual(self.wait_archived(self.runs, 1), [(b"theirs", b"x")])

    def test_many_files_of_another_owner_are_accepted_each_once(self):
        expected = []
        for number in range(100):
            self.send(f"f{number}", b"%d" % number, 0o640)
            expected.append((b"f%d" % number, b"%d" % number))
        self.assertEqual(self.wait_archived(self.runs, 100), sorted(expected))

    def test_hostile_names_of_another_owner_are_accepted(self):
        names = [b"new\nline", b"\x1b[31m", b"-rf", b"%41", b"\xff\xfe", b"n" * 255]
        for number, name in enumerate(names):
            self.send(os.fsdecode(name), b"%d" % number, 0o640)
        found = self.wait_archived(self.runs, len(names))
        self.assertEqual(found, sorted((name, b"%d" % number) for number, name in enumerate(names)))

    def test_accepts_that_all_fail_slowly_hold_up_neither_each_other_nor_a_stop(self):
        """Each result is long, and sent by itself: the loader reads them while they come."""
        closed = self.runs.root / "closed"
        closed.mkdir()
        self.runs.stop()
        self.runs.override("archive", f'[step.main]\nwatched_directories = ["{closed}"]\n')
        for number in range(200):
            self.send(f"f{number:03}" + "n" * 200, b"x", 0o640, directory=closed)
        os.chown(closed, SENDER, RUNNER[1])
        closed.chmod(0o555)  # nothing can be taken out of it
        self.runs.environment["MFDATA_SLOW_CALLS_US"] = "16000"
        self.runs.environment["LD_PRELOAD"] = str(BUILD / "tests/campaigns/plugins/slow_calls/slow_calls.so")
        self.runs.start()
        wait_for(lambda: self.runs.log().count("refused ") > 150, "most of them to be tried")
        self.assertEqual(self.runs.stop(60), 0)
        self.assertEqual(len(os.listdir(closed)), 200)

    def test_file_that_we_may_not_read_is_refused_and_shown_with_whose_it_is_and_what_to_do(self):
        self.send("private", b"x", 0o600)
        reason = self.assert_refused(self.runs, "private")
        for part in (f"user {SENDER}", str(RUNNER[1]), "mode 0600", str(RUNNER[0]), "chmod g+r"):
            self.assertIn(part, reason)

    def test_refused_file_is_taken_once_its_group_may_read_it(self):
        self.runs.stop()
        self.runs.configure(METRICS % "rescan_interval = 86400")
        self.runs.start()
        self.send("private", b"x", 0o600)
        wait_for(lambda: self.refused(self.runs), "it to be refused")
        (self.runs.incoming / "private").chmod(0o640)
        self.assertEqual(self.wait_archived(self.runs, 1), [(b"private", b"x")])

    def test_file_in_a_directory_with_the_sticky_bit_is_refused_once_with_the_reason(self):
        sticky = self.runs.root / "sticky"
        sticky.mkdir()
        os.chown(sticky, SENDER, RUNNER[1])
        sticky.chmod(0o3770)
        self.runs.override("archive", f'[step.main]\nwatched_directories = ["{sticky}"]\n')
        self.runs.run(MFDATA, "reload")
        self.send("theirs", b"x", 0o640, directory=sticky)
        [reason] = wait_for(lambda: list(self.refused(self.runs).values()), "it to be refused")
        self.assertIn("sticky bit", reason)
        self.assertIn("chmod -t", reason)
        self.wait_rescan(self.runs)
        self.assertEqual(self.runs.log().count("refused "), 1)
        self.assertNotIn("cannot accept", self.runs.log())

    def test_file_of_another_owner_being_written_when_it_is_found_is_taken_whole(self):
        for mode in (0o660, 0o640):
            home = self.home("archive", user=RUNNER)
            home.start().stop()
            first, second = os.urandom(5000), os.urandom(5000)
            path = home.incoming / "theirs"
            with open(path, "wb") as file:
                os.fchown(file.fileno(), SENDER, RUNNER[1])
                os.fchmod(file.fileno(), mode)
                file.write(first)
                file.flush()
                home.start()  # it is found by the listing: there is no event yet
                ours = home.root / "other"  # the loader's own: it is taken at once
                ours.write_bytes(b"other")
                os.chown(ours, *RUNNER)
                ours.rename(home.incoming / "other")
                written = [first]

                def write_until_the_other_came():  # never quiet for as long as makes it complete
                    written.append(b"more")
                    file.write(b"more")
                    file.flush()
                    return home.files()
                wait_for(write_until_the_other_came, "the other file in the archive")
                names = [name for name, _ in self.archived(home)]
                file.write(second)
            self.assertEqual(names, [b"other"], f"mode {mode:o}: it was taken while it was being written")
            wait_for(lambda: len(home.files()) == 2, "both files in the archive")
            home.wait_idle()
            self.assertIn((b"theirs", b"".join(written) + second), self.archived(home))
            for found in home.files():
                self.assertEqual(int(context_of(found)[0]["size"]), os.path.getsize(found))


@need_root
class PausingSenders(Arrivals):
    """A sender of another user that writes under the final name, and pauses while a listing finds its file."""
    LISTED = METRICS % 'rescan_interval = 1\n%s'

    def make(self, more=""):
        home = self.home("archive", settings=self.LISTED % more, user=RUNNER)
        home.start().stop()
        return home

    def open_theirs(self, home, mode=0o640):
        """A file with its first half, open for writing, found by the listing of the start."""
        file = open(home.incoming / "theirs", "wb", buffering=0)
        self.addCleanup(file.close)
        os.fchown(file.fileno(), SENDER, RUNNER[1])
        os.fchmod(file.fileno(), mode)
        file.write(b"first half, ")
        return file

    def pass_one_of_theirs(self, home, name):
        """Another file of theirs, renamed into place, comes through: that takes the short quiet time, and more."""
        hidden = home.incoming / ".sent.tmp"
        hidden.write_bytes(b"passes")
        os.chown(hidden, SENDER, RUNNER[1])
        hidden.chmod(0o640)
        os.rename(hidden, home.incoming / name)
        wait_for(lambda: name.encode() in [n for n, _ in self.archived(home)], f"{name} in the archive")

    def test_sender_that_pauses_over_a_start_a_rescan_and_a_reload_is_taken_whole_and_once(self):
        home = self.make()
        file = self.open_theirs(home)
        home.start()
        self.pass_one_of_theirs(home, "one")
        home.run(MFDATA, "reload")
        self.pass_one_of_theirs(home, "two")
        self.assertEqual([name for name, _ in self.archived(home)], [b"one", b"two"], "it was taken while its sender paused")
        file.write(b"second half")
        file.close()
        found = self.wait_archived(home, 3)
        self.assertIn((b"theirs", b"first half, second half"), found)

    def test_loader_with_cap_lease_holds_a_file_for_as_long_as_it_is_open(self):
        home = self.make('foreign_quiet = "100ms"')
        file = self.open_theirs(home)
        capable = ("setpriv", f"--reuid={RUNNER[0]}", f"--regid={RUNNER[1]}", "--clear-groups", "--inh-caps=+lease", "--ambient-caps=+lease")
        home.credentials = {}
        home.start(prefix=capable)
        for pid in [home.loader.pid, *home.worker_pids()]:
            with open(f"/proc/{pid}/status") as status:
                effective = int(re.search(r"CapEff:\s*(\w+)", status.read())[1], 16)
            self.assertEqual((effective >> 28) & 1, 1, "CAP_LEASE does not reach every process")
        for name in ("one", "two", "three"):
            self.pass_one_of_theirs(home, name)
        self.assertNotIn(b"theirs", [name for name, _ in self.archived(home)])
        file.write(b"second half")
        file.close()
        self.assertIn((b"theirs", b"first half, second half"), self.wait_archived(home, 4))

    def test_file_that_a_process_of_the_loaders_user_has_open_is_held_until_it_is_closed(self):
        home = self.make('foreign_quiet = "100ms"')
        self.open_theirs(home, 0o660).close()
        script = 'exec 3>>"$0"; echo; cat >/dev/null; printf "second half" >&3'
        writer = subprocess.Popen(["sh", "-c", script, str(home.incoming / "theirs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  user=RUNNER[0], group=RUNNER[1], extra_groups=[])
        self.addCleanup(writer.kill)
        writer.stdout.readline()
        home.start()
        for name in ("one", "two", "three"):
            self.pass_one_of_theirs(home, name)
        self.assertNotIn(b"theirs", [name for name, _ in self.archived(home)])
        writer.communicate()
        self.assertIn((b"theirs", b"first half, second half"), self.wait_archived(home, 4))

    def test_listed_file_that_nobody_can_ask_about_is_taken_when_it_has_been_quiet_for_foreign_quiet(self):
        home = self.make('foreign_quiet = "1s"')
        self.open_theirs(home)
        home.start()
        self.assertEqual(self.wait_archived(home, 1), [(b"theirs", b"first half, ")])

    def begin(self, home, name, data=b"first half, "):
        """A file of theirs that comes while the loader runs; still open."""
        file = open(home.incoming / name, "wb", buffering=0)
        self.addCleanup(file.close)
        os.fchown(file.fileno(), SENDER, RUNNER[1])
        os.fchmod(file.fileno(), 0o640)
        file.write(data)
        return file

    def raise_other_events(self, home, times=1):
        hidden = home.incoming / ".other.tmp"
        for _ in range(times):
            open(hidden, "wb").close()
        hidden.unlink()

    def open_again(self, home, name, mode="ab"):
        self.raise_other_events(home)  # two opens that follow each other at once may come as one event
        file = open(home.incoming / name, mode, buffering=0)
        self.addCleanup(file.close)
        return file

    def assert_waits(self, home, *names):
        """What is told to be complete now is accepted, after all that is before it in the alphabet and as complete."""
        self.pass_one_of_theirs(home, "zz")
        for name in names:
            self.assertTrue((home.incoming / name).exists(), f"{name} was taken while its sender had it open")

    def test_sender_that_opens_a_file_again_or_closes_one_of_two_descriptors_is_taken_whole_and_once(self):
        home = self.home("archive", settings=METRICS % "", user=RUNNER).start()
        self.begin(home, "resumed").close()
        resumed = self.open_again(home, "resumed")
        first = self.begin(home, "shared")
        shared = self.open_again(home, "shared")
        first.close()
        self.assert_waits(home, "resumed", "shared")
        for file in (resumed, shared):
            file.write(b"second half")
            file.close()
        whole = b"first half, second half"
        self.assertEqual(self.wait_archived(home, 3, 50), [(b"resumed", whole), (b"shared", whole), (b"zz", b"passes")])

    def test_reader_that_comes_and_goes_does_not_hold_up_a_file(self):
        home = self.home("archive", settings=METRICS % 'foreign_quiet = "1h"', user=RUNNER).start()
        self.begin(home, "read").close()
        readers = [self.open_again(home, "read", "rb") for _ in range(3)]
        self.assert_waits(home, "read")
        for reader in readers:
            reader.close()
            self.raise_other_events(home)
        self.assertEqual(self.wait_archived(home, 2), [(b"read", b"first half, "), (b"zz", b"passes")])

    def test_reader_that_never_closes_a_file_holds_it_up_only_for_foreign_quiet(self):
        home = self.home("archive", settings=METRICS % 'foreign_quiet = "7s"', user=RUNNER).start()
        self.begin(home, "read").close()
        self.open_again(home, "read", "rb")
        self.assertEqual(self.wait_archived(home, 1), [(b"read", b"first half, ")])

    def test_sender_that_opens_a_file_again_while_events_are_lost_is_taken_whole_and_once(self):
        home = self.home("archive", settings=METRICS % "", user=RUNNER).start()
        self.begin(home, "resumed").close()
        with open("/proc/sys/fs/inotify/max_queued_events") as limit:
            opens = int(limit.read()) // 2 + 100
        home.loader.send_signal(signal.SIGSTOP)
        self.raise_other_events(home, opens)
        resumed = open(home.incoming / "resumed", "ab", buffering=0)
        self.addCleanup(resumed.close)
        home.loader.send_signal(signal.SIGCONT)
        wait_for(lambda: home.metric("mfdata_inotify_overflows_total") == 1, "the overflow to be noticed")
        self.assert_waits(home, "resumed")
        resumed.write(b"second half")
        resumed.close()
        self.assertEqual(self.wait_archived(home, 2, 50), [(b"resumed", b"first half, second half"), (b"zz", b"passes")])

    def test_file_of_another_user_that_a_link_makes_is_taken_long_before_the_next_listing(self):
        home = self.home("archive", settings=METRICS % 'foreign_quiet = "1s"', user=RUNNER).start()
        os.close(write_unnamed(home.incoming, "named", b"unnamed", (SENDER, RUNNER[1])))
        self.begin(home, ".made", b"linked").close()
        os.link(home.incoming / ".made", home.incoming / "linked")
        os.unlink(home.incoming / ".made")
        self.assertEqual(self.wait_archived(home, 2, 60), [(b"linked", b"linked"), (b"named", b"unnamed")])

    def test_check_warns_without_failing_when_the_loader_may_not_ask_about_files_of_others(self):
        home = self.make()
        done = home.run(MFDATA, "check")
        self.assertIn("AmbientCapabilities=CAP_LEASE", done.stderr)
        self.assertIn("1 warning", done.stdout)
        of_root = self.home("archive")
        self.assertNotIn("CAP_LEASE", of_root.run(MFDATA, "check").stderr)


@need_root
class OtherMount(Arrivals):
    def setUp(self):
        self.mounted = mount_tmpfs(self, "size=64m")
        os.mkdir(self.mounted / "drop")
        watch = f'[step.main]\nwatched_directories = ["{self.mounted}/drop"]\n'
        self.runs = self.home("archive", settings=METRICS % "rescan_interval = 1", overrides={"archive": watch}).start()

    def test_files_of_a_directory_on_another_mount_are_accepted_each_once(self):
        expected = []
        for number in range(60):
            self.runs.drop(f"f{number}", b"%d" % number, directory=self.mounted / "drop")
            expected.append((b"f%d" % number, b"%d" % number))
        self.assertEqual(self.wait_archived(self.runs, 60), sorted(expected))
        self.assertEqual(os.listdir(self.mounted / "drop"), [])
        self.assertEqual(self.runs.left_over(), [])
        for path in self.runs.files():
            self.assertEqual(context_of(path)[1]["first.core.original_dirname"], b"drop")

    def test_file_written_slowly_on_another_mount_is_taken_whole(self):
        written = b""
        with open(self.mounted / "drop/slow", "wb") as file:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                file.write(b"0123456789")
                file.flush()
                written += b"0123456789"
                self.assertEqual(self.runs.files(), [], "it was taken while it was being written")
                time.sleep(0.1)  # the slow writer
        self.assertEqual(self.wait_archived(self.runs, 1), [(b"slow", written)])

    def test_accept_whose_process_is_killed_is_taken_up_again(self):
        """The source has its hidden name by then, which no listing shows."""
        self.runs.stop()
        self.runs.environment["MFDATA_SLOW_CALLS_US"] = "300000"
        self.runs.environment["LD_PRELOAD"] = str(BUILD / "tests/campaigns/plugins/slow_calls/slow_calls.so")
        self.runs.start()
        self.runs.drop("theirs", b"x", directory=self.mounted / "drop")
        hidden = wait_for(lambda: list((self.mounted / "drop").glob(".mfdata-accept.*")), "the accept to be under way")
        chores = [pid for pid in children_of(self.runs.loader.pid) if pid not in self.runs.worker_pids()]
        for pid in chores:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual((len(hidden), len(chores)), (1, 1))
        self.assertEqual(self.wait_archived(self.runs, 1), [(b"theirs", b"x")])
        self.assertEqual(os.listdir(self.mounted / "drop"), [])
        self.assertEqual(self.runs.left_over(), [])

    def test_links_and_fifos_on_another_mount_are_refused_as_everywhere(self):
        os.symlink("/etc/passwd", self.mounted / "drop/link")
        self.assert_refused(self.runs, "link", self.mounted / "drop/link")

    def test_bind_mount_of_the_same_filesystem_is_accepted(self):
        outside = self.runs.root / "outside"
        bound = self.mounted / "bound"
        outside.mkdir()
        bound.mkdir()
        subprocess.run(["mount", "--bind", outside, bound], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", bound])
        self.runs.override("archive", f'[step.main]\nwatched_directories = ["{bound}"]\n')
        self.runs.stop()
        self.runs.start()
        for number in range(5):
            self.runs.drop(f"f{number}", b"x", directory=bound)
        self.assertEqual(len(self.wait_archived(self.runs, 5)), 5)


class SwapRace(Arrivals):
    """A sender that replaces files under names in incoming while the loader takes them."""

    def test_every_content_swapped_in_comes_out_once_and_no_link_is_followed(self):
        home = self.home("archive").start()
        outside = home.root / "outside"
        outside.write_bytes(b"secret")
        outside.chmod(0o640)
        names = [home.incoming / f"n{number}" for number in range(4)]
        hidden, expected, choice = home.incoming / ".new", [], random.Random(1)
        for number in range(4000):
            if number % 7 == 3:
                os.symlink(outside, hidden)
            else:
                hidden.write_bytes(b"content %d" % number)
                expected.append(b"content %d" % number)
            name = choice.choice(names)
            while True:
                if renameat2(hidden, name, EXCHANGE) == 0:  # what stood there is hidden now, and arrives again
                    break
                if renameat2(hidden, name, NOREPLACE) == 0:
                    break
            if os.path.islink(hidden):
                os.unlink(hidden)
            elif hidden.exists():
                self.assertEqual(renameat2(hidden, home.incoming / f"again{number}", NOREPLACE), 0)
        wait_for(lambda: len(home.files()) >= len(expected), "every content in the archive", 240)
        contents = collections.Counter(content(path) for path in home.files())
        self.assertEqual(contents, collections.Counter(expected))
        self.assertEqual((content(outside), stat.S_IMODE(outside.stat().st_mode), os.listxattr(outside)), (b"secret", 0o640, []))

    def test_every_content_that_no_rename_replaced_comes_out_once(self):
        home = self.home("archive").start()
        names = [home.incoming / f"n{number}" for number in range(4)]
        last, sent, replaced, choice = {}, [], set(), random.Random(2)
        for number in range(6000):
            data, name = b"content %d" % number, choice.choice(names)
            (home.incoming / ".new").write_bytes(data)
            sent.append(data)
            if renameat2(home.incoming / ".new", name, NOREPLACE) == errno.EEXIST:
                replaced.add(last.get(name))  # perhaps: it may have been taken in between
                os.rename(home.incoming / ".new", name)
            last[name] = data
        wait_for(lambda: not os.listdir(home.incoming), "all arrivals to be taken", 240)
        home.wait_idle()
        contents = collections.Counter(content(path) for path in home.files())
        self.assertEqual([data for data, times in contents.items() if times > 1], [], "twice")
        self.assertEqual(set(sent) - replaced - set(contents), set(), "lost")
        self.assertEqual(set(contents) - set(sent), set())
        self.assertGreater(len(replaced), 0, "the race was run at all")


if __name__ == "__main__":
    main()
