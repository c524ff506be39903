"""`drafthouse inspect PATH [--target PATH]`: describe a checkpoint folder or a GGUF file and list its problems.

Reads config.json and the headers of the weight files: seconds for any size. Exit code 2 for what cannot be used. With
`--measure` it loads drafter and target and looks at how the two are joined (`harness.comparison.diagnosis`).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

from drafters.checkpoints.dflash import empty_model, renamed, settled, vocabulary_problems
from drafters.checkpoints.dflash import problems_of as block_problems
from drafters.checkpoints.files import (
    Stored,
    is_local,
    read_model_config,
    read_tensors,
    resolve_folder,
    stored_tensors,
    weight_files,
)
from drafters.checkpoints.fit import check_fit
from drafters.checkpoints.mtp import empty_assistant, ordering_problems
from drafters.checkpoints.mtp import problems_of as assistant_problems
from drafters.errors import InputError
from drafters.geometry import kv_geometry, text_config
from drafters.layouts.base import Layout
from drafters.layouts.known import LAYOUTS, describe_marks, find_layout
from drafters.registry import kind_of
from harness.engines.gguf.describe import facts_of as gguf_facts
from harness.engines.gguf.fit import ROLES, check_drafter, check_same, read_target, sizes_in, sizes_of
from harness.engines.gguf.fit import problems_of as gguf_problems
from harness.engines.gguf.read import is_gguf, read_header
from harness.records.terminal import fitted, width_of
from harness.report.entry import command, say
from harness.target.describe import Facts, block_facts, mtp_facts, size_facts, target_facts
from harness.target.files import (
    TEXT_CLASSES,
    check_loadable,
    check_target,
    empty_target,
    is_quantized,
    is_target,
    stored_text,
    target_problems,
    text_config_of,
)
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK

SHOWN = 20  # problems printed; a folder with more has one cause


@dataclass
class Inspection:
    """The result: facts in the order of reading, and every reason why the folder cannot be used."""

    path: str
    facts: Facts = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        return not self.problems

    def text(self) -> str:
        width = max((len(name) for name, _ in self.facts), default=0)
        lines = [f"{self.path}"] + [f"  {name:<{width}}  {value}" for name, value in self.facts]
        for problem in self.problems[:SHOWN]:
            # Wrap between words, never inside a name.
            lines += wrap(f"problem: {problem}", 118, initial_indent="  ", subsequent_indent="           ",
                          break_long_words=False, break_on_hyphens=False)  # fmt: skip
        if len(self.problems) > SHOWN:
            lines.append(f"  and {len(self.problems) - SHOWN} more problems")
        return "\n".join([*lines, "  usable" if self.usable else "  not usable"])


def inspect(path: str, target: str | None = None) -> Inspection:
    """Inspect the folder or hub id `path`, and its fit to `target` if given."""
    found = Inspection(path)
    try:
        (_file if is_gguf(Path(path)) else _look)(found, path, target)
    except InputError as error:
        found.problems.append(str(error).removeprefix(f"{path}: "))
    return found


def _look(found: Inspection, path: str, target: str | None) -> None:
    folder = resolve_folder(path, "PATH", weights=False)
    inside = sorted(file.parent.name for file in folder.glob("*/config.json"))
    if inside and not (folder / "config.json").is_file():
        raise InputError(f"has no config.json, but its folders {', '.join(inside)} have: name one of them")
    raw = read_model_config(folder, path)
    layout = find_layout(raw)
    here = True
    try:
        weight_files(folder, path)
    except InputError as error:
        here = False
        if is_local(path):
            found.problems.append(str(error).removeprefix(f"{path}: "))
        else:
            found.facts.append(("weights", "not here; only config.json was looked at"))
    if layout is None and is_target(raw):
        _target(found, folder, raw, here)
    elif layout is None:
        known = "; ".join(f"{entry.name} ({entry.marker})" for entry in LAYOUTS)
        raise InputError(
            f"{describe_marks(raw)}: neither a Gemma 4 target ({', '.join(TEXT_CLASSES)}) nor a known drafter: {known}"
        )
    elif kind_of(layout.kind).drafts_blocks:
        _block(found, folder, layout, raw, here)
    else:
        _assistant(found, folder, layout, raw, here)
    if target is not None and layout is not None:
        _fit(found, layout, raw, target)


def _file(found: Inspection, path: str, target: str | None) -> None:
    """A GGUF file. A target is held against the checkpoint that it was made from."""
    header = read_header(Path(path), path)
    found.problems += gguf_problems(header)
    if header.architecture not in ROLES:
        return
    found.facts += gguf_facts(header)
    if target is None:
        return
    is_drafter = ROLES[header.architecture] is not None
    try:
        if is_drafter and is_gguf(Path(target)):
            check_drafter(header, sizes_of(read_target(Path(target), "--target")), "fit")
        else:
            raw = read_model_config(resolve_folder(target, "--target", weights=False), target)
            check_target(raw, "fit")
            if is_drafter:
                check_drafter(header, sizes_in(raw), "fit")
            else:
                check_same(header, raw, "fit")
        found.facts.append(("fits" if is_drafter else "is of", target))
    except InputError as error:
        found.problems.append(f"does not fit {target}: {str(error).removeprefix('fit: ')}")


def _target(found: Inspection, folder: Path, raw: dict[str, Any], here: bool) -> None:
    check_target(raw, found.path)
    found.facts += target_facts(raw)
    found.facts += [("note", note) for note in check_loadable(raw, found.path, folder)]
    config = text_config_of(raw, found.path)
    model = empty_target(config, str(raw["model_type"]), found.path)
    if not here:
        return
    tensors = stored_text(folder, found.path)
    found.facts += size_facts(tensors)
    if is_quantized(config):
        found.facts.append(("quantized", "yes; names and shapes of packed weights are not checked here"))
    else:
        found.problems += target_problems(model, tensors)


def _assistant(found: Inspection, folder: Path, layout: Layout, raw: dict[str, Any], here: bool) -> None:
    found.facts += mtp_facts(layout, raw)
    model = empty_assistant(layout.parse(raw, found.path), layout.build)
    if not here:
        return
    tensors = stored_tensors(folder, found.path)
    found.facts += size_facts(tensors)
    found.problems += assistant_problems(model, tensors)
    order = read_tensors(folder, found.path, lambda name: name if name.endswith("token_ordering") else None)
    found.problems += ordering_problems(order)


def _block(found: Inspection, folder: Path, layout: Layout, raw: dict[str, Any], here: bool) -> None:
    config = layout.parse(raw, found.path)
    tensors: dict[str, Stored] = {}
    if here:
        tensors = stored_tensors(folder, found.path, lambda name: renamed(layout, name))
        config = settled(layout, config, tensors)
    found.facts += block_facts(config)
    if here:
        found.facts += size_facts(tensors)
        found.problems += block_problems(empty_model(layout, config), tensors)
        maps = read_tensors(folder, found.path, lambda name: name if name in ("d2t", "t2d") else None)
        found.problems += vocabulary_problems(maps)


def _fit(found: Inspection, layout: Layout, raw: dict[str, Any], target: str) -> None:
    aim = read_model_config(resolve_folder(target, "--target", weights=False), target)
    try:
        check_target(aim, "fit")
        kv_geometry(text_config(aim))
        check_fit(layout.kind, raw, aim, "fit")
        found.facts.append(("fits", target))
    except InputError as error:
        found.problems.append(f"does not fit {target}: {str(error).removeprefix('fit: ')}")


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drafthouse inspect", description=__doc__.splitlines()[0])
    parser.add_argument("path", help="a checkpoint folder, a hub id or a GGUF file")
    parser.add_argument("--target", help="a target that a drafter is meant for")
    parser.add_argument(
        "--measure", action="store_true",
        help="load both, and draft with the drafter as read and as people wire it wrongly (drafthouse diagnose)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.measure and not options.target:
        raise InputError("--measure: expected --target, the target that the drafter drafts for")
    found = inspect(options.path, options.target)
    width = width_of(sys.stdout)
    print(fitted(found.text(), width))
    if options.measure and found.usable:
        from harness.comparison.diagnosis.folders import diagnose_folder  # loads what a look at headers needs not

        report = diagnose_folder(options.path, options.target, say=say)
        print(fitted("\n".join(["", *report.lines, ""]), width))
        if width is None:
            print(json.dumps(report.result))
    return EXIT_OK if found.usable else EXIT_BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
