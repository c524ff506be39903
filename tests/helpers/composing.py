"""Configurations as a command line composes them, for tests that ask for many.

Hydra reads and merges its files in 0.1 s: once for every choice of files here. Keys are set on a copy by its own code.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from harness.config import RunConfig, read_config
from harness.vocabulary import CONF


def composed(*overrides: str) -> RunConfig:
    """The checked configuration of `drafthouse run OVERRIDES`."""
    return read_config(laid_over(*overrides))


def laid_over(*overrides: str) -> Any:
    """What Hydra makes of `conf/config.yaml` and these overrides."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    config = copy.deepcopy(of_files(*(one.input_line for one in parsed if chooses_a_file(one))))
    ConfigLoaderImpl._apply_overrides_to_config([one for one in parsed if not chooses_a_file(one)], config)
    return config


def chooses_a_file(override: Override) -> bool:
    """Whether an override names a file of conf/, not a value; those that only Hydra itself understands count too."""
    if override.is_sweep_override() or override.is_hydra_override() or override.package is not None:
        return True
    return (CONF / override.key_or_group).is_dir() and not isinstance(override.value(), dict)


@cache
def of_files(*choices: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(choices))
