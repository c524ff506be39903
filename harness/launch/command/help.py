"""Help: examples first, then the commands, then every key of a run with the comments of its file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from harness.records.terminal import fitted
from harness.vocabulary import CONF

EXAMPLES = """\
drafthouse                                                    compare MTP and DFlash on the embedded models
drafthouse experiment=quick                                   a first look in less than a minute
drafthouse list targets                                       what there is to choose
drafthouse target=31b dataset=gsm8k dataset.limit=32          a published target with its drafters
drafthouse dataset=jsonl dataset.path=my.jsonl                your own prompts
drafthouse drafter=[mtp,dflash,lookup] num_draft_tokens=4     other arms, another k
drafthouse -m num_draft_tokens=1,2,4,8                        a sweep, both arms in each job
drafthouse decoding=sampling decoding.temperature=0.7         sampling instead of greedy
drafthouse target=31b plan=true                               memory and time of a run, without running it
drafthouse compare outputs/                                   any runs in one leaderboard"""
OPTIONS = """\
-m, --multirun      a sweep: KEY=A,B makes a job of each
-c, --cfg job       print the composed configuration
--version           drafthouse, torch, transformers
--hydra-help        options of Hydra, which composes the configuration"""
#: Groups in the order in which a user meets them.
GROUPS = ("target", "dataset", "decoding", "engine", "tracking", "experiment")


class Described(Protocol):
    @property
    def about(self) -> str: ...


def examples(width: int | None = None) -> str:
    """The examples; what each does stands below it where a terminal is too narrow."""
    if width is None or max(map(len, EXAMPLES.splitlines())) <= width:
        return EXAMPLES
    return "\n".join(re.sub(r" {2,}", "\n    ", line) for line in EXAMPLES.splitlines())


def overview(commands: Mapping[str, Described], width: int | None = None) -> str:
    """The page of `drafthouse --help`, for a terminal of `width` columns if it has one."""
    listed = "\n".join(f"{name:19} {one.about}" for name, one in commands.items())
    return fitted(
        f"MTP or DFlash, on your model, on your prompts.\n\n{examples(width)}\n\nCommands\n{indented(listed)}\n\n"
        f"Options of a run\n{indented(OPTIONS)}\n\nKeys of a run: drafthouse run --help",
        width,
    )


def run_help(width: int | None = None) -> str:
    """The page of `drafthouse run --help`: examples, groups, and conf/config.yaml with its comments."""
    groups = "\n".join(f"{group:12} {', '.join(options(group))}" for group in GROUPS)
    keys = (CONF / "config.yaml").read_text(encoding="utf-8").partition("experiment: null\n")[2]
    keys = keys.partition("\nhydra:")[0]
    keys = "\n".join(line for line in keys.splitlines() if "override hydra/" not in line).strip()
    drafters = (CONF / "drafters" / "known.yaml").read_text(encoding="utf-8").strip()
    return fitted(
        f"{examples(width)}\n\nOptions\n{indented(OPTIONS)}\n\nGroups, as GROUP=NAME (drafthouse list says more)\n"
        f"{indented(groups)}\n\nKeys, as KEY=VALUE\n{indented(keys)}\n\n"
        f"Keys of each arm, as drafters.ARM.KEY=VALUE\n{indented(drafters)}\n\n"
        "Keys of a group stand in its files: target.KEY in conf/target, dataset.KEY in conf/dataset.",
        width,
    )


def options(group: str) -> list[str]:
    """The names that a config group offers."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
