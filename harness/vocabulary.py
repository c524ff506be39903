"""The words that configs, records, pages and calling scripts share, and the folders that ship: each is said once."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
#: The clone, or the folder that an installed package lies in.
ROOT = PACKAGE.parent
ASSETS = PACKAGE / "assets"
CONF = ROOT / "conf"

#: Ways to execute a round; auto is CUDA graphs on CUDA and eager elsewhere.
EXECUTIONS = ("auto", "eager", "compile", "cuda_graph")
#: Accept rules under sampling: speculative sampling, or equality with the target's own sample.
VERIFICATIONS = ("rejection", "match")
#: The arm without drafts, with which every other arm is compared.
BASELINE = "baseline"
#: The category of a row over all categories.
ALL = "all"
#: Engines, with their names for people: the harness's own loop, and others behind the same arms.
HARNESS, VLLM, LLAMA_CPP = "harness", "vllm", "llama_cpp"
ENGINE_TITLES = {HARNESS: "the harness", VLLM: "vLLM", LLAMA_CPP: "llama.cpp"}
ENGINES = tuple(ENGINE_TITLES)
#: Verdicts on losslessness; NO_VERDICT where no comparison was possible.
MISMATCH, TIE, EXACT, NO_VERDICT = "mismatch", "tie", "exact", "none"
#: From the worst on.
VERDICTS = (MISMATCH, TIE, EXACT, NO_VERDICT)
#: How the decoding of a prompt ended.
OK, ERROR = "ok", "error"

#: The ways in which a run can end, each with the exit code that a calling script sees.
EXIT_OK = 0
EXIT_CRASH = 1  # a fault of the harness itself, shown with its traceback
EXIT_BAD_INPUT = 2
EXIT_MISMATCH = 3
EXIT_ARM_FAILED = 4
EXIT_STORAGE = 5  # a full or failing disk; what was committed stays, and the same command continues
EXIT_INTERRUPTED = 130
