"""What the chapter on code says, as functions of estimates alone: every outcome has its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib.measuring.intervals import Estimate
from lib.prose import begin, difference, names, paragraph, points, share, tell, whole


def learned(languages: str, inside: Estimate, better: Estimate, outside: Estimate, better_outside: Estimate) -> str:
    """How often the model is right on `id` and elsewhere, and how much more often than an n-gram model."""
    return paragraph(
        f"The model predicts {share(inside)} of characters in its own language, {_against(better)}; in languages that it never "
        f"saw ({languages}) {share(outside)} on average, {_against(better_outside)}.",
        tell(better, above="", below="So read its gaps as a demonstration.", unclear="", missing=""),
    )


def _against(better: Estimate) -> str:
    """How much more often than the n-gram model."""
    return tell(
        better,
        above=f"{difference(better)} more than the n-gram model",
        below=f"{difference(better.scaled(-1))} less than the n-gram model",
        unclear=f"not clearly more or less than the n-gram model ({points(better, sign=True)} points)",
        missing="which cannot be compared with the n-gram model",
    )


def faithful_sentence(inside: Mapping[str, Estimate], gaps: Mapping[str, Estimate]) -> str:
    """How faithful pictures are in their own language, and which are less so, or more, in others."""
    sides: dict[str, list[str]] = {"less": [], "more": [], "": []}
    for label, gap in gaps.items():
        side = tell(gap, above="less", below="more", unclear="", missing="")
        size = f" (by {difference(gap.scaled(-1 if side == 'more' else 1))})" if side else ""
        sides[side].append(f"{label}{size}")
    return paragraph(
        f"In its own language, agreement is {names(f'{share(of)} with {label}' for label, of in inside.items())}.",
        *(f"In other languages it is {side} with {names(sides[side])}." for side in ("less", "more") if sides[side]),
        f"No clear difference can be told with {names(sides[''])}." if sides[""] else "",
    )


def domain_sentence(label: str, own: str, domain: Estimate, language: Estimate, problems: int) -> str:
    """What a new domain and what another language cost, on HumanEval-X."""
    return paragraph(
        f"From new packages to HumanEval-X in {own}, {label} loses {difference(domain)} of agreement (below zero: it gains); "
        f"from there to the same functions in other languages it loses {difference(language)}. "
        f"({problems} problems whose function is usable in every language.)"
    )


def words_sentence(label: str, repeated: Estimate, new: Estimate, more: Estimate) -> str:
    """Gaps on repeated and on new words."""
    verdict = tell(
        more,
        above=f"larger on repeated words, by {difference(more)}",
        below=f"smaller on repeated words, by {difference(more.scaled(-1))}",
        unclear=f"not clearly different ({points(more, sign=True)} points)",
        missing="not comparable",
    )
    return (
        f"With {label}, the gap on later characters of repeated words is {difference(repeated)}, and on those of new words "
        f"{difference(new)}: {verdict}."
    )


def margins_sentence(label: str, gap: Estimate) -> str:
    """The gap of a proxy where the model is equally certain."""
    return tell(
        gap,
        above=f"Where the model is equally certain, {label} still has a gap of {difference(gap)}.",
        below=f"Where the model is equally certain, {label} agrees more often elsewhere, by {difference(gap.scaled(-1))}.",
        unclear=f"Where the model is equally certain, no gap of {label} can be told ({points(gap)} points).",
        missing=f"Where the model is equally certain, there is too little to compare for {label}.",
    )


def equal_words_sentence(level: float, differences: Mapping[str, Estimate]) -> str:
    """How much larger gaps are on repeated words than on new ones where a family agrees equally often on either."""
    sides: dict[str, list[str]] = {"larger": [], "smaller": [], "unclear": [], "missing": []}
    for label, more in differences.items():
        side = tell(more, above="larger", below="smaller", unclear="unclear", missing="missing")
        sized = {"larger": more, "smaller": more.scaled(-1)}
        sides[side].append(f"{label} (by {difference(sized[side])})" if side in sized else label)
    said = {
        "larger": "the gap is larger on repeated words than on new ones with",
        "smaller": "the gap is smaller on repeated words than on new ones with",
        "unclear": "the gap is not clearly different on repeated and on new words with",
        "missing": "gaps cannot be compared with",
    }
    if not differences:
        return ""
    return (
        f"Where a family agrees with the model in {100 * level:g} % of cases on either kind of word in its own language, "
        f"{'; '.join(f'{text} {names(sides[side])}' for side, text in said.items() if sides[side])}."
    )


def weak_sentence(better: Estimate, passes: float) -> str:
    """What to think of the model, by how much more often it is right than an n-gram model in distribution."""
    made = f"{passes:.1f}" if passes >= 0.05 else "fewer than 0.1"
    return tell(
        better,
        above="",
        below=f"This model is right less often than a 6-gram model that was counted on all training text, by "
        f"{difference(better.scaled(-1))}; it made {made} passes over that text. Read its gaps as a demonstration.",
        unclear=f"That this model is right more often than a 6-gram model is not clear ({points(better, sign=True)} points).",
        missing="",
    )


def picture_sentence(label: str, own: str, inside: Estimate, gap: Estimate) -> str:
    """How often a picture agrees with the model, and where less."""
    return paragraph(
        f"{begin(label)}, in every head of a model trained on {own}, makes the model's prediction on {share(inside)} of "
        f"characters in new packages of that language.",
        tell(
            gap,
            above=f"In languages that it never saw, it loses {difference(gap)} of that on average.",
            below=f"In languages that it never saw, it gains {difference(gap.scaled(-1))} on average.",
            unclear=f"Whether it agrees less often in languages that it never saw cannot be told ({points(gap)} points).",
            missing="",
        ),
    )


def first_page_sentence(own: str, gaps: Mapping[str, Estimate], better: Estimate) -> str:
    """What was found on code, in words, for the first page: of how many pictures, and what to think of the model."""
    known = {label: gap for label, gap in gaps.items() if gap.measured}
    less = [label for label, gap in known.items() if gap.interval[0] > 0]
    return paragraph(
        f"The model was trained on {own}, and every head is simplified.",
        f"Of {len(known)} families of pictures, {names(less)} {'agree' if len(less) > 1 else 'agrees'} less often there, with "
        "intervals that do not allow for their number."
        if known
        else "",
        tell(
            better,
            above="",
            below="The model is right less often than one that counts what follows a few characters: this is a demonstration.",
            unclear="That the model is right more often than one that counts what follows a few characters is not clear.",
            missing="",
        ),
    )


def training_languages_sentence(languages: Sequence[str]) -> str:
    """In which languages models were trained; where it is but one, what to do to have others beside it."""
    if len(languages) > 1:
        return f"Models were trained on {names(languages)}."
    return (
        f"Here models were trained on {names(languages)} alone. For another one, give a preset of your own a section such as "
        "`[code-java]`, as `lib/presets/paper.toml` has it: then a table stands here."
    )


def foreseen_sentence(errors: Mapping[str, Estimate], diagnostic: str, lost: Sequence[str], pictures: int) -> str:
    """The mean errors of foreseen gaps by diagnostic, over so many pictures; no gap was nearer for those that are `lost`."""
    if not errors:
        return "Nothing could be foreseen: too few characters were predicted."
    said = names(f"{difference(error)} by `{name}`" for name, error in errors.items())
    return paragraph(
        f"The gap to other languages, of all of them together, is foreseen with an error of {said}: model by model, and mean "
        f"over the {pictures} picture{'s' * (pictures != 1)} above, each at the setting that stands for its family.",
        f"For {names(lost)}, the {diagnostic} errs more than expecting no gap." if lost else "",
    )


def heads_sentence(induction: Sequence[float], previous: Sequence[float], chance: float, least: float) -> str:
    """The highest scores of single heads, model by model."""
    best, other = (_range(min(of), max(of)) for of in (induction, previous))
    return (
        f"Model by model, the highest induction score of a head is {best} ({chance:.2f} if attention were spread evenly), and "
        f"the highest previous-token score {other}. From {least} on we speak of an induction head."
    )


def _range(low: float, high: float) -> str:
    """`0.25 to 0.31`, or `0.01` where both ends round to it."""
    low, high = f"{low:.2f}", f"{high:.2f}"
    return low if low == high else f"{low} to {high}"


# What sections are called


def learned_heading(inside: Estimate, better: Estimate) -> str:
    """How often the model is right, and whether more often than an n-gram model."""
    verdict = tell(
        better,
        above="more than an n-gram model",
        below="less than an n-gram model",
        unclear="not clearly more or less than an n-gram model",
        missing="which cannot be compared with an n-gram model",
    )
    return f"The model predicts {whole(inside)} of characters, {verdict}"


def gap_heading(label: str, gap: Estimate, where: str = "In other languages") -> str:
    """Whether a picture agrees less often somewhere."""
    size = f"{points(gap.scaled(-1 if gap.value < 0 else 1), interval=False)} points"
    return tell(
        gap,
        above=f"{where}, {label} loses {size} of agreement",
        below=f"{where}, {label} gains {size} of agreement",
        unclear=f"{where}, no gap of {label} can be told",
        missing=f"{where}, {label} was not measured",
    )


def domain_heading(domain: Estimate, language: Estimate) -> str:
    """Whether a new domain costs agreement, and whether another language does."""
    if not (domain.measured and language.measured):
        return "Language or domain? Left open here"
    said = {
        "a new domain": tell(domain, above="costs agreement", below="gains agreement", unclear=""),
        "another language": tell(language, above="costs agreement", below="gains agreement", unclear=""),
    }
    clear = [f"{what} {does}" for what, does in said.items() if does]
    return begin(names(clear)) if clear else "Neither a new domain nor another language clearly costs agreement"


def words_heading(label: str, more: Estimate) -> str:
    """Whether the gap of a picture is larger where a word can be copied."""
    return tell(
        more,
        above=f"The gap of {label} is larger where words are repeated",
        below=f"The gap of {label} is smaller where words are repeated",
        unclear=f"Whether the gap of {label} differs where words are repeated cannot be told",
        missing="Repeated words and new ones cannot be compared",
    )


def heads_heading(scores: Sequence[float], least: float) -> str:
    """How many heads do induction."""
    found = sum(score >= least for score in scores)
    return f"{found or 'No'} head{'s' * (found > 1)} of {len(scores)} {'do' if found > 1 else 'does'} induction"


def foreseen_heading(diagnostic: str, error: Estimate | None, baseline: Estimate | None) -> str:
    """Whether a diagnostic foresees the gap better than expecting none."""
    if error is None or baseline is None:
        return "Too little was predicted to foresee a gap"
    return tell(
        baseline - error,
        above=f"The {diagnostic} foresees the gap better than expecting none",
        below=f"Expecting no gap is better than what the {diagnostic} foresees",
        unclear=f"Whether the {diagnostic} beats expecting no gap cannot be told",
        missing="Too little was predicted to foresee a gap",
    )
