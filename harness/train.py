"""`python -m harness.train target|mtp|dflash|pair`: make the embedded pair, or drafters for any Gemma 4 target."""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig

from harness.report.entry import command, say, tell, through_hydra
from harness.training.config import read_train_config
from harness.vocabulary import CONF, EXIT_INTERRUPTED, EXIT_OK

GO_ON = "the same command goes on from the last checkpoint"
_exit_codes: list[int] = []


@hydra.main(version_base="1.3", config_path=str(CONF / "train"), config_name="train")
def job(composed: DictConfig) -> None:
    try:
        config = read_train_config(composed)
        from harness.training.recipes import run

        run(config)
        _exit_codes.append(EXIT_OK)
    except Exception as error:
        _exit_codes.append(tell(error, GO_ON))


@command
def main() -> int:
    """Run the recipe named first, `pair` when none is; returns the exit code."""
    if len(sys.argv) > 1 and "=" not in sys.argv[1] and not sys.argv[1].startswith("-"):
        sys.argv[1] = f"recipe={sys.argv[1]}"
    try:
        code = through_hydra(job)
    except KeyboardInterrupt:
        say(f"interrupted: {GO_ON}")
        return EXIT_INTERRUPTED
    return max(_exit_codes, default=code)


if __name__ == "__main__":
    sys.exit(main())
