"""A package is found again by its key alone, and used only as it was written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.decoding.compiled import package
from harness.decoding.compiled.capture import Shape, capture
from harness.decoding.compiled.state import State, builder, flatten

ARGUMENT = torch.zeros(2, 3)


class Doubler:
    """A program over one weight and one counter."""

    def __init__(self, factor: float = 2.0, size: int = 3) -> None:
        self.weight, self.factor = torch.ones(size), factor

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return x * self.weight * self.factor, None


def key(owner: Doubler, argument: torch.Tensor = ARGUMENT) -> str:
    return package.key_of("run", State({"owner": owner}).digest(), [Shape.of(argument)])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path))


def kept(name: str, apart: str | None = None) -> Path:
    """A package whose library is a word."""
    owner = Doubler()
    _, form = flatten((ARGUMENT,))
    taken = capture(owner.run, [Shape.of(ARGUMENT)], builder(form), State({"owner": owner}))
    job = package.open_job()
    package.write_graph(taken, job)
    (job / package.PROGRAM).write_text("a library")
    package.keep(name, "run", taken, job, apart)
    return package.home() / name


def test_a_key_is_of_shapes_and_settings_and_not_of_numbers() -> None:
    other = Doubler()
    other.weight.fill_(5.0)
    assert key(Doubler()) == key(other)
    assert len({key(Doubler()), key(Doubler(3.0)), key(Doubler(size=4)), key(Doubler(), torch.zeros(4, 3))}) == 4


@pytest.mark.parametrize("what", ["code", "processor"])
def test_another_torch_code_or_processor_has_another_key(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(Doubler())
    monkeypatch.setattr(package, what, lambda: "another")
    assert key(Doubler()) != before


def test_the_version_of_torch_is_part_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    package.code.cache_clear()
    before = package.code()
    monkeypatch.setattr(package, "torch", SimpleNamespace(__version__="9.9", version=torch.version))
    package.code.cache_clear()
    assert package.code() != before
    package.code.cache_clear()


def test_a_package_is_found_as_it_was_kept() -> None:
    folder = kept("one")
    found = package.find("one")
    assert found is not None and found.library == folder / package.PROGRAM
    assert set(found.names.values()) == {".owner.weight"}
    assert found.results == [Shape.of(ARGUMENT)]
    value, nothing = builder(found.form)(iter([ARGUMENT]))
    assert value is ARGUMENT and nothing is None
    assert package.find("two") is None
    assert not list(package.home().glob("job-*"))


@pytest.mark.parametrize("file", [package.PROGRAM, package.MANIFEST, package.LITERALS])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_package_is_not_found_and_made_anew(file: str, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = kept("one") / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.unlink()
    assert package.find("one") is None
    assert "made anew" in caplog.text
    kept("one")
    assert package.find("one") is not None


def test_a_later_run_knows_that_steps_are_not_joined() -> None:
    kept("one", "rows are stored by several calls")
    kept("two")
    assert [package.find(name).apart for name in ("one", "two")] == ["rows are stored by several calls", None]


def test_a_package_in_another_ones_place_is_not_found() -> None:
    kept("one").rename(package.home() / "two")
    assert package.find("two") is None


def test_a_capture_changes_no_state_and_asks_for_no_number() -> None:
    owner = SimpleNamespace(count=torch.zeros(1, dtype=torch.long))
    state = State({"owner": vars(owner)})

    def count(x: torch.Tensor) -> torch.Tensor:
        owner.count.add_(1)
        return x + owner.count

    def ask(x: torch.Tensor) -> torch.Tensor:
        return x if bool(x.sum() > 0) else -x

    _, form = flatten((ARGUMENT,))
    taken = capture(count, [Shape.of(ARGUMENT)], builder(form), state)
    assert list(taken.names.values()) == [".owner.count"] and int(owner.count) == 0
    with pytest.raises(RuntimeError):
        capture(ask, [Shape.of(ARGUMENT)], builder(form), state)
