"""What blows over a home: files that keep coming, and SIGKILL of its loader and its workers."""
import os
import signal
import threading
import time

from oracle import PLUGINS, at_rest, judge
from harness import children_of, wait_for

SLOW_CALLS = PLUGINS / "slow_calls/slow_calls.so"
LONGEST_PAUSE_US = 800   # of slow_calls
WAITING = 40             # files that the sender keeps before the entry
DRAIN_S = 600


class Flood(threading.Thread):
    """Keeps some files waiting before the entry until it is told to stop, or has sent `files` (0: no end). Never replaces one
    that still waits."""

    def __init__(self, home, sender, files=0):
        super().__init__(daemon=True)
        self.home, self.sender, self.files, self.stopped, self.error = home, sender, files, threading.Event(), None

    def run(self):
        try:
            while not self.stopped.is_set():
                waiting = set(os.listdir(self.home.incoming))
                for _ in range(WAITING - len(waiting)):
                    if self.files and self.sent() == self.files:
                        return
                    item = self.sender.make()
                    if item.name in waiting:
                        continue
                    waiting.add(item.name)
                    self.sender.sent(item)
                    self.home.drop(item.name, item.data)
                self.stopped.wait(0.01)
        except Exception as error:  # told by finish(): a storm without files would pass every check
            self.error = error

    def sent(self):
        return len(self.sender.items)

    def finish(self):
        self.stopped.set()
        self.join()
        if self.error:
            raise self.error


class Storm:
    """One home, its loader, and whoever kills them."""

    def __init__(self, home, rng, victims="both", without=""):
        self.home, self.rng, self.victims, self.without = home, rng, victims, without
        self.kills = dict(loader=0, worker=0)
        self.deaths = []

    def killed(self):
        return sum(self.kills.values())

    def start(self, slow):
        prefix = ("env", f"LD_PRELOAD={SLOW_CALLS}", f"MFDATA_SLOW_CALLS_US={LONGEST_PAUSE_US}") if slow else ()
        self.home.start(wait=False, without=self.without, prefix=prefix)

    def ended(self):
        return self.home.loader.poll() is not None

    def blow(self, kills, flood):
        """Until so many were killed: at any time, or spread over the files of a flood that has an end. A loader that ends by
        itself is a finding."""
        self.start(slow=True)
        while self.killed() < kills:
            if flood.files:
                due = flood.files * (self.killed() + self.rng.random()) / kills
                wait_for(lambda: flood.sent() >= due or not flood.is_alive() or self.ended(), f"{due:.0f} files to be taken", DRAIN_S)
            else:
                time.sleep(min(self.rng.expovariate(1 / 0.15), 1.0))
            if self.ended():
                self.deaths.append(f"the loader ended by itself: {self.home.log()[-300:]!r}")
                self.home.kill()
                if len(self.deaths) > 3:
                    return
                self.start(slow=False)
            elif self.victims == "loader" or self.victims == "both" and self.rng.random() < 0.35:
                self.kill_loader()
            else:
                self.kill_workers()

    def kill_loader(self):
        """Sometimes again while the next one recovers."""
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            self.home.kill()
            self.kills["loader"] += 1
            self.start(slow=self.rng.random() < 0.8)
            time.sleep(self.rng.random() * 0.2)

    def kill_workers(self):
        children = children_of(self.home.loader.pid)
        self.rng.shuffle(children)
        for pid in children[:self.rng.choice((1, 1, 2, 4))]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.kills["worker"] += 1

    def drain(self, again, deadline):
        """Lets everything end (`again`: under a loader that recovers first); true when the spool is empty."""
        if again:
            self.home.kill()
            self.start(slow=False)
        end, quiet, before = time.monotonic() + deadline, time.monotonic(), None
        empty = at_rest(self.home)
        while time.monotonic() < end:
            if empty():
                return True
            now = self.home.spooled()
            if now != before:
                quiet, before = time.monotonic(), now
            if self.ended() or self.without and time.monotonic() - quiet > 8:
                return False
            time.sleep(0.05)
        return False


def storm_over(home, sender, law, oracle, rng, kills, files=0, victims="both", without="", keep=False):
    """One storm, until all is at rest, and its judgement; the home is closed. Text about it."""
    flood, storm = Flood(home, sender, files), Storm(home, rng, victims, without)
    try:
        home.start().stop()  # makes the directories that the sender needs
        flood.start()
        storm.blow(kills, flood)
        if files:
            wait_for(lambda: not flood.is_alive() or storm.ended(), f"{files} files to be sent", DRAIN_S)
        flood.finish()
        drained = storm.drain(again=victims != "workers", deadline=DRAIN_S)
        oracle.check(drained, f"the spool does not become empty: {home.spooled()[:5]}")
        for death in storm.deaths:
            oracle.check(False, death)
        oracle.check(not storm.ended() and home.stop() == 0, "the loader did not stop with exit code 0: " + home.log()[-300:])
        judge(oracle, home, sender.items, law)
    except AssertionError as error:
        oracle.check(False, str(error))
    finally:
        flood.stopped.set()
        home.kill()
        if keep and oracle.findings:
            print(f"kept: {home.root}")
        else:
            home.close()
    return f"{flood.sent()} files, {storm.kills['loader']} loaders and {storm.kills['worker']} workers killed"


def controls(protections, run, is_it=bool):
    """Each protection in turn: `run(protection, attempt)` gives an oracle and a text about a storm without it, longer with each
    attempt, until a finding that `is_it` shows its absence. (how many are noticed, those that are not)"""
    unnoticed = []
    for protection in protections:
        for attempt in range(6):
            oracle, about = run(protection, attempt)
            seen = [finding for finding in oracle.findings if is_it(finding)]
            if seen:
                break
        print(f"without {protection}: {'noticed' if seen else 'NOT NOTICED'}, {about}; {len(seen)} findings" + (f", the first: {seen[0]}" if seen else ""), flush=True)
        unnoticed += [] if seen else [protection]
    return len(protections) - len(unnoticed), unnoticed
