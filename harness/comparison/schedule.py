"""The design of a run: prompts in groups, seeds of their random numbers, and the order of arms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.tasks.prompts import Prompt

#: The derivation of seeds from the run's seed, repeat and prompt; a sampled run is continued under the same one only.
SEEDS = "hashed"


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts decoded as one batch. `first` is the index of the first in the whole order, which settles the seeds."""

    first: int
    prompts: tuple[Prompt, ...]

    @property
    def turns(self) -> int:
        return len(self.prompts[0].turns)

    def seed(self, base: int, repeat: int) -> int:
        """Row i of the group draws with this plus i, whatever the batch size.

        Seeds of one repeat are consecutive from a hashed start, so that no prompt of another repeat, or of a run with
        the next `base`, shares its random numbers. 62 bits leave room for every prompt in the seeds that engines take.
        """
        digest = hashlib.sha256(f"{base}/{repeat}".encode()).digest()
        return (int.from_bytes(digest[:8], "big") >> 2) + self.first


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a run that the process `rank` of `count` decodes, and the journals of the same run that it absorbs.

    Without `decode` nothing is decoded: the journals hold the whole run. `process` numbers the fresh processes of a run
    with restarts; each has repeats of its own.
    """

    rank: int = 0
    count: int = 1
    absorb: tuple[Path, ...] = ()
    decode: bool = True
    process: int | None = None

    def of(self, groups: Sequence[Group]) -> list[Group]:
        """Every `count`-th group, so that shares take equally long where prompts grow along the file."""
        return list(groups[self.rank :: self.count])


def groups_of(prompts: Sequence[Prompt], batch_size: int) -> list[Group]:
    """Groups of up to `batch_size` prompts with equally many turns, shorter conversations first, else in file order."""
    ordered = sorted(prompts, key=lambda prompt: len(prompt.turns))
    groups: list[Group] = []
    start = 0
    while start < len(ordered):
        turns = len(ordered[start].turns)
        end = start
        while end < min(start + batch_size, len(ordered)) and len(ordered[end].turns) == turns:
            end += 1
        groups.append(Group(start, tuple(ordered[start:end])))
        start = end
    return groups


def arm_order(arms: Sequence[str], prompt_index: int, repeat: int) -> list[str]:
    """The order in which a prompt's arms run, so that drift and after-effects fall on all arms alike.

    The orders are the rows of a Williams design (Williams 1949) and their mirrors: over a cycle of 2 x len(arms) rows
    each arm stands in each place equally often and follows each other arm equally often; a row and its mirror make
    ABBA. The row is the digit sum of `prompt_index` in base 2 x len(arms), plus `repeat`: a Thue-Morse sequence, so
    that prompts whose categories alternate with any short period still see every row.
    """
    if prompt_index < 0 or repeat < 0:
        raise ValueError(f"prompt_index={prompt_index}, repeat={repeat}: expected 0 or more")
    count = len(arms)
    if count < 2:
        return list(arms)
    cycle = 2 * count
    digits, rest = 0, prompt_index
    while rest:
        rest, digit = divmod(rest, cycle)
        digits += digit
    shift, mirrored = divmod((digits + repeat) % cycle, 2)
    zigzag = [step // 2 + 1 if step % 2 else -(step // 2) for step in range(count)]  # 0, 1, -1, 2, -2, ...
    row = [arms[(shift + offset) % count] for offset in zigzag]
    return row[::-1] if mirrored else row
