"""Takes over the baseline of another job of a sweep that decodes the same one (`sweep.share_baseline=true`).

The baseline of a one-drafter job is most of its decode time, and the jobs of a sweep over k repeat it. What is borrowed
did not run beside this job's arms, so drift of the machine between the two jobs would enter every speedup. Therefore
every SAMPLE-th prompt keeps a baseline of its own, decoded beside the arms. The noise line compares the two, and a
guard speaks up where they differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.comparison.schedule import Group
from harness.comparison.threads import Threads
from harness.config import RunConfig
from harness.metrics.noise import SAMPLE
from harness.records.files import GENERATIONS, MANIFEST, RUN_KEY, SUMMARY_JSON
from harness.records.identity import VERSION, run_key
from harness.records.journal import GenerationKey, Journal, key_of
from harness.records.journal_files import read_lines
from harness.records.stored import read_object
from harness.vocabulary import BASELINE, OK

#: Facts of the manifest, beside the identity, that two jobs must share: what decodes, and on what.
SURROUNDINGS = ("versions", "git", "hardware", "models.target", "target")


def borrow(
    config: RunConfig,
    journal: Journal,
    identity: Mapping[str, Any],
    manifest: Mapping[str, Any],
    threads: Threads,
    groups: Sequence[Group],
) -> str:
    """Copy baselines of a sibling's journal into this one, all but the sample's; one line that says so, or why not."""
    if threads.settled is None:
        return "no baseline is shared: target.threads=auto is chosen anew in every job, expected a number"
    wanted = [key for group in thinned(groups) for key in keys_of(group, config.repeats) if key not in journal.rows]
    if not wanted:
        return "no baseline is shared: nothing is left that would be"
    for folder in siblings(journal.run_dir):
        lent = sorted({*wanted} & {*finished(folder, threads.choice.count)})
        if lent and same_baseline(folder, identity, manifest):
            journal.borrow(folder, lent, folder.name)
            of = sum(1 for group in groups for _ in keys_of(group, config.repeats))
            return f"{len(lent)} of {of} generations are those of job {folder.name}, not decoded beside this job's arms"
    return "no baseline is shared: no finished job of this sweep decodes the same one"


def thinned(groups: Sequence[Group]) -> Iterator[Group]:
    """The groups whose baseline may be borrowed: all but every SAMPLE-th, the first among those."""
    return (group for index, group in enumerate(groups) if index % SAMPLE)


def keys_of(group: Group, repeats: int) -> Iterator[GenerationKey]:
    """The baseline's keys over a group."""
    for prompt in group.prompts:
        for turn in range(len(prompt.turns)):
            for repeat in range(repeats):
                yield GenerationKey(prompt.prompt_id, turn, BASELINE, repeat)


def siblings(run_dir: Path) -> list[Path]:
    """Other jobs of the sweep that left a summary, in the order of their numbers."""
    found = [path.parent for path in run_dir.parent.glob(f"*/{SUMMARY_JSON}") if path.parent != run_dir]
    return sorted((path for path in found if path.name.isdigit()), key=lambda path: int(path.name))


def finished(folder: Path, threads: int) -> Iterable[GenerationKey]:
    """The baseline's generations that `folder` decoded itself, well, and with so many threads."""
    for line in read_lines(folder / GENERATIONS):
        own = line["arm"] == BASELINE and line["status"] == OK and not line.get("borrowed_from")
        if own and not line.get("taint") and (line.get("machine") or {}).get("threads", threads) == threads:
            yield key_of(line)


def same_baseline(folder: Path, identity: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether the run in `folder` decodes the same baseline on the same machine with the same code."""
    key = read_object(folder / RUN_KEY, "its baseline is not shared")
    about = read_object(folder / MANIFEST, "its baseline is not shared")
    if key is None or about is None or key.get("version") != VERSION:
        return False
    alike = run_key(of_baseline(key["identity"])) == run_key(of_baseline(identity))
    return alike and all(plain(fact(about, name)) == plain(fact(manifest, name)) for name in SURROUNDINGS)


def of_baseline(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's identity that changes its baseline: everything but the drafters and the sharing itself."""
    config = {key: value for key, value in identity["config"].items() if key not in ("drafters", "sweep", "published")}
    return {"config": config, "checkpoints": {"target": identity["checkpoints"].get("target")}}


def fact(manifest: Mapping[str, Any], name: str) -> Any:
    found: Any = manifest
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, dict):  # the estimate covers the drafters
        return {key: value for key, value in found.items() if key != "memory_estimate"}
    return found


def plain(value: Any) -> str:
    """As JSON keeps it, so that what was read compares with what will be written."""
    return json.dumps(value, sort_keys=True, default=str)
