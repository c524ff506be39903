"""Pages that are shared show neither a machine's folders nor a command that runs there alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.places import command_text, short_path, without_places
from harness.vocabulary import ASSETS, PACKAGE, ROOT

NAMES = st.text("abcXYZ019_-", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (str(ASSETS / "mtp"), "harness/assets/mtp"),
        ("/home/somebody/models/gemma", "gemma"),
        ("C:\\Users\\somebody\\gemma", "gemma"),
        ("google/gemma-4-31B-it", "gemma-4-31B-it"),
        ("/cache/hub/models--google--gemma-4-31B-it/snapshots/0a1b2c", "google/gemma-4-31B-it"),
    ],
)
def test_a_path_is_shown_from_the_repository_by_its_hub_name_or_by_its_last_part(path: str, shown: str) -> None:
    assert short_path(path) == shown


@pytest.mark.parametrize(
    "text",
    ["633 tokens/s, 12 ms/round", "either/or", "see https://example.org/a/b", "harness/assets/mtp", "a / b", "~/x/y"],
)
def test_what_is_no_absolute_path_stays(text: str) -> None:
    assert without_places(text) == text


@given(st.lists(NAMES, min_size=2, max_size=5), st.sampled_from(["{}", "cannot read {}: gone", "'{}'", "key={},x"]))
def test_no_folder_of_an_absolute_path_is_left(parts: list[str], around: str) -> None:
    path = "/" + "/".join(parts)
    assert without_places(around.format(path)) == around.format(parts[-1])


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ([str(PACKAGE / "__main__.py"), "dataset.limit=98"], "python -m harness dataset.limit=98"),
        (["/usr/bin/drafthouse", "drafter=[mtp, dflash]"], "drafthouse 'drafter=[mtp, dflash]'"),
        (["drafthouse race", "outputs/x"], "drafthouse race outputs/x"),
        (["/x/site-packages/harness/train.py", "recipe=mtp"], "python -m harness.train recipe=mtp"),
        ([str(PACKAGE / "__main__.py"), "+hydra.run.dir=/tmp/a", "target=path", "target.path=/m/gemma"],
         "python -m harness target=path target.path=gemma"),
        ([str(PACKAGE / "__main__.py"), f"target.path={ROOT}/harness/assets/target"],
         "python -m harness target.path=harness/assets/target"),
        ([], ""),
    ],
)  # fmt: skip
def test_a_command_can_be_pasted_and_names_no_folder_of_the_machine(command: list[str], text: str) -> None:
    assert command_text({"command": command}) == text


def test_a_run_without_a_command_has_none() -> None:
    assert command_text({}) == command_text({"command": None}) == ""
    assert Path(ROOT).is_absolute()
