"""Every figure of a run except the paired speedups, from the records alone. Definitions: harness/definitions.py.

Two tables come in: `rounds` (columns of `rounds.parquet`) and `generations` (lines of `generations.jsonl`). Sums are
taken per generation first, then per cell: dataset x category x arm x batch size x num_draft_tokens.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.frames import KEY, with_defaults
from harness.repetition import repeated_ngrams

BASELINE = "baseline"
ALL = "all"
CELL = ("dataset", "category", "arm", "batch_size", "num_draft_tokens")
# Where a table of several runs is summarised, rounds may need more than KEY to find their generation.
WIDER_KEY = ("run", "dataset", "batch_size", "num_draft_tokens", *KEY)
ROUND_SUMS = ("drafted", "accepted", "emitted", "draft_s", "verify_s", "other_s")
VERDICT_ORDER = ("mismatch", "tie", "exact")


def per_generation(rounds: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """`generations` with each one's sums over its rounds: `rounds`, `drafting_rounds`, and ROUND_SUMS.

    Also `ok`, `repeated` and `ngrams` (8-grams; both 0 without token_ids). Raises ValueError for a round whose
    generation is not there, a generation that appears twice, or counts that cannot be (see `check_rounds`).
    """
    check_rounds(rounds)
    table = with_defaults(generations).reset_index(drop=True)
    # A category that is really called so would be counted twice.
    table["category"] = table["category"].where(table["category"] != ALL, f"{ALL} (category)")
    owner = generation_index(rounds, table)
    size = len(table)
    table["rounds"] = np.bincount(owner, minlength=size)
    for name in ROUND_SUMS:
        kind = "float64" if name.endswith("_s") else "int64"
        table[name] = np.bincount(owner, weights=rounds[name].to_numpy(), minlength=size).astype(kind)
    table["drafting_rounds"] = np.bincount(owner[rounds["drafted"].to_numpy() > 0], minlength=size)
    table["ok"] = table["status"] == "ok"
    if "token_ids" in table:
        table["repeated"], table["ngrams"] = repeated_ngrams(table["token_ids"].tolist())
    else:
        table["repeated"] = table["ngrams"] = 0
    return table


def check_rounds(rounds: pd.DataFrame) -> None:
    """Raise ValueError unless 0 <= accepted <= drafted and 1 <= emitted <= accepted + 1 in every round."""
    drafted, accepted, emitted = (rounds[name].to_numpy() for name in ("drafted", "accepted", "emitted"))
    wrong = (accepted < 0) | (accepted > drafted) | (emitted < 1) | (emitted > accepted + 1)
    if wrong.any():
        row = rounds.iloc[int(np.argmax(wrong))]
        raise ValueError(
            f"{int(wrong.sum())} rounds are impossible, the first: prompt {row['prompt_id']}, arm {row['arm']}, "
            f"round {row['round']}: drafted {row['drafted']}, accepted {row['accepted']}, emitted {row['emitted']}; "
            "expected 0 <= accepted <= drafted and 1 <= emitted <= accepted + 1"
        )


def generation_index(rounds: pd.DataFrame, generations: pd.DataFrame) -> NDArray[np.intp]:
    """Row of `generations` that each round belongs to, [rounds].

    Joined on every column of WIDER_KEY that both tables have. Raises ValueError as `per_generation` does.
    """
    names = [name for name in WIDER_KEY if name in rounds and name in generations]
    of_generation = np.zeros(len(generations), dtype=np.int64)
    of_round = np.zeros(len(rounds), dtype=np.int64)
    for name in names:
        values = pd.Index(generations[name].unique())
        of_generation = of_generation * len(values) + values.get_indexer(generations[name])
        of_round = of_round * len(values) + _codes(rounds[name], values)
    keys = pd.Index(of_generation)
    if not keys.is_unique:
        twice = generations.loc[keys.duplicated(), names].iloc[0].to_dict()
        raise ValueError(f"generations: {twice} appears more than once, expected one row each")
    index = keys.get_indexer(pd.Index(of_round))
    if (index < 0).any():
        lost = rounds.loc[index < 0, names].iloc[0].to_dict()
        raise ValueError(f"{int((index < 0).sum())} rounds have no generation, the first: {lost}")
    return index


def _codes(column: pd.Series, values: pd.Index) -> NDArray[np.int64]:
    """Place of each entry in `values`; an absent one gets a code far below any sum of real ones."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = values.get_indexer(pd.Index(column.cat.categories))[column.cat.codes.to_numpy()]
    else:
        codes = values.get_indexer(pd.Index(column))
    return np.where(codes < 0, -(2**40), codes).astype(np.int64)


