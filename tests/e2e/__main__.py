"""Runs the scenarios: `python3 -m tests.e2e [GROUP…] [-k WORD]`. Groups: core, faults, bad; all when none is named."""

import argparse
import sys
import time
import traceback

from .. import leftovers
from . import bad, core, faults  # noqa: F401  (they add their scenarios)
from .world import SCENARIOS, World


def main():
    parser = argparse.ArgumentParser(prog="tests.e2e")
    parser.add_argument("groups", nargs="*", default=[])
    parser.add_argument("-k", dest="word", help="only scenarios whose name holds this word")
    parser.add_argument("--release", action="store_true", help="drive the release binary")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    arguments = parser.parse_args()
    for instance in leftovers.sweep():
        print(f"removed what the dead test instance {instance} left")
    groups = arguments.groups or ["core", "faults", "bad"]
    passed, failed = 0, []
    begin = time.monotonic()
    for group in groups:
        wanted = [function for name, function in SCENARIOS if name == group and (not arguments.word or arguments.word in function.__name__)]
        if not wanted:
            continue
        # One instance per group, from an empty state; scenarios of a group build on one another.
        with World("release" if arguments.release else "debug", postgres=arguments.postgres) as world:
            for function in wanted:
                started = time.monotonic()
                try:
                    if function.__name__ != "set_up_by_the_printed_link":
                        world.set_up()
                    function(world)
                    passed += 1
                    print(f"ok    {group}: {function.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
                except Exception:  # every scenario is tried
                    failed.append(f"{group}: {function.__name__}")
                    print(f"FAIL  {group}: {function.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
                    traceback.print_exc(file=sys.stdout)
                    print("the end of Seaway's log:\n" + world.seaway.tail(), flush=True)
    for name in failed:
        print(f"failed: {name}")
    print(f"end-to-end in {time.monotonic() - begin:.0f} s")
    print(f"e2e: {passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
