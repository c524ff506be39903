"""Writes the steps of one call of the kernel chain.cpp: where its values lie, and the numbers that it reads."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from torch import fx

KINDS = ("norm", "add", "multiply", "scale", "gate", "rotate", "product", "store", "attend", "give", "times")
INPUT, RESULT, SHARED, OWN = range(4)
LINE = 16  # numbers; a value begins at a multiple
MEETING = ("product", "attend")  # steps whose numbers all threads compute together, and wait for


@dataclass(eq=False)
class Value:
    """`rows` of `width` numbers: an input's (`node`), or what a step makes, which all threads see if it is `shared`."""

    rows: int
    width: int
    node: fx.Node | None = None
    shared: bool = False
    result: int | None = None  # its first number in the call's result
    at: int = 0
    read: int = 0  # the last step that reads it


@dataclass(frozen=True)
class Ref:
    """Columns of a value, from `first` on."""

    value: Value
    first: int = 0

    @property
    def rows(self) -> int:
        return self.value.rows

    @property
    def width(self) -> int:
        return self.value.width

    def part(self, first: int) -> Ref:
        return Ref(self.value, self.first + first)


@dataclass(eq=False)
class Chain:
    """Steps, each a kind and its fields: Refs of values, nodes of inputs, whole numbers, floats."""

    steps: list[tuple[str, list[Any]]] = field(default_factory=list)
    work: int = 0  # multiplications of its products; a row alone takes as long as four

    def step(self, kind: str, *fields: Any) -> None:
        """Add a step. Its first field is what it makes, save for `store`."""
        if kind != "store":
            fields[0].value.shared = kind in MEETING
        self.steps.append((kind, list(fields)))

    def write(self, given: list[Value]) -> tuple[list[fx.Node], list[int]]:
        """The input nodes and the code of a call that returns the values `given`, one after the other."""
        self._drop_unread(given)
        results = 0
        for value in given:
            value.result, results = results, results + rounded(value)
            if not value.shared:
                ref = Ref(value)
                target = Value(value.rows, value.width, result=value.result)
                value.result = None
                self.step("give", Ref(target), ref, value.rows, value.width)
        for index, (_, fields) in enumerate(self.steps):
            for field_ in fields:
                if isinstance(field_, Ref):
                    field_.value.read = index
        shared, own = self._lay()
        inputs: dict[fx.Node, int] = {}
        entries: dict[tuple[Value, int], int] = {}
        written: list[int] = []
        for kind, fields in self.steps:
            written.append(KINDS.index(kind))
            for field_ in fields:
                if isinstance(field_, Ref):
                    written.append(entries.setdefault((field_.value, field_.first), len(entries)))
                elif isinstance(field_, fx.Node):
                    written.append(inputs.setdefault(field_, len(inputs)))
                elif isinstance(field_, float):
                    written.append(struct.unpack("<i", struct.pack("<f", field_))[0])
                else:
                    written.append(int(field_))
        described: list[int] = []
        for value, first in entries:
            if value.node is not None:
                lies = (INPUT, inputs.setdefault(value.node, len(inputs)))
            elif value.result is not None:
                lies = (RESULT, value.result)
            else:
                lies = (SHARED if value.shared else OWN, value.at)
            described += [*lies, first, value.width]
        meetings = sum(kind in MEETING for kind, _ in self.steps)
        head = [max(results, 1), shared, own, self.work, meetings, len(entries)]
        return list(inputs), [*head, *described, *written]

    def _drop_unread(self, given: list[Value]) -> None:
        """Leave out steps whose numbers nobody reads: those inside a larger step."""
        read, steps = set(given), []
        for kind, fields in reversed(self.steps):
            if kind == "store" or fields[0].value in read:
                steps.append((kind, fields))
                read |= {one.value for one in fields if isinstance(one, Ref)}
        self.steps = steps[::-1]

    def _lay(self) -> tuple[int, int]:
        """Give every value its place; the sizes of the shared part and of each thread's own.

        A place is used again once nobody reads it: of shared values only after the next meeting.
        """
        meetings = [index for index, (kind, _) in enumerate(self.steps) if kind in MEETING]
        sizes = {True: 0, False: 0}
        taken: dict[bool, list[Value]] = {True: [], False: []}
        for index, (kind, fields) in enumerate(self.steps):
            if kind in ("store", "give"):
                continue
            value: Value = fields[0].value
            if value.result is not None:
                continue

            def is_free(other: Value, now: int = index) -> bool:
                if not other.shared:
                    return other.read < now
                return any(other.read <= meeting < now for meeting in meetings)

            used = [other for other in taken[value.shared] if not is_free(other)]
            at = 0
            for other in sorted(used, key=lambda one: one.at):
                if at + rounded(value) <= other.at:
                    break
                at = max(at, other.at + rounded(other))
            value.at = at
            taken[value.shared] = [*used, value]
            sizes[value.shared] = max(sizes[value.shared], at + rounded(value))
        return sizes[True], sizes[False]


def rounded(value: Value) -> int:
    return -(-value.rows * value.width // LINE) * LINE
