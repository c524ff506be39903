"""`drafthouse export gguf CHECKPOINT --out FILE [--type TYPE] [--target FOLDER]`: write a checkpoint for
llama.cpp.

A Gemma 4 target, its MTP assistant, or a DFlash, DFlash 2 or DSpark drafter becomes one GGUF file; a drafter takes its
vocabulary from `--target`. Memory stays at the size of the largest tensor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from drafters.checkpoints.files import resolve_folder
from harness.engines.gguf.write import DEFAULT_TYPE, FILE_TYPES, export
from harness.report.entry import command, say
from harness.vocabulary import EXIT_OK


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drafthouse export", description="Write a checkpoint for llama.cpp.")
    parser.add_argument("format", choices=["gguf"])
    parser.add_argument("checkpoint", help="a checkpoint folder or a hub id")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--type", default=DEFAULT_TYPE, choices=FILE_TYPES, help="of all matrices; vectors stay f32")
    parser.add_argument("--target", help="the target of a drafter, which has the vocabulary")
    options = parser.parse_args(arguments)
    folder = resolve_folder(options.checkpoint, "CHECKPOINT")
    target = resolve_folder(options.target, "--target") if options.target else None
    written = export(folder, options.out, options.type, target, progress=_progress())
    kinds = ", ".join(f"{count} as {name}" for name, count in sorted(written.types.items()))
    print(f"{written.path}: {written.architecture}, {sum(written.types.values())} tensors ({kinds}), "
          f"{written.bytes / 1e6:,.1f} MB")  # fmt: skip
    for note in written.notes:
        print(f"note: {note}")
    return EXIT_OK


def _progress() -> Callable[[str], None]:
    """Shows the tensor at hand where somebody watches."""
    if not sys.stderr.isatty():
        return lambda line: None
    return say


if __name__ == "__main__":
    sys.exit(main())
