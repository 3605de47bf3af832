#!/usr/bin/env python3
"""SIGKILL at random, of the loader and of its workers, while files of every kind flow; then an account of each file.

  kill_storm.py [--kills N] [--seed S] [--durability LEVEL] [--without PROTECTIONS] [--keep]
  kill_storm.py --control [--kills N] [--seed S]

Every accepted file must reach each of its endings once, with the content and the tags that its way gives it, and
nothing may be left in the spool. With slow_calls preloaded (most of the time) the kills fall between system calls.
--without runs the storm with protections of the protocol removed, and fails if that is noticed; --control does so
for each protection that a kill can bring to light, and fails unless it is noticed.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import Oracle, rng_of
from storm import controls, storm_over
from ways import WAYS, new_home, storm_law, storm_sender

SETTINGS = '''durability = "{durability}"
min_free_space = 0
min_free_inodes = 0
[loader]
max_crashes = 1000
[metrics]
listen = ""
'''

# protection -> what is killed, and the ways that show its absence soonest
CONTROLS = {
    "context_last": ("both", ["pass"]),
    "sweep_first": ("loader", ["rewrite", "fan", "direct"]),
    "no_roll_at_death": ("workers", ["rewrite", "fan", "direct"]),
    "shared_attribute": ("both", ["fan"]),
    "replace": ("both", ["plain"]),
    "no_recovery": ("both", ["pass", "rewrite"]),
    "no_generation": ("both", ["pass", "retry"]),
}


def run(seed, kills, durability, without="", victims="both", kinds=None, keep=False):
    """(oracle, text about the run)"""
    oracle = Oracle()
    sender = storm_sender(rng_of(seed + 1), ways=[way for way in WAYS if not kinds or way[0] in kinds], names=40 if kinds else 150)
    home = new_home(SETTINGS.format(durability=durability))
    about = storm_over(home, sender, storm_law(), oracle, rng_of(seed), kills, victims=victims, without=without, keep=keep)
    return oracle, about


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, help="how many (default 60; of each control at first 12)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the random choices (default: the time)")
    parser.add_argument("--durability", default="accepted", choices=("process", "accepted", "every-hop"))
    parser.add_argument("--without", default="", help="protections to remove, separated by commas")
    parser.add_argument("--keep", action="store_true", help="keep the home when something was wrong")
    parser.add_argument("--control", action="store_true", help="check that the absence of each protection is noticed")
    options = parser.parse_args()
    repeat = f"kill_storm.py --seed {options.seed}" + (f" --kills {options.kills}" if options.kills else "")
    if options.control:
        noticed, unnoticed = controls(CONTROLS, lambda protection, attempt: run(options.seed + attempt, (options.kills or 12) << attempt, "process",
                                                                                protection, *CONTROLS[protection]))
        print(f"to repeat: {repeat} --control")
        print(f"{noticed} passed, {len(unnoticed)} failed")
        sys.exit(1 if unnoticed else 0)
    oracle, about = run(options.seed, options.kills or 60, options.durability, options.without, keep=options.keep)
    oracle.show()
    print(about)
    print(f"to repeat: {repeat} --durability {options.durability}" + (f" --without {options.without}" if options.without else ""))
    print(f"{oracle.passed} passed, {len(oracle.findings)} failed")
    sys.exit(1 if oracle.findings else 0)


if __name__ == "__main__":
    main()
