"""Every figure of a run except the paired speedups, from the records alone. Definitions: definitions.py beside it.

Two tables come in: `rounds` (columns of `rounds.parquet`) and `generations` (lines of `generations.jsonl`). Sums are
taken per generation first, then per cell: dataset x category x arm x batch size x num_draft_tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.metrics.repetition import repeated_ngrams
from harness.metrics.strength import FLOOR_SUMS, Floors, add_strength
from harness.records.frames import KEY, with_defaults
from harness.records.rounds import TAINTS, UNTIMED
from harness.vocabulary import ALL, BASELINE, EXACT, HARNESS, MISMATCH, NO_VERDICT, OK, TIE

CELL = ("dataset", "category", "arm", "batch_size", "num_draft_tokens")
# In a table of several runs, rounds need more than KEY to find their generation.
WIDER_KEY = ("run", "dataset", "batch_size", "num_draft_tokens", *KEY)
ROUND_SUMS = ("drafted", "accepted", "emitted", "draft_s", "verify_s", "other_s")
SECONDS = ("draft_s", "verify_s", "other_s", "prefill_s", "decode_s", "wall_share_s")
VERDICT_ORDER = (MISMATCH, TIE, EXACT)


def per_generation(rounds: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """`generations` with each one's sums over its rounds: `rounds`, `drafting_rounds`, and ROUND_SUMS.

    Also `ok`, `repeated` and `ngrams` (8-grams; both 0 without token_ids). Times of UNTIMED generations become NaN;
    `timed_new_tokens` and `timed_rounds` count the other generations alone. Raises ValueError for a round without a
    generation, a generation that appears twice, or impossible counts (see `check_rounds`).
    """
    check_rounds(rounds)
    table = with_defaults(generations).reset_index(drop=True)
    # A dataset's own category of this name would be counted twice.
    table["category"] = table["category"].where(table["category"] != ALL, f"{ALL} (category)")
    owner = generation_index(rounds, table)
    size = len(table)
    table["rounds"] = np.bincount(owner, minlength=size)
    for name in ROUND_SUMS:
        kind = "float64" if name.endswith("_s") else "int64"
        table[name] = np.bincount(owner, weights=rounds[name].to_numpy(), minlength=size).astype(kind)
    # Another engine may report no rounds: then the tokens are known and their drafts are not.
    unreported = (table["engine"] != HARNESS) & (table["rounds"] == 0) & (table["new_tokens"] > 1)
    table["unreported"] = (table["new_tokens"] - 1).where(unreported, 0)
    table.loc[unreported, [name for name in ROUND_SUMS if name.endswith("_s")]] = np.nan
    table["drafting_rounds"] = np.bincount(owner[rounds["drafted"].to_numpy() > 0], minlength=size)
    table["ok"] = table["status"] == OK
    table["timed"] = ~table["taint"].isin(UNTIMED)
    table.loc[~table["timed"], list(SECONDS)] = np.nan
    for name in ("new_tokens", "rounds"):
        table[f"timed_{name}"] = table[name].where(table["timed"], 0)
    # Figures per round, and those compared with the rounds' times, rest on generations with rounds alone.
    table["tokens_with_rounds"] = table["new_tokens"].where(~unreported, 0)
    table["decode_s_with_rounds"] = table["decode_s"].where(~unreported, 0.0)
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
    """The row of `generations` that owns each round, [rounds].

    Joined on every column of WIDER_KEY that both tables have. Raises ValueError as `per_generation` does.
    """
    names = [name for name in WIDER_KEY if name in rounds and name in generations]
    of_generation, of_round = np.full(len(generations), 0), np.full(len(rounds), 0)
    absent = np.full(len(rounds), False)
    for name in names:
        values = pd.Index(generations[name].unique())
        codes = _codes(rounds[name], values)
        absent |= codes < 0
        of_generation = of_generation * len(values) + values.get_indexer(generations[name])
        of_round = of_round * len(values) + codes
    keys = pd.Index(of_generation)
    if not keys.is_unique:
        twice = generations.loc[keys.duplicated(), names].iloc[0].to_dict()
        raise ValueError(f"generations: {twice} appears more than once, expected one row each")
    index = np.where(absent, -1, keys.get_indexer(pd.Index(of_round)))
    if (index < 0).any():
        lost = rounds.loc[index < 0, names].iloc[0].to_dict()
        raise ValueError(f"{int((index < 0).sum())} rounds have no generation, the first: {lost}")
    return index


def _codes(column: pd.Series, values: pd.Index) -> NDArray[np.intp]:
    """Place of each entry in `values`; -1 for an absent one."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return values.get_indexer(pd.Index(column.cat.categories))[column.cat.codes.to_numpy()]
    return values.get_indexer(pd.Index(column))


