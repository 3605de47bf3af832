"""What /proc tells of processes: processor time and memory. A process that has gone counts nothing."""
import os
import pathlib
import re
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Memory:
    name: str
    rss_kib: int
    pss_kib: int


def _stat(pid):
    """The fields of /proc/PID/stat after the name, which may hold anything but a closing bracket last: proc(5)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def family(pid):
    """The process and all its descendants."""
    parents = {int(entry): _stat(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    found = [pid]
    for member in found:
        found += [child for child, fields in parents.items() if fields and int(fields[1]) == member]
    return found


def cpu_seconds(pid):
    """User and system time of the family so far, and of its members that have ended and been waited for."""
    fields = [fields for fields in map(_stat, family(pid)) if fields]
    return sum(int(ticks) for one in fields for ticks in one[11:15]) / TICKS


def rss_kib(pid):
    return _kib(f"/proc/{pid}/status", "VmRSS")


def memory(pid):
    """Memory of each member of the family. PSS: a page shared by n processes counts 1/n in each."""
    found = []
    for member in family(pid):
        try:
            found.append(Memory(pathlib.Path(f"/proc/{member}/comm").read_text().strip(), rss_kib(member),
                                _kib(f"/proc/{member}/smaps_rollup", "Pss")))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _kib(path, key):
    """Raises ProcessLookupError for a process that has ended, and has no memory any more."""
    figure = re.search(rf"^{key}:\s+(\d+) kB", pathlib.Path(path).read_text(), re.M)
    if not figure:
        raise ProcessLookupError(path)
    return int(figure[1])
