"""Files that no room is found for, or whose destination the system refuses: they wait behind the others, untouched, and
operators see which ones and why. Copies are whole whatever the kernel says on the way."""
import gzip
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, elsewhere, main, mount_tmpfs, need_root, wait_for

FAILING = """[custom]
command = ["sh", "-c", "! grep -q bad {PATH} && cp {PATH} sound && echo FILEPATH:sound"]
dest_dir = "archive/main"
[step.main]
failure_policy = "move"
failure_policy_move_dest_dir = "%s"
"""
GATHER = BUILD / "tests/plugins/gather"
NO_RESERVE = 'min_free_space = "0"\nmin_free_inodes = "0"\n'
OTHER_USER = (65534, 65534)

# What copy_file_range(2) answers in every process: "end of file" at once, as some filesystems and kernels do.
SHIM = r"""
#define _GNU_SOURCE
#include <sys/types.h>
ssize_t copy_file_range(int a, off64_t *b, int c, off64_t *d, size_t n, unsigned f) {
  (void)a; (void)b; (void)c; (void)d; (void)n; (void)f;
  return 0;
}
"""


def held_back(home, step):
    return home.step_status(step).get("held_back", {"count": 0, "files": []})


class Destination(Case):
    def deliver(self, plugin, prepare, message, user=None):
        """20 files for a directory that refuses them; all arrive, untouched, once it does not."""
        place = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-destination-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", place], check=True)
        place.chmod(0o755)
        target = place / "mount" / "out"
        mend = prepare(target)
        home = self.home(plugin, settings=f'[data]\nentry_step = "{plugin}/main"\n', user=user,
                         overrides={plugin: f'[custom]\ndest_dir = "{target}"\ndest_basename = "%Y/{{ORIGINAL_BASENAME}}"\n'})
        contents = {f"f{number}": b"%d" % number for number in range(20)}
        home.start()
        for name, data in contents.items():
            home.drop(name, data)
        files = wait_for(lambda: held_back(home, f"{plugin}/main")["files"], "status to show what waits")
        self.assertIn(message, files[0]["reason"])
        self.assertIn(str(target), files[0]["reason"])
        wait_for(lambda: message in home.log(), "the log to say so")
        self.assertIn(message, home.run(MFDATA, "status").stdout)
        self.assertEqual(home.trash(f"{plugin}/main"), [])
        mend()

        def delivered():
            return {path.name: content(path) for path in target.rglob("f*") if path.is_file() and path.suffix != ".tags"}
        wait_for(lambda: delivered() == contents, "all files, each once", 240)
        home.wait_idle()
        self.assertEqual(home.trash(f"{plugin}/main"), [])
        self.assertEqual(home.left_over(), [])
        self.assertEqual(held_back(home, f"{plugin}/main")["count"], 0)

    @staticmethod
    def missing(target):
        return lambda: target.mkdir(parents=True)

    @staticmethod
    def closed(target):
        target.mkdir(parents=True)
        target.chmod(0o755)
        return lambda: target.chmod(0o777)

    @staticmethod
    def taken(target):
        target.parent.mkdir(parents=True)
        target.write_bytes(b"")

        def mend():
            target.unlink()
            target.mkdir()
        return mend

    def test_missing_target_directory_of_move_keeps_its_files_waiting(self):
        self.deliver("move", self.missing, "No such file or directory")

    def test_missing_target_directory_of_archive_keeps_its_files_waiting(self):
        self.deliver("archive", self.missing, "No such file or directory")

    @need_root
    def test_target_directory_that_may_not_be_written_to_keeps_its_files_waiting(self):
        self.deliver("move", self.closed, "Permission denied", user=OTHER_USER)

    def test_file_in_the_place_of_the_target_directory_keeps_its_files_waiting(self):
        self.deliver("archive", self.taken, "Not a directory")

    def test_name_that_cannot_be_is_the_failure_of_its_file_alone(self):
        out = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-out-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", out], check=True)
        home = self.home("move", settings='[data]\nentry_step = "move/main"\n',
                         overrides={"move": f'[custom]\ndest_dir = "{out}"\ndest_basename = "{"x" * 200}{{ORIGINAL_BASENAME}}"\n'})
        home.start()
        home.drop("y" * 100, b"too long")
        home.drop("z", b"fits")
        [note] = home.wait_trash("move/main")
        self.assertEqual(content(note["path"]), b"too long")
        wait_for(lambda: (out / ("x" * 200 + "z")).exists(), "the other file")

    def test_directories_that_are_made_get_the_mode_of_their_destination_or_the_one_asked_for(self):
        for options, expected in (("", 0o2775), ('make_dirs_mode = "0755"\n', 0o755)):
            out = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-out-"))
            self.addCleanup(subprocess.run, ["rm", "-rf", out], check=True)
            out.chmod(0o2775)
            home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n', overrides={
                "archive": f'[custom]\ndest_dir = "{out}"\ndest_basename = "a/b/{{ORIGINAL_BASENAME}}"\nforce_chmod = "0664"\n{options}'})
            home.start()
            home.drop("f", b"x")
            wait_for(lambda: (out / "a/b/f").exists() and (out / "a/b/f.tags").exists(), "the file and its tags")
            self.assertEqual([stat.S_IMODE(os.stat(out / name).st_mode) for name in ("a", "a/b")], [expected] * 2)
            self.assertEqual(stat.S_IMODE(os.stat(out / "a/b/f").st_mode), 0o664)
            self.assertEqual(stat.S_IMODE(os.stat(out / "a/b/f.tags").st_mode), 0o664)
            home.stop()


