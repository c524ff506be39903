"""Executes the settings that `harness.advise` prints, as they stand, and counts the rounds that they take.

A program (transformers) runs in this process: first whole, then its last assignment to `output` again for each prompt.
A command runs in a shell of its own, in an empty folder, until its server is healthy; the server is then asked prompt
by prompt. Each gives tokens and rounds per prompt; the pass over the prompt, which gives the first token, is no round.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.conformance.wheel_server import install
from harness.engines.client import Client
from harness.engines.llama_cpp.server import parameters_of
from harness.engines.llama_cpp.stream import read_stream
from harness.engines.session import Request, generation_of
from harness.engines.vllm.server import ServerSession
from harness.engines.worker import EngineError
from harness.records.rounds import Generation
from harness.vocabulary import ROOT

START_S = 170.0
VLLM_URL, LLAMA_URL = "http://127.0.0.1:8000", "http://127.0.0.1:8080"  # their servers' own ports
VLLM_BIN = Path(os.environ.get("VLLM_ENVIRONMENT", ROOT / ".venv-vllm")) / "bin"

Prompts = Sequence[Sequence[int]]
Counted = list[tuple[int, int]]  # tokens after the first, and rounds, of each prompt


def sections(printed: str) -> dict[str, dict[str, str]]:
    """The texts to paste in the output of `harness.advise`: by heading ("DFlash at k=15") and by engine's title."""
    found: dict[str, dict[str, str]] = {}
    heading, title = "", ""
    for line in printed.splitlines():
        if line.startswith("# settings for "):
            heading, title = line.removeprefix("# settings for "), ""
            found[heading] = {}
        elif heading and line.startswith("# "):
            title = line.removeprefix("# ").partition(" (")[0]
            found[heading][title] = ""
        elif heading and not line:
            heading = ""
        elif heading and title:
            found[heading][title] += line + "\n"
    return found


def run_program(text: str, prompts: Prompts) -> Counted:
    """A Python program that loads a `target` and assigns to `output`."""
    import torch

    names: dict[str, Any] = {"__name__": "__pasted__"}
    exec(compile(text, "<pasted>", "exec"), names)
    calls = [node for node in ast.parse(text).body if isinstance(node, ast.Assign) and _names(node) == ["output"]]
    answer = compile(ast.Module([calls[-1]], []), "<pasted>", "exec")
    passes, counted = [0], []
    handle = names["target"].register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        names["inputs"], passes[0] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, 0
        with torch.inference_mode():
            exec(answer, names)
        counted.append((names["output"].shape[1] - len(prompt) - 1, passes[0] - 1))
    handle.remove()
    return counted


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


@contextmanager
def serving(text: str, folder: Path, url: str, search: Sequence[Path | str], **environment: str) -> Iterator[None]:
    """The shell's commands `text`, the last of which serves at `url`; `search` stands before PATH.

    Raises EngineError, with the log's last lines, where they end or take too long, and where `url` answers before.
    """
    if healthy(url):
        raise EngineError(f"{url} is served already: what follows would measure another server")
    path = os.pathsep.join([*map(str, search), os.environ["PATH"]])
    log = folder / "log"
    with log.open("w") as file:
        started = subprocess.Popen(
            ["bash", "-e", "-c", text], cwd=folder, env={**os.environ, **environment, "PATH": path},
            stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        began = time.monotonic()
        while not healthy(url):
            if started.poll() is not None or time.monotonic() - began > START_S:
                ended = f"ended with code {started.returncode}" if started.returncode is not None else "did not start"
                raise EngineError(f"{ended}: {log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.3)
        yield
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def healthy(url: str) -> bool:
    try:
        Client(url, 5).get("/health")
    except EngineError:
        return False
    return True


def count(made: Sequence[Generation]) -> Counted:
    """Raises EngineError where the server's counts gave no rounds."""
    if not all(one.rounds for one in made if len(one.token_ids) > 1):
        raise EngineError("the server's counts do not fit its tokens")
    return [(sum(r.emitted for r in one.rounds), len(one.rounds)) for one in made]


def run_vllm(text: str, k: int, prompts: Prompts, request: Request, folder: Path) -> Counted:
    """vLLM in its own environment, which is no place for this one's packages."""
    with serving(text, folder, VLLM_URL, [VLLM_BIN], PYTHONPATH="", HF_HUB_OFFLINE="1"):
        session = ServerSession(VLLM_URL, k=k)
        return count([session.decode([list(prompt)], request)[0] for prompt in prompts])


def run_llama(text: str, k: int, prompts: Prompts, request: Request, folder: Path) -> Counted:
    """llama.cpp's server from its wheel under the name llama-server; `python` is this one."""
    install(folder)
    with serving(text, folder, LLAMA_URL, [folder, Path(sys.executable).parent], PYTHONPATH=_with_root()):
        return count([ask_llama(Client(LLAMA_URL), list(prompt), request) for prompt in prompts])


def _with_root() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))


def ask_llama(client: Client, prompt: list[int], request: Request) -> Generation:
    """One answer; its rounds follow from the counts in the stream."""
    body = {
        "prompt": prompt, "n_predict": request.max_new_tokens, **parameters_of(request, None), "ignore_eos": False,
        "return_tokens": True, "cache_prompt": False, "stream": True, "timings_per_token": True,
    }  # fmt: skip
    started = time.perf_counter()
    with client.stream("/completion", body) as lines:
        answer, _ = read_stream(lines, started)
    return generation_of(prompt, answer, request, None)


def run(title: str, text: str, k: int, prompts: Prompts, request: Request, folder: Path) -> Counted:
    """The rounds of the text for the engine `title`."""
    if title == "transformers":
        return run_program(text, prompts)
    folder.mkdir(parents=True)
    runners: dict[str, Callable[..., Counted]] = {"vLLM": run_vllm, "llama.cpp": run_llama}
    return runners[title](text, k, prompts, request, folder)