def position_counts(drafted: NDArray[np.integer], accepted: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rounds by (drafted, accepted): [D+1, D+1] with D the largest drafted."""
    side = int(drafted.max(initial=0)) + 1
    flat = np.bincount(drafted.astype(np.int64) * side + accepted, minlength=side * side)
    return flat.reshape(side, side)


def per_position(counts: NDArray[np.integer]) -> pd.DataFrame:
    """Acceptance at each draft position from `position_counts`; one row per position 1..D.

    Columns `position_rounds`, `position_unconditional`, `position_conditional`, as definitions.py states them.
    When every round drafts the same count, the unconditional ones sum to mean(accepted) and are the running product of
    the conditional ones; with unequal counts each sums over the rounds that drafted so far.
    """
    return pd.DataFrame(_positions(counts))


def _positions(counts: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
    """`per_position` by column: a frame for each cell would take longer than the figures."""
    deep = counts[::-1].cumsum(axis=0)[::-1]  # [d, a]: rounds with drafted >= d and accepted == a
    both = deep[:, ::-1].cumsum(axis=1)[:, ::-1]  # [d, a]: rounds with drafted >= d and accepted >= a
    j = np.arange(1, len(counts))
    proposed, accepted, reached = both[j, 0], both[j, j], both[j, j - 1]
    with np.errstate(invalid="ignore"):  # 0 of 0 where no round reached a position
        return {
            "position": j,
            "position_rounds": proposed,
            "position_unconditional": accepted / proposed,
            "position_conditional": accepted / reached,
        }


def cell_metrics(rounds: pd.DataFrame, generations: pd.DataFrame, floors: Floors | None = None) -> pd.DataFrame:
    """One row per cell, `all` categories included; columns in the order of harness/metrics/definitions.py.

    Figures of the floor are unknown without `floors`.
    Sorted by dataset, batch size, category (`all` first), arm (the baseline first) and num_draft_tokens.
    Raises as `per_generation` does.
    """
    table = per_generation(rounds, generations)
    owner = generation_index(rounds, table)
    _add_floors(table, owner, rounds, floors)
    doubled = pd.concat([table.assign(category=ALL), table], ignore_index=True)
    doubled["cell"] = doubled.groupby(list(CELL)).ngroup()
    cells = doubled.groupby("cell")[list(CELL)].first()
    ok = doubled[doubled["ok"]]
    figures: dict[str, pd.Series] = {"errors": (~doubled["ok"]).groupby(doubled["cell"]).sum()}
    _add_totals(figures, ok, cells.index)
    _add_acceptance(figures, ok)
    _add_quality(figures, ok)
    _add_speed(figures, ok, cells)
    cells = pd.concat([cells, pd.DataFrame(figures, index=cells.index)], axis=1)
    # Rows of the second half of `doubled` are those of `table`, in its order.
    _add_positions(cells, rounds, doubled["cell"].to_numpy().reshape(2, -1)[:, owner], table["ok"].to_numpy()[owner])
    return _sorted(cells)


def _add_floors(
    table: pd.DataFrame, owner: NDArray[np.intp], rounds: pd.DataFrame, floors: Floors | None
) -> None:
    """Add each generation's FLOOR_SUMS over its rounds to `table`, unknown where its times are left out."""
    found = {} if floors is None else floors.of_rounds(table, owner, rounds)
    for name in FLOOR_SUMS:
        table[name] = np.bincount(owner, weights=found[name], minlength=len(table)) if found else np.nan
        table.loc[~table["timed"], name] = np.nan


def _counted(conditions: Mapping[str, pd.Series], ok: pd.DataFrame, index: pd.Index) -> dict[str, pd.Series]:
    """How many rows of each cell meet each condition; 0 for a cell without finished generations."""
    met = pd.DataFrame({name: condition.to_numpy(dtype="int64") for name, condition in conditions.items()})
    found = met.groupby(ok["cell"].to_numpy()).sum().reindex(index, fill_value=0)
    return {str(name): column for name, column in found.items()}


def _add_totals(figures: dict[str, pd.Series], ok: pd.DataFrame, index: pd.Index) -> None:
    grouped = ok.groupby("cell")
    counts = ["rounds", "unreported", "drafting_rounds", "drafted", "accepted", "emitted", "repeated", "ngrams"]
    counts += ["new_tokens", "tokens_with_rounds", "timed", "timed_new_tokens", "timed_rounds"]
    seconds = ["decode_s_with_rounds", *SECONDS, *FLOOR_SUMS]
    totals = grouped[counts].sum().join(grouped[seconds].sum(min_count=1))  # unreported times stay unknown
    sums = totals.reindex(index, fill_value=0).rename(columns={"new_tokens": "tokens"})
    figures |= {str(name): column for name, column in sums.items()}
    figures["prompts"] = grouped["prompt_id"].nunique().reindex(index, fill_value=0)
    figures["generations"] = grouped.size().reindex(index, fill_value=0)
    conditions = {f"finish_{reason}": ok["finish_reason"] == reason for reason in ("eos", "length")}
    conditions["tainted"] = ok["taint"].fillna("") != ""
    conditions |= {f"taint_{word}": ok["taint"] == word for word in TAINTS}
    conditions |= {f"verdict_{verdict}": ok["verdict"] == verdict for verdict in VERDICT_ORDER}
    conditions |= {"scored": ok["score"].notna(), "looping_generations": ok["repeated"] * 2 > ok["ngrams"]}
    figures |= _counted(conditions, ok, index)
    generations = figures["generations"]
    figures["untimed"] = generations - figures.pop("timed")
    figures["truncated_share"] = figures["finish_length"] / generations
    figures["verdict"] = pd.Series(NO_VERDICT, index=index)
    figures["verdict_none"] = generations
    for verdict in reversed(VERDICT_ORDER):
        found = figures[f"verdict_{verdict}"]
        figures["verdict_none"] = figures["verdict_none"] - found
        figures["verdict"] = figures["verdict"].mask(found > 0, verdict)


def _add_acceptance(figures: dict[str, pd.Series], ok: pd.DataFrame) -> None:
    rounds = figures["rounds"].where(figures["rounds"] > 0)
    drafted, accepted, emitted = (figures[name] for name in ("drafted", "accepted", "emitted"))
    drafting = figures["drafting_rounds"]
    prompts = ok.groupby(["cell", "prompt_id"])[["emitted", "rounds"]].sum()
    own_mean = ok["emitted"] / ok["rounds"]  # not a number without rounds, which a mean leaves out
    figures["acceptance_length"] = emitted / rounds
    figures["acceptance_length_prompt_mean"] = (prompts["emitted"] / prompts["rounds"]).groupby(level="cell").mean()
    figures["acceptance_length_raw"] = 1 + accepted / rounds
    figures["acceptance_rate"] = accepted / drafted
    figures["mean_drafted"] = drafted / rounds
    figures["verified_slots_used"] = emitted / (drafted + rounds)
    figures["al_as_vllm"] = 1 + accepted / drafting
    figures["al_as_specbench"] = figures["acceptance_length_raw"]
    figures["al_as_dflash"] = own_mean.groupby(ok["cell"]).mean()
    figures["al_as_gptfast"] = accepted / rounds
    figures["al_as_specforge"] = figures["tokens_with_rounds"] / rounds


def _add_quality(figures: dict[str, pd.Series], ok: pd.DataFrame) -> None:
    figures["accuracy"] = ok.groupby("cell")["score"].mean()
    figures["thinking_tokens"] = ok.groupby("cell")["thinking_tokens"].sum(min_count=1)
    figures["repeated_8grams"] = figures["repeated"] / figures["ngrams"]


def _add_speed(figures: dict[str, pd.Series], ok: pd.DataFrame, cells: pd.DataFrame) -> None:
    grouped = ok.groupby("cell")
    rounds = figures["timed_rounds"].where(figures["timed_rounds"] > 0)
    tokens, timed = figures["timed_new_tokens"], figures["generations"] - figures["untimed"]
    decode_s = figures["decode_s"].where(figures["decode_s"] > 0)
    total_s = figures["prefill_s"] + figures["decode_s"]
    in_rounds = figures["draft_s"] + figures["verify_s"] + figures["other_s"]
    figures["decode_tok_s"] = (tokens - timed) / decode_s
    figures["end_to_end_tok_s"] = tokens / total_s.where(total_s > 0)
    known = grouped["wall_share_s"].count().reindex(cells.index) == timed
    figures["throughput_tok_s"] = tokens / figures.pop("wall_share_s").where(known)
    figures["ttft_ms"] = grouped["prefill_s"].median() * 1e3
    figures["ttft_p95_ms"] = grouped["prefill_s"].quantile(0.95) * 1e3
    with_rounds_s = figures["decode_s_with_rounds"]
    figures["unattributed_share"] = 1 - in_rounds.where(rounds.notna()) / with_rounds_s.where(with_rounds_s > 0)
    figures["peak_memory_bytes"] = grouped["peak_memory_bytes"].max()
    of_baseline = _of_baseline(cells)
    step = of_baseline(in_rounds / rounds)
    step = step.where(step > 0)
    figures["decode_step_ms"] = step * 1e3
    for part in ("draft", "verify", "other"):
        figures[f"{part}_ms"] = figures[f"{part}_s"] / rounds * 1e3
        figures[f"c_{part}"] = figures[f"{part}_s"] / rounds / step
    figures["predicted_speedup"] = figures["acceptance_length"] / (in_rounds / rounds / step)
    add_strength(figures, of_baseline)
    memory = figures["peak_memory_bytes"]
    figures["peak_memory_over_baseline_bytes"] = memory - of_baseline(memory)


def _of_baseline(cells: pd.DataFrame) -> Callable[[pd.Series], pd.Series]:
    """Gives the baseline's value of a column for each cell of the same dataset, category and batch size."""
    shared = cells.groupby(["dataset", "category", "batch_size"]).ngroup()
    is_baseline = cells["arm"] == BASELINE
    places = shared[is_baseline]
    return lambda column: shared.map(column[is_baseline].groupby(places).first())


def _add_positions(
    cells: pd.DataFrame, rounds: pd.DataFrame, owners: NDArray[np.int64], kept: NDArray[np.bool_]
) -> None:
    """`owners` [2, rounds] are each round's two cells, the `all` one and its own category's; `kept` [rounds]."""
    drafted, accepted = rounds["drafted"].to_numpy(), rounds["accepted"].to_numpy()
    tables: dict[int, dict[str, NDArray[np.float64]]] = {}
    for owner in owners:
        # Sorting once lets each cell take a slice instead of scanning every round.
        order = np.flatnonzero(kept)[np.argsort(owner[kept])]
        edges = np.searchsorted(owner[order], np.arange(len(cells) + 1))
        for number in cells.index:
            part = order[edges[number] : edges[number + 1]]
            if len(part) or number not in tables:
                tables[number] = _positions(position_counts(drafted[part], accepted[part]))
    for name in ("position_unconditional", "position_conditional", "position_rounds"):
        cells[name] = [tables[number][name].tolist() for number in cells.index]


def _sorted(cells: pd.DataFrame) -> pd.DataFrame:
    dataset, category, arm, batch, k = (cells[name].tolist() for name in CELL)
    apart = [one != ALL for one in category], category, [one != BASELINE for one in arm], arm
    keys = list(zip(dataset, batch, *apart, k, strict=True))
    return cells.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)