class FailedFiles(Case):
    """What becomes of a failed file that `failure_policy_move_dest_dir` does not take."""

    def place(self):
        place = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-failed-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", place], check=True)
        place.chmod(0o755)
        return place

    def failing_home(self, failed, user=None):
        """Its step fails each file with the word bad in it, and sends the others to the archive."""
        return self.home("fork", "archive", settings='[data]\nentry_step = "fork/main"\n', user=user, overrides={"fork": FAILING % failed}).start()

    def waits_then_moves(self, prepare, message, user=None):
        failed = self.place() / "mount/failed"
        mend = prepare(failed)
        home = self.failing_home(failed, user)
        home.drop("broken", b"bad")
        [file] = wait_for(lambda: held_back(home, "fork/main")["files"], "status to show the failed file")
        for words in ("failure_policy_move_dest_dir: ", str(failed), message):
            self.assertIn(words, file["reason"])
            wait_for(lambda: words in home.log(), "the log to say so")
            self.assertIn(words, home.run(MFDATA, "status").stdout)
        home.drop("sound", b"good")
        wait_for(lambda: [content(path) for path in home.files()] == [b"good"], "another file to pass it")
        self.assertEqual(home.trash("fork/main"), [])
        mend()
        wait_for((failed / "broken").exists, "the failed file where failed files go", 240)
        home.wait_idle()
        self.assertEqual(content(failed / "broken"), b"bad")
        self.assertEqual(sorted(os.listdir(failed)), ["broken", "broken.tags"])
        self.assertEqual((home.trash("fork/main"), home.left_over(), held_back(home, "fork/main")["count"]), ([], [], 0))

    def test_failed_file_waits_while_the_directory_of_failed_files_is_missing(self):
        self.waits_then_moves(Destination.missing, "No such file or directory")

    def test_failed_file_waits_while_a_file_stands_in_the_place_of_the_directory_of_failed_files(self):
        self.waits_then_moves(Destination.taken, "Not a directory")

    @need_root
    def test_failed_file_waits_while_the_directory_of_failed_files_may_not_be_written_to(self):
        self.waits_then_moves(Destination.closed, "Permission denied", user=OTHER_USER)

    @need_root
    def test_failed_file_waits_while_the_filesystem_of_failed_files_is_full(self):
        other = mount_tmpfs(self, "size=1m")
        home = self.failing_home(other)
        home.drop("large", b"bad" + os.urandom(2_000_000))
        [file] = wait_for(lambda: held_back(home, "fork/main")["files"], "status to show the failed file")
        for words in ("failure_policy_move_dest_dir: ", str(other), '"large" has 2000003 bytes'):
            self.assertIn(words, file["reason"])
        self.assertEqual(home.trash("fork/main"), [])
        subprocess.run(["mount", "-o", "remount,size=8m", other], check=True)
        wait_for((other / "large").exists, "the failed file once there is room", 240)
        home.wait_idle()
        self.assertEqual((home.trash("fork/main"), home.left_over()), ([], []))

    def test_failed_file_whose_name_is_too_long_for_the_directory_of_failed_files_goes_to_trash(self):
        home = self.home("fork", "archive", settings='[data]\nentry_step = "fork/main"\n')
        failed = home.root / "failed"
        while len(str(failed)) < 3900:  # with the name, more than the kernel takes of a path
            failed /= "d" * min(200, 3999 - len(str(failed)))
        failed.mkdir(parents=True)
        home.override("fork", FAILING % failed)
        home.start()
        home.drop("y" * 200, b"bad 1")
        home.drop("z", b"bad 2")
        [note] = home.wait_trash("fork/main")
        self.assertEqual((content(note["path"]), note["reason"]), (b"bad 1", "no target"))
        self.assertIn("File name too long", note["error"])
        home.wait_log("fork/main", "failure_policy_move_dest_dir: ")
        wait_for((failed / "z").exists, "the other failed file where failed files go")

    def test_failed_file_of_a_batch_waits_alone_while_the_directory_of_failed_files_is_missing(self):
        failed = self.place() / "failed"
        step = f'[step.main]\nmax_wait = 500\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "{failed}"\n'
        home = self.home(GATHER, "archive", settings='[data]\nentry_step = "gather/main"\n', overrides={"gather": f'{step}[custom]\neach = true\n'}).start()
        for name in ("ok1", "fail", "ok2"):
            home.drop(name, name.encode())
        [file] = wait_for(lambda: held_back(home, "gather/main")["files"], "status to show the failed file")
        for words in ("failure_policy_move_dest_dir: ", str(failed), "No such file or directory"):
            self.assertIn(words, file["reason"])
        wait_for(lambda: sorted(map(content, home.files())) == [b"ok1", b"ok2"], "the good files of the batch")
        self.assertEqual(home.trash("gather/main"), [])
        failed.mkdir()
        for name in ("ok3", "ok4"):  # they fill its next batch
            home.drop(name, name.encode())
        wait_for((failed / "fail").exists, "the failed file where failed files go", 240)
        home.wait_idle()
        self.assertEqual((content(failed / "fail"), home.trash("gather/main"), home.left_over()), (b"fail", [], []))


