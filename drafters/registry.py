"""One record per kind of drafter: its code, its default k, its part in a comparison, its title and its colour.

To add a drafter, write a class with the four calls of `drafters.base.Drafter` in a file of its own and add its record
to `KINDS`. Drafters of other packages need no line here (`drafters.plugins`): their class may carry its own record, as
the attribute `record`. Code stands here as "module:name" and is imported at its first use, so that reading a config
loads neither torch nor a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pkgutil import resolve_name
from typing import Any

from drafters.errors import InputError
from drafters.plugins import load_code, load_drafter_class, offer_of, source_of

#: Tokens per round where neither config nor record names a number.
DEFAULT_K = 4


@dataclass(frozen=True)
class EngineMethod:
    """Another engine's method for a kind of drafter, under the engine's own name.

    `conventions` are choices for which the engine has no switch, in the words of the drafter's options; `options` are
    those that it takes as well.
    """

    name: str
    conventions: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One kind of drafter.

    `drafter` is its class, which takes the options of its config block. A kind with `load` is a trained network:
    `load(folder, key, device, dtype)` gives the model that the class takes first, and `check(config, target, key)`
    compares its config with the target's text config and gives a `drafters.checkpoints.fit.Fit`.
    """

    name: str
    drafter: str = ""
    load: str | None = None
    check: str | None = None
    #: `costs(config, target)` gives its `drafters.costs.shape.DraftShape`, from config.json alone; None: no floor.
    costs: str | None = None
    #: Tokens per round by default; None: all that the checkpoint drafts in a round.
    default_k: int | None = DEFAULT_K
    title: str = ""
    #: One line for a list of drafters.
    about: str = ""
    #: Light and dark, each unlike every other colour of the report; None: one of its spare colours.
    colour: tuple[str, str] | None = None
    #: The shape of its points, one of `harness/report/charts/palette.py`'s; empty: one of the report's spare shapes.
    shape: str = ""
    #: Whether its best k is worth a calibration.
    competes: bool = True
    #: Whether it calibrates the harness: tables show it, no headline or ranking counts it.
    control: bool = False
    #: Whether rounds without drafts are normal.
    may_be_silent: bool = False
    #: Whether it replays the baseline's answers (`drafters.base.Replays`): its acceptance is made, not earned.
    replays: bool = False
    #: Whether its drafts are chance: a target that accepts all of them is degenerate.
    guesses: bool = False
    #: The honest reason for low acceptance; without one, low acceptance is a fault.
    low_because: str = ""
    #: First things to check where it drafts nothing.
    if_silent: str = (
        "that its checkpoint is the right one, that it is wired to the target, and that its stop_threshold, where it "
        "has one, lets a draft through"
    )
    #: The engines that have such a drafter.
    engines: Mapping[str, EngineMethod] = field(default_factory=dict)
    #: The identity of its code (`drafters.plugins.source_of`); None for the drafters here, which runs know by commit.
    source: Mapping[str, str] | None = None

    @property
    def trained(self) -> bool:
        """True for a network, which needs a checkpoint or random weights."""
        return self.load is not None

    @property
    def drafts_blocks(self) -> bool:
        """True where a round's drafts are one block, whose size the checkpoint sets; an assistant drafts in a chain."""
        return self.trained and self.default_k is None


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "mtp",
            drafter="drafters.mtp:MTPDrafter",
            load="drafters.checkpoints.mtp:load_assistant",
            check="drafters.checkpoints.mtp:check_assistant",
            costs="drafters.costs.gemma4:assistant_shape",
            title="MTP",
            about="Gemma 4's assistant: chains one token after another",
            colour=("#0072b2", "#56b4e9"),
            shape="circle",
            engines={
                "vllm": EngineMethod("mtp", conventions={"position": "anchor-1"}),
                "llama_cpp": EngineMethod(
                    "draft-mtp",
                    conventions={"position": "anchor", "strict_window": True, "ordered_head": False},
                    options=("stop", "stop_threshold"),
                ),
            },
        ),
        Kind(
            "dflash",
            drafter="drafters.dflash.drafter:DFlashDrafter",
            load="drafters.checkpoints.dflash:load_dflash",
            check="drafters.checkpoints.dflash:check_block",
            costs="drafters.costs.block:block_shape",
            default_k=None,
            title="DFlash",
            about="a block-diffusion drafter: denoises a masked block in one pass",
            colour=("#d55e00", "#f0a030"),
            shape="square",
            engines={
                "vllm": EngineMethod(
                    "dflash", conventions={"in_block": "layer_types", "input_embedding_scale": 1.0}
                ),
                "llama_cpp": EngineMethod("draft-dflash", options=("stop", "stop_threshold")),
            },
        ),
        Kind(
            "lookup",
            drafter="drafters.controls:PromptLookupDrafter",
            title="Prompt lookup",
            about="copies the tokens that followed the last n-gram before",
            colour=("#39915a", "#35a172"),
            shape="triangle",
            control=True,
            may_be_silent=True,
            low_because="the answers repeat little of what stands before them, so lookup has nothing to copy",
            if_silent="that its n-grams are short enough, and that the answers repeat any of their prompts",
            engines={
                "vllm": EngineMethod("ngram", options=("max_ngram",)),
                "llama_cpp": EngineMethod("ngram-simple", options=("max_ngram",)),
            },
        ),
        Kind(
            "oracle",
            drafter="drafters.controls:OracleDrafter",
            title="Oracle",
            about="replays the baseline's answer: the upper bound of a perfect drafter",
            colour=("#b22263", "#dcb4c4"),
            shape="plus",
            competes=False,
            control=True,
            replays=True,
        ),
        Kind(
            "random",
            drafter="drafters.controls:RandomDrafter",
            title="Random",
            about="draws tokens by chance: the lower bound",
            colour=("#143c95", "#f5f5ec"),
            shape="cross",
            competes=False,
            control=True,
            guesses=True,
            low_because="random drafts are meant to be wrong",
            if_silent="that it is wired to the target",
        ),
    )
}


