"""What is measured once: a large backlog at the start, and large files beside small ones."""
import contextlib
import os
import random
import time

import process_figures
import scenarios
from subjects import Mfdata
from verdicts import LostFiles

DONE_OF_BACKLOG = 100_000   # files that are waited for; the memory of the loader is looked at all the while
SMALL, MIDDLE, LARGE, HUGE = 4096, 8 << 20, 200 << 20, 4 << 30  # bytes; of a PNG all but the begin is a hole
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\2\0\0\0"
TEXT = b"Every line of it says the same thing as the one before\n"
ROUTE = '[[switch_rules]]\ntype = "alwaystrue"\nrules = { "" = ["main"] }'

SWITCHED = scenarios.Scenario(
    name="switch and move", way="incoming -> switch -> move -> a directory", entry="switch/main", plugins=("switch", "move"),
    custom={"switch": "", "move": f'dest_dir = "{{out}}"\n{ROUTE}'})
GUESSED = scenarios.Scenario(
    name="guess, switch and move", way="incoming -> guess_file_type -> switch -> move -> a directory", entry="guess_file_type/main",
    plugins=("guess_file_type", "switch", "move"),
    custom={"guess_file_type": 'dest_dir = "switch/main"', "switch": "", "move": f'dest_dir = "{{out}}"\n{ROUTE}'})


def backlog(filesystem, files):
    """`files` files wait when the loader starts: (seconds to the first output, files and the loader's RSS in KiB as they go out)."""
    row = scenarios.Row(scenarios.ONE_HOP, filesystem, "accepted", 1)
    with filesystem.directory() as base, contextlib.closing(Mfdata(row, base)) as subject:
        subject.home.stop()
        directory = os.open(subject.incoming, os.O_RDONLY)
        for number in range(files):
            file = os.open(f"{number:07d}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory)
            os.write(file, b"a waiting file")
            os.close(file)
        os.close(directory)
        [out] = subject.outputs
        began = time.monotonic()
        subject.home.start(wait=False)
        while not any(os.scandir(out)):
            if time.monotonic() - began > 60:
                raise LostFiles(f"none of {files} files came out within 60 s\n{subject.trouble()}")
            time.sleep(0.001)
        first, sizes, done = time.monotonic() - began, [], 0
        wanted = min(files, DONE_OF_BACKLOG)
        while done < wanted:
            for entry in os.scandir(out):
                os.unlink(entry.path)
                done += 1
            if not sizes or done - sizes[-1][0] >= wanted // 10:
                sizes.append((done, process_figures.rss_kib(subject.home.loader.pid)))
            if time.monotonic() - began > 600:
                raise LostFiles(f"{done} of {files} files came out within 600 s\n{subject.trouble()}")
            time.sleep(0.01)
        return first, sizes


def write(path, content, size):
    with open(path, "wb") as file:
        if content == "PNG":
            file.write(PNG)
            file.truncate(size)
            return
        block = random.Random(4).randbytes(4 << 20) if content == "random" else TEXT * 50_000
        for begin in range(0, size, len(block)):
            file.write(block[:size - begin])


def large_files(filesystem, rounds):
    """[(scenario, content, bytes, milliseconds from the rename to the output: the best of `rounds`)]"""
    rows = []
    for scenario, contents, sizes in ((SWITCHED, ("PNG",), (SMALL, HUGE)), (GUESSED, ("PNG", "text", "random"), (SMALL, MIDDLE, LARGE))):
        with filesystem.directory() as base, contextlib.closing(Mfdata(scenarios.Row(scenario, filesystem, "accepted", 1), base)) as subject:
            for content in contents:
                for size in sizes:
                    rows.append((scenario, content, size, min(passes(subject, content, size, rounds))))
    return rows


def passes(subject, content, size, rounds):
    """Milliseconds of each round: the same file again."""
    [out] = subject.outputs
    source, taken = subject.home.root / "source", []
    write(source, content, size)
    for turn in range(rounds):
        name = f"{content}-{size}-{turn}"
        began = time.monotonic()
        os.rename(source, subject.incoming / name)
        while not (out / name).exists():
            if time.monotonic() - began > 120:
                raise LostFiles(f"{name} did not come out within 120 s\n{subject.trouble()}")
            time.sleep(0.0005)
        taken.append((time.monotonic() - began) * 1000)
        if (out / name).stat().st_size != size:
            raise LostFiles(f"{name} came out with {(out / name).stat().st_size} bytes")
        os.rename(out / name, source)
    os.unlink(source)
    return taken
