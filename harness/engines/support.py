"""Checks, before anything starts, that vLLM can run each arm as the configuration describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drafters.errors import InputError
from drafters.registry import KINDS, kind_of
from harness.config import Arm, RunConfig
from harness.engines.server import check_url
from harness.vocabulary import BASELINE, HARNESS

#: vLLM raises any temperature between 0 and this to it.
LEAST_TEMPERATURE = 0.01


def check_engine(config: RunConfig) -> None:
    """Raise InputError for settings that the chosen engine cannot run; the harness's own runs all."""
    engine = config.engine
    if engine.name == HARNESS:
        return
    if config.synthetic:
        raise InputError(
            f"engine={engine.name}: expected engine=harness, which alone has weights=random and synthetic_acceptance"
        )
    if not config.decoding.greedy and config.decoding.verification == "match":
        raise InputError(
            "decoding.verification=match: vLLM verifies by rejection sampling; expected rejection, or engine=harness"
        )
    decoding = config.decoding
    if 0 < decoding.temperature < LEAST_TEMPERATURE:
        raise InputError(
            f"decoding.temperature={decoding.temperature}: vLLM samples with {LEAST_TEMPERATURE} instead; expected 0, "
            f"{LEAST_TEMPERATURE} or more, or engine=harness"
        )
    check_names(config)
    theirs = [arm for arm in config.arms if arm.engine == engine.name]
    for arm in theirs:
        check_arm(arm, beside=engine.beside)
    if engine.url is None:
        engine.interpreter()
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
    """Raise InputError for entries of unknown arms, and for engine options that have a key of their own."""
    engine = config.engine
    names = [BASELINE, *config.drafters]
    for key, entries in (("url", engine.url), ("speculative", engine.speculative)):
        for name in entries if isinstance(entries, dict) else ():
            if name not in names:
                raise InputError(f"engine.{key}.{name}: unknown arm, expected one of {', '.join(names)}")
    for option, instead in (("speculative_config", "engine.speculative, per arm"), ("model", "target.path")):
        if option in engine.options:
            raise InputError(f"engine.options.{option}={engine.options[option]}: expected {instead}")
    for name, entries in engine.speculative.items():
        if (k := entries.get("num_speculative_tokens")) is not None:
            raise InputError(
                f"engine.speculative.{name}.num_speculative_tokens={k}: expected drafters.{name}.num_draft_tokens, "
                "which the records go by"
            )


def check_arm(arm: Arm, beside: bool) -> None:
    """Raise InputError for a drafter or an option that vLLM does not have.

    Beside the harness's own arms, an option describes those; `differing_conventions` then reports differences.
    """
    if arm.kind == BASELINE:
        return
    method = kind_of(arm.kind).vllm
    if method is None:
        known = ", ".join(name for name, kind in KINDS.items() if kind.vllm)
        raise InputError(f"drafter={arm.name}: vLLM has no {arm.kind} drafter, expected one of {known}")
    if beside:
        return
    for option, value in arm.options.items():
        only = method.conventions.get(option)
        if option in method.options or value is None or (only is not None and value == only):
            continue
        why = f"vLLM always does {only}" if only is not None else "vLLM has no such option"
        raise InputError(f"drafters.{arm.name}.{option}={value}: {why}; expected it left out with engine=vllm")


def differing_conventions(arm: Arm, drafter: object) -> list[str]:
    """Differences between the harness's loaded drafter and vLLM's, each with the option that would remove it.

    Acceptance may differ then; the tokens may not.
    """
    ours: Mapping[str, Any] = getattr(drafter, "conventions", {})
    method = kind_of(arm.kind).vllm
    theirs = method.conventions if method is not None else {}
    return [
        f"drafters.{arm.name}.{option} is {ours[option]} here and {value} in vLLM, so acceptance may differ"
        for option, value in theirs.items()
        if option in ours and ours[option] != value
    ]
