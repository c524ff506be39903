"""Commands that decode nothing answer without loading torch; one process shows it for all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import harness
from harness.vocabulary import ROOT

PROBE = """
import json, sys
from contextlib import redirect_stdout, redirect_stderr
from io import StringIO

HEAVY = ("torch", "transformers", "pandas", "matplotlib")
loaded = {}

def step(name):
    loaded[name] = [module for module in HEAVY if module in sys.modules]

import harness, harness.records.journal
from harness import InputError
step("light modules")
from harness import status
with redirect_stdout(StringIO()):
    status.main([sys.argv[1], "--json"])
step("status")
from harness.__main__ import main
for name, arguments in (("help", ["--help"]), ("typo", ["colour=red"]), ("group", ["target=nonexistent"])):
    sys.argv = ["harness", *arguments]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as said:
        code = main()
    assert arguments[0].split("=")[-1] in said.getvalue() or "num_draft_tokens: " in out.getvalue(), said.getvalue()
    step(f"{name}: {code}")
from harness.launch.command.main import main as drafthouse
for name, arguments in (("overview", ["--help"]), ("list", ["list"]), ("word", ["lst"]), ("--version", ["--version"])):
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        code = drafthouse(arguments)
    step(f"{name}: {code}")
json.dump(loaded, sys.stdout)
"""


def test_help_typos_and_status_load_no_torch(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"jobs": []}')
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(probe.stdout) == {
        "light modules": [],
        "status": [],
        "help: 0": [],
        "typo: 2": [],
        "group: 2": [],
        "overview: 0": [],
        "list: 0": [],
        "word: 2": [],
        "--version: 0": [],
    }


def test_every_public_name_is_there_and_another_is_an_attribute_error() -> None:
    assert all(getattr(harness, name).__module__.startswith(("harness.", "drafters.")) for name in harness.__all__)
    assert not hasattr(harness, "no_such_name")
