"""What the loader does around its workers and before them: locks, limits, modes, back-pressure, polling."""
import contextlib
import datetime
import fcntl
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, Case, alive, main, need_root, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"
ENTRY = '[data]\nentry_step = "{}"\n'
HOLDER = ["sh", "-c", "flock --shared 0 && echo held && exec sleep 100000"]
WITHOUT_INOTIFY = ["unshare", "-Ur", "sh", "-c", 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', "sh"]


def open_files(pid):
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


class Supervision(Case):
    def mischief(self, mode, step="", settings=""):
        home = self.home(MISCHIEF, "archive", settings=ENTRY.format("mischief/main") + settings)
        self.treat_as(home, mode, step)
        return home

    def treat_as(self, home, mode, step=""):
        home.override("mischief", f'[step.main]\n{step}\n[custom]\nmode = "{mode}"\ndest_dir = "archive/main"\nstate_dir = "{home.root}"\n')

    def working(self, home):
        """The worker of mischief, which has treated a file."""
        home.drop("f", b"x")
        wait_for(home.files, "a file to be treated")
        [pid] = home.worker_pids("mischief/main")
        return pid

    def holder(self, home, **more):
        """A process that holds the lock of the workers as one that a worker of an earlier loader started."""
        lock = open(home.root / "run/workers.lock", "w+")
        self.addCleanup(lock.close)
        process = subprocess.Popen(HOLDER, stdin=lock, stdout=subprocess.PIPE, **more)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"held\n")
        lock.close()
        return process


class WorkersLock(Supervision):
    def test_loader_ends_processes_of_an_earlier_one_that_hold_the_lock_of_the_workers(self):
        home = self.home("archive", settings=ENTRY.format("archive/main"))
        holder = self.holder(home)
        home.start()
        self.assertIsNotNone(wait_for(holder.poll, "the holder to be ended"))
        home.drop("f", b"x")
        wait_for(home.files, "the file")

    def test_loader_waits_for_a_holder_that_ends_by_itself(self):
        home = self.home("archive", settings=ENTRY.format("archive/main"))
        holder = self.holder(home)
        home.start(wait=False)
        wait_for(lambda: fcntl_is_locked(home.root / "run/loader.lock"), "the loader to begin")
        self.assertEqual(home.status()["state"], "not running")
        holder.terminate()
        wait_for(lambda: home.status().get("pid"), "the loader to run")
        self.assertEqual(holder.wait(), -15)

    @need_root
    def test_loader_refuses_to_start_and_names_a_holder_that_is_not_its_own(self):
        home = self.home("archive", settings=ENTRY.format("archive/main"))
        holder = self.holder(home, user=65533)
        home.start(wait=False)
        self.assertEqual(home.loader.wait(120), 1)
        self.assertIn(f"end the processes {holder.pid}", home.log())
        self.assertTrue(alive(holder.pid))


def fcntl_is_locked(path):
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


class MachineWentDown(Supervision):
    def after_a_kill(self, boot):
        """The name under which a file that was in hand waits, when everything was killed and the next start has this boot id."""
        home = self.mischief("hang")
        home.start()
        home.drop("f", b"x")
        wait_for(lambda: home.step_status("mischief/main").get("in_flight") and list((home.data / "tmp/mischief.main").glob("*/in/*")), "the file to be in hand")
        home.kill()
        if boot:
            (home.root / "run/boot_id").write_text(boot)
        self.treat_as(home, "pass", "numprocesses = 0")
        home.start()
        [waiting] = wait_for(lambda: list((home.data / "step.mischief.main").iterdir()), "the file to be given back")
        return waiting.name

    def test_file_in_hand_when_the_machine_went_down_is_charged_with_a_crash(self):
        self.assertRegex(self.after_a_kill("another-boot"), r"^[0-9a-f]{32}\.0~1$")

    def test_file_in_hand_when_only_the_processes_were_killed_is_not_charged(self):
        self.assertRegex(self.after_a_kill(""), r"^[0-9a-f]{32}\.0$")


