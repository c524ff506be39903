"""Commands and settings are written down without credentials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.secrets import redact_command, redact_tree

SECRET = "s3cr3tvalue"


@pytest.mark.parametrize(
    "arguments",
    [
        [f"tracking.api_key={SECRET}"],
        [f"hub_token={SECRET}"],
        [f"+target.token={SECRET}"],
        [f"WANDB_API_KEY={SECRET}"],
        [f"--hf-token={SECRET}"],
        ["--token", SECRET],
        ["--api-key", SECRET],
        [f"target.path=https://user:{SECRET}@host/x"],
        [f"target.path=hf_{SECRET}"],
    ],
)
def test_secrets_are_removed_from_the_command(arguments: list[str]) -> None:
    assert SECRET not in " ".join(redact_command(arguments))


@given(st.lists(st.sampled_from(["num_draft_tokens=4", "max_new_tokens=64", "seed=0", "-m", "decoding.top_k=5"])))
def test_ordinary_arguments_stay_as_they_are(arguments: list[str]) -> None:
    assert redact_command(arguments) == arguments


def test_secrets_are_removed_from_nested_values() -> None:
    tree = {"num_draft_tokens": 4, "hub": [{"api_key": SECRET, "path": f"hf_{SECRET}"}], "token": None}
    assert redact_tree(tree) == {
        "num_draft_tokens": 4,
        "hub": [{"api_key": "<redacted>", "path": "<redacted>"}],
        "token": None,
    }


@pytest.mark.parametrize("name", ["revision", "run_key", "mask_token", "num_draft_tokens"])
def test_revisions_and_similar_names_are_not_secrets(name: str) -> None:
    value = "77d4202772dfe50b2396ec7bac9cfffc7b9e7057"
    assert redact_tree({name: value}) == {name: value}
    assert redact_command([f"{name}={value}"]) == [f"{name}={value}"]
