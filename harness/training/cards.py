"""Model cards with measured figures: training facts, quality on held-out prompts, acceptance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.target.load import load_drafter, load_target
from harness.tasks.chat import load_tokenizer
from harness.tasks.prompts import read_jsonl
from harness.training.answers import render
from harness.training.corpus.tables import table
from harness.training.measures import acceptance_length, evaluate
from harness.vocabulary import ALL

Figures = dict[str, Any]
GREEDY_K = {"mtp": (1, 2, 4, 7), "dflash": (4, 7, 15)}
SAMPLED_K = {"mtp": (4,), "dflash": (4,)}


def measure(out: Path, per_kind: int) -> Figures:
    """Quality and acceptance of the folders in `out`; kept in `measured.json`, since it takes minutes."""
    target = load_target(str(out / "target"))
    tokenizer = load_tokenizer(str(out / "target"))
    quality, _ = evaluate(target, tokenizer, per_kind)
    prompts, taken = [], dict.fromkeys(quality, 0)
    for prompt in read_jsonl(out / "prompts.jsonl"):
        if taken[prompt.category] < per_kind:
            taken[prompt.category] += 1
            prompts.append((prompt.category, render(tokenizer, prompt.messages(), thinking=False)))
    acceptance: Figures = {}
    for name in ("mtp", "dflash"):
        drafter = load_drafter(name, str(out / name), target=target)
        for k in GREEDY_K[name]:
            acceptance[f"{name} k={k}"] = acceptance_length(target, drafter, prompts, k)
        for k in SAMPLED_K[name]:
            acceptance[f"{name} k={k}, temperature 1"] = acceptance_length(target, drafter, prompts, k, temperature=1.0)
    figures = {"quality": quality, "acceptance": acceptance, "prompts": len(prompts)}
    (out / "measured.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def _quality_table(quality: Figures) -> str:
    rows = []
    for kind, f in quality.items():
        right = f"{f['score']:.0%} of {f['keys']:.0f}" if f["keys"] else "no keys"
        rows.append([kind, f"{f['ended']:.0%}", f"{f['repeated']:.3f}", right, f"{f['tokens']:.0f}"])
    return table(["kind", "ends with a stop token", "repeated 8-grams", "right answers", "tokens"], rows)


def _acceptance_table(acceptance: Figures, name: str) -> str:
    chosen = {label: f for label, f in acceptance.items() if label.startswith(name)}
    kinds = [k for k in next(iter(chosen.values())) if k != ALL]
    rows = [[label, f"{f[ALL]:.2f}", *(f"{f.get(k, float('nan')):.2f}" for k in kinds)] for label, f in chosen.items()]
    return table(["", ALL, *kinds], rows)


def _training(facts: Figures) -> str:
    minutes, hardware = facts["seconds"] / 60, facts["hardware"]
    parts = [
        f"{facts['parameters'] / 1e6:.2f}M parameters; {facts['steps']:.0f} steps, {minutes:.0f} minutes on {hardware} "
        f"(torch {facts['torch']}); last mean loss {facts['loss']:.3f}."
    ]
    if "answers" in facts:
        parts.append(
            f"Data: {facts['answers']:.0f} answers of the target itself ({facts['answer_tokens'] / 1e3:.0f}k tokens), "
            "with its soft labels. MTP and DFlash get the same answers, steps and batch size."
        )
    parts += [str(note) for note in facts.get("notes", [])]
    return "\n\n".join(parts)


def _read(folder: Path) -> Figures:
    config: Figures = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _target_words(config: Figures) -> str:
    """The target's structure, in words."""
    kinds = "".join(kind[0].upper() for kind in config["layer_types"])
    parts = [f"layers {kinds} (S sliding over {config['sliding_window']} tokens, F full)"]
    if config["attention_k_eq_v"]:
        parts.append("keys that serve as values in full layers")
    if config["num_kv_shared_layers"]:
        parts.append(f"the last {config['num_kv_shared_layers']} reading keys and values of earlier ones")
    if config["hidden_size_per_layer_input"]:
        parts.append(f"embeddings of {config['hidden_size_per_layer_input']} values per layer")
    return "; ".join(parts)


def _opening(out: Path, name: str) -> tuple[str, str]:
    """Title and first paragraph of a card."""
    config = _read(out / name)
    if name == "target":
        what = "A small Gemma 4 text model (`gemma4_text`), trained from scratch on the procedural corpus of "
        what += "`harness/training/corpus`. It answers only the kinds of prompts it was trained on. Its structure: "
        return "Embedded target", f"{what}{_target_words(config)}."
    if name == "mtp":
        head = f" Its head is ordered: {config['num_centroids']} clusters of tokens, of which the best "
        head += f"{config['centroid_intermediate_top_k']} are scored."
        what = f"A {config['text_config']['num_hidden_layers']}-layer assistant (`gemma4_assistant`) for the target "
        what += "beside it, trained unrolled over its draft steps."
        return "Embedded MTP assistant", what + head * config["use_ordered_embeddings"]
    what = f"A {config['num_hidden_layers']}-layer block drafter (`DFlashDraftModel`, block {config['block_size']}) "
    what += "for the target beside it. It takes the target's embedding rows unscaled (`input_embedding_scale` 1.0)."
    return "Embedded DFlash drafter", what


def write_cards(out: Path, per_kind: int, figures: Figures | None = None) -> None:
    """Write `README.md` into each folder of `out`, from `facts.json` and the figures of `measure`."""
    figures = figures or measure(out, per_kind)
    facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    for name in ("target", "mtp", "dflash"):
        title, what = _opening(out, name)
        parts = [f"# {title}", what, "## Training", _training(facts[name])]
        parts.append(f"Made by `{facts[name]['command']}`, data seed {facts[name]['seed']}.")
        if name == "target":
            parts.append(f"## Greedy answers to held-out prompts, {per_kind} per kind, fp32")
            parts.append(_quality_table(figures["quality"]))
        else:
            parts.append("## Acceptance length: tokens per round, bonus included")
            parts.append(f"On {figures['prompts']} shipped prompts, greedy unless a temperature is named.")
            parts.append(_acceptance_table(figures["acceptance"], name))
        (out / name / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