@need_root
class Unclaimable(Case):
    def queued_of_archive(self, names, **options):
        """A home whose archive has these files in its own queue, and none of them in hand."""
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n' + options.pop("data", ""),
                         overrides={"archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\n'}, **options).start()
        home.run(MFDATA, "pause", "archive/main")
        for name in names:
            file = home.root / name
            file.write_text(name)
            home.run(MFDATA, "inject", "--step", "archive/main", file)
        queue = home.data / "step.archive.main"
        return home, wait_for(lambda: len(found := sorted(queue.iterdir())) == len(names) and found, "the queue of the step")

    def archived(self, home):
        return {content(path).decode() for path in home.files()}

    def test_files_in_a_steps_own_queue_that_cannot_be_claimed_hold_up_no_arrival_and_status_says_why(self):
        stuck = {f"stuck{number}" for number in range(6)}
        home, queued = self.queued_of_archive(sorted(stuck))
        for path in queued:
            if subprocess.run(["chattr", "+i", path], stderr=subprocess.DEVNULL).returncode != 0:
                self.skipTest("no chattr here")
            self.addCleanup(subprocess.run, ["chattr", "-i", path], stderr=subprocess.DEVNULL)
        home.run(MFDATA, "resume", "archive/main")
        wait_for(lambda: held_back(home, "archive/main")["count"] == len(stuck), "status to show those that cannot be claimed")
        for number in range(10):
            home.drop(f"arrival{number}", b"arrival%d" % number)
        arrivals = {f"arrival{number}" for number in range(10)}
        wait_for(lambda: self.archived(home) == arrivals, "the arrivals, while the others wait")
        self.assertEqual(held_back(home, "archive/main")["count"], len(stuck))
        self.assertRegex(held_back(home, "archive/main")["files"][0]["reason"], r"cannot claim step\.archive\.main/\S+: .*immutable \(chattr -i\)")
        self.assertRegex(home.run(MFDATA, "status").stdout, r"held back: archive/main .*immutable")
        for path in queued:
            subprocess.run(["chattr", "-i", path], check=True)
        wait_for(lambda: self.archived(home) == arrivals | stuck, "all, once they can be claimed", 120)
        self.assertEqual(home.trash("archive/main"), [])


    def test_directory_that_may_be_written_but_not_read_takes_its_files_at_every_hop_too(self):
        out = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-out-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", out], check=True)
        out.chmod(0o733)
        home = self.home("move", settings='[data]\ndurability = "every-hop"\nentry_step = "move/main"\n', user=OTHER_USER,
                         overrides={"move": f'[custom]\ndest_dir = "{out}"\n'}).start()
        for number in range(5):
            home.drop(f"f{number}", b"%d" % number)
        wait_for(lambda: len(list(out.iterdir())) == 5, "the files")
        home.wait_idle()
        self.assertEqual(home.trash("move/main"), [])
        self.assertNotIn("Permission denied", home.log() + home.step_log("move/main"))


@need_root
class Room(Case):
    def spool_on(self, mounted, *plugins, data="", entry, overrides=None):
        home = self.home(*plugins, settings=f'[data]\ndir = "{mounted}/in"\nentry_step = "{entry}"\n{NO_RESERVE}{data}', overrides=overrides)
        home.data, home.incoming = mounted / "in", mounted / "in/incoming"
        return home

    def two_targets(self, data=""):
        """A file that needs room for a copy of itself, and there is none for it."""
        mounted = mount_tmpfs(self, "size=20m")
        home = self.spool_on(mounted, "copy", "archive", data=data, entry="copy/main")
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/archive", "--new-name", "second")
        home.override("copy", '[custom]\ndest_dirs = ["archive/main", "second/main"]\n')
        home.start()
        home.drop("large", bytes(12_000_000))
        wait_for(lambda: held_back(home, "copy/main")["files"], "status to show the file that does not fit")
        return home

    def test_file_that_does_not_fit_lets_the_others_pass_and_is_shown_with_its_size_and_what_is_free(self):
        home = self.two_targets()
        for number in range(20):
            home.drop(f"small{number}", b"%d" % number)
        wait_for(lambda: len(home.files()) == 40, "the others, in both archives")
        [file] = held_back(home, "copy/main")["files"]
        self.assertIn('"large" has 12000000 bytes', file["reason"])
        self.assertRegex(file["reason"], r"and \d+ are free")
        self.assertEqual(home.trash("copy/main"), [])
        self.assertRegex(home.run(MFDATA, "status").stdout, r'held back: copy/main .*"large" has 12000000 bytes')
        home.override("copy", '[custom]\ndest_dirs = ["archive/main"]\n')  # then it fits
        home.run(MFDATA, "reload")
        wait_for(lambda: len(home.files()) == 41, "the large file", 240)

    def test_file_that_alone_does_not_fit_goes_to_trash_after_no_space_max_wait(self):
        home = self.two_targets('no_space_max_wait = "1s"\n')
        [note] = home.wait_trash("copy/main")
        self.assertEqual(note["reason"], "no room")
        self.assertEqual(os.path.getsize(note["path"]), 12_000_000)
        home.drop("small", b"x")
        wait_for(lambda: len(home.files()) == 2, "another file")
        home.wait_idle()

    def test_small_file_that_unpacks_to_more_than_there_is_room_for_lets_the_others_pass_and_then_goes_to_trash(self):
        mounted = mount_tmpfs(self, "size=20m")
        home = self.spool_on(mounted, "ungzip", "archive", entry="ungzip/main", data='no_space_max_wait = "1s"\n',
                             overrides={"ungzip": '[custom]\ndest_dir = "archive/main"\n'})
        home.start()
        home.run(MFDATA, "pause", "ungzip/main")  # while it fills the disk, senders would find no room
        home.drop("bomb.gz", gzip.compress(bytes(40_000_000)))
        contents = [b"%d" % number for number in range(20)]
        for number, data in enumerate(contents):
            home.drop(f"small{number}.gz", gzip.compress(data))
        home.run(MFDATA, "resume", "ungzip/main")
        wait_for(lambda: sorted(map(content, home.files())) == sorted(contents), "the others")
        [note] = home.wait_trash("ungzip/main")
        self.assertEqual((note["reason"], note["original_name"]), ("no room", "bomb.gz"))
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_delivery_that_does_not_fit_elsewhere_lets_the_others_pass(self):
        other = mount_tmpfs(self, "size=4m")
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n',
                         overrides={"archive": f'[custom]\ndest_dir = "{other}"\ndest_basename = "{{ORIGINAL_BASENAME}}"\n'})
        home.start()
        large = os.urandom(5_000_000)
        home.drop("large", large)
        wait_for(lambda: held_back(home, "archive/main")["files"], "status to show the file that does not fit")
        for number in range(20):
            home.drop(f"small{number}", b"%d" % number)
        wait_for(lambda: sum((other / f"small{number}").exists() for number in range(20)) == 20, "the others")
        [file] = held_back(home, "archive/main")["files"]
        self.assertIn('"large" has 5000000 bytes', file["reason"])
        self.assertEqual(home.trash("archive/main"), [])
        subprocess.run(["mount", "-o", "remount,size=16m", other], check=True)
        wait_for(lambda: (other / "large").exists() and content(other / "large") == large, "the large file once there is room", 240)
        home.wait_idle()
        self.assertEqual(home.left_over(), [])


