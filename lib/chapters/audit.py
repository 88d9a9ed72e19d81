"""The chapter on auditing a language model: what its notebook shows and says of an audit that was made before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from html import escape
from pathlib import Path

import pandas as pd
from IPython.display import HTML, Markdown

from lib import figures, prose
from lib.audit import demonstration
from lib.audit.results import Audit
from lib.errors import InputError
from lib.prose import difference, share, tell, whole
from lib.proxies import PROXIES
from lib.tasks import Look

_TEXTS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#8C6D31", "#882255")  # the first is in distribution
_GAPS = {
    "gap": Look("measured", "#000000", "o"),
    "gap_at_equal_margin": Look("measured, the model equally certain", "#0072B2", "s"),
    "gap_foreseen": Look("foreseen", "#D55E00", "D"),
}
_MISSING = """
No language model was audited here, so this page has nothing to show yet. Two commands audit the one that the published book
shows, on texts that Debian and Python bring along; the second, in the project's folder, takes some minutes and installs what it
needs:

```
apt install debian-handbook
make demonstration
```

After that, `make book` shows here what was found. For a model of your own, see below.
"""


def chapter(results: str = "") -> AuditChapter:
    """The chapter on the audit in a folder; if none is named, on the demonstration, or on nothing where that was not made."""
    if not isinstance(results, str):
        raise InputError(f"results is {results!r}, but must be the path of an audit's folder, or empty")
    if results:
        return AuditChapter(Audit.read(Path(results).expanduser()))
    folder = demonstration.folder()
    return AuditChapter(Audit.read(folder) if (folder / "audit.json").exists() else None)


def _of_an_audit(shown: Callable) -> Callable:
    """A method of a chapter that gives None where there is no audit."""

    @wraps(shown)
    def of(chapter: AuditChapter, *given: object) -> object:
        return None if chapter.audit is None else shown(chapter, *given)

    return of


class AuditChapter:
    """An audit, or none: then it says how to come by one, and everything else is empty."""

    def __init__(self, audit: Audit | None):
        self.audit = audit

    @property
    def looks(self) -> dict[str, Look]:
        """How texts look."""
        names = [self.audit.reference, *self.audit.targets]
        return {name: Look(name, _TEXTS[i % len(_TEXTS)], "o" if i == 0 else "s") for i, name in enumerate(names)}

    def measured_on(self) -> str:
        """What was measured, in words."""
        about = self.audit.about
        return (
            f"{_between(about['windows'].values())} windows of {about['length']} tokens a text, {about['positions']} "
            f"predictions of each by {self.audit.name}; 95 % intervals over windows"
        )

    def _figure_table(self, quantities: Sequence[str]) -> pd.DataFrame:
        table = self.audit.table
        return table[(table["layer"] < 0) & table["quantity"].isin(quantities) & (table["proxy"] != "")]

    @_of_an_audit
    def agreement(self) -> figures.Picture:
        """How often each setting predicts what the model predicts, a line a setting, a colour a text."""
        table = self._figure_table(["agreement"]).assign(panel="")
        table = table.assign(row=table["setting"], series=table["split"])
        alt = " ".join(self.audit.sentences())
        return figures.forest(table, self.looks, x="same prediction as the model", alt=alt, note=self.measured_on(), columns=1)

    @_of_an_audit
    def gaps(self) -> figures.Picture:
        """The gap of each setting: as measured, where the model is equally certain, and as foreseen; a panel a text."""
        table = self._figure_table([*_GAPS])
        looks = {look.label: look for look in _GAPS.values()}
        points = {column: 100 * table[column] for column in ("value", "low", "high")}
        series = [_GAPS[quantity].label for quantity in table["quantity"]]
        table = table.assign(**points, row=table["setting"], series=series, panel=table["split"])
        alt = f"Gaps by setting and text. {self._gaps_said()}"
        return figures.forest(
            table, looks, x="gap (percentage points)", alt=alt, note=self.measured_on(), percent=False, columns=2
        )

    @_of_an_audit
    def table(self) -> figures.Table:
        """All that was measured of settings in all layers."""
        shown = self.audit.shown().rename(columns={"split": "text"})
        rows = shown.assign(row=shown["setting"] + " · " + shown["text"]).drop(columns=["setting", "text"]).set_index("row")
        return figures.Table(rows.rename_axis(None), f"In per cent and points: {self.measured_on()}")

    @_of_an_audit
    def layers(self) -> figures.Picture | None:
        """How often a model with one layer simplified predicts what it did before, by layer, where that was measured."""
        if not self.audit.single:
            return None
        table = self.audit.table
        table = table[(table["layer"] >= 0) & (table["head"] < 0) & (table["quantity"] == "agreement")]
        if table.empty:
            return None
        table = table.assign(x=table["layer"], series=table["split"], panel=table["setting"])
        alt = "How often the model with one layer simplified predicts what the model predicts, by layer."
        count = _between(block.sequences for block in self.audit.single)
        note = f"one layer at a time, on {count} of these windows: {self.measured_on()}"
        return figures.curves(table, self.looks, x="layer", y="same prediction", alt=alt, note=note)

    # What the chapter says

    def missing(self) -> Markdown | None:
        """How to come by an audit, where there is none."""
        return Markdown(_MISSING) if self.audit is None else None

    @_of_an_audit
    def setup(self) -> HTML:
        """The model, the texts, and the proxies, in a box."""
        about, audit = self.audit.about, self.audit
        left_out = [f"{100 * part:.0f} % of {name}" for name, part in about["shared"].items() if part > 0.005]
        read = ", ".join(f"{name} {count:,}" for name, count in about["documents"].items())
        others = f"and, to test on alone, {prose.names(audit.targets)}"
        texts = f"{audit.reference}, to fit proxies on (its first half) and to test them on (its second); {others}."
        texts += f" Documents read: {read}." if read else ""
        texts += f" Left out, as the first and another have it alike: {prose.names(left_out)}." if left_out else ""
        rest = about["blocks"] - about["layers"]
        stay = f" (layers are those that attend; {rest} blocks do not, and stay as they are)" if rest else ""
        items = {
            "model": f"{audit.name}: {about['layers']} layers of {about['heads']} heads, whose queries and keys have "
            f"{about['head_width']} dimensions{stay}.",
            "texts": texts,
            "gap": "How much less often the simplified model predicts what the model predicts, than in distribution.",
            "at equal margins": "The same where the model is equally certain of its prediction, as the log-probability of its "
            "choice above that of the next best says.",
            "foreseen": "What a regression that was fitted in distribution expects, from the other text and the model itself "
            "on it: how certain that is there, and how much of its queries and keys the picture would drop.",
        }
        return HTML(prose.setup(items, dict.fromkeys(s.proxy for s in audit.settings)))

    @_of_an_audit
    def heading(self, section: str) -> Markdown:
        """The heading of a section: what was found in it."""
        found = {"agreement": self._agreement_heading, "gaps": self._gaps_heading}
        return Markdown(f"## {found[section]()}")

    def _agreement_heading(self) -> str:
        s = self.audit.best
        inside = whole(self.audit.estimate(s, self.audit.reference, "agreement"))
        on = "On text like that it was made on" if PROXIES[s.proxy].fitted else f"On {self.audit.reference}"
        return f"{on}, {s.phrase} predicts what the model predicts in {inside} of cases"

    def _gaps_heading(self) -> str:
        worst = self.audit.worst
        gap = self.audit.estimate(self.audit.best, worst, "gap")
        size = f"{prose.points(gap if gap.value > 0 else gap.scaled(-1), interval=False)} points"
        return tell(
            gap,
            above=f"On {worst}, it does so {size} less often",
            below=f"On {worst}, it does so {size} more often, and on no other text less often",
            unclear="On no other text can it be told to do so less often",
            missing="On other text nothing was measured",
        )

    @_of_an_audit
    def agreement_text(self) -> Markdown:
        """How faithful the best setting is in distribution, and how often the model itself is right."""
        audit, s, inside = self.audit, self.audit.best, self.audit.reference
        own = {name: share(audit.own_accuracy(name)) for name in (inside, *audit.targets)}
        said = prose.paragraph(
            f"{prose.begin(audit.tried)}, {escape(s.phrase)} in all layers, agrees with the model in "
            f"{share(audit.estimate(s, inside, 'agreement'))} of predictions on {escape(inside)}.",
            f"The model's own next token is right in {prose.names(f'{of} on {escape(name)}' for name, of in own.items())}.",
        )
        return Markdown(said)

    @_of_an_audit
    def gaps_text(self) -> Markdown:
        """Where the best setting parts from the model, at equal margins, as foreseen, and what fitting there wins back."""
        return Markdown(self._gaps_said())

    def _gaps_said(self) -> str:
        audit, s, worst = self.audit, self.audit.best, self.audit.worst
        gap, equal, foreseen, oracle = (
            audit.estimate(s, worst, q) for q in ("gap", "gap_at_equal_margin", "gap_foreseen", "oracle")
        )
        said = [f"On {escape(worst)}, of the other texts that with the largest gap, it is {difference(gap)}."]
        if len(audit.targets) == 1:
            said = [f"On {escape(worst)}, the gap is {difference(gap)}."]
        if equal.measured:
            alike = f"{100 * audit.matched_share(worst):.0f} % of predictions"
            said.append(f"Where the model is equally certain, it is {difference(equal)} ({alike} have their like).")
        if foreseen.measured:
            error = tell(
                gap - foreseen,
                above="the gap is larger than was to be expected",
                below="the gap is smaller than was to be expected",
                unclear="no difference from what was measured can be told",
            )
            said.append(f"Foreseen, without running the picture there: {difference(foreseen)}; {error}.")
        if oracle.measured:
            won = oracle - audit.estimate(s, worst, "agreement")
            of_that = f"Fitted on {self._oracle_of} instead"
            said.append(
                tell(
                    won,
                    above=f"{of_that}, it agrees more often there, by {difference(won)}.",
                    below=f"{of_that}, it agrees less often there, by {difference(won)}.",
                    unclear=f"{of_that}, it cannot be told to agree more often there ({difference(won)}).",
                )
            )
        return prose.paragraph(*said)

    @property
    def _oracle_of(self) -> str:
        """What the picture is fitted on that knows the other text."""
        return "the other half of that text" if self.audit.about["documents"] else "that very text"

    @_of_an_audit
    def sure(self) -> Markdown:
        """How far the numbers can be trusted."""
        fitted = [PROXIES[s.proxy].label for s in self.audit.settings if PROXIES[s.proxy].fitted]
        chosen = (
            "Which picture and which text are spoken of was decided by these numbers (it agrees most, it loses most): some of "
            "the gap may be chance."
        )
        mixed = (
            "Queries and keys are simplified as attention scores them: where a model turns them by their position (rotary), "
            "content and position are mixed in what is cut down."
        )
        said = prose.how_sure(
            self.measured_on(),
            "95 % intervals over the windows of each text",
            min(self.audit.about["windows"].values()),
            "They take windows for independent; where those of one document are alike, they are too narrow.",
            chosen if len(self.audit.settings) * len(self.audit.targets) > 1 else "",
            "One model and a few texts: what is said here is said of these.",
            mixed if fitted else "",
        )
        return Markdown(said)


def _between(counts: Iterable[int]) -> str:
    """From the smallest to the largest count."""
    counts = [*counts]
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"
