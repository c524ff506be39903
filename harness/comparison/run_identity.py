"""Builds a run's identity: every setting that changes its tokens, its scores or its label.

Two runs with the same identity may share a directory; the second continues the first. Settings that are known only once
they are resolved (`target`, `dataset`, `drafter` and others) enter it resolved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.comparison.schedule import SEEDS
from harness.config import RunConfig, read_config
from harness.config.target import AUTO
from harness.records.files import MANIFEST
from harness.records.identity import identity, semantic
from harness.records.prompts import read_prompts
from harness.records.secrets import redact_tree
from harness.records.stored import read_object
from harness.tasks.prompts import Prompt

#: Settings that enter the identity resolved.
RESOLVED = (
    *("drafter", "num_draft_tokens", "calibration", "verification", "target", "dataset", "execution", "drafters"),
    *("costs", "curve", "diagnose"),  # change no record
)
#: Paths that an identity made before models are loaded lacks.
KNOWN_ONCE_LOADED = ("config.drafters", "config.target_as")
#: Settings, apart from the prompts, that the first version of the key left out: today's values are taken for them.
ADDED = ("scored_by", "label", "placement")
ADDED_TO_PROMPTS = ("token_ids_sha256", "template_sha256")
UNRECORDED = "(not recorded by the earlier version that began this run)"


def run_identity(
    config: RunConfig,
    checkpoints: Mapping[str, Any],
    arms: Sequence[Mapping[str, Any]],
    about_prompts: Mapping[str, Any],
    prompts: Iterable[Prompt],
    target: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The identity of a run. `target` holds facts of the loaded target; without it, `arms` are those before loading."""
    settings = {key: value for key, value in redact_tree(config.to_dict()).items() if key not in RESOLVED}
    rendering = ("rendered_sha256", "token_ids_sha256", "template_sha256", "thinking", "chat_template")
    return identity(
        {
            **settings,
            "drafters": {str(arm["name"]): arm if target is not None else before_loading(arm) for arm in arms},
            **({} if target is None else {"target_as": dict(target)}),
            "placement": {"device_map": config.target.device_map, "tp_plan": config.target.tp_plan},
            "quantization": config.target.quantization,
            **({} if config.target.threads == AUTO else {"threads": config.target.threads}),
            "scorer": config.dataset.scorer,
            "scored_by": about_prompts["scoring"],
            "label": config.dataset.label,
            **({"synthetic": config.synthetic} if config.synthetic else {}),
            **({} if config.decoding.greedy else {"seeds": SEEDS}),
            "prompts": {
                **{key: about_prompts[key] for key in rendering},
                "asked": {prompt.prompt_id: asked(prompt, prompt.answer) for prompt in prompts},
            },
        },
        checkpoints,
    )


def before_loading(arm: Mapping[str, Any]) -> dict[str, Any]:
    """An arm without the values settled by its drafter or a calibration: the chosen k, the embedding's scale."""
    settled = {"input_embedding_scale", *(("num_draft_tokens", "verify_width") if "chosen_among" in arm else ())}
    return {key: value for key, value in arm.items() if key not in settled}


def asked(prompt: Any, answer: Any) -> dict[str, Any]:
    """A prompt in the identity: the category in words, every turn and the answer key as hashes."""
    conversation = [[list(pair) for pair in prompt.opening], list(prompt.turns)]
    return {
        "category": prompt.category,
        "turns": _digest(conversation),
        "answer": None if answer is None else _digest(answer),
    }


def upgrade(
    stored: Mapping[str, Any], version: int, run_dir: Path, *, given: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The `stored` identity in this code's version: settings that came later stand at their defaults.

    The first version of the key left much out. Turns and categories come from the prompts kept beside the records.
    Answer keys were not kept: they are the same where the dataset is (`about` as in the manifest). Values that cannot
    be known any more count as unchanged.
    """
    schema = read_config({"target": {"path": "none"}, "dataset": {"path": "none"}}).to_dict()
    defaults = {key: value for key, value in schema.items() if key not in RESOLVED}
    config, now = _filled(semantic(stored["config"]), semantic(defaults)), given["config"]
    if version > 1:
        return {**stored, "config": config}
    config |= {key: now[key] for key in ADDED if key not in config}
    if "target_as" in now:
        config["target_as"] = {"eos_token_ids": now["target_as"]["eos_token_ids"], **config.get("target_as", {})}
    kept, wanted = read_prompts(run_dir), now["prompts"]["asked"]
    manifest = read_object(run_dir / MANIFEST, "the dataset of its first start is unknown") or {}
    first = manifest.get("prompts") or {}
    same = bool(first) and all(first.get(key) == about[key] for key in ("file_sha256", "source"))
    ids = [str(one) for one in config.get("prompts", {}).get("prompt_ids", wanted)]
    prompts = {
        prompt_id: _as_asked(kept.get(prompt_id), wanted.get(prompt_id, {}), same) for prompt_id in dict.fromkeys(ids)
    }
    rendering = {key: value for key, value in config.get("prompts", {}).items() if key != "prompt_ids"}
    rendering |= {key: now["prompts"][key] for key in ADDED_TO_PROMPTS}
    checkpoints = {
        name: {**_only(given["checkpoints"].get(name, {}), "tensors_sha256"), **model}
        for name, model in stored["checkpoints"].items()
    }
    return {"config": {**config, "prompts": {**rendering, "asked": prompts}}, "checkpoints": checkpoints}


def _only(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: values[key]} if key in values else {}


def _filled(stored: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`stored`, with missing values from `defaults` at every depth."""
    both = {
        key: _filled(stored[key], value)
        for key, value in defaults.items()
        if isinstance(value, Mapping) and isinstance(stored.get(key), Mapping)
    }
    return {**defaults, **stored, **both}


def _as_asked(kept: Any, wanted: Mapping[str, Any], same_dataset: bool) -> Mapping[str, Any]:
    if kept is None:
        return wanted if same_dataset else {"turns": UNRECORDED}
    answer = wanted.get("answer")
    return {**asked(kept, None), "answer": answer if same_dataset or answer is None else UNRECORDED}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
