"""A run is continued by the same run alone: its identity holds every setting that decides its records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.comparison import arms as arms_module
from harness.config import RunConfig, read_config
from harness.records.identity import VERSION
from harness.run import run
from harness.vocabulary import EXIT_OK

pytestmark = pytest.mark.usefixtures("blank_charts")

Rows = list[dict[str, Any]]


def rows() -> Rows:
    return [
        {"prompt_id": f"p{i}", "category": "sums", "turns": [f"what is {i} + 1?", "and 2 more?"], "answer": str(i + 3)}
        for i in range(2)
    ]


def configuration(pair: dict[str, str], path: Path, asked: Rows, **options: Any) -> RunConfig:
    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
    composed = {
        "target": {"path": pair["target"], "dtype": "float32", "device": "cpu"},
        "dataset": {"path": str(path), "scorer": "number"},
        "drafters": {"mtp": {"path": pair["mtp"]}},
        "drafter": "mtp",
        "num_draft_tokens": 2,
        "max_new_tokens": 4,
        "costs": False,
    }
    return read_config({**composed, **options})


@pytest.fixture
def ask(pair: dict[str, str], tmp_path: Path) -> Callable[..., RunConfig]:
    """A configuration that asks `rows`, which it writes into its dataset's file."""

    def make(asked: Rows, name: str = "prompts.jsonl", **options: Any) -> RunConfig:
        return configuration(pair, tmp_path / name, asked, **options)

    return make


@pytest.fixture(scope="module")
def finished(pair: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert run(configuration(pair, folder / "prompts.jsonl", rows()), folder / "run").exit_code == EXIT_OK
    return folder / "run"


@pytest.fixture
def begun(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def changed(key: str, value: Any) -> Rows:
    found = rows()
    found[1][key] = value
    return found


def untouched(run_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()}


DIFFERENCES = {
    "a later turn": (changed("turns", ["what is 1 + 1?", "and 5 more?"]), r"prompts\.asked\.p1\.turns: \S+ -> "),
    "an answer key": (changed("answer", "77"), r"prompts\.asked\.p1\.answer: \S+ -> "),
    "a category": (changed("category", "other"), r'prompts\.asked\.p1\.category: "sums" -> "other"'),
    "one prompt less": (rows()[:1], r'prompts\.asked\.p1\.category: "sums" -> \(absent\)'),
    "another order": (rows()[::-1], r"prompts\.rendered_sha256"),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_changed_prompts_do_not_continue_a_run(
    begun: Path, ask: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The refusal names what differs, comes before any weight is read, and changes no file."""
    asked, message = DIFFERENCES[what]
    before = untouched(begun)
    monkeypatch.setattr("harness.run.load_models", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(InputError, match=message):
        run(ask(asked), begun)
    assert untouched(begun) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scoring": {"timeout_s": 5.0}}, r"config\.scoring\.timeout_s: 10 -> 5"),
        ({"name": "renamed.jsonl"}, r'config\.label: "prompts" -> "renamed"'),
        ({"seed": 1}, r"config\.seed: 0 -> 1"),
    ],
)
def test_other_settings_that_decide_the_records_are_named_too(
    begun: Path, ask: Callable[..., RunConfig], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(ask(rows(), **options), begun)


def test_settings_that_change_nothing_continue_a_run(
    begun: Path, ask: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms_module, "decode", lambda *a, **k: pytest.fail("decoded again"))
    assert run(ask(rows(), strict=False, retry_errors=True, share_device=True), begun).exit_code == EXIT_OK


def test_a_lost_key_is_made_anew_where_the_manifest_shows_the_same_run(
    begun: Path, ask: Callable[..., RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    path = begun / "run_key.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"run_key\.json: expected a JSON object .* damaged or gone"):
        run(ask(rows(), seed=1), begun)
    assert run(ask(rows()), begun).exit_code == EXIT_OK
    assert path.read_bytes() == whole
    path.unlink()
    with pytest.raises(InputError, match="damaged or gone"):
        run(ask(rows(), seed=1), begun)


# -- runs that an earlier version began ------------------------------------------------------------------------------


def age(run_dir: Path) -> None:
    """Make the files those of the first version of the key."""
    path = run_dir / "run_key.json"
    kept = json.loads(path.read_text())
    config = kept["identity"]["config"]
    del kept["version"]
    for key in ("scored_by", "label", "placement"):
        del config[key]
    del config["target_as"]["eos_token_ids"]
    config["engine"]["start_timeout_s"] = 1800
    del config["engine"]["environment"], config["scoring"]["memory_mb"]  # as if they had come since
    prompts = config["prompts"]
    config["prompts"] = {key: prompts[key] for key in ("rendered_sha256", "thinking", "chat_template")}
    config["prompts"]["prompt_ids"] = ["p0", "p1"]
    path.write_text(json.dumps({**kept, "run_key": "0123456789abcdef"}))


def test_a_run_of_an_earlier_version_is_continued_and_keeps_its_key(
    begun: Path, ask: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    age(begun)
    monkeypatch.setattr(arms_module, "decode", lambda *a, **k: pytest.fail("decoded again"))
    assert run(ask(rows()), begun).exit_code == EXIT_OK
    kept = json.loads((begun / "run_key.json").read_text())
    assert (kept["version"], kept["run_key"]) == (VERSION, "0123456789abcdef")
    assert json.loads((begun / "manifest.json").read_text())["run_key"] == "0123456789abcdef"
    assert run(ask(rows()), begun).exit_code == EXIT_OK


def test_a_setting_that_came_since_counts_as_its_default(begun: Path, ask: Callable[..., RunConfig]) -> None:
    path = begun / "run_key.json"
    kept = json.loads(path.read_text())
    del kept["identity"]["config"]["scoring"]["timeout_s"]
    path.write_text(json.dumps(kept))
    with pytest.raises(InputError, match=r"differs in config\.scoring\.timeout_s: 10 -> 5\. "):
        run(ask(rows(), scoring={"timeout_s": 5.0}), begun)
    assert run(ask(rows()), begun).exit_code == EXIT_OK


@pytest.mark.parametrize("what", ["a later turn", "a category", "one prompt less"])
def test_changed_prompts_do_not_continue_an_earlier_versions_run(
    begun: Path, ask: Callable[..., RunConfig], what: str
) -> None:
    age(begun)
    asked, message = DIFFERENCES[what]
    with pytest.raises(InputError, match=message):
        run(ask(asked), begun)


def test_answer_keys_that_were_not_recorded_are_no_equal_ones(begun: Path, ask: Callable[..., RunConfig]) -> None:
    age(begun)
    with pytest.raises(InputError, match=r'asked\.p1\.answer: "\(not recorded by the earlier version'):
        run(ask(changed("answer", "77")), begun)


def test_a_later_versions_key_is_refused(begun: Path, ask: Callable[..., RunConfig]) -> None:
    path = begun / "run_key.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": VERSION + 1}))
    with pytest.raises(InputError, match=f"version={VERSION + 1}, expected {VERSION} or less"):
        run(ask(rows()), begun)