#: Records of other packages' drafters that this process uses, by the name in the config; and of those that it only read
#: about, in the files of runs.
_plugged: dict[str, Kind] = {}
_read: dict[str, Kind] = {}
#: The fields of a record that those who read a run need, and their types.
TRAITS: dict[str, type] = {
    "title": str, "competes": bool, "control": bool, "may_be_silent": bool, "replays": bool, "guesses": bool,
    "low_because": str, "if_silent": str,
}  # fmt: skip


def kind_of(name: str) -> Kind:
    """The record called `name`. An unregistered name, as the files of a run may hold, gets one without traits.

    Nothing is imported: of other packages' drafters it knows those that `find_kind` has found, and the traits that
    files of runs kept of others.
    """
    return KINDS.get(name) or _plugged.get(name) or _read.get(name) or Kind(name)


def traits_of(name: str) -> dict[str, Any]:
    """What a run's files keep of the record of another package's drafter; {} for the drafters here."""
    kind, plain = kind_of(name), Kind(name)
    if kind.source is None:
        return {}
    return {key: value for key in TRAITS if (value := getattr(kind, key)) != getattr(plain, key)}


def remember(name: str, traits: Any) -> None:
    """Know the drafter `name` of another package by its `traits_of` as a file holds them; damaged ones are left out."""
    if isinstance(traits, Mapping):
        known: dict[str, Any] = {
            key: value for key, value in traits.items() if isinstance(value, TRAITS.get(str(key), ()))
        }
        _read[name] = Kind(name, **known)


def find_kind(name: str, key: str = "drafter") -> Kind:
    """The record called `name`: one of `KINDS`, an entry point's, or that of `package.module:Class`.

    Raises InputError naming `key`.
    """
    if name not in KINDS and name not in _plugged:
        _plugged[name] = _plug(name, f"{key}={name}")
    return kind_of(name)


def _plug(name: str, where: str) -> Kind:
    """The record of another package's drafter, whose code is imported. Raises InputError beginning with `where`."""
    offer = None if ":" in name else offer_of(name, KINDS, where)
    code = name if offer is None else offer.code
    found = load_drafter_class(code, where)
    record = getattr(found, "record", Kind(name))
    if not isinstance(record, Kind):
        raise InputError(f"{where}: {code}.record is of type {type(record).__name__}, expected drafters.registry.Kind")
    if (record.load is None) != (record.check is None):
        raise InputError(f"{where}: {code}.record has one of load and check, expected both or neither")
    for part in filter(None, (record.load, record.check, record.costs)):
        load_code(part, f"{where}: {code}.record")
    package = {} if offer is None else {"package": offer.package, "version": offer.version}
    title = record.title or (name if offer is not None else found.__name__)
    source = {**package, **source_of(found)}
    return replace(record, name=name, drafter=code, title=title, colour=None, shape="", source=source)


def resolve(code: str) -> Any:
    """The class or function that a record names as "module:name"."""
    return resolve_name(code)


def resolve_draft_tokens(
    kind: str,
    asked: int | None,
    limit: int | None,
    key: str | None = None,
    why: str = "the most that one block of this checkpoint drafts",
) -> int:
    """k: `asked`, else the kind's default, else `limit`, the most that the drafter proposes in a round.

    Raises InputError naming `key` for less than 1 or more than `limit`; `why` explains the limit.
    """
    k = asked if asked is not None else kind_of(kind).default_k or limit or DEFAULT_K
    key = key or f"drafters.{kind}.num_draft_tokens"
    if k < 1:
        raise InputError(f"{key}={k}: expected 1 or more")
    if limit is not None and k > limit:
        raise InputError(f"{key}={k}: expected {limit} or less, {why}")
    return k
