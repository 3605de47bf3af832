"""Where the benchmark works: a tmpfs, and a fresh ext4.

Each `directory()` is a context: a new and empty directory, gone at its end.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from verdicts import Unusable

NEEDED = 2 << 30       # free bytes: the largest burst five times over, with sidecars and the share mfdata keeps free
IMAGE_SIZE = 4 << 30   # sparse; most of it is never written


class Tmpfs:
    name = "tmpfs"

    def __init__(self):
        if kind_of("/dev/shm") != "tmpfs":
            raise Unusable("/dev/shm is no tmpfs")
        check_free("/dev/shm")
        self.description = "tmpfs: /dev/shm"
        if not has_attributes("/dev/shm"):
            self.description += "; it keeps no user attributes: contexts stand in sidecars, and the ceiling writes none"

    def directory(self):
        return fresh_directory("/dev/shm")


class FreshExt4:
    """A new ext4 in a sparse image for each directory: an aged one has other costs in every run. Root only."""
    name = "ext4"

    def __init__(self):
        self.place = disk_directory()
        check_free(self.place)
        with self.directory():
            pass
        self.description = f"ext4: a fresh image for each row, loop-mounted; the image on {kind_of(self.place)}"

    @contextlib.contextmanager
    def directory(self):
        with fresh_directory(self.place) as holder:
            image, mountpoint = holder / "image", holder / "mounted"
            mountpoint.mkdir()
            with open(image, "wb") as file:
                file.truncate(IMAGE_SIZE)
            # Nothing is left to be initialised in the background during a measurement; inodes for five outputs a file.
            command("mkfs.ext4", "-q", "-F", "-i", "8192", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
            try:
                command("mount", "-o", "loop", image, mountpoint)
                image.unlink()  # the loop device keeps it; whatever happens, its space comes back with the umount
                yield mountpoint
            finally:
                unmount(mountpoint)


class DiskDirectory:
    """What stands in for FreshExt4 where nothing can be mounted."""

    def __init__(self, why):
        self.place = disk_directory()
        check_free(self.place)
        self.name = kind_of(self.place)
        self.description = f"{self.name}: a directory of the working filesystem, not a fresh one ({why})"

    def directory(self):
        return fresh_directory(self.place)


def disk():
    if os.geteuid() != 0:
        return DiskDirectory("a fresh ext4 needs root")
    try:
        return FreshExt4()
    except Unusable as reason:
        return DiskDirectory(str(reason))


@contextlib.contextmanager
def fresh_directory(parent):
    path = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-bench-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def disk_directory():
    """The temporary directory, or /var/tmp where that is memory too."""
    return "/var/tmp" if kind_of(tempfile.gettempdir()) == "tmpfs" else tempfile.gettempdir()


def kind_of(path):
    """The type of the filesystem of a directory."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2] == wanted:
            return rest.split()[0]
    return "unknown"


def has_attributes(directory):
    """Whether files there keep user attributes; tmpfs does since Linux 6.6."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        try:
            os.setxattr(file.fileno(), "user.mfdata.probe", b"x")
        except OSError:
            return False
    return True


def check_free(path):
    free = shutil.disk_usage(path).free
    if free < NEEDED:
        raise Unusable(f"{path} has {free >> 20} MiB free, {NEEDED >> 20} are needed: make room, or set TMPDIR")


def command(*words):
    try:
        done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise Unusable(f"{words[0]} is not installed") from None
    if done.returncode != 0:
        raise Unusable(f"{words[0]} failed: {' '.join(done.stdout.split())}")


def unmount(mountpoint):
    """Workers end a moment after their loader: until then the filesystem is busy."""
    deadline = time.monotonic() + 10
    while os.path.ismount(mountpoint):
        lazy = ["-l"] if time.monotonic() > deadline else []
        if subprocess.run(["umount", *lazy, str(mountpoint)], stderr=subprocess.DEVNULL).returncode != 0:
            time.sleep(0.05)
