"""One prompt's race as an animated SVG: a README, an issue or a slide shows it without a script.

CSS keyframes move it. Everything stands in its final state by default and moves only for readers who did not ask for
reduced motion; a viewer without animations shows the final state, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, isfinite
from xml.sax.saxutils import escape

from drafters.errors import InputError
from harness.report.charts.palette import PALETTE
from harness.report.floor_words import weak_baseline
from harness.report.manifest_words import machine
from harness.report.names import clean, compact
from harness.report.page.data import RunData
from harness.report.page.facts import notices
from harness.report.page.headline import DISTURBED
from harness.report.page.race_steps import START, Chunk, Step, lay_out, steps_of
from harness.report.page.runners import Race, Runner
from harness.report.places import without_places

MAX_BYTES = 300_000
HOLD_S = 3.0  # the finish stands before the race begins again
PACES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01)
AT_LEAST_S = 5.0  # of the slowest lane, where no pace is asked for
#: Pixels; LINES of text a lane shows at once.
LANE, GAP, MARGIN, PER_ROW = 290, 14, 18, 3
CELL, LINE, LINES = 7.2, 17, 14
TOP, TEXT_AT = 84, 88
FOOT = 38
COUNT = 20  # from one state of a counter to the next
PLACES = ("1st", "2nd", "3rd")
INK = ("page", "card", "ink", "muted", "line", "bad")


def slowed(race: Race) -> float:
    """The fastest of PACES at which the slowest lane lasts AT_LEAST_S seconds."""
    return next((pace for pace in PACES if race.end_s / pace >= AT_LEAST_S), PACES[-1])


def draw_race(run: RunData, race: Race, pace: float | None = None) -> str:
    """`race` as SVG at `pace` times the measured pace, by default the one of `slowed`.

    Raises InputError where the outputs are too long for MAX_BYTES.
    """
    pace = slowed(race) if pace is None else pace
    shown_s = race.end_s / pace
    if not isfinite(shown_s) or shown_s > 3600:
        raise InputError(f"--speed {compact(pace)}: the picture would last {shown_s:.0f} s, expected at most 3600")
    loop_s = shown_s + HOLD_S
    rows = ceil(len(race.runners) / PER_ROW)
    width = 2 * MARGIN + min(PER_ROW, len(race.runners)) * (LANE + GAP) - GAP
    notes = [line for text in _notes(run, race) for line in _folded(text, (width - 2 * MARGIN) / 6.6)]
    lines = min(LINES, max(_lines(one) for one in race.runners))
    foot = TOP + rows * (TEXT_AT + lines * LINE + FOOT + GAP)
    height = foot + 18 * len(notes) + 8
    rules: list[str] = []
    lanes = [_lane(race, number, lines, 100 / (pace * loop_s), rules) for number in range(len(race.runners))]
    totals = ", ".join(f"{clean(one.label)} {one.lane.total_s:.3f} s" for one in race.runners)
    asked = " ".join(clean(race.prompt).split())
    shown = asked if len(asked) <= 115 else f"{asked[:114]}…"
    below = [
        f'<text class="note" x="{MARGIN}" y="{foot + 10 + 18 * place}">{escape(line)}</text>'
        for place, line in enumerate(notes)
    ]
    svg = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" aria-labelledby="title about">',
            f'<title id="title">{escape(f"The race on the prompt {clean(race.prompt_id)}")}</title>',
            f'<desc id="about">{escape(f"Measured seconds to the last token: {totals}.")}</desc>',
            f"<style>\n{_style(race, loop_s, rules)}</style>",
            f'<clipPath id="text"><rect width="{LANE}" height="{lines * LINE + 5}"/></clipPath>',
            f'<clipPath id="count"><rect width="{LANE}" height="18"/></clipPath>',
            f'<rect class="page" width="{width}" height="{height}" rx="12"/>',
            f'<text class="head" x="{MARGIN}" y="32">{escape(clean(race.prompt_id))}'
            f'<tspan class="note" dx="10">shown at {compact(pace)}x of the measured pace</tspan></text>',
            f'<text class="note" x="{MARGIN}" y="56">{escape(shown)}</text>',
            *lanes,
            *below,
            "</svg>\n",
        ]
    )
    size = len(svg.encode())
    if size > MAX_BYTES:
        raise InputError(
            f"--svg: the picture of {race.prompt_id} would have {size // 1000} kB, expected at most "
            f"{MAX_BYTES // 1000}: name a prompt with shorter outputs by --prompt"
        )
    return svg


def _lines(runner: Runner) -> int:
    return 1 + max((chunk.line for own in lay_out(steps_of(runner)) for chunk in own), default=0)


def _notes(run: RunData, race: Race) -> list[str]:
    """What the picture must say itself, since it leaves its run: machine and date, then what spoils its times."""
    about = [machine(run.manifest), str(run.manifest.get("created") or "")[:10]]
    said = [" · ".join(clean(without_places(part)) for part in about if part) or "machine and date not recorded"]
    said += [f"{title}: {text}" for title, text in notices(run)]
    if weak := weak_baseline([run.row(one) for one in run.series if run.row(one)]):
        said.append(f"{weak[0].upper()}{weak[1:]}.")
    if DISTURBED & {guard["code"] for guard in run.summary.get("guards", [])}:
        said.append("Other work disturbed the machine during this run: do not quote it.")
    said += [
        f"{clean(one.label)}: its tokens differ from the target's, its time does not count."
        for one in race.runners
        if one.verdict == "mismatch"
    ]
    even = [clean(one.label) for one in race.runners if not one.lane.measured]
    said += [f"Round times not recorded, shared out evenly: {', '.join(even)}."] if even else []
    return said


def _folded(text: str, cells: float) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > cells:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _style(race: Race, loop_s: float, rules: list[str]) -> str:
    """Colours for light and dark readers; motion only for those who have not asked for less of it."""
    hues = [*INK, *dict.fromkeys(one.hue for one in race.runners)]
    lights, darks = ("".join(f"--{hue}:{PALETTE[hue][side]};" for hue in hues) for side in (0, 1))
    return (
        f"svg{{{lights}}}\n"
        f"@media (prefers-color-scheme:dark){{svg{{{darks}}}}}\n"
        "text{fill:var(--ink);font:14px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
        ".page{fill:var(--page)}.card{fill:var(--card);stroke:var(--line)}.head{font-size:17px;font-weight:600}\n"
        ".note,.small{fill:var(--muted)}.note{font-size:13px;font-weight:400}.small{font-size:13px}\n"
        ".place{font-weight:600;text-anchor:end}\n"
        ".out text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}\n"
        ".out .d{fill:var(--arm);font-weight:700}.bar{fill:var(--arm)}.track{fill:var(--line)}\n"
        ".flag{stroke:var(--ink);stroke-width:2}\n"
        "@media (prefers-reduced-motion:no-preference){\n"
        f".m{{animation-duration:{loop_s:.4f}s;animation-timing-function:step-end;animation-iteration-count:infinite}}\n"
        f"{''.join(rules)}}}\n"
    )


def _lane(race: Race, number: int, lines: int, scale: float, rules: list[str]) -> str:
    """One arm. `scale` makes percent of the loop of measured seconds; the keyframes go to `rules`."""
    runner = race.runners[number]
    steps = steps_of(runner)
    at = [f"{step.at_s * scale:.4f}%" for step in steps]
    x = MARGIN + number % PER_ROW * (LANE + GAP)
    height = TEXT_AT + lines * LINE + FOOT
    y = TOP + number // PER_ROW * (height + GAP)
    text, offsets, last = [], [], 0
    for place, chunks in enumerate(lay_out(steps)):
        last = max([last, *(chunk.line for chunk in chunks)])
        offsets.append(max(0, last + 1 - lines) * LINE)
        if chunks:
            name = f"r{number}-{place}"
            _moves(rules, name, at[place : place + 1], "opacity", ["0", "1"])
            text.append(f'<g class="m {name}">{"".join(map(_chunk, chunks))}</g>')
    counts, drafts = _column([_count(runner, step) for step in (START, *steps)]), "no drafts"
    if not runner.is_baseline:
        drafts = _column([f"{step.accepted} drafts accepted, {step.rejected} rejected" for step in (START, *steps)])
    moves = [f"translateY({-COUNT * place}px)" for place in range(len(steps) + 1)]
    _moves(rules, f"c{number}", at, "transform", moves)
    shares = [f"scaleX({step.tokens / runner.tokens:.4f})" for step in steps]
    _moves(rules, f"b{number}", at, "transform", ["scaleX(0)", *shares])
    _moves(rules, f"t{number}", at, "transform", ["translateY(0)", *(f"translateY({-one}px)" for one in offsets)])
    _moves(rules, f"p{number}", at[-1:], "opacity", ["0", "1"])
    ahead = sum(other.lane.total_s < runner.lane.total_s for other in race.runners)
    foot = _column([drafts]) if runner.is_baseline else _rolling(number, moves[-1], drafts)
    place_name = PLACES[ahead] if ahead < len(PLACES) else f"{ahead + 1}th"
    inner = LANE - 24
    return "\n".join(
        [
            f'<g transform="translate({x} {y})" style="--arm:var(--{runner.hue})">',
            f'<rect class="card" width="{LANE}" height="{height}" rx="10"/>',
            f'<rect class="bar" width="{LANE}" height="4" rx="2"/>',
            f'<text class="head" x="12" y="30">{escape(clean(runner.label))}</text>',
            f'<text class="place m p{number}" x="{LANE - 12}" y="30">{place_name}</text>',
            f'<g transform="translate(12 38)"><g clip-path="url(#count)">{_rolling(number, moves[-1], counts)}</g></g>',
            f'<g transform="translate(12 62)"><rect class="track" width="{inner}" height="9" rx="2"/>'
            f'<rect class="bar m b{number}" width="{inner}" height="9" rx="2"/>'
            f'<path class="flag" d="M{inner - 3} -3v15M{inner + 1} -3v15"/></g>',
            f'<g class="out" transform="translate(12 {TEXT_AT - 6})"><g clip-path="url(#text)">'
            f'<g class="m t{number}" style="transform:translateY({-offsets[-1]}px)">{"".join(text)}</g></g></g>',
            f'<g transform="translate(12 {height - 26})"><g clip-path="url(#count)">{foot}</g></g>',
            "</g>",
        ]
    )


def _chunk(chunk: Chunk) -> str:
    mark = ' class="d"' if chunk.drafted else ""
    place = f'x="{chunk.column * CELL:.1f}" y="{13 + chunk.line * LINE}" textLength="{chunk.cells * CELL:.1f}"'
    return f"<text{mark} {place}>{escape(chunk.text)}</text>"


def _count(runner: Runner, step: Step) -> str:
    if step is START:
        return f"0 of {runner.tokens} tokens · reading the prompt"
    speed = f" · {step.tokens / step.at_s:.0f} tokens/s" if step.at_s else ""
    return f"{step.tokens} of {runner.tokens} tokens · {step.at_s:.2f} s{speed}"


def _column(texts: list[str]) -> str:
    """`texts` below each other: a counter shows one at a time."""
    return "".join(f'<text class="small" y="{14 + COUNT * place}">{one}</text>' for place, one in enumerate(texts))


def _rolling(number: int, final: str, column: str) -> str:
    return f'<g class="m c{number}" style="transform:{final}">{column}</g>'


def _moves(rules: list[str], name: str, at: list[str], key: str, values: list[str]) -> None:
    """Keyframes that set `key` to each of `values` in turn: the first at the start, the others `at` their times."""
    changes = zip(at, pairwise(values), strict=True)
    stops = "".join(f"{when}{{{key}:{value}}}" for when, (before, value) in changes if value != before)
    frames = f"0%{{{key}:{values[0]}}}{stops}to{{{key}:{values[-1]}}}"
    rules.append(f".{name}{{animation-name:{name}}}@keyframes {name}{{{frames}}}\n")
