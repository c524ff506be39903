"""A run whose process is stopped while an arm decodes: marked in the record, counted beside the figures, and said."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.comparison import arms as arms_module
from harness.comparison.turns import TurnDecoder
from harness.metrics.clocks import ClockReading
from harness.metrics.summary import build_summary
from harness.report.console import closing, notes
from harness.run import run
from tests.helpers.decoded_runs import Configure


@pytest.mark.usefixtures("blank_charts")
def test_a_stopped_process_leaves_a_mark_and_no_time(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = arms_module.decode, [0]
    throttled = iter(range(100))

    def decode(target: Any, drafter: Any, *args: Any, **kwargs: Any) -> Any:
        made = real(target, drafter, *args, **kwargs)
        calls[0] += drafter is not None
        if drafter is not None and calls[0] == 2:  # the first prompt, after the warm-up
            made[0].decode_s += 12
            os.kill(os.getpid(), signal.SIGCONT)  # as after SIGSTOP
            time.sleep(0.01)
        return made

    monkeypatch.setattr(arms_module, "decode", decode)
    monkeypatch.setattr(TurnDecoder, "read_clocks", lambda _: ClockReading(None, next(throttled)))
    outcome = run(configure(count=2, drafter=["mtp"]), tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/generations.jsonl").read_text().splitlines()]
    assert {(row["prompt_id"], row["arm"]) for row in rows if row["taint"] == "stopped"} == {("p0", "mtp")}
    assert all(row["machine"]["wall_s"] > 0 and row["machine"]["cpu_s"] > 0 for row in rows)
    [mtp] = [row for row in outcome.summary["rows"] if row["arm"] == "mtp" and row["category"] == "all"]
    assert (mtp["generations"], mtp["untimed"], mtp["paired_prompts"]) == (2, 1, 1)
    assert mtp["decode_tok_s"] > 2, "12 s would be all of the time"
    lines = notes(outcome.summary)
    assert any(line.startswith("mtp: tainted: ") and "1 stopped (" in line for line in lines)
    assert sum(line.startswith("throttled_clocks: the CPU was throttled 2 times") for line in lines) == 1
    assert closing(outcome.summary, tmp_path / "run")[-2].startswith("noise: the baseline's pace ")
    again = build_summary(tmp_path / "run")
    assert (again["noise"], again["guards"]) == (outcome.summary["noise"], outcome.summary["guards"])