class WorkerProcesses(Supervision):
    def times_of(self, home, words, count):
        """When the log had some words, in seconds; None until it had them so often."""
        lines = [line for line in home.log().splitlines() if words in line]
        return len(lines) >= count and [datetime.datetime.fromisoformat(line.split()[0]).timestamp() for line in lines]

    def test_workers_can_gain_no_privileges_and_have_nothing_of_the_loader_open(self):
        home = self.mischief("pass").start()
        pid = self.working(home)
        self.assertIn("NoNewPrivs:\t1\n", pathlib.Path(f"/proc/{pid}/status").read_text())
        ours, loaders = open_files(pid), open_files(home.loader.pid)
        self.assertTrue(any(name.startswith("socket:") for name in ours), "the channel")
        self.assertEqual([name for name in ours & loaders if name.startswith(("socket:", "anon_inode:"))], [])
        in_home = {name for name in ours if name.startswith(str(home.root) + "/")}
        self.assertEqual(in_home - {str(home.data), str(home.root / "run/workers.lock")}, set())

    def policies(self, home):
        return {os.sched_getscheduler(pid) for pid in [home.loader.pid, *home.worker_pids()]}

    def test_cpu_policy_is_batch_unless_it_is_inherited_and_a_reload_changes_it(self):
        home = self.mischief("touch")
        home.start()
        wait_for(lambda: len(home.worker_pids()) == 2, "the workers")
        self.assertEqual(self.policies(home), {os.SCHED_BATCH})
        home.configure(ENTRY.format("mischief/main") + '[loader]\ncpu_policy = "inherited"\n')
        home.run(MFDATA, "reload")
        wait_for(lambda: len(home.worker_pids()) == 2 and self.policies(home) == {os.SCHED_OTHER}, "the policy that was inherited")
        home.configure(ENTRY.format("mischief/main"))
        home.run(MFDATA, "reload")
        wait_for(lambda: len(home.worker_pids()) == 2 and self.policies(home) == {os.SCHED_BATCH}, "batch again")

    @unittest.skipUnless(subprocess.run(["chrt", "--rr", "1", "true"], stderr=subprocess.DEVNULL).returncode == 0, "no other policy may be chosen here")
    def test_policy_that_was_chosen_for_the_service_stays(self):
        home = self.mischief("touch")
        home.start(prefix=["chrt", "--rr", "1"])
        wait_for(lambda: len(home.worker_pids()) == 2, "the workers")
        self.assertEqual(self.policies(home), {os.SCHED_RR})

    def test_policy_that_may_not_be_set_is_a_warning(self):
        home = self.mischief("touch")
        home.start(prefix=["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=sched_setscheduler:error=EPERM"])
        wait_for(lambda: len(home.worker_pids()) == 2, "the workers")
        self.assertIn('[loader] cpu_policy = "batch" is not possible here, "inherited" is', home.log())
        self.assertEqual({os.sched_getscheduler(pid) for pid in home.worker_pids()}, {os.SCHED_OTHER})

    def test_rlimit_stack_holds_in_the_worker(self):
        home = self.mischief("pass", 'rlimit_stack = "16MB"').start()
        limits = pathlib.Path(f"/proc/{self.working(home)}/limits").read_text()
        self.assertRegex(limits, r"Max stack size +16000000 +16000000 ")

    def test_worker_that_never_becomes_ready_is_started_at_growing_intervals(self):
        home = self.mischief("pass")
        [library] = (home.root / "plugins/mischief").glob("6.6.6/*.so")
        library.write_bytes((BUILD / "tests/plugins/no_entry/no_entry.so").read_bytes())
        home.start()
        times = wait_for(lambda: self.times_of(home, "mfdata_plugin_v1", 4), "four starts")
        for seconds, one, two in zip((1, 2, 4), times, times[1:]):
            self.assertGreater(two - one, seconds * 0.9)

    def test_everything_of_ours_is_closed_to_others_but_the_watched_directory(self):
        home = self.mischief("fail").start()
        home.drop("f", b"x")
        home.wait_trash("mischief/main")
        home.wait_idle()
        open_to_others = []
        for folder in ("var", "run", "log", "etc/keys", "etc/provision"):
            for place, _, names in os.walk(home.root / folder):
                for path in (place, *(os.path.join(place, name) for name in names)):
                    mode = stat.S_IMODE(os.lstat(path).st_mode)
                    if mode & 0o077 and not path.endswith(".0"):  # the file keeps what its sender gave it
                        open_to_others.append((os.path.relpath(path, home.root), oct(mode)))
        self.assertEqual(open_to_others, [("var/in/incoming", "0o2770")])


class Entrances(Supervision):
    def test_full_queue_closes_the_entrances_until_it_drains(self):
        home = self.home("move", "archive", settings=ENTRY.format("move/main"), overrides={
            "move": '[custom]\ndest_dir = "archive/main"\n', "archive": "[step.main]\nnumprocesses = 0\nmax_queue = 5\n"}).start()
        sent = 0

        def closed():
            nonlocal sent
            home.drop(f"f{sent}", b"x")
            sent += 1
            return home.status()["entrances"] == "closed: max_queue"
        wait_for(closed, "the entrances to be closed")
        for number in range(50):
            home.drop(f"late{number}", b"x")
        self.assertEqual(len([name for name in os.listdir(home.incoming) if name.startswith("late")]), 50)
        self.assertEqual(home.files(), [])
        home.override("archive", "[step.main]\nnumprocesses = 1\nmax_queue = 5\n")
        home.run(BUILD / "tools/mfdata", "reload")
        wait_for(lambda: len(home.files()) == sent + 50, "every file in the archive")
        wait_for(lambda: home.status()["entrances"] == "open", "the entrances to be open")

    @unittest.skipUnless(shutil.which("unshare") and subprocess.run([*WITHOUT_INOTIFY, "true"], stderr=subprocess.DEVNULL).returncode == 0,
                         "no user namespaces, or their limits cannot be set")
    def test_without_inotify_directories_are_listed_and_the_log_says_so(self):
        home = self.home("archive", settings=ENTRY.format("archive/main")).start(prefix=WITHOUT_INOTIFY)
        for number in range(3):
            home.drop(f"f{number}", b"x")
            wait_for(lambda: len(home.files()) == number + 1, "the file")
        self.assertTrue(re.search("no inotify .*listed every second", home.log()), home.log())


if __name__ == "__main__":
    main()
