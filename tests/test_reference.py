"""docs/reference.md says what the commands and conf/ say, and how it is read from them."""

from __future__ import annotations

from pathlib import Path

from harness.launch.command.main import COMMANDS
from tools import reference

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.text(), "run `python -m tools.reference docs/reference.md`"


def test_every_command_and_every_key_of_the_config_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in COMMANDS)
    config = (reference.CONF / "config.yaml").read_text(encoding="utf-8")
    keys = [key for key, _, _ in reference.commented(config) if key.partition(".")[0] not in ("hydra", "defaults")]
    assert len(keys) > 30 and all(f"`{key}`" in text for key in keys)


def test_a_comment_stands_for_the_key_that_follows_it() -> None:
    text = "# of a\na: 1 # beside\n\n# of b,\n# on two lines\nb:\n  c: '#x' # of c\n# lost\n\nd: null\n"
    assert list(reference.commented(text)) == [
        ("a", "1", "of a beside"),
        ("b", "", "of b, on two lines"),
        ("b.c", "'#x'", "of c"),
        ("d", "null", ""),
    ]


def test_bars_do_not_end_a_cell() -> None:
    assert reference.cell("a | b\n c") == "a \\| b c"