class Copies(Case):
    def setUp(self):
        super().setUp()
        place = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-shim-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", place], check=True)
        (place / "shim.c").write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", place / "shim.so", place / "shim.c"], check=True)
        self.shim = str(place / "shim.so")

    @need_root
    def test_archive_on_another_filesystem_is_whole_when_the_kernel_ends_copies_early(self):
        other = mount_tmpfs(self, "size=4m")
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n',
                         overrides={"archive": f'[custom]\ndest_dir = "{other}"\ndest_basename = "{{ORIGINAL_BASENAME}}"\n'})
        home.environment["LD_PRELOAD"] = self.shim
        home.start()
        data = os.urandom(20_000)
        home.drop("f", data)
        wait_for((other / "f").exists, "the file")
        self.assertEqual(content(other / "f"), data)

    def test_copies_for_several_targets_are_whole_when_the_kernel_ends_copies_early(self):
        home = self.home("copy", "archive", settings='[data]\nentry_step = "copy/main"\n')
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/archive", "--new-name", "second")
        home.override("copy", '[custom]\ndest_dirs = ["archive/main", "second/main"]\n')
        home.environment["LD_PRELOAD"] = self.shim
        home.start()
        data = os.urandom(20_000)
        home.drop("f", data)
        wait_for(lambda: [content(path) for path in home.files()] == [data, data], "both copies, whole")

    def test_arrival_from_another_filesystem_is_whole_when_the_kernel_ends_copies_early(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n')
        if elsewhere() is None:
            self.skipTest("there is no other filesystem")
        other = tempfile.mkdtemp(prefix="mfdata-elsewhere-", dir=elsewhere())
        self.addCleanup(subprocess.run, ["rm", "-rf", other], check=True)
        home.override("archive", f'[step.main]\nwatched_directories = ["{other}"]\n')
        home.environment["LD_PRELOAD"] = self.shim
        home.start()
        data = os.urandom(20_000)
        home.drop("f", data, directory=other)
        wait_for(lambda: [content(path) for path in home.files()] == [data], "the file, whole")
        home.wait_idle()
        self.assertEqual((os.listdir(other), home.trash("archive/main"), home.left_over()), ([], [], []))

    def test_injected_file_is_whole_when_the_kernel_ends_copies_early(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n')
        home.environment["LD_PRELOAD"] = self.shim
        data = os.urandom(20_000)
        source = home.root / "source"
        source.write_bytes(data)
        home.start().stop()
        home.run(MFDATA, "inject", source, "--incoming")
        self.assertEqual(content(home.incoming / "source"), data)
        home.start()
        home.run(MFDATA, "inject", source, "--step", "archive/main")
        wait_for(lambda: [content(path) for path in home.files()] == [data, data], "both files, whole")


if __name__ == "__main__":
    main()
