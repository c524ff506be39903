"""Published kinds of drafter that no layout here reads: an error can then name the kind of a file."""

from __future__ import annotations

from typing import Any

from drafters.errors import InputError
from drafters.layouts.base import Keys, architecture

#: A part of `architectures`, `speculators_model_type` or `projector_type` in lower case, and the kind it stands for.
KINDS = {
    "peagle": "a P-EAGLE drafter",
    "eagle3": "an EAGLE-3 drafter",
    "eagle": "an EAGLE drafter",
    "dspark": "a DSpark drafter of another layout",
    "domino": "a Domino drafter",
    "lilicorr": "a LiLiCorr drafter",
    "jetspec": "a JetSpec drafter of speculators' layout",
    "dflare": "a DFlare drafter",
    "dfly": "a DFly drafter",
    "pard": "a PARD drafter",
    "medusa": "a Medusa drafter",
    "hydra": "a Hydra drafter",
    "mtp": "an MTP drafter of another layout",
    "dflash2": "a DFlash 2 drafter of another layout",
    "dflash": "a DFlash drafter of another layout",
}


def other_drafter(raw: dict[str, Any]) -> str | None:
    """The kind of a drafter whose config.json no layout recognises; None for an unknown kind."""
    marks = f"{architecture(raw)} {raw.get('speculators_model_type')}".lower().replace("-", "").replace("_", "")
    return next((kind for part, kind in KINDS.items() if part in marks), None)


def check_projector(keys: Keys, *read: str) -> None:
    """Raises InputError for heads on a DFlash trunk whose projector type is not one of `read`."""
    projector = keys.get("projector_type")
    if projector is not None and projector not in read:
        kind = next((kind for part, kind in KINDS.items() if part == str(projector).lower()), "an unknown kind of head")
        raise keys.error(f"projector_type is {projector!r}: {kind}, which is not read; expected {' or '.join(read)}")


def check_no_markov(keys: Keys) -> None:
    """Raises InputError for a DSpark head on a layout that has none."""
    if rank := keys.get("markov_rank"):
        raise keys.error(
            f"markov_rank is {rank!r}: a DSpark drafter of another layout, whose Markov head is not read; expected "
            "DSpark in DeepSpec's or speculators' layout, or the plain DFlash part of it"
        )
    keys.knows("markov_head_type")  # says nothing where there is no head


def refuse_quantized(raw: dict[str, Any], key: str) -> None:
    """Raises InputError for a quantized drafter: its packed tensors would be taken for weights."""
    for name in ("quantization_config", "quantization"):
        if raw.get(name):
            raise InputError(
                f"{key}: config.json has {name}: a quantized drafter, which is not read; expected the checkpoint that "
                "it was made from"
            )
