"""`python -m harness.train target|mtp|dflash|pair`: make the embedded pair, or drafters for any Gemma 4 target."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import hydra
from omegaconf import DictConfig

from harness.errors import EXIT_BAD_INPUT, EXIT_CRASH, EXIT_INTERRUPTED, EXIT_OK, InputError
from harness.training.config import read_config

CONF = Path(__file__).resolve().parent.parent / "conf"
_exit_codes: list[int] = []


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(composed: DictConfig) -> None:
    try:
        config = read_config(composed)
        from harness.training.recipes import run

        run(config)
        _exit_codes.append(EXIT_OK)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        _exit_codes.append(EXIT_BAD_INPUT)
    except Exception:
        traceback.print_exc()
        _exit_codes.append(EXIT_CRASH)


def main() -> int:
    """Run the recipe named first, `pair` when none is; returns the exit code."""
    if len(sys.argv) > 1 and "=" not in sys.argv[1] and not sys.argv[1].startswith("-"):
        sys.argv[1] = f"recipe={sys.argv[1]}"
    try:
        job()
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from the last checkpoint", file=sys.stderr)
        return EXIT_INTERRUPTED
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EXIT_CRASH
        # Hydra ends with 1 when it cannot compose what was asked for, which is bad input.
        return EXIT_BAD_INPUT if code == EXIT_CRASH and not _exit_codes else code
    return max(_exit_codes, default=EXIT_OK)


if __name__ == "__main__":
    sys.exit(main())
