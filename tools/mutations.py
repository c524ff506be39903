"""Mutation testing of the pure rooms: `make test-mutations` changes them one expression at a time and runs their tests.

    python tools/mutations.py                               # run every mutant, then report
    python tools/mutations.py 'harness.decoding.verify.*'   # run those mutants, then report on all that were ever run
    python tools/mutations.py --report                      # report on the last run

mutmut makes and runs the mutants; pyproject.toml names the files and the tests. A mutant that no test notices must
stand in tests/equivalent_mutants.toml, with the reason why none can. Exit code 1: fewer mutants were killed than
MINIMUM says, one that survived is not listed, or a listed one no longer survives.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

MINIMUM = 0.95
UNCHECKED = "not checked"
KILLED = ("killed", "timeout", "segfault")
ROOT = Path(__file__).resolve().parent.parent
EQUIVALENTS = ROOT / "tests" / "equivalent_mutants.toml"
MUTMUT = Path(sys.executable).with_name("mutmut")

Change = tuple[str, str]  # function with its module; the lines it loses and gains


def main() -> int:
    if "--report" not in sys.argv and subprocess.run([MUTMUT, "run", *sys.argv[1:]], cwd=ROOT).returncode:
        return 1
    every = statuses(asked("results", "--all", "true"))
    status = {name: kind for name, kind in every.items() if kind != UNCHECKED}
    killed, total = counts(status)
    for module in sorted(total):
        print(f"{module:30s} {killed[module]:4d} of {total[module]:4d} killed")
    share = killed.total() / max(total.total(), 1)
    print(f"{'all':30s} {killed.total():4d} of {total.total():4d} killed, {share:.1%}")

    survivors = {name: change(name) for name, kind in status.items() if kind not in KILLED}
    listed = equivalents(EQUIVALENTS.read_text())
    unlisted = {name: found for name, found in survivors.items() if found not in listed}
    for name, (function, lines) in unlisted.items():
        print(f"\n{status[name]}, and not listed as equivalent: {name}, in {function}\n{lines}")
    unchecked = len(every) - len(status)
    stale = listed - set(survivors.values()) if not unchecked else set()
    for function, lines in sorted(stale):
        print(f"\nlisted as equivalent, but no such mutant survives: {function}\n{lines}")
    if share < MINIMUM:
        print(f"\n{share:.1%} of the mutants are killed: at least {MINIMUM:.0%} are expected")
    if unchecked:
        print(f"\n{unchecked} mutants were not run: expected a run of all")
    return int(bool(unlisted or stale or unchecked) or share < MINIMUM)


def asked(*arguments: str) -> str:
    return subprocess.run([MUTMUT, *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def statuses(results: str) -> dict[str, str]:
    """Status of each mutant, from lines such as `    harness.decoding.verify.x_match__mutmut_3: killed`."""
    return dict(line.strip().rsplit(": ", 1) for line in results.splitlines() if "__mutmut_" in line)


def counts(status: dict[str, str]) -> tuple[Counter[str], Counter[str]]:
    """How many mutants of each module were killed, and how many there are."""
    total = Counter(name.rpartition(".")[0] for name in status)
    killed = Counter(name.rpartition(".")[0] for name, kind in status.items() if kind in KILLED)
    return killed, total


def change(name: str) -> Change:
    """What a mutant changes. Its number says nothing lasting: it shifts with every edit above it."""
    module, _, mangled = name.rpartition(".")
    plain = mangled.rpartition("__mutmut_")[0].removeprefix("x").removeprefix("_").strip("ǁ").replace("ǁ", ".")
    return f"{module}.{plain}", normal(asked("show", name))


def normal(diff: str) -> str:
    """The lines lost and gained, without indentation, which moves with the code around them."""
    lines = [line for line in diff.splitlines() if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


def equivalents(text: str) -> set[Change]:
    """Every listed change; each entry names a function, a reason and one or more changes."""
    entries = tomllib.loads(text).get("equivalent", [])
    nameless = [entry.get("function", "?") for entry in entries if not entry.get("reason", "").strip()]
    if nameless:
        raise SystemExit(f"{EQUIVALENTS.name}: no reason for {', '.join(nameless)}")
    return {(entry["function"], normal(lines)) for entry in entries for lines in entry["changes"]}


if __name__ == "__main__":
    sys.exit(main())
