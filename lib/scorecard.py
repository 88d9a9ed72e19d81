"""The scorecard: every claim of several studies, with its findings."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import fill

from matplotlib.figure import Figure

from lib import claims, figures, prose
from lib.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Finding
from lib.measuring.intervals import coverage
from lib.studies import Study
from lib.tasks import Look

VERDICTS = {
    SUPPORTED: Look(SUPPORTED, "#0072B2", "o"),
    NOT_SUPPORTED: Look(NOT_SUPPORTED, "#D55E00", "X"),
    INCONCLUSIVE: Look(INCONCLUSIVE, figures.GREY, "s"),
}


class Scorecard:
    """The findings of studies."""

    def __init__(self, studies: Sequence[Study]):
        self.findings: dict[str, list[Finding]] = {study.name: study.task.findings(study) for study in studies}
        self.studies = [study for study in studies if self.findings[study.name]]  # those of whose task something is claimed

    def figure(self, study: Study) -> Figure:
        """Every finding of a study: its effect with its interval, coloured by verdict."""
        found = self.findings[study.name]
        rows = {id(f): fill(f"{f.claim.number}. {f.statement}", 62) for f in found}
        table = figures.tabulate(
            ({"row": rows[id(f)], "series": f.verdict}, f.effect.scaled(100)) for f in found if f.effect is not None
        )
        note = f"{study.name}: {figures.measured_on(study)}; bars: {figures.interval_note(study)}"
        return figures.forest(table, VERDICTS, x="effect (percentage points)", note=note, percent=False, small=True)

    def to_html(self) -> str:
        """Every finding with its numbers, a table a study."""
        parts = []
        for study in self.studies:
            title = f"{prose.begin(study.task.title)}, study {study.name} (preset {study.preset}, {prose.seeds(study.seeds)})"
            parts.append(f"<h3>{escape(title)}</h3>{claims.to_html(self.findings[study.name])}")
        return "".join(parts)

    def method(self) -> str:
        """How verdicts are made, and how far they can be trusted."""
        chosen = prose.names(dict.fromkeys(f"`{study.task.chosen_on}` ({study.task.title})" for study in self.studies))
        by_seeds = {k: coverage(k) for k in sorted({*(study.seeds for study in self.studies), claims.FEWEST_SEEDS}) if k > 1}
        held = prose.names(f"{100 * share:.0f} % (with {prose.seeds(k)})" for k, share in by_seeds.items())
        statements = sum(map(len, self.findings.values()))
        return prose.paragraph(
            f"Which rank or number of clusters stands for a proxy is settled on {chosen}, which no effect of a chosen setting "
            f"is measured on: the simplest setting that agrees with the model in at least {100 * claims.FAITHFUL:.0f} % of "
            f"cases there, or the closest one. A claim holds if all its statements do; one which only says that there *are* "
            f"such proxies, if one does (of several tried, so read it with that in mind). A claim about proxies that match the "
            f"model leaves out those that no setting brings there. A verdict needs {claims.FEWEST_SEEDS} seeds.",
            f"Intervals from few seeds are too narrow: where seeds are all that differs, nominal 95 % intervals hold the truth "
            f"in {held} of simulated studies.",
            f"There are {statements} statements and no correction for their number, and a claim that asks for all of them "
            f"fails with one.",
            *dict.fromkeys(f"({study.task.title}: {study.task.caveat})" for study in self.studies if study.task.caveat),
        )
