"""A process that compiles captured programs: it reads a folder's path per line and answers `done`, or why not.

    python -m harness.decoding.compiled.worker

It imports torch alone. A folder holds `graph.pt` and gets `program.so`, and `program.json` where operations are
looked up by name.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

from harness.decoding.compiled import graphs, inductor_private, kernels


def compile_in(folder: Path) -> None:
    """Compile the graph of `folder`. Raises what the compiler raises."""
    graph, arguments = graphs.read(folder / "graph.pt")
    declarations = {getattr(torch.ops.drafthouse, name).default: [text] for name, text in kernels.DECLARATIONS.items()}
    with torch.no_grad():
        made = inductor_private.compile_ahead(graph, [shape.empty() for shape in arguments], declarations)
    for file in made:
        shutil.copy(file, folder / f"program{file.suffix}")


def main() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever prints would look like an answer
    torch.set_num_threads(1)
    for line in sys.stdin:
        try:
            compile_in(Path(line.strip()))
            answer = "done"
        except Exception as error:
            answer = f"{type(error).__name__}: {error}".strip().replace("\n", " ")[:500]
        answers.write(answer + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
