"""`drafthouse check-drafter NAME`: hold a drafter to the contract of all drafters, one line for each check.

NAME is a drafter of `drafthouse list drafters`, or `package.module:Class`. Exit code 0 if every check holds, else 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from drafters.errors import InputError
from drafters.registry import find_kind
from harness.report.entry import command, say
from harness.vocabulary import EXIT_OK

EXIT_BROKEN = 1


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Check the drafter that is named. Raises InputError for one that cannot be made."""
    parser = argparse.ArgumentParser(prog="drafthouse check-drafter", description="Hold a drafter to the contract.")
    parser.add_argument("drafter", help="a name of `drafthouse list drafters`, or package.module:Class")
    parser.add_argument("--target", default="embedded", help="embedded, embedded_e2b, or a folder or hub id")
    parser.add_argument("--path", help="the checkpoint of a trained drafter; default: the embedded target's own")
    parser.add_argument("--options", nargs="*", default=[], metavar="KEY=VALUE", help="options of the drafter")
    given = parser.parse_args(arguments)
    options = read_options(given.options)
    kind = find_kind(given.drafter, "drafter")
    from harness.decoding.contract.checks import judge
    from harness.decoding.contract.making import open_subject

    subject = open_subject(kind, given.target, given.path, options)
    say(f"{kind.title or kind.name} on {given.target}, k {', '.join(map(str, subject.widths))}")
    broken = 0
    for verdict in judge(subject):
        name = f"{verdict.check.name:12}"
        if verdict.skipped is not None:
            print(f"skipped  {name} it says nothing while {verdict.skipped} is broken", flush=True)
        elif verdict.found is None:
            print(f"ok       {name} {verdict.check.expected}", flush=True)
        else:
            broken += 1
            print(f"broken   {name} expected {verdict.check.expected}; found {verdict.found}", flush=True)
    return EXIT_BROKEN if broken else EXIT_OK


def read_options(given: Sequence[str]) -> dict[str, Any]:
    """The options as values, as YAML reads them. Raises InputError for a word that is no KEY=VALUE."""
    found: dict[str, Any] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"--options {word}: expected KEY=VALUE")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--options {word}: the value is no YAML") from error
    return found


if __name__ == "__main__":
    sys.exit(main())
