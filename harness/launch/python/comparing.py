"""`compare(...)`: a comparison from Python, composed and run as `drafthouse run` does; without the console.

Nothing heavy is imported before the configuration is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drafters.errors import InputError
from harness.vocabulary import CONF, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.launch.python.results import Result

#: What `target` and `dataset` become where no file of conf/ has that name: the group that takes a path.
BY_PATH = {"target": "path", "dataset": "jsonl"}


def compare(
    target: str | Path = "embedded",
    drafters: str | Sequence[str] | Mapping[str, Mapping[str, Any]] = ("mtp", "dflash"),
    dataset: str | Path = "embedded",
    limit: int | None = 28,
    folder: str | Path | None = None,
    **overrides: Any,
) -> Result:
    """Compare drafters with the target's own decoding, and give the result as tables.

    `target` and `dataset`: names of `drafthouse list`, or a path or hub id of a checkpoint and a file of prompts.
    `drafters`: names of arms, or each name with its options: `{"mtp": {"num_draft_tokens": 2}, "dflash": {}}`.
    `limit`: prompts; None takes all. `folder`: where the records go, by default outputs/DATE/TIME; a folder that holds
    the same run continues it. `overrides`: any other key of the config, as a value (`max_new_tokens=64`), a group's
    name (`decoding="sampling"`), a mapping (`decoding={"temperature": 0.7}`) or with a dotted key
    (`**{"target.device": "cuda"}`).

    Raises InputError for a configuration that cannot be run, and KeyboardInterrupt where the run is interrupted: its
    records stay. An arm that failed or did not reproduce the target is in `Result.error` and `Result.exit_code`.
    """
    config = compose_config(target, drafters, dataset, limit, overrides)
    if config.plan:
        raise InputError("plan=True: expected a comparison to run; `drafthouse run plan=true` estimates one")
    run_dir = Path(folder) if folder is not None else new_folder()
    from harness.launch.device_lock import hold_device
    from harness.launch.first_line import first_line
    from harness.launch.python.results import Result
    from harness.report.entry import say
    from harness.report.page.data import read_run
    from harness.run import run
    from harness.target.devices import parse_device

    say(first_line(config, run_dir))
    with hold_device(parse_device(config.target.device), share=config.share_device, wait=False):
        outcome = run(config, run_dir, command=["harness.compare()"])
    if outcome.exit_code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt(f"interrupted: the same call with folder={str(run_dir)!r} continues it")
    return Result(run_dir, read_run(run_dir), outcome.exit_code, outcome.error)


def new_folder() -> Path:
    """outputs/DATE/TIME, as on the command line; with a number where that second has a run already."""
    now = datetime.now()
    first = Path("outputs", f"{now:%Y-%m-%d}", f"{now:%H-%M-%S}")
    folder, count = first, 1
    while folder.exists():
        count += 1
        folder = first.with_name(f"{first.name}-{count}")
    return folder


def compose_config(
    target: str | Path,
    drafters: str | Sequence[str] | Mapping[str, Mapping[str, Any]],
    dataset: str | Path,
    limit: int | None,
    overrides: Mapping[str, Any],
) -> RunConfig:
    """The checked configuration of `compare`'s arguments. Raises InputError naming the key."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    from harness.config import read_config

    groups: list[str] = []
    values: dict[str, Any] = {"dataset.limit": limit}
    for key, given in (("target", target), ("dataset", dataset)):
        choice, path = choose(key, given)
        groups.append(f"{key}={choice}")
        if path is not None:
            values[f"{key}.path"] = path
    for key, value in overrides.items():
        if isinstance(value, str) and (CONF / key).is_dir() and key != "hydra":
            groups.append(f"{key}={in_group(key, value)}")
        else:
            values[key] = str(value) if isinstance(value, Path) else value
    values["drafter"] = [drafters] if isinstance(drafters, str) else list(drafters)
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = compose("config", overrides=groups)
        with open_dict(composed):
            for key, value in values.items():
                OmegaConf.update(composed, key, value, merge=True, force_add=True)
            for name, options in drafters.items() if isinstance(drafters, Mapping) else ():
                OmegaConf.update(composed, f"drafters.{name}", dict(options), merge=True, force_add=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(" ".join(str(error).split())) from error
    return read_config(composed)


def choose(group: str, given: str | Path) -> tuple[str, str | None]:
    """The file of conf/ for `given`, and the path to set beside it. Raises InputError naming `group`."""
    text = str(given)
    if text in names(group):
        return text, None
    if isinstance(given, Path) or "/" in text or Path(text).exists():
        return BY_PATH[group], text
    raise InputError(f"{group}={text}: expected one of {', '.join(names(group))}, or a path")


def in_group(group: str, name: str) -> str:
    """`name`, if conf/ has such a file. Raises InputError naming `group`."""
    if name not in names(group):
        raise InputError(f"{group}={name}: expected one of {', '.join(names(group))}")
    return name


def names(group: str) -> list[str]:
    """The choices of one group of conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
