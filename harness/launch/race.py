"""`drafthouse race DIR`: replay one prompt of a run, every arm at the pace that its rounds recorded.

`drafthouse race --live PROMPT [KEY=VALUE ...]` runs the arms on a prompt of your own first, and shows them as they
write.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from importlib import import_module
from math import isfinite
from pathlib import Path

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.text import Text

from drafters.errors import InputError
from harness.launch.command.main import COMMANDS
from harness.launch.live_race import prompt_of, run_live
from harness.launch.python.comparing import new_folder
from harness.records.files import GENERATIONS
from harness.report.entry import command, say
from harness.report.page.data import RunData, read_run
from harness.report.page.race_picture import draw_race
from harness.report.page.runners import Race, Runner, find_race
from harness.vocabulary import EXIT_INTERRUPTED, EXIT_OK

FRAMES_PER_SECOND = 20
TEXT_LINES = 12


def written(runner: Runner, seconds: float) -> tuple[Text, int, int, int]:
    """The output after `seconds`, then the numbers of tokens, accepted and rejected drafts.

    The latest round's accepted drafts are lit and its rejected ones are struck-out blanks; once the runner has
    finished, nothing is lit.
    """
    done = runner.lane.rounds_at(seconds)
    text, tokens, accepted, rejected = Text(), 0, 0, 0
    if done < 0:
        return text, tokens, accepted, rejected
    text.append(runner.first)
    tokens = 1
    for number, (drafted, own, k, taken, emitted) in enumerate(runner.rounds[:done], start=1):
        latest = number == done < len(runner.rounds)
        shade = "" if runner.is_baseline else f"bold reverse {runner.colour}" if latest else runner.colour
        text.append(drafted, shade)
        if latest and k > taken:
            text.append("▯" * (k - taken), "strike red")
        text.append(own)
        tokens, accepted, rejected = tokens + emitted, accepted + taken, rejected + k - taken
    return text, tokens, accepted, rejected


def panel(race: Race, runner: Runner, seconds: float, width: int) -> Panel:
    text, tokens, accepted, rejected = written(runner, seconds)
    at = min(seconds, runner.lane.total_s)
    finished = seconds >= runner.lane.total_s
    speed = f"{tokens / at:.0f} tokens/s" if tokens and at > 0 else "reading the prompt"
    place = 1 + sum(other.lane.total_s < runner.lane.total_s for other in race.runners)
    drafts = "no drafts" if runner.is_baseline else f"{accepted} drafts accepted, {rejected} rejected"
    if not runner.lane.measured:
        drafts += "; round times not recorded, shared out evenly"
    inner = max(10, width - 4)
    lines = list(text.wrap(Console(width=inner), inner))[-TEXT_LINES:]
    body: list[RenderableType] = [
        Text(f"{tokens} of {runner.tokens} tokens · {at:.2f} s"),
        Text(speed),
        ProgressBar(total=runner.tokens, completed=tokens, width=inner, complete_style=runner.colour),
        *lines,
        *[Text()] * (TEXT_LINES - len(lines)),
        Text(drafts, "dim"),
    ]
    title = f"{runner.label} · finish, place {place}" if finished else runner.label
    return Panel(Group(*body), title=Text(title), border_style=runner.colour, width=width)


def frame(race: Race, seconds: float, width: int) -> RenderableType:
    """The race after `seconds`, side by side as far as `width` columns allow."""
    beside = max(1, min(len(race.runners), width // 34))
    each = max(20, width // beside - 1)
    asked = Text(race.prompt.strip().splitlines()[0] if race.prompt.strip() else "", "dim", no_wrap=True)
    asked.truncate(max(20, width - 1), overflow="ellipsis")
    lanes = Columns([panel(race, one, seconds, each) for one in race.runners], padding=(0, 1, 0, 0))
    return Group(Text(race.prompt_id, "bold"), asked, lanes)


def play(race: Race, console: Console, speed: float) -> None:
    """Replay `race` at `speed` times its pace; the final state at once where `console` is no terminal."""
    if not console.is_terminal:
        console.print(frame(race, race.end_s, console.width))
        return
    start = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        seconds = 0.0
        while seconds < race.end_s:
            seconds = min(race.end_s, (time.monotonic() - start) * speed)
            live.update(frame(race, seconds, console.width), refresh=True)
            if seconds < race.end_s:
                time.sleep(1 / FRAMES_PER_SECOND)


def draw(run: RunData, race: Race, place: Path, speed: float | None) -> None:
    """Write the picture of `race` to `place` and say where it is."""
    picture = draw_race(run, race, speed)
    if not place.parent.is_dir():
        raise InputError(f"--svg {place}: no such folder, expected a file in a folder that exists")
    place.write_text(picture, encoding="utf-8")
    print(f"{place}: {race.prompt_id}, {len(picture.encode()) // 1000} kB")


def pace(text: str) -> float:
    """`--speed` as a number. Raises InputError unless it is above 0."""
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found) or found <= 0:
        raise InputError(f"--speed {text}: expected a number above 0, such as 0.25 or 4")
    return found


def present(folder: Path, prompt_id: str | None, picture: Path | None, speed: float | None) -> None:
    """Draw the race of a run as `picture`, or replay it here. Raises InputError where nothing can race."""
    run = read_run(folder)
    race = find_race(run, prompt_id)
    if picture is not None:
        draw(run, race, picture, speed)
    else:
        play(race, Console(), 1.0 if speed is None else speed)


def live(given: str, overrides: Sequence[str], picture: Path | None, speed: float | None) -> int:
    """Run the arms on the prompt `given`, then present the race and name its page; the run's exit code."""
    console = Console()
    run = import_module(COMMANDS["run"].module).main
    code, folder = run_live(prompt_of(given), overrides, new_folder(), run, console)
    if code == EXIT_INTERRUPTED or not (folder / GENERATIONS).is_file():
        return code
    if picture is None and not console.is_terminal:  # the run's JSON stays the last line of a pipe
        return code
    try:
        with nullcontext() if console.is_terminal else redirect_stdout(sys.stderr):
            present(folder, None, picture, speed)
    except InputError as error:
        say(f"no race: {error}")
    say(f"page: {folder / 'report.html'}")
    return code


@command
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drafthouse race", description=__doc__)
    parser.add_argument("folder", nargs="?", metavar="DIR", help="a run directory")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="keys of the run, with --live")
    parser.add_argument("--live", metavar="PROMPT", help="run the arms on this prompt first; `-` reads it from stdin")
    parser.add_argument(
        "--speed", metavar="X", help="times the measured pace (default: 1; in a picture, slow enough to see)"
    )
    parser.add_argument("--prompt", metavar="ID", help="a prompt of the run (default: the one where arms differ most)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the race as an animated SVG instead")
    options = parser.parse_args(arguments)
    words = [word for word in (options.folder, *options.overrides) if word is not None]
    speed = None if options.speed is None else pace(options.speed)
    if options.live is not None:
        if options.prompt is not None:
            raise InputError(f"--prompt {options.prompt}: expected no --prompt with --live, which has one prompt")
        return live(options.live, words, options.svg, speed)
    if len(words) != 1:
        given = " ".join(words) or "no argument"
        raise InputError(f"{given}: expected one run directory, or --live PROMPT")
    present(Path(words[0]), options.prompt, options.svg, speed)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
