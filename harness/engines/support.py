"""Checks, before anything starts, that the run's engine can run each arm as the configuration describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from drafters.errors import InputError
from drafters.registry import KINDS, kind_of
from harness.config import Arm, RunConfig
from harness.engines.known import ENGINES
from harness.vocabulary import BASELINE, ENGINE_TITLES, HARNESS


def check_engine(config: RunConfig) -> None:
    """Raise InputError for settings that the chosen engine cannot run; the harness's own runs all."""
    engine = config.engine
    if engine.name == HARNESS:
        return
    runs = ENGINES[engine.name]
    if config.synthetic:
        raise InputError(
            f"engine={engine.name}: expected engine=harness, which alone has weights=random and synthetic_acceptance"
        )
    if not config.decoding.greedy and config.decoding.verification == "match":
        raise InputError(
            f"decoding.verification=match: {runs.title} promises the target's distribution; expected rejection, or "
            "engine=harness"
        )
    decoding = config.decoding
    if 0 < decoding.temperature < runs.least_temperature:
        raise InputError(
            f"decoding.temperature={decoding.temperature}: {runs.title} samples with {runs.least_temperature} instead; "
            f"expected 0, {runs.least_temperature} or more, or engine=harness"
        )
    check_names(config)
    theirs = [arm for arm in config.arms if arm.engine == engine.name]
    for arm in theirs:
        check_arm(arm, beside=engine.beside)
    runs.check(config)
    if engine.url is None:
        return
    names = [arm.name for arm in theirs] + ([BASELINE] if engine.runs_baseline else [])
    if isinstance(engine.url, str) and len(names) > 1:
        asked = ", ".join(f"{engine.asked_as(name)}: http://..." for name in names)
        raise InputError(
            f"engine.url={engine.url}: one server runs one way of drafting, and the run asks for {', '.join(names)}; "
            f"expected one address per arm, engine.url={{{asked}}}"
        )
    for name in names:
        if (url := engine.url_of(name)) is not None:
            check_url(url, f"engine.url of {name}")


def check_names(config: RunConfig) -> None:
    """Raise InputError for entries of unknown arms."""
    engine = config.engine
    names = [BASELINE, *config.drafters]
    for key, entries in (("url", engine.url), ("speculative", engine.speculative)):
        for name in entries if isinstance(entries, dict) else ():
            if name not in names:
                raise InputError(f"engine.{key}.{name}: unknown arm, expected one of {', '.join(names)}")


def check_arm(arm: Arm, beside: bool) -> None:
    """Raise InputError for a drafter or an option that the arm's engine does not have.

    Beside the harness's own arms, an option describes those; `differing_conventions` then reports differences.
    """
    if arm.kind == BASELINE:
        return
    title, method = ENGINE_TITLES[arm.engine], kind_of(arm.kind).engines.get(arm.engine)
    if method is None:
        known = ", ".join(name for name, kind in KINDS.items() if arm.engine in kind.engines)
        raise InputError(f"drafter={arm.name}: {title} has no {arm.kind} drafter, expected one of {known}")
    if beside:
        return
    for option, value in arm.options.items():
        only = method.conventions.get(option)
        if option in method.options or value is None or (only is not None and value == only):
            continue
        why = f"{title} always does {only}" if only is not None else f"{title} has no such option"
        raise InputError(f"drafters.{arm.name}.{option}={value}: {why}; expected it left out with engine={arm.engine}")


def differing_conventions(config: RunConfig, drafters: Mapping[str, Any]) -> list[str]:
    """Differences between the harness's loaded `drafters`, by arm, and those of the engine's arms beside them.

    Each names the option that would remove it. Acceptance may differ then; the tokens may not.
    """
    found = []
    for arm in config.arms:
        method = kind_of(arm.kind).engines.get(arm.engine)
        own = config.engine.asked_as(arm.name)
        ours: Mapping[str, Any] = getattr(drafters.get(own), "conventions", {})
        found += [
            f"drafters.{own}.{option} is {ours[option]} here and {value} in {ENGINE_TITLES[arm.engine]}, so "
            "acceptance may differ"
            for option, value in (method.conventions if method is not None else {}).items()
            if option in ours and ours[option] != value
        ]
    return found


def check_url(url: str, key: str) -> None:
    """Raise InputError unless `url` is the address of a server."""
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{key} is {url}: expected http://HOST:PORT")
