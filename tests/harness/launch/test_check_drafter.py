"""`drafthouse check-drafter`: one line for each check, on the embedded target and on others, for one's own drafter."""

from __future__ import annotations

import pytest

from drafters.errors import InputError
from harness.decoding.contract.checks import CHECKS
from harness.launch.check_drafter import main, read_options
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK
from tests.helpers.packages import Install, drafter


@pytest.fixture
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two that cost least."""
    chosen = tuple(check for check in CHECKS if check.name in ("shapes", "seed", "batch"))
    monkeypatch.setattr("harness.decoding.contract.checks.CHECKS", chosen)


@pytest.mark.usefixtures("few_checks")
def test_a_drafter_that_keeps_to_it_has_a_line_for_each_check(
    install: Install, pair: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    install("my-pkg", {"my_pkg.py": drafter("def __init__(self, depth=1):\n        self.depth = depth")})
    code = main(["my_pkg:Mine", "--target", pair["target"], "--options", "depth=2"])
    said = capsys.readouterr()
    assert code == EXIT_OK, said
    assert said.err.startswith("Mine on ") and said.err.endswith("k 1, 2, 4, 6\n")
    assert [line.split()[:2] for line in said.out.splitlines()] == [
        ["ok", "shapes"], ["ok", "seed"], ["ok", "batch"], ["ok", "weights"],
    ]  # fmt: skip


@pytest.mark.usefixtures("few_checks")
def test_a_broken_one_has_expected_and_found_and_exit_code_1(
    install: Install, pair: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = drafter().replace("repeat(1, self.k)", "repeat(1, self.k + 1)")
    install("my-pkg", {"my_pkg.py": broken}, {"mine": "my_pkg:Mine"})
    assert main(["mine", "--target", pair["target"]]) == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("broken   shapes       expected drafts int64 [B, k] of the vocabulary;")
    assert first.endswith("found k=1, 1 rows: tokens has shape [1, 2], not [1, 1]")
    assert second == "skipped  seed         it says nothing while shapes is broken"


@pytest.mark.usefixtures("few_checks")
def test_a_trained_drafter_is_checked_with_its_checkpoint(
    pair: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dflash", "--target", pair["target"], "--path", pair["dflash"]]) == EXIT_OK
    assert main(["dflash", "--target", pair["target"]]) == EXIT_BAD_INPUT
    assert "error: --path is empty: dflash is a trained drafter, expected a checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mpt"], "drafter=mpt: expected one of mtp, dflash, lookup, oracle, random, or package.module:Class, did you"),
        (["gone:Mine"], "drafter=gone:Mine: gone cannot be imported (ModuleNotFoundError"),
        (["lookup", "--target", "/nowhere/at/all"], "--target"),
        (["lookup", "--options", "max_ngram"], "--options max_ngram: expected KEY=VALUE"),
        (["lookup", "--options", "max_ngram=0"], "drafters.lookup.max_ngram is 0, expected at least 1"),
        (["lookup", "--options", "depth=1"], "drafters.lookup.depth is no option of this drafter"),
        (["lookup", "--path", "somewhere"], "--path somewhere: lookup is no trained drafter, expected none"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == EXIT_BAD_INPUT
    said = capsys.readouterr()
    assert message in said.err and "Traceback" not in said.err
    assert said.out == ""


def test_options_are_read_as_yaml() -> None:
    assert read_options(["a=1", "b=false", "c=[1,2]", "d="]) == {"a": 1, "b": False, "c": [1, 2], "d": None}
    with pytest.raises(InputError, match="the value is no YAML"):
        read_options(["a={"])
