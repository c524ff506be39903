"""Programs that are compiled ahead of time: made or found as many as wanted at once, then called like functions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from torch import Tensor

from harness.decoding.compiled import inductor_private, kernels, package
from harness.decoding.compiled.capture import Capture, Shape, capture
from harness.decoding.compiled.packing import packed
from harness.decoding.compiled.rewrite import rewrite
from harness.decoding.compiled.state import State, builder, flatten
from harness.decoding.compiled.workers import Workers

log = logging.getLogger(__name__)
Show = Callable[[str], None]


def first_of(tensors: Iterator[Tensor]) -> Any:
    return next(tensors)


@dataclass
class Program:
    """`function` over the objects of `root`; a call runs `function` until a package is bound, and where none can be.

    `failure` says why it cannot be compiled, `apart` why its steps are not joined into calls of one kernel.
    """

    name: str
    function: Callable[..., Any]
    root: Callable[[], dict[str, Any]]
    failure: str | None = None
    apart: str | None = None
    is_settled: bool = False
    loaded: inductor_private.Loaded | None = field(default=None, repr=False)
    build: Callable[[Iterator[Tensor]], Any] = field(default=first_of, repr=False)

    def __call__(self, *args: Any) -> Any:
        if self.loaded is None:
            return self.function(*args)
        tensors, _form = flatten(args)
        return self.build(iter(self.loaded(tensors)))

    def bind(self, found: package.Package, state: State) -> None:
        """Run the package `found` on the tensors of `state` from now on."""
        self.is_settled, self.apart = True, found.apart
        if found.library is None:
            return
        kernels.load(package.processor())
        held = [*(tensor_of(name, state) for name in found.names.values()), *found.literals.values()]
        self.loaded, self.build = inductor_private.Loaded(str(found.library), held), builder(found.form)

    def fail(self, reason: str) -> None:
        """Stay the function, for this reason."""
        self.is_settled, self.loaded = True, None
        self.failure = " ".join(reason.split())[:300] or "no reason was given"
        log.warning("%s runs eagerly, as it could not be compiled: %s", self.name, self.failure)


def tensor_of(name: Any, state: State) -> Tensor:
    """The tensor at a path, or the packed form of several."""
    if isinstance(name, str):
        return state.tensors[name]
    gated, *paths = name
    return packed([state.tensors[path] for path in paths], gated)


@dataclass(frozen=True)
class Chain:
    """The programs of a round, each of which may take results of those before it.

    Beside each program stands the function that picks its arguments from the results so far. `ready` sets the state
    that the programs are made for.
    """

    programs: list[tuple[Program, Callable[[list[Any]], tuple[Any, ...]]]]
    ready: Callable[[], None]


@dataclass(frozen=True)
class Job:
    """A program that is being compiled in `folder`, to be kept as the package of `key`."""

    program: Program
    state: State
    key: str
    taken: Capture
    folder: Path
    apart: str | None = None

    def finish(self) -> None:
        """Keep what was compiled and run it from now on."""
        package.keep(self.key, self.program.name, self.taken, self.folder, self.apart)
        found = package.find(self.key)
        if found is None:
            raise OSError(f"the package {self.key} was written and cannot be read")
        self.program.bind(found, self.state)


class Making:
    """The programs that are being compiled; `show` takes a line whenever that changes."""

    def __init__(self, workers: Workers, show: Show) -> None:
        self.workers, self.show = workers, show
        self.running: list[Job] = []
        self.made = 0
        self.answers: SimpleQueue[tuple[Job, str | None]] = SimpleQueue()

    def start(self, job: Job) -> None:
        self.running.append(job)
        self.tell()
        self.workers.submit(job.folder, lambda reason: self.answers.put((job, reason)))

    def wait(self) -> None:
        """Wait until every job is finished."""
        while self.running:
            job, reason = self.answers.get()
            self.running.remove(job)
            if reason is None:
                attempt(job.program, job.finish)
                self.made += 1
            else:
                shutil.rmtree(job.folder, ignore_errors=True)
                job.program.fail(reason)
            if self.running:
                self.tell()

    def tell(self) -> None:
        now = ", ".join(job.program.name for job in self.running[: self.workers.count])
        self.show(f"compiling {now} ({self.made} made, {len(self.running)} left)")


def attempt(program: Program, action: Callable[[], Any]) -> Any:
    """What `action` gives; None where it fails, and then the program stays a function."""
    try:
        return action()
    except Exception as error:
        program.fail(f"{type(error).__name__}: {error}")
        return None


def prepare(chains: Iterable[Chain], show: Show = lambda line: None) -> None:
    """Bind every program of `chains` to its package; packages that no earlier run made are compiled beside each other.

    `show` takes lines that name what is being compiled and how much is left.
    """
    with Workers() as workers:
        making = Making(workers, show)
        for chain in chains:
            if not all(program.is_settled for program, _ in chain.programs):
                chain.ready()
                prepare_chain(chain, making)
        making.wait()


def prepare_chain(chain: Chain, making: Making) -> None:
    """Bind or start to compile the programs of one chain."""
    results: list[Any] = []
    for index, (program, arguments) in enumerate(chain.programs):
        result = attempt(program, partial(bind_or_start, program, arguments(results), making))
        if program.failure is not None:
            for later, _ in chain.programs[index + 1 :]:
                later.fail(f"it reads results of {program.name}")
            return
        results.append(result)


def bind_or_start(program: Program, arguments: tuple[Any, ...], making: Making) -> Any:
    """An example of the program's result, whose package is found or being made afterwards."""
    state = State(program.root())
    tensors, form = flatten(arguments)
    shapes = [Shape.of(tensor) for tensor in tensors]
    key = package.key_of(program.name, f"{state.digest()} {form}", shapes)
    found = package.find(key)
    if found is not None:
        program.bind(found, state)
        return builder(found.form)(shape.empty() for shape in found.results)
    take = partial(capture, program.function, shapes, builder(form), state)
    taken, apart = take(), None
    if not taken.is_trivial:
        try:
            rewrite(taken)
        except Exception as error:  # the kernels of single steps ask for less
            apart = f"{type(error).__name__}: {error}"
            taken = take()
            rewrite(taken, joined=False)
    job = Job(program, state, key, taken, package.open_job(), apart)
    if taken.is_trivial:
        package.write_literals(taken, job.folder)
        job.finish()
    else:
        package.write_graph(taken, job.folder)
        making.start(job)
    return builder(taken.form)(shape.empty() for shape in taken.results)
