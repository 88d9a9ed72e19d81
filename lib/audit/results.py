"""What an audit found: tidy tables, and what they come to in three sentences."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib import prose, provenance
from lib.artifacts import writing
from lib.errors import ArtifactError, InputError
from lib.measuring import table
from lib.measuring.diagnostics import FEWEST, Cell, regression
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, nothing
from lib.measuring.table import Block
from lib.proxies import MODEL, PROXIES, Simplification

QUANTITIES = {  # of a setting on a text, in the order of tables
    "agreement": "same prediction as the model",
    "accuracy": "accuracy",
    "gap": "gap",
    "gap_at_equal_margin": "gap at equal margins",
    "gap_foreseen": "gap foreseen",
    "oracle": "agreement if fitted there",
}
_MUCH = 0.5  # of a text: so much left out as another has it alike makes one ask
_SEED = 0  # an audit is of one model
_DRAWS = 100  # of windows, for the interval of what is foreseen

_RECORD, _WHOLE, _PARTS, _TABLE = "audit.json", "whole.parquet", "parts.parquet", "audit.csv"


@dataclass(frozen=True, repr=False)
class Audit:
    """How well simplifications of a model predict it on several texts; intervals are over windows of these texts."""

    name: str  # of the model
    reference: str  # the text in distribution
    settings: Sequence[Simplification]  # of all layers, in the order that was asked for
    blocks: Sequence[Block]
    single: Sequence[Block] = ()  # of layers or heads alone, on fewer windows
    about: Mapping[str, object] = field(default_factory=dict)  # of the model and its texts, as JSON has it
    _found: dict[tuple, Estimate] = field(default_factory=dict, repr=False)

    @cached_property
    def estimates(self) -> Estimates:
        """Of all layers together."""
        return Estimates({_SEED: self.blocks})

    @cached_property
    def estimates_of_parts(self) -> Estimates:
        """Of layers or heads alone."""
        return Estimates({_SEED: self.single})

    @property
    def targets(self) -> list[str]:
        """The other texts."""
        return [block.split for block in self.blocks if block.split != self.reference]

    def estimate(self, s: Simplification, split: str, quantity: str) -> Estimate:
        """One of `QUANTITIES`; not measured where it has no meaning, as a gap in distribution has none."""
        key = s, split, quantity
        if key not in self._found:
            self._found[key] = self._estimate(*key)
        return self._found[key]

    def _estimate(self, s: Simplification, split: str, quantity: str) -> Estimate:
        of = self.estimates if s.layer < 0 else self.estimates_of_parts
        if quantity in ("agreement", "accuracy"):
            return of.estimate(s, split, "same_prediction" if quantity == "agreement" else quantity)
        if split == self.reference:
            return nothing()
        if quantity == "gap":
            return of.gap(s, split, self.reference)
        if quantity == "oracle":
            fitted_there = replace(s, fit_on=split)
            return of.estimate(fitted_there, split, "same_prediction") if of.has(fitted_there, split) else nothing()
        try:
            if quantity == "gap_at_equal_margin":
                return of.matched_gap(s, split, self.reference, ["margin"])
            return self._foreseen(of, s, split)
        except InputError:  # too few positions to say
            return nothing()

    def own_accuracy(self, split: str) -> Estimate:
        """How often the model itself is right."""
        return self.estimate(MODEL, split, "accuracy")

    def _foreseen(self, of: Estimates, s: Simplification, split: str) -> Estimate:
        """The gap as a regression foresees it from measurements in distribution, and the model itself on the other text.

        Of layers and heads alone it is not foreseen: each of the draws for its interval is a regression.
        """
        inside, target = (of.block(_SEED, name) for name in (self.reference, split))
        covariates = [name for name in target.covariates if name != "margin" and name in inside.covariates]
        if not covariates or s.layer >= 0:
            return nothing()

        def gap(*pair: Block) -> float:
            return _agreement(pair[0], s) - regression(Cell(*pair, s, covariates[0], covariates))

        value = gap(inside, target)
        draws = [of.draws(_SEED, block)[:_DRAWS] for block in (inside, target)]  # the same as of the gap that is measured
        drawn = np.full(of.resamples, np.nan)
        for i, pair in enumerate(zip(*draws, strict=True)):
            with suppress(InputError):  # a draw may have too few positions
                drawn[i] = gap(*(_weighted(block, weights, s) for block, weights in zip((inside, target), pair, strict=True)))
        return Estimate(np.array([value]), drawn, int(inside.columns["n"].sum()))

    def rows(self) -> Iterator[tuple[Simplification, str]]:
        """What was measured, setting by setting, text by text."""
        singles = [s for s in (self.single[0].simplifications if self.single else ()) if s != MODEL]
        for s in (*self.settings, *singles):
            yield from ((s, block.split) for block in self.blocks)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per setting, text and quantity: `value` with its 95 % interval, `low` to `high`; as shares.

        The model itself comes first, with its accuracy alone. What has no meaning, or too few positions, has no row.
        """
        found = [self._row(MODEL, block.split, "accuracy") for block in self.blocks]
        found += [self._row(s, split, quantity) for s, split in self.rows() for quantity in QUANTITIES]
        return pd.DataFrame([row for row in found if row])

    def _row(self, s: Simplification, split: str, quantity: str) -> dict | None:
        estimate = self.estimate(s, split, quantity)
        if not estimate.measured:
            return None
        low, high = estimate.interval
        where = {"setting": s.label, "place": s.place, **asdict(s), "split": split, "quantity": quantity}
        return where | {"value": estimate.value, "low": low, "high": high, "positions": estimate.positions}

    def shown(self, single: bool = False) -> pd.DataFrame:
        """The table as texts in per cent and points, a row for each setting (of single layers or heads, or of all) and text."""
        rows = self.table[(self.table["layer"] >= 0) == single]
        texts = [self._text(row) for row in rows.itertuples()]
        index = ["setting", "place", "split"] if single else ["setting", "split"]
        order = [name for name in QUANTITIES if name in set(rows["quantity"])]
        wide = rows.assign(text=texts).pivot_table("text", index, "quantity", aggfunc="first", sort=False, fill_value="")
        return wide[order].rename(columns=QUANTITIES).rename_axis(columns=None).reset_index()

    @staticmethod
    def _text(row: object) -> str:
        sign = row.quantity.startswith("gap")
        value, low, high = (f"{100 * x:{'+' if sign else ''}.1f}" for x in (row.value, row.low, row.high))
        return prose.minus(f"{value} [{low}, {high}]")

    @property
    def claimed(self) -> Sequence[Simplification]:
        """The settings that are no controls; all, where there is nothing else."""
        return [s for s in self.settings if not PROXIES[s.proxy].control] or self.settings

    @property
    def best(self) -> Simplification:
        """The one of these that agrees with the model most often in distribution."""
        return max(self.claimed, key=lambda s: self.estimate(s, self.reference, "agreement").value)

    @property
    def tried(self) -> str:
        """What that one is among all that were tried, in words."""
        apart = ", controls apart" * (len(self.claimed) < len(self.settings))
        return (
            f"the most faithful picture that was tried{apart}"
            if len(self.claimed) > 1
            else f"the picture that was tried{apart}"
        )

    @property
    def worst(self) -> str:
        """The text on which it loses most: of those on which it can be told to lose, if there are any."""
        gaps = {split: self.estimate(self.best, split, "gap") for split in self.targets}
        told = {split: gap for split, gap in gaps.items() if gap.interval[0] > 0}
        return max(told or gaps, key=lambda split: gaps[split].value)

    def gaps(self) -> dict[tuple[Simplification, str], Estimate]:
        """The gap of every such setting, from the text in distribution to each other one."""
        return {(s, split): self.estimate(s, split, "gap") for s in self.claimed for split in self.targets}

    def matched_share(self, split: str) -> float:
        """Of a text's predictions, the share that is compared where the model is equally certain."""
        matched, all_ = (self.estimate(self.best, split, q).positions for q in ("gap_at_equal_margin", "agreement"))
        return matched / all_

    def sentences(self) -> list[str]:
        """How faithful the best setting is in distribution, where it loses most, and what was foreseen of that."""
        s, inside, worst = self.best, self.reference, self.worst
        gap, equal, foreseen = (self.estimate(s, worst, q) for q in ("gap", "gap_at_equal_margin", "gap_foreseen"))
        own, agreement = self.own_accuracy(inside), self.estimate(s, inside, "agreement")
        first = (
            f"On {inside}, {s.phrase} in all layers, {self.tried}, predicts what {self.name} predicts in "
            f"{_share(agreement)} of cases; {self.name} itself is right in {_share(own)}."
        )
        there = (
            f"there it does so in {_share(self.estimate(s, worst, 'agreement'))} of cases, a gap of {prose.points(gap)} points"
        )
        second = prose.tell(
            gap,
            above=f"It loses most on {worst}: {there}",
            below=f"It loses on no other text; on {worst}, the nearest to a loss, {there}",
            unclear=f"On no other text can it be told to lose; on {worst}, the nearest to a loss, {there}",
        )
        matched = f" (for {100 * self.matched_share(worst):.0f} % of the predictions there is such a comparison)"
        second += f", and of {prose.points(equal)} where the model is equally certain{matched}." if equal.measured else "."
        third = (
            f"From what was measured on {inside}, and from {worst} and the model itself on it, a gap of "
            f"{prose.points(foreseen)} points was to be expected."
            if foreseen.measured
            else f"What was to be expected on {worst} is not known: that takes {FEWEST} scored predictions on both texts, and "
            "something known of each."
        )
        return [first, second, third]

    def doubts(self) -> list[str]:
        """What speaks against these numbers, in sentences; none as a rule. A model or tokenizer that does not fit, texts of
        which little is left, a picture that leaves nothing out.
        """
        own, commonest, found = self.own_accuracy(self.reference), self.about["commonest"], []
        if own.interval[1] < commonest:
            found.append(
                f"But {self.name} is right less often than one would be who always named the commonest token of "
                f"{self.reference} ({100 * commonest:.1f} %): is this its own tokenizer, and text that it was made for?"
            )
        if alike := [f"{100 * part:.0f} % of {name}" for name, part in self.about["shared"].items() if part > _MUCH]:
            found.append(f"But {prose.names(alike)} was left out, as another text has it alike: are these different texts?")
        if self.best.complexity is not None and self.best.complexity == PROXIES[self.best.proxy].most(self.about["head_width"]):
            found.append(f"But {self.best.phrase} leaves nothing out: ask for less, as in {self.best.proxy}:{self._less}.")
        asked = self.about["settings"]["sequences"]
        if few := [f"{count} of {name}" for name, count in self.about["windows"].items() if count < asked]:
            found.append(f"Of {asked} windows that were asked for, there are only {prose.names(few)}.")
        return found

    @property
    def _less(self) -> int:
        return max(1, self.about["head_width"] // 4)

    def __repr__(self) -> str:
        return "\n".join([f"Audit of {self.name}", *self.sentences(), *self.doubts()])

    def write(self, folder: Path, identity: Mapping) -> None:
        """Keep it in a folder, with a record of what it depends on, and the table as `audit.csv`."""
        table.write(folder / _WHOLE, self.blocks)
        table.write(folder / _PARTS, self.single)
        with writing(folder / _TABLE) as temporary:
            self.table.to_csv(temporary, index=False)
        made = {"name": self.name, "reference": self.reference, "settings": [asdict(s) for s in self.settings]}
        record_of(folder).write(identity, (_WHOLE, _PARTS, _TABLE), {"audit": made | {"about": dict(self.about)}})

    @classmethod
    def read(cls, folder: Path) -> Audit:
        """What was kept in a folder; `ArtifactError` where there is nothing, or it is damaged."""
        record = record_of(folder)
        made = record.read().get("made", {}).get("audit")
        if made is None:
            raise ArtifactError(f"{folder} holds no finished audit: run python -m lib audit with --folder for it")
        whole, parts, listed = (record.verified(file) for file in (_WHOLE, _PARTS, _TABLE))
        settings = [Simplification(**s) for s in made["settings"]]
        found = cls(made["name"], made["reference"], settings, table.read(whole), table.read(parts), made["about"])
        found.__dict__["table"] = pd.read_csv(listed, keep_default_na=False, na_values={"complexity": [""]})
        return found


def record_of(folder: Path) -> provenance.Record:
    """The record of an audit in a folder."""
    path = folder / _RECORD
    return provenance.Record(path, f"delete it, and run the audit again: rm -r {shlex.quote(str(folder))}")


def _agreement(block: Block, s: Simplification) -> float:
    return float(block.sums[s, "same_prediction"].sum(dtype=float) / block.columns["n"].sum())


def _weighted(block: Block, weights: np.ndarray, s: Simplification) -> Block:
    """A block as it would be if each of its sequences, as often as `weights` says, were drawn."""
    times = weights[block.columns["sequence"]].astype(int)
    chosen = np.flatnonzero(times)
    columns = {name: values[chosen] for name, values in block.columns.items()} | {"n": (times * block.columns["n"])[chosen]}
    sums = {(s, m): (times * block.sums[s, m])[chosen] for m in ("same_prediction", "outside")}
    return replace(block, columns=columns, sums=sums)


def _share(estimate: Estimate) -> str:
    return prose.percent(estimate, interval=True)
