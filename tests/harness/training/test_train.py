"""`python -m harness.train`, end to end at a tiny size: all recipes, resume after a kill, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, Gemma4AssistantForCausalLM, Gemma4ForCausalLM

from drafters.checkpoints.dflash import load_dflash
from drafters.errors import InputError
from harness.training.config import TrainConfig, read_train_config
from harness.training.loop import train
from harness.training.recipes import run, train_target
from harness.training.settings import LoopSettings


def tiny(out: Path, **changes: Any) -> TrainConfig:
    loop = {"steps": 4, "batch_tokens": 512, "precision": "fp32", "warmup_steps": 1, "max_length": 400}
    return read_train_config(
        {
            "recipe": "pair", "output_dir": str(out), "compile": False, "quality_prompts": 0,
            "tokenizer": {"vocab_size": 300, "chats": 50},
            "shape": {
                "vocab_size": 300, "hidden_size": 32, "intermediate_size": 32, "pattern": "SFSF", "head_dim": 8,
                "global_head_dim": 16, "sliding_window": 16, "max_positions": 1024,
            },
            "target_loop": loop, "drafter_loop": loop,
            "answers": {"count": 6, "batch_size": 3, "max_new_tokens": 12, "max_prompt_tokens": 300},
            "mtp": {"hidden_size": 16, "intermediate_size": 16, "steps": 2},
            "dflash": {"intermediate_size": 32, "head_dim": 8, "taps": [0, 2], "block_size": 4, "anchors": 2},
            **changes,
        }
    )  # fmt: skip


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_the_pair_recipe_leaves_loadable_folders(tmp_path: Path) -> None:
    run(tiny(tmp_path))
    target = Gemma4ForCausalLM.from_pretrained(tmp_path / "target")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "target")
    assert target.generation_config.eos_token_id == [1, tokenizer.convert_tokens_to_ids("<turn|>")]
    assistant = Gemma4AssistantForCausalLM.from_pretrained(tmp_path / "mtp")
    assert assistant.generation_config.num_assistant_tokens == 4
    assert assistant.config.backbone_hidden_size == 32
    drafter = load_dflash(tmp_path / "dflash", "drafters.dflash.path", torch.device("cpu"), torch.float32)
    assert drafter.config.input_embedding_scale == 1.0
    assert drafter.config.target_layer_ids == (0, 2)
    assert json.loads((tmp_path / "facts.json").read_text()).keys() == {"target", "mtp", "dflash"}
    assert len((tmp_path / "prompts.jsonl").read_text().splitlines()) >= 140


def test_a_killed_run_goes_on_along_the_same_loss_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny(tmp_path / "whole", target_loop={"steps": 6, "batch_tokens": 512, "precision": "fp32"})
    train_target(whole, tmp_path / "whole")
    from harness.training import loop

    class Killed(RuntimeError):
        pass

    real = loop._save

    def save_then_die(path: Path, state: dict[str, Any]) -> None:
        real(path, state)
        if state["step"] == 3:
            raise Killed

    monkeypatch.setattr(loop, "_save", save_then_die)
    cut = tiny(
        tmp_path / "cut",
        target_loop={"steps": 6, "batch_tokens": 512, "precision": "fp32", "save_every_s": 0.0},
    )
    with pytest.raises(Killed):
        train_target(cut, tmp_path / "cut")
    train_target(cut, tmp_path / "cut")
    expected = losses(tmp_path / "whole" / "runs" / "target")
    assert losses(tmp_path / "cut" / "runs" / "target") == pytest.approx(expected, rel=1e-6)
    assert len(expected) == 6
    train_target(cut, tmp_path / "cut")  # once more, with nothing left to do

    def facts(name: str) -> dict[str, float]:
        found = json.loads((tmp_path / name / "facts.json").read_text())["target"]
        return {key: found[key] for key in ("loss", "tokens", "steps")}

    assert facts("cut") == pytest.approx(facts("whole"), rel=1e-6)
    assert facts("whole")["tokens"] > 0


def test_drafters_train_for_an_existing_target_from_a_prompt_file(tmp_path: Path) -> None:
    train_target(tiny(tmp_path), tmp_path)
    prompts = tmp_path / "mine.jsonl"
    prompts.write_text('{"question": "What is 2 + 2?"}\n{"turns": ["Hello!", "And now?"]}\n')
    answers = {"path": str(prompts), "max_new_tokens": 12, "batch_size": 2}
    config = tiny(
        tmp_path / "drafter", recipe="mtp", source={"path": str(tmp_path / "target")}, answers=answers,
    )  # fmt: skip
    run(config)
    assert (tmp_path / "drafter" / "mtp" / "model.safetensors").is_file()
    rows = [json.loads(line) for line in (tmp_path / "drafter" / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(row["answer_ids"] for row in rows)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"recipe": "eagle"}, "recipe"),
        ({"hard_share": 2}, "hard_share"),
        ({"target_loop": {"steps": 0}}, "target_loop.steps"),
        ({"drafter_loop": {"precision": "fp8"}}, "drafter_loop.precision"),
        ({"drafter_loop": {"device": "gpu"}}, "drafter_loop.device"),
        ({"source": {"path": "x"}}, "source.path"),
        ({"shape": {"pattern": "SSS"}}, "pattern"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_bad_settings_are_refused_with_their_key(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=key):
        tiny(tmp_path, **changes)


def test_a_loss_that_is_not_finite_ends_a_run_before_it_is_kept(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    batch = SimpleNamespace(to=lambda device: batch, lengths=torch.ones(1))
    losses = iter([1.0, 1.0, float("nan"), 1.0])
    settings = LoopSettings(steps=4, precision="fp32", save_every_s=0.0)
    batches: Any = type("Same", (), {"__next__": lambda self: batch, "state": lambda self: {}})()
    with pytest.raises(InputError, match=r"target: the loss is nan at step 2, expected a finite number"):
        train(module, lambda _: (module(torch.ones(2)).sum() * next(losses), {}), batches, settings, tmp_path, "target")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
