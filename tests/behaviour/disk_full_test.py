"""A full disk: nothing is lost, the log says so, and the flow goes on by itself once there is room. Root only: each test
mounts a small tmpfs and fills it."""
import collections
import errno
import json
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, context_of, main, mount_tmpfs, need_root, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"
FULL = re.compile("no space left|no room|is full", re.IGNORECASE)
NO_RESERVE = 'min_free_space = "0"\nmin_free_inodes = "0"\n'


class DiskFull(Case):
    def spool_on(self, mounted, *plugins, data="", custom="", step="", archive="", entry="mischief/main"):
        """A home whose data directory stands on a small filesystem; the rest of it elsewhere."""
        settings = f'[data]\ndir = "{mounted}/in"\nentry_step = "{entry}"\n{data}\n[loader]\nmax_queued = 1000\n'
        overrides = {"archive": archive}
        if entry.startswith("mischief"):
            overrides["mischief"] = f'[step.main]\n{step}\n[custom]\ndest_dir = "archive/main"\n{custom}\n'
        home = self.home(*plugins, settings=settings, overrides=overrides)
        home.data = mounted / "in"
        home.incoming = home.data / "incoming"
        return home

    def fill(self, directory, leave=0):
        """Takes the last block of a filesystem, but for `leave` bytes; the name of what must go to make room."""
        ballast = directory / "ballast"
        with open(ballast, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
            if leave:
                file.truncate(os.path.getsize(ballast) - leave)
        return ballast

    def fill_inodes(self, directory):
        """Takes the last inode of a filesystem; the names of what must go to make room."""
        names = []
        while True:
            name = directory / f"inode{len(names)}"
            try:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                return names
            names.append(name)

    def test_file_of_another_mount_waits_for_room_and_goes_on_by_itself(self):
        mounted, other = mount_tmpfs(self, "size=20m"), mount_tmpfs(self, "size=20m")
        (other / "drop").mkdir()
        home = self.spool_on(mounted, "archive", data=NO_RESERVE + "rescan_interval = 1\n", entry="archive/main",
                             archive=f'[step.main]\nwatched_directories = ["{other}/drop"]\n')
        home.start()
        ballast = self.fill(mounted, leave=3_000_000)
        data = os.urandom(6_000_000)
        home.drop("large", data, directory=other / "drop")
        wait_for(lambda: "cannot accept" in home.log() and FULL.search(home.log()), "the full disk to be met")
        # What could not be copied is nowhere half: others find the room that there was.
        wait_for(lambda: os.statvfs(mounted).f_bavail * os.statvfs(mounted).f_frsize > 2_500_000, "the partial copy to be removed")
        ballast.unlink()
        wait_for(lambda: list(map(content, home.files())) == [data], "the file, without anybody's help")
        home.wait_idle()
        self.assertEqual(home.left_over() + list((other / "drop").iterdir()), [])

    def send(self, home, name, data):
        """Like a sender that tries again until there is room: true once the file is there as a whole."""
        try:
            home.drop(name, data)
            return True
        except OSError as error:
            self.assertEqual(error.errno, errno.ENOSPC)
            hidden = [entry for entry in os.listdir(home.incoming) if entry.startswith(".")]
            for entry in hidden:
                os.unlink(home.incoming / entry)
            return False

    def wait_said(self, home):
        wait_for(lambda: FULL.search(home.log()), "the log to say that the disk is full")

    def assert_all(self, home, paths, expected):
        self.assertEqual(collections.Counter(content(path) for path in paths), collections.Counter(expected))
        self.assertIsNone(home.loader.poll())
        self.assertEqual(home.left_over(), [])


@need_root
class SpoolFull(DiskFull):
    def flow(self, mode, options, fill, unfill, size=20_000):
        """Files flow, the disk fills up, more wait, there is room again: each content comes out exactly once."""
        mounted = mount_tmpfs(self, options)
        home = self.spool_on(mounted, MISCHIEF, "archive", data=NO_RESERVE, custom=f'mode = "{mode}"').start()
        pid = home.status()["pid"]
        contents = [b"%d " % number + os.urandom(size) for number in range(60)]
        for number in range(20):
            wait_for(lambda: self.send(home, f"f{number}", contents[number]), "room for a new file")
        wait_for(lambda: len(home.files()) == 20, "the first files in the archive")
        home.stop()
        for number in range(20, 40):
            wait_for(lambda: self.send(home, f"f{number}", contents[number]), "room for a new file")
        ballast = fill(mounted)
        home.start()
        self.wait_said(home)
        for _ in range(2):  # also when everything is killed, or stopped, while the disk is full
            home.kill()
            home.start()
        self.assertEqual(home.trash("mischief/main"), [])
        unfill(ballast)
        for number in range(40, 60):
            wait_for(lambda: self.send(home, f"f{number}", contents[number]), "room for a new file")
        wait_for(lambda: len(home.files()) >= 60, "all files in the archive", 240)
        home.wait_idle()
        self.assert_all(home, home.files(), contents)
        self.assertEqual(home.trash("mischief/main") + home.trash("archive/main"), [])
        return home, pid

    def unfill_blocks(self, ballast):
        ballast.unlink()

    def unfill_inodes(self, names):
        for name in names:
            name.unlink()

    def test_copies_wait_for_room_on_a_full_spool(self):
        self.flow("copy", "size=3m", self.fill, self.unfill_blocks)

    def test_copies_of_a_commit_that_found_no_room_do_not_stay(self):
        mounted = mount_tmpfs(self, "size=16m")
        targets = ["archive/main", "a2/main", "a3/main"]
        home = self.spool_on(mounted, "copy", "archive", data=NO_RESERVE, entry="copy/main")
        for name in ("a2", "a3"):
            home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/archive", "--new-name", name)
        home.override("copy", f"[custom]\ndest_dirs = {json.dumps(targets)}\n")
        home.start()
        ballast = mounted / "ballast"
        ballast.write_bytes(bytes(5_000_000))
        home.drop("f", bytes(4_000_000))  # itself and one copy fit
        self.wait_said(home)
        wait_for(lambda: self.bytes_in(home.data) == 4_000_000, "the copies to be gone")
        ballast.unlink()
        wait_for(lambda: len(home.files()) == 3, "the three deliveries")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    @staticmethod
    def bytes_in(directory):
        """Of all its files; None when some vanish meanwhile."""
        try:
            return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        except FileNotFoundError:
            return None

    def test_input_that_a_step_removes_on_a_full_disk_is_kept_until_there_is_room(self):
        mounted = mount_tmpfs(self, "size=8m")
        home = self.spool_on(mounted, MISCHIEF, "archive", data=NO_RESERVE)
        home.start()
        home.run(MFDATA, "pause", "mischief/main")
        data = b"unlink_input\n" + os.urandom(1_000_000)
        home.drop("a", data)
        ballast = self.fill(mounted)
        home.run(MFDATA, "resume", "mischief/main")
        wait_for(lambda: "cannot be made anew yet" in home.log(), "the loader to say so")
        ballast.unlink()
        [note] = home.wait_trash("mischief/main")
        self.assertEqual(content(note["path"]), data)
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_loader_starts_in_a_home_without_an_inode(self):
        mounted = mount_tmpfs(self, "size=8m,nr_inodes=400")
        home = self.home("archive", "move", settings=f'[data]\nentry_step = "move/main"\n{NO_RESERVE}', base=mounted,
                         overrides={"move": f'[custom]\ndest_dir = "{mounted}"\n'})
        home.start().stop()
        home.drop("a", b"x")
        names = self.fill_inodes(mounted)
        home.start(wait=False)
        wait_for(lambda: "no command reaches this loader until there is room" in home.log(), "the loader to say so")
        self.unfill_inodes(names)
        wait_for(lambda: home.status().get("pid"), "the loader to answer once there is room")
        wait_for(lambda: (mounted / "a").exists(), "the file")

    def test_copies_wait_for_inodes_on_a_full_spool(self):
        self.flow("copy", "size=8m,nr_inodes=300", self.fill_inodes, self.unfill_inodes)

    def test_files_that_only_pass_through_wait_for_inodes(self):
        home = self.passing_through("nr_inodes=300,size=8m", self.fill_inodes, self.unfill_inodes)
        self.assertEqual(home.trash("mischief/main"), [])

    def test_files_that_only_pass_through_a_full_spool_flow_or_wait(self):
        self.passing_through("size=3m", self.fill, self.unfill_blocks)

    def passing_through(self, options, fill, unfill):
        mounted = mount_tmpfs(self, options)
        home = self.spool_on(mounted, MISCHIEF, "archive", data=NO_RESERVE, custom='mode = "pass"')
        home.start().stop()
        contents = [b"%d " % number + bytes(1000) for number in range(50)]
        for number, data in enumerate(contents):
            home.drop(f"f{number}", data)
        ballast = fill(mounted)
        home.start()
        pid = home.status()["pid"]
        wait_for(lambda: FULL.search(home.log()) or len(home.files()) == 50, "the files, or a word that the disk is full")
        unfill(ballast)
        wait_for(lambda: len(home.files()) >= 50, "all files in the archive")
        home.wait_idle()
        self.assert_all(home, home.files(), contents)
        self.assertEqual(home.status()["pid"], pid)
        return home

    def test_trash_move_on_a_full_disk_leaves_the_file_and_is_done_when_there_is_room(self):
        mounted = mount_tmpfs(self, "size=3m")
        home = self.spool_on(mounted, MISCHIEF, "archive", data=NO_RESERVE, custom='mode = "fail"')
        home.start().stop()
        contents = [b"%d " % number + bytes(5000) for number in range(20)]
        for number, data in enumerate(contents):
            home.drop(f"f{number}", data)
        ballast = self.fill(mounted)
        home.start()
        self.wait_said(home)
        ballast.unlink()
        notes = home.wait_trash("mischief/main", 20)
        home.wait_idle()
        self.assert_all(home, [note["path"] for note in notes], contents)
        for note in notes:
            self.assertEqual(note["error"], "failed as asked")
            self.assertTrue((home.data / "trash/mischief.main" / (note["uid"] + ".tags")).stat().st_size > 0)

    def test_archive_on_the_same_full_filesystem_waits_for_room_for_its_tags_files(self):
        mounted = mount_tmpfs(self, "size=3m")
        home = self.spool_on(mounted, "archive", data=NO_RESERVE, entry="archive/main",
                             archive=f'[custom]\ndest_dir = "{mounted}/archive"\ndest_basename = "{{ORIGINAL_UID}}"\n')
        (mounted / "archive").mkdir()
        home.start().stop()
        contents = [b"%d " % number + bytes(5000) for number in range(20)]
        for number, data in enumerate(contents):
            home.drop(f"f{number}", data)
        ballast = self.fill(mounted)
        home.start()
        self.wait_said(home)
        ballast.unlink()
        wait_for(lambda: len(home.files(mounted / "archive")) == 20, "all files in the archive")
        home.wait_idle()
        self.assert_all(home, home.files(mounted / "archive"), contents)
        for path in home.files(mounted / "archive"):
            self.assertGreater(os.path.getsize(path + b".tags"), 0)

    def test_retry_that_a_plugin_asks_for_works_on_a_full_disk(self):
        mounted = mount_tmpfs(self, "size=3m")
        home = self.spool_on(mounted, MISCHIEF, "archive", data=NO_RESERVE, custom='mode = "rewrite"',
                             step='retry_total = 1000\nretry_min_wait = "200ms"')
        home.start().stop()
        contents = [b"%d " % number + bytes(20000) for number in range(10)]
        for number, data in enumerate(contents):
            home.drop(f"f{number}", data)
        ballast = self.fill(mounted)
        home.start()
        wait_for(lambda: "no room for the new file" in home.step_log("mischief/main"), "the plugin to find no room")
        ballast.unlink()
        wait_for(lambda: len(home.files()) >= 10, "all files in the archive")
        home.wait_idle()
        self.assert_all(home, home.files(), contents)
        self.assertEqual(home.trash("mischief/main"), [])

    def test_home_that_is_full_as_a_whole_loses_log_lines_and_nothing_else(self):
        mounted = mount_tmpfs(self, "size=32m")
        settings = '[data]\nentry_step = "mischief/main"\n' + NO_RESERVE
        home = self.home(MISCHIEF, "archive", settings=settings, base=mounted,
                         overrides={"mischief": '[custom]\ndest_dir = "archive/main"\nmode = "copy"\n'}).start()
        pid = home.status()["pid"]
        home.drop("first", b"first")
        wait_for(home.files, "the first file in the archive")
        home.loader.send_signal(signal.SIGSTOP)  # all files are there before it looks again
        for number in range(20):
            home.drop(f"f{number}", b"%d " % number + bytes(5000))
        ballast = self.fill(mounted)
        home.loader.send_signal(signal.SIGCONT)
        wait_for(lambda: home.step_status("mischief/main").get("state", "running") != "running", "status to show that the step waits")
        ballast.unlink()
        wait_for(lambda: len(home.files()) >= 21, "all files in the archive")
        home.wait_idle()
        self.assert_all(home, home.files(), [b"first"] + [b"%d " % number + bytes(5000) for number in range(20)])
        self.assertEqual(home.status()["pid"], pid)


@need_root
class Reserve(DiskFull):
    def test_below_min_free_space_nothing_new_is_accepted_while_the_queues_drain(self):
        self.reserve("size=3m", lambda mounted: [self.fill(mounted, leave=60_000)])

    def test_below_min_free_inodes_nothing_new_is_accepted_while_the_queues_drain(self):
        def fill(mounted):
            names = self.fill_inodes(mounted)
            for name in names[:8]:
                name.unlink()
            return names[8:]
        self.reserve("size=8m,nr_inodes=400", fill)

    def reserve(self, options, fill):
        mounted = mount_tmpfs(self, options)
        home = self.spool_on(mounted, MISCHIEF, "archive", step='retry_total = 100000\nretry_min_wait = "100ms"')
        (home.root / "broken").touch()
        home.start()
        self.assertEqual(home.status()["entrances"], "open")
        home.drop("inside", b"retry_while_broken\n")
        wait_for(lambda: "still broken" in home.step_log("mischief/main"), "the file to be inside")
        ballast = fill(mounted)
        wait_for(lambda: home.status()["entrances"].startswith("closed"), "the entrances to close")
        self.assertRegex(home.log(), "min_free_space|min_free_inodes")
        home.drop("outside", b"pass\n")
        (home.root / "broken").unlink()
        wait_for(home.files, "what is inside to drain")
        self.assertEqual([content(path) for path in home.files()], [b"retry_while_broken\n"])
        self.assertTrue((home.incoming / "outside").exists())
        for name in ballast:
            name.unlink()
        wait_for(lambda: len(home.files()) == 2, "the file outside to be taken once there is room")
        self.assertEqual(home.status()["entrances"], "open")


@need_root
class DestinationFull(DiskFull):
    def deliver(self, options, size, count, disturb):
        """Files for a filesystem too small for them all; it is emptied again and again."""
        mounted = mount_tmpfs(self, options)
        out = mounted / "out"
        out.mkdir()
        home = self.home("archive", "move", settings='[data]\nentry_step = "archive/main"\n', overrides={
            "archive": f'[custom]\ndest_dir = "{out}"\ndest_basename = "{{ORIGINAL_BASENAME}}"\n',
            "move": '[step.main]\nwatched_directories = ["other"]\n[custom]\ndest_dir = "{home}/var/out"\n'})
        (home.root / "var/out").mkdir()
        home.start()
        contents = {f"f{number}": b"%d " % number + os.urandom(size) for number in range(count)}
        for name, data in contents.items():
            home.drop(name, data)
        self.wait_said(home)
        home.drop("other", b"other", directory=home.data / "other")
        wait_for(lambda: os.path.exists(home.root / "var/out/other"), "another step to go on meanwhile")
        disturb(home)
        self.assertEqual(home.trash("archive/main"), [])
        got, uids = {}, collections.Counter()

        def collect():
            for path in home.files(out):
                name = os.path.basename(path).decode()
                if name.startswith(".") or not os.path.exists(path + b".tags"):
                    continue  # not delivered yet: its companion comes with it
                self.assertNotIn(name, got, "delivered twice")
                got[name] = content(path)
                uids[context_of(path)[1]["first.core.original_uid"]] += 1
                os.unlink(path + b".tags")
                os.unlink(path)
            return len(got) >= count
        wait_for(collect, "all files to be delivered, as there is room again and again", 300)
        home.wait_idle()
        collect()
        self.assertEqual(got, contents)
        self.assertEqual(set(uids.values()), {1})
        self.assertEqual([name for name in os.listdir(out)], [], "nothing half stays behind")
        self.assertEqual(home.left_over(), [])
        self.assertEqual(home.trash("archive/main"), [])

    def test_deliveries_to_a_full_other_filesystem_wait_and_go_on(self):
        self.deliver("size=2m", 100_000, 60, lambda home: None)

    def test_deliveries_to_a_filesystem_without_inodes_wait_and_go_on(self):
        self.deliver("size=64m,nr_inodes=30", 1000, 60, lambda home: None)

    def test_deliveries_that_wait_survive_a_kill(self):
        def disturb(home):
            home.kill()
            home.start()
        self.deliver("size=2m", 100_000, 40, disturb)


if __name__ == "__main__":
    main()
