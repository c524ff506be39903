"""The tutorial's commands work: those of the embedded models run, shortened; the others compose."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness.launch import exit_codes
from harness.launch.command.main import COMMANDS, main
from harness.vocabulary import EXIT_OK

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
DRAFTHOUSE = [shlex.split(line)[1:] for line in LINES if line.startswith("drafthouse")]
#: What the runs of the tutorial are shortened to here.
SHORT = ["dataset.limit=2", "max_new_tokens=4", "num_draft_tokens=2", "costs=false", "target.threads=1"]


def is_run(words: list[str]) -> bool:
    return not words or words[0] == "-m" or "=" in words[0]


def is_embedded(words: list[str]) -> bool:
    """A run that needs nothing but this repository."""
    return is_run(words) and not any(word.startswith("target=") for word in words)


def test_every_line_is_a_command_of_this_project() -> None:
    others = [line for line in LINES if not line.startswith("drafthouse")]
    assert others == ["make setup", "source .venv/bin/activate"]
    assert len(DRAFTHOUSE) >= 12
    assert all(is_run(words) or words[0] in (*COMMANDS, "--help") for words in DRAFTHOUSE)


@pytest.mark.parametrize("words", [one for one in DRAFTHOUSE if is_run(one)], ids=" ".join)
def test_every_run_composes_and_is_checked(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir

    from harness.config import read_config
    from harness.vocabulary import CONF

    given = [word for word in words if word != "-m" and not word.startswith("hydra.")]
    if "-m" in words:  # the first job
        given = [word.partition(",")[0] for word in given]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = read_config(compose("config", overrides=given))
    assert [arm.kind for arm in config.arms] == ["mtp", "dflash"]


@pytest.mark.usefixtures("own_signals", "blank_charts")
def test_the_embedded_commands_run_in_their_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [rows] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "my.jsonl").write_text(rows)
    ran = []
    for words in DRAFTHOUSE:
        if is_run(words) and not is_embedded(words):
            continue
        exit_codes.forget()
        code = main([*words, *(SHORT if is_run(words) else [])])
        said = capsys.readouterr()
        assert code == EXIT_OK, (words, said.err)
        ran.append(words[0])
    exit_codes.forget()
    assert {"--help", "report", "race", "list", "compare", "advise"} <= set(ran)
    assert (tmp_path / "outputs/first/report.html").is_file()
    assert len((tmp_path / "outputs/prompts/prompts.jsonl").read_text().splitlines()) == 2
