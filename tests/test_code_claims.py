"""Claims 5 and 6 on measurements with planted effects: every effect has the sign and size of what was planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import pytest
from known_heads import Known, induction, text_of, to_previous
from planted import study

from lib.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Claim, Finding
from lib.experiment import Experiment, MeasuringConfig
from lib.models.training import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.proxies import MODEL, Simplification
from lib.studies import Study
from lib.tasks.code.claims import LANGUAGE, PREDICTED, class_gap, induction_less_other
from lib.tasks.code.languages import CLASSES, CLOSING, KEYWORD, NEW, NUMBER, REPEATED
from lib.tasks.code.task import CodeTask

SVD, HARD = Simplification("svd", 2), Simplification("one_hot")
FIRST, SECOND = (Simplification("svd", 2, 0, head) for head in (0, 1))
SPLITS = ("id", "seen_package", "javascript", "c", "java")
DOMAINS = ("humaneval_x/python", "humaneval_x/javascript", "humaneval_x/c")
USUAL = 0.95  # where nothing else is planted, all agree with the model so often
DATA = text_of(21)  # in which a string of ten characters can be repeated

Planted = Mapping[tuple[Simplification, str], float | Mapping[str, float]]  # by simplification and split; perhaps by kind


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """Two heads in one layer, simplified together and one by one; its corpus is never read."""
    return Experiment(
        task=CodeTask(corpus="directory", location="nowhere"),
        model=ModelConfig(layers=1, heads=2, width=16, mlp_width=16),
        training=TrainingConfig(steps=1),
        measuring=MeasuringConfig(grid={"all": {"svd": (2,), "one_hot": ()}}, each_head={"svd": (2,)}),
        seeds=3,
    )


@pytest.fixture
def planted(experiment) -> Callable[..., Study]:
    """A function that makes a study with planted agreement. The first head of its models does induction, the second not."""

    def make(agreement: Planted | None = None, splits: tuple = SPLITS, heads: tuple = (induction(10), to_previous)) -> Study:
        of = agreement or {}
        same = {
            split: {(s, "same_prediction"): of.get((s, split), USUAL) for s in (SVD, HARD, FIRST, SECOND)} for split in splits
        }
        made = study(experiment, {x: {(MODEL, "accuracy"): 0.5, (SVD, "accuracy"): 0.5, **same[x]} for x in splits}, CLASSES)
        for run in made.runs:
            run.model, run.data = Known(*heads), DATA
        return made

    return make


def findings_of(study: Study, claim: Claim, contains: str) -> list[Finding]:
    return [finding for finding in study.task.findings(study) if finding.claim == claim and contains in finding.statement]


def effects(study: Study, claim: Claim, contains: str) -> list[tuple[float, str]]:
    """Effects and verdicts of the statements that contain a text."""
    return [(round(f.effect.value, 6), f.verdict) for f in findings_of(study, claim, contains)]


def by_kind(rates: Mapping[int, float], otherwise: float) -> dict[str, float]:
    return {**{CLASSES[kind]: rate for kind, rate in rates.items()}, "": otherwise}


# Claim 5


def test_the_gap_to_a_language_is_agreement_on_id_less_agreement_there(planted):
    made = planted({(SVD, "id"): 0.9, (SVD, "javascript"): 0.7, (SVD, "c"): 0.95, (SVD, "java"): 0.9})
    found = findings_of(made, LANGUAGE, "more often on id than on")
    assert [(f.statement.split()[-1], round(f.effect.value, 6), f.verdict) for f in found] == [
        ("JavaScript", 0.2, SUPPORTED), ("C", -0.05, NOT_SUPPORTED), ("Java", 0, INCONCLUSIVE),
    ]  # fmt: skip
    assert all(finding.statement.startswith("SVD: ") for finding in found), "one-hot attention is not fitted on data"


@pytest.mark.parametrize(
    ("own", "others", "effect", "verdict"),
    [
        pytest.param(0.8, (0.5, 0.7), 0.2 - 0.1, SUPPORTED, id="language costs more than domain"),
        pytest.param(0.5, (0.45, 0.35), 0.1 - 0.4, NOT_SUPPORTED, id="domain costs more than language"),
        pytest.param(0.95, (0.6, 0.8), 0.25 - 0, SUPPORTED, id="a domain that gains counts as none"),
        pytest.param(0.8, (0.9, 0.9), -0.1 - 0.1, NOT_SUPPORTED, id="other languages gain"),
    ],
)
def test_what_another_language_costs_is_compared_with_what_the_domain_does(planted, own, others, effect, verdict):
    """On the same functions in the training language and, on average, in the others; `id` has 0.9."""
    rates = dict(zip(DOMAINS, (own, *others), strict=True))
    made = planted({(SVD, "id"): 0.9, **{(SVD, split): rate for split, rate in rates.items()}}, (*SPLITS, *DOMAINS))
    assert effects(made, LANGUAGE, "on HumanEval-X") == [(pytest.approx(effect), verdict)]


def test_without_the_same_functions_in_two_languages_the_statement_says_what_to_do(planted):
    for splits in (SPLITS, (*SPLITS, DOMAINS[0])):
        (finding,) = findings_of(planted(splits=splits), LANGUAGE, "on HumanEval-X")
        assert (finding.effect, finding.verdict) == (None, INCONCLUSIVE)
        assert "LIB_HUMANEVAL_X" in finding.reason


# Claim 6


def test_the_gap_on_a_kind_of_character_is_its_mean_over_languages(planted):
    kinds = by_kind({NUMBER: 0.5}, USUAL)
    made = planted({(SVD, "id"): by_kind({NUMBER: 0.9}, USUAL), (SVD, "c"): kinds, (SVD, "java"): by_kind({NUMBER: 0.8}, 0.1)})
    assert class_gap(made, SVD, CLASSES[NUMBER]).value == pytest.approx(0.9 - (0.95 + 0.5 + 0.8) / 3)
    assert class_gap(made, SVD, CLASSES[NUMBER], ["c"]).value == pytest.approx(0.4)
    assert class_gap(made, SVD, CLASSES[NUMBER], ["c"], "java").value == pytest.approx(0.3)
    assert class_gap(made, SVD, CLASSES[KEYWORD], ["c"]).value == pytest.approx(0)


@pytest.mark.parametrize(("sign", "verdict"), [(1, SUPPORTED), (-1, NOT_SUPPORTED)])
def test_kinds_of_characters_that_differ_most_on_one_language_are_compared_on_others(planted, sign, verdict):
    """From `seen_package` to JavaScript keywords have the largest gap and closing brackets the smallest; then elsewhere."""
    settled = {(SVD, "javascript"): by_kind({KEYWORD: 0.5, CLOSING: 0.99}, 0.8)}
    tested = {
        (SVD, "c"): by_kind({KEYWORD: 0.5 - 0.2 * sign, CLOSING: 0.8 + 0.1 * sign}, 0.6),
        (SVD, "java"): by_kind({KEYWORD: 0.5 - 0.1 * sign, CLOSING: 0.8 + 0.2 * sign}, 0.9),
        (SVD, "id"): by_kind({KEYWORD: 0.5, CLOSING: 0.8, NUMBER: 0.95}, 0.7),  # from which numbers would have the largest
    }
    made = planted({**settled, **tested})
    assert effects(made, PREDICTED, "the kinds of characters") == [(pytest.approx(sign * 0.3), verdict)]


def test_kinds_that_are_rare_somewhere_are_not_compared(planted):
    """Of keywords, whose gap would be the largest, `c` has too few predictions."""
    rates = {(SVD, split): by_kind({KEYWORD: 0.1, NUMBER: 0.5}, 0.8) for split in ("javascript", "c", "java")}
    made = planted(rates)
    for seed in range(3):
        (block,) = [block for block in made.estimates.blocks(seed) if block.split == "c"]
        keywords = block.columns["character"] == KEYWORD
        block.columns["n"][keywords] = block.columns["sequence"][keywords] < 33  # 99 in all
    assert effects(made, PREDICTED, "the kinds of characters") == [(pytest.approx(0.3), SUPPORTED)]


def test_the_contrast_of_kinds_needs_a_second_language(planted):
    (finding,) = findings_of(planted(splits=SPLITS[:3]), PREDICTED, "the kinds of characters")
    assert finding.effect is None
    assert "only one further language" in finding.reason


@pytest.mark.parametrize(("sign", "verdict"), [(1, SUPPORTED), (-1, NOT_SUPPORTED)])
def test_repeated_words_are_compared_with_new_ones(planted, sign, verdict):
    """Gaps of 0.35 and, on new words, of 0.15; or the other way round."""
    gaps = {REPEATED: 0.25 + 0.1 * sign, NEW: 0.25 - 0.1 * sign}
    rates = {(SVD, "id"): by_kind({REPEATED: 0.9, NEW: 0.7}, USUAL)}
    rates |= {(SVD, x): by_kind({REPEATED: 0.9 - gaps[REPEATED], NEW: 0.7 - gaps[NEW]}, 0.1) for x in SPLITS[2:]}
    assert effects(planted(rates), PREDICTED, "later characters of repeated words") == [(pytest.approx(sign * 0.2), verdict)]


@pytest.mark.parametrize(("sign", "verdict"), [(1, SUPPORTED), (-1, NOT_SUPPORTED)])
def test_induction_heads_are_compared_with_others_on_repeated_words(planted, sign, verdict):
    gaps = {FIRST: 0.25 + 0.15 * sign, SECOND: 0.25 - 0.15 * sign}
    rates = {(head, "id"): by_kind({REPEATED: 0.9}, 0.5) for head in gaps}
    rates |= {(head, split): by_kind({REPEATED: 0.9 - gap}, USUAL) for head, gap in gaps.items() for split in SPLITS[2:]}
    made = planted(rates)
    assert effects(made, PREDICTED, "in single heads") == [(pytest.approx(sign * 0.3), verdict)]
    scores = pd.DataFrame({"seed": [0, 0, 1, 1, 2, 2], "layer": 0, "head": [0, 1] * 3})
    other_way_round = scores.assign(induction=[0.1, 0.2] * 3)
    assert induction_less_other(made, SVD, other_way_round).value == pytest.approx(-sign * 0.3)
    in_one_seed = scores.assign(induction=[0.9, 0.0, 0.9, 0.0, 0.0, 0.9])
    assert induction_less_other(made, SVD, in_one_seed).value == pytest.approx(sign * 0.3 / 3), "in each seed its own"


@pytest.mark.parametrize(
    ("heads", "says"),
    [
        ((to_previous, to_previous), "in one the highest score is 0.000"),
        ((induction(10), induction(10)), "every head does induction"),
    ],
)
def test_where_there_is_nothing_to_compare_induction_heads_with_a_finding_says_so(planted, heads, says):
    (finding,) = findings_of(planted(heads=heads), PREDICTED, "in single heads")
    assert finding.effect is None
    assert says in finding.reason


def test_every_proxy_on_data_joins_and_no_other(planted):
    made = planted()
    statements = [finding.statement for finding in made.task.findings(made)]
    assert {statement.split(":")[0].removesuffix(" in single heads") for statement in statements} == {"SVD"}
    assert len(statements) == 3 + 1 + 2 + 1  # languages, HumanEval-X, characters and words, heads
