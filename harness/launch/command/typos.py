"""Says what a mistyped command line of a run probably meant.

Hydra's own messages name its grammar; these name the key, the value and the form that was expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drafters.errors import closest
from harness.launch.command.help import options
from harness.vocabulary import CONF


def unknown_option(arguments: Sequence[str]) -> str | None:
    """A line for an option that no run has: people of other tools write `--drafter mtp`."""
    for word in arguments:
        if word.startswith("--") and word.partition("=")[0] not in HYDRA_OPTIONS:
            key = word.lstrip("-")
            return f"{word}: no such option, expected KEY=VALUE, as in {key if '=' in key else f'{key}=VALUE'}"
    return None


def suggestion(arguments: Sequence[str], error: str) -> str | None:
    """A better line for a command line that Hydra refused with `error`; None where Hydra's own says it best."""
    multirun = any(word in ("-m", "--multirun") for word in arguments)
    for word in arguments:
        key, equals, value = word.partition("=")
        if not equals:
            continue
        if "," in value and not multirun and not value.startswith(("[", "{", "'", '"')) and "sweep" in error.lower():
            return f"{word}: expected {key}=[{value}] for all in one run, or -m {word} for one run each"
        if value.startswith("[") and not value.endswith("]"):
            return f"{word}: expected a list in one word: quote it, or leave out the blanks, as in {key}=[mtp,dflash]"
        plain = key.lstrip("+~")
        if (CONF / plain).is_dir() and value and f"{plain}/{value}" in error:
            return f"{word}: expected one of {', '.join(options(plain))}{closest(value, options(plain))}"
        if "not in" in error and not key.startswith(("+", "~")) and re.search(rf"'{re.escape(plain)}'", error):
            return f"{word}: no such key{closest(plain, known_keys())}; --help lists the keys"
    return None


#: Hydra's options that stand alone.
HYDRA_OPTIONS = ("--multirun", "--help", "--hydra-help", "--version", "--cfg", "--info", "--resolve", "--package",
                 "--config-dir", "--config-name", "--config-path", "--run", "--experimental-rerun",
                 "--shell-completion")  # fmt: skip


def known_keys() -> list[str]:
    """Every key of the default configuration, with dots; empty where it does not compose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = OmegaConf.to_container(compose("config"), resolve=False)
    return list(_flat(composed)) if isinstance(composed, dict) else []


def _flat(block: Mapping[Any, Any], above: str = "") -> Iterator[str]:
    for key, value in block.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
