"""The words that configs, records and pages share, and the folders that ship with the package: each is said once."""

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
