"""`drafthouse race --live PROMPT`: an ordinary run on one prompt, whose answers are shown while they are written.

Arms run one after another, as in every run. The loop is the same: a thread reads the list that it appends to.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from drafters.errors import InputError
from harness.launch.resume import quoted
from harness.records.progress import bars_made_by
from harness.report.names import clean

if TYPE_CHECKING:
    from harness.decoding.batch import Batch

PROMPT_FILE = "live.jsonl"
PROMPT_ID = "live"
STDIN = "-"
FOLDER_KEY = "hydra.run.dir"
#: A look takes 0.06 ms of CPU time at 128 tokens and 0.22 ms at 1,024 (least of 200 looks, two cores of an AMD EPYC,
#: embedded tokenizer, 2026-11-28): at most half a percent of this.
SECONDS_BETWEEN_LOOKS = 0.05
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # a character whose last bytes are in the next token


def prompt_of(given: str) -> str:
    """The prompt of `--live`, `-` being stdin's. Raises InputError for one that is empty or no text."""
    source = f"--live {STDIN}" if given == STDIN else "--live"
    try:
        text = (sys.stdin.read() if sys.stdin is not None else "") if given == STDIN else given
        text.encode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: expected a prompt in UTF-8 ({error.reason})") from error
    if not text.strip():
        raise InputError(f"{source}: the prompt is empty, expected a text to continue or a question to answer")
    return text


def folder_of(overrides: Sequence[str], default: Path) -> Path:
    """The run's folder. Raises InputError for a key that the prompt has decided."""
    folder = default
    for override in overrides:
        key, equals, value = override.lstrip("+").partition("=")
        if not equals and not override.startswith("~"):
            raise InputError(f"{override}: expected KEY=VALUE of a run after --live PROMPT")
        if key in ("dataset", "dataset.path", "dataset.limit", "restarts"):
            raise InputError(f"{override}: expected no {key} beside --live, which runs its own prompt once")
        if key == FOLDER_KEY:
            folder = Path(value.strip("'\""))
    return folder


def write_prompt(prompt: str, folder: Path) -> Path:
    """The prompt as a file of one row. Raises InputError where `folder` holds another prompt's race."""
    path = folder / PROMPT_FILE
    row = json.dumps({"prompt_id": PROMPT_ID, "category": PROMPT_ID, "question": prompt}) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != row:
        raise InputError(f"{FOLDER_KEY}={folder}: it holds the race of another prompt, expected a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(row, encoding="utf-8")
    return path


def arguments_of(path: Path, folder: Path, overrides: Sequence[str]) -> list[str]:
    """The arguments of `drafthouse run`: one prompt, no cost table, then what the user asked for."""
    own = [f"{FOLDER_KEY}={quoted(str(folder))}", "dataset=jsonl", f"dataset.path={quoted(str(path))}"]
    given = {override.partition("=")[0] for override in overrides}
    defaults = [one for one in ("dataset.name=live", "costs=false", "repeats=1") if one.partition("=")[0] not in given]
    return [*(one for one in own if one.partition("=")[0] not in given), *defaults, *overrides]


class Watched:
    """The bar of a run that shows each arm's answer: as it grows on a terminal, whole elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.arm: str | None = None
        self.batch: Batch | None = None
        self.written = ""
        self.label = ""
        self._ended = threading.Event()
        self._reader: threading.Thread | None = None

    # -- what the run says -----------------------------------------------------------------------------------------

    def start(self) -> None: ...

    def draw(self, label: str, done: int) -> None:
        """The run names the prompt and arm that it decodes next, or what it does instead."""
        if label == self.label:
            return
        self.label, words = label, label.split()
        self.close()
        self.arm = words[1] if len(words) > 1 and words[0] == PROMPT_ID else None
        if self.arm is None and self.console.is_terminal:
            self.console.print(Text(label, "dim"))

    def stop(self) -> None:
        self.close()
        self.arm = None

    # -- what the loop writes --------------------------------------------------------------------------------------

    def watch(self, batch: Batch) -> None:
        """Follow `batch` if an arm is decoded, not warmed up. Called before its clock starts."""
        self.text_of(batch, [])  # the tokenizer is loaded now
        self.close()
        if self.arm is None:
            return
        self.batch, self.written = batch, ""
        self.console.print(Text(f"\n{self.arm}", "bold"))
        if self.console.is_terminal:
            self._ended.clear()
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()

    def _read(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            self.show()

    def show(self) -> None:
        """Print what was added to the answer."""
        assert self.batch is not None
        answer = self.batch.answer(0)
        if answer is not None:
            self.add(self.text_of(self.batch, list(answer.token_ids)))

    def add(self, text: str) -> None:
        """Print the part of `text` that is new, without a character that is not whole yet."""
        whole = text.rstrip(UNFINISHED)
        if len(whole) > len(self.written):
            self.console.print(Text(clean(whole[len(self.written) :])), end="", soft_wrap=True)
            self.written = whole

    def close(self) -> None:
        """Print the rest of the arm's answer and its time; the reader has ended before."""
        self._ended.set()
        if self._reader is not None:
            self._reader.join()
            self._reader = None
        if self.batch is None:
            return
        self.show()
        answer, self.batch = self.batch.done.get(0), None
        seconds = (
            "" if answer is None else f"{len(answer.token_ids)} tokens · {answer.prefill_s + answer.decode_s:.2f} s"
        )
        self.console.print(Text(f"\n{seconds or 'stopped early'}", "dim"))

    @staticmethod
    def text_of(batch: Batch, token_ids: list[int]) -> str:
        """Token ids as text; their numbers where the target has no tokenizer."""
        from harness.decoding.text import to_text

        try:
            return to_text(batch.decoder.target, token_ids)
        except InputError:
            return " ".join(map(str, token_ids))


def run_live(
    prompt: str, overrides: Sequence[str], default: Path, run: Callable[[], int], console: Console
) -> tuple[int, Path]:
    """Run the arms on `prompt` through `run`, the command that reads sys.argv; its exit code, and the run's folder.

    Raises InputError for overrides that do not go with a prompt, and for a folder that holds another race.
    """
    from harness.decoding.batch import batches_shown_to

    folder = folder_of(overrides, default)
    sys.argv = ["drafthouse", *arguments_of(write_prompt(prompt, folder), folder, overrides)]
    shown = Watched(console)
    with ExitStack() as stack:
        stack.enter_context(bars_made_by(lambda progress: shown))
        stack.enter_context(batches_shown_to(shown.watch))
        return run(), folder
