"""Runs the scenarios: `python3 -m tests.e2e [GROUP…] [-k WORD]`. Groups: core, client, bad, faults, compose (docker-compose.yml with
PostgreSQL) and postgres (core, on PostgreSQL); all when none is named."""

import argparse
import sys
import time
import traceback

from . import bad, client_alone, compose, core, dead_runs, faults  # noqa: F401  (they add their scenarios)
from .composed import Composed
from .seaway import Seaway
from .world import SCENARIOS, World

# Last those that restart Docker.
GROUPS = ("core", "client", "bad", "compose", "postgres", "faults")


def main():
    parser = argparse.ArgumentParser(prog="tests.e2e")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("-k", dest="word", help="only scenarios whose name holds this word")
    parser.add_argument("--without", metavar="WORD", help="no scenarios whose name holds this word")
    parser.add_argument("--release", action="store_true", help="drive the release binary")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"no group is named {', '.join(sorted(unknown))}")
    dead_runs.remove()
    passed, failed, times = 0, [], {}
    begin = time.monotonic()

    def wants(name, group, function):
        words = function.__name__
        named = (arguments.word or "") in words and not (arguments.without and arguments.without in words)
        return named and group == ("core" if name == "postgres" else name)

    for name in arguments.groups or GROUPS:
        wanted = [function for group, function in SCENARIOS if wants(name, group, function)]
        if not wanted:
            continue
        group_began = time.monotonic()
        try:
            # One instance per group, from an empty state; scenarios of a group build on one another.
            with World(
                "release" if arguments.release else "debug",
                postgres=arguments.postgres or name == "postgres",
                kind=Composed if name == "compose" else Seaway,
            ) as world:
                for function in wanted:
                    started = time.monotonic()
                    try:
                        # Those of the client set the instance up themselves.
                        if name != "client" and function.__name__ != "set_up_by_the_printed_link":
                            world.set_up()
                        function(world)
                        passed += 1
                        print(f"ok    {name}: {function.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
                    except Exception:  # every scenario is tried
                        failed.append(f"{name}: {function.__name__}")
                        print(f"FAIL  {name}: {function.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
                        traceback.print_exc(file=sys.stdout)
                        print("the end of Seaway's log:\n" + world.seaway.tail(), flush=True)
        except Exception:  # and every group, also when the one before did not even start or stop
            failed.append(f"{name}: the instance itself")
            print(f"FAIL  {name}: the instance itself", flush=True)
            traceback.print_exc(file=sys.stdout)
        times[name] = time.monotonic() - group_began
    for name in failed:
        print(f"failed: {name}")
    print("end-to-end in " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()) + f", in all {time.monotonic() - begin:.0f} s")
    print(f"e2e: {passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
