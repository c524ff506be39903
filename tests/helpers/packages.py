"""Packages as an installer leaves them: modules and a dist-info folder with entry points, without running one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

DRAFTERS = "drafthouse.drafters"
Install = Callable[..., Path]

#: A whole drafter. `{body}` are further lines of the class.
DRAFTER = '''\
from drafters.base import Proposal
from drafters.registry import Kind


class Mine:
    name = "mine"
    taps = ()
    max_draft_tokens = 6
    reach = 0
    serving = None
    {body}

    def begin(self, target, batch_size, capacity, k, sampling, noise):
        self.k = k

    def start(self, prefill, row):
        pass

    def propose(self, anchor, position):
        return Proposal(anchor[:, None].repeat(1, self.k))

    def observe(self, verified, accepted):
        pass
'''


def write_dist_info(
    folder: Path, package: str, entry_points: Mapping[str, str], version: str = "1.2", summary: str = ""
) -> None:
    """The metadata of `package` with its entry points of the drafters' group."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    about = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    (info / "METADATA").write_text(about + (f"Summary: {summary}\n" if summary else ""))
    lines = "".join(f"{name} = {code}\n" for name, code in entry_points.items())
    (info / "entry_points.txt").write_text(f"[{DRAFTERS}]\n{lines}")


def write_modules(folder: Path, modules: Mapping[str, str]) -> None:
    """Files of Python by their path below `folder`."""
    for name, text in modules.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def drafter(body: str = "") -> str:
    """The text of a module with the drafter `Mine`."""
    return DRAFTER.replace("{body}", body)