def position_counts(drafted: NDArray[np.integer], accepted: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rounds by (drafted, accepted): [D+1, D+1] with D the largest drafted."""
    side = int(drafted.max(initial=0)) + 1
    flat = np.bincount(drafted.astype(np.int64) * side + accepted, minlength=side * side)
    return flat.reshape(side, side)


def per_position(counts: NDArray[np.integer]) -> pd.DataFrame:
    """Acceptance at each draft position from `position_counts`; one row per position 1..D.

    Columns `position_rounds`, `position_unconditional`, `position_conditional`, as harness/definitions.py states them.
    When every round drafts the same count, the unconditional ones sum to mean(accepted) and are the running product of
    the conditional ones; with unequal counts each sums over the rounds that drafted so far.
    """
    deep = counts[::-1].cumsum(axis=0)[::-1]  # [d, a]: rounds with drafted >= d and accepted == a
    both = deep[:, ::-1].cumsum(axis=1)[:, ::-1]  # [d, a]: rounds with drafted >= d and accepted >= a
    j = np.arange(1, len(counts))
    proposed, accepted, reached = both[j, 0], both[j, j], both[j, j - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "position": j,
                "position_rounds": proposed,
                "position_unconditional": accepted / proposed,
                "position_conditional": accepted / reached,
            }
        )


def cell_metrics(rounds: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, `all` categories included; columns in the order of harness/definitions.py.

    Sorted by dataset, batch size, category (`all` first), arm (the baseline first) and num_draft_tokens.
    Raises as `per_generation` does.
    """
    table = per_generation(rounds, generations)
    owner = generation_index(rounds, table)
    doubled = pd.concat([table.assign(category=ALL), table], ignore_index=True)
    ok = doubled[doubled["ok"]]
    cells = _totals(doubled, ok)
    _add_acceptance(cells, ok)
    _add_speed(cells, ok)
    _add_quality(cells, ok)
    _add_positions(cells, rounds, table, owner)
    return _sorted(cells.reset_index())


def _totals(doubled: pd.DataFrame, ok: pd.DataFrame) -> pd.DataFrame:
    cells = doubled.groupby(list(CELL))["ok"].agg(errors=lambda column: int((~column).sum()))
    grouped = ok.groupby(list(CELL))
    sums = grouped[["rounds", "drafting_rounds", *ROUND_SUMS, "prefill_s", "decode_s", "repeated", "ngrams"]].sum()
    cells = cells.join(sums)
    cells["prompts"] = grouped["prompt_id"].nunique()
    cells["generations"] = grouped.size()
    cells["tokens"] = grouped["new_tokens"].sum()
    for reason in ("eos", "length"):
        cells[f"finish_{reason}"] = (ok["finish_reason"] == reason).groupby([ok[name] for name in CELL]).sum()
    for verdict in VERDICT_ORDER:
        cells[f"verdict_{verdict}"] = (ok["verdict"] == verdict).groupby([ok[name] for name in CELL]).sum()
    counts = [
        *("prompts", "generations", "rounds", "drafting_rounds", "tokens", "drafted", "accepted", "emitted"),
        *("finish_eos", "finish_length", *(f"verdict_{verdict}" for verdict in VERDICT_ORDER)),
    ]
    cells[counts] = cells[counts].fillna(0).astype("int64")
    judged = sum(cells[f"verdict_{verdict}"] for verdict in VERDICT_ORDER)
    cells["verdict_none"] = cells["generations"] - judged
    cells["verdict"] = "none"
    for verdict in reversed(VERDICT_ORDER):
        cells.loc[cells[f"verdict_{verdict}"] > 0, "verdict"] = verdict
    cells["truncated_share"] = cells["finish_length"] / cells["generations"]
    return cells


def _add_acceptance(cells: pd.DataFrame, ok: pd.DataFrame) -> None:
    rounds = cells["rounds"].where(cells["rounds"] > 0)
    drafted = cells["drafted"].where(cells["drafted"] > 0)
    with_rounds = ok[ok["rounds"] > 0]
    prompts = with_rounds.groupby([*CELL, "prompt_id"])[["emitted", "rounds"]].sum()
    own_mean = with_rounds["emitted"] / with_rounds["rounds"]
    cells["acceptance_length"] = cells["emitted"] / rounds
    cells["acceptance_length_prompt_mean"] = (prompts["emitted"] / prompts["rounds"]).groupby(level=list(CELL)).mean()
    cells["acceptance_length_raw"] = 1 + cells["accepted"] / rounds
    cells["acceptance_rate"] = cells["accepted"] / drafted
    cells["mean_drafted"] = cells["drafted"] / rounds
    cells["verified_slots_used"] = cells["emitted"] / (cells["drafted"] + rounds)
    drafting = cells["drafting_rounds"].where(cells["drafting_rounds"] > 0)
    cells["al_as_vllm"] = 1 + cells["accepted"] / drafting
    cells["al_as_specbench"] = cells["acceptance_length_raw"]
    cells["al_as_dflash"] = own_mean.groupby([with_rounds[name] for name in CELL]).mean()
    cells["al_as_gptfast"] = cells["accepted"] / rounds
    cells["al_as_specforge"] = cells["tokens"] / rounds


def _add_speed(cells: pd.DataFrame, ok: pd.DataFrame) -> None:
    grouped = ok.groupby(list(CELL))
    rounds = cells["rounds"].where(cells["rounds"] > 0)
    decode_s = cells["decode_s"].where(cells["decode_s"] > 0)
    total_s = (cells["prefill_s"] + cells["decode_s"]).where(lambda seconds: seconds > 0)
    cells["decode_tok_s"] = (cells["tokens"] - cells["generations"]) / decode_s
    cells["end_to_end_tok_s"] = cells["tokens"] / total_s
    cells["ttft_ms"] = grouped["prefill_s"].median() * 1e3
    cells["ttft_p95_ms"] = grouped["prefill_s"].quantile(0.95) * 1e3
    for part in ("draft", "verify", "other"):
        cells[f"{part}_ms"] = cells[f"{part}_s"] / rounds * 1e3
    cells["unattributed_share"] = 1 - (cells["draft_s"] + cells["verify_s"] + cells["other_s"]) / decode_s
    cells["peak_memory_bytes"] = grouped["peak_memory_bytes"].max()
    round_ms = cells["draft_ms"] + cells["verify_ms"] + cells["other_ms"]
    step, memory = (_of_baseline(cells, column) for column in (round_ms, cells["peak_memory_bytes"]))
    cells["decode_step_ms"] = step.where(step > 0)
    for part in ("draft", "verify", "other"):
        cells[f"c_{part}"] = cells[f"{part}_ms"] / cells["decode_step_ms"]
    cells["predicted_speedup"] = cells["acceptance_length"] / (cells["c_draft"] + cells["c_verify"] + cells["c_other"])
    cells["peak_memory_over_baseline_bytes"] = cells["peak_memory_bytes"] - memory


def _of_baseline(cells: pd.DataFrame, column: pd.Series) -> pd.Series:
    """The baseline's value for each cell of the same dataset, category and batch size."""
    shared = ["dataset", "category", "batch_size"]
    own = column[cells.index.get_level_values("arm") == BASELINE].groupby(level=shared).first()
    wanted = pd.MultiIndex.from_arrays([cells.index.get_level_values(name) for name in shared], names=shared)
    return pd.Series(own.reindex(wanted).to_numpy(), index=cells.index)


def _add_quality(cells: pd.DataFrame, ok: pd.DataFrame) -> None:
    grouped = ok.groupby(list(CELL))
    cells["accuracy"] = grouped["score"].mean()
    cells["scored"] = grouped["score"].count()
    cells["scored"] = cells["scored"].fillna(0).astype("int64")
    cells["repeated_8grams"] = cells["repeated"] / cells["ngrams"].where(cells["ngrams"] > 0)
    looping = ok["repeated"] * 2 > ok["ngrams"]
    cells["looping_generations"] = looping.groupby([ok[name] for name in CELL]).sum()
    cells["looping_generations"] = cells["looping_generations"].fillna(0).astype("int64")


def _add_positions(cells: pd.DataFrame, rounds: pd.DataFrame, table: pd.DataFrame, owner: NDArray[np.intp]) -> None:
    groups = table.groupby(list(CELL))
    of_round = groups.ngroup().to_numpy()[owner]
    kept = table["ok"].to_numpy()[owner]
    drafted, accepted = rounds["drafted"].to_numpy(), rounds["accepted"].to_numpy()
    # Sorting once lets each cell take a slice instead of scanning every round.
    order = np.argsort(of_round[kept], kind="stable")
    drafted, accepted = drafted[kept][order], accepted[kept][order]
    edges = np.searchsorted(of_round[kept][order], np.arange(groups.ngroups + 1))
    counts: dict[tuple[object, ...], NDArray[np.int64]] = {}
    for number, cell in enumerate(groups.size().index):
        part = slice(edges[number], edges[number + 1])
        own = position_counts(drafted[part], accepted[part])
        counts[cell] = own
        whole = (cell[0], ALL, *cell[2:])
        counts[whole] = _padded_sum(counts[whole], own) if whole in counts else own
    tables = {cell: per_position(count) for cell, count in counts.items()}
    for name in ("position_unconditional", "position_conditional", "position_rounds"):
        cells[name] = pd.Series([tables[cell][name].tolist() for cell in cells.index], index=cells.index, dtype=object)


def _padded_sum(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    side = max(len(a), len(b))
    total = np.zeros((side, side), dtype=np.int64)
    for part in (a, b):
        total[: len(part), : len(part)] += part
    return total


def _sorted(cells: pd.DataFrame) -> pd.DataFrame:
    order = cells.assign(_part=cells["category"] != ALL, _drafter=cells["arm"] != BASELINE)
    by = ["dataset", "batch_size", "_part", "category", "_drafter", "arm", "num_draft_tokens"]
    return cells.loc[order.sort_values(by, kind="stable").index].reset_index(drop=True)
