"""Claims 1 to 4 on measurements with planted effects: every cell has the sign and size of what was planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from planted import study

from lib.claims import UNSPANNED, Cell, proxies_of, representative
from lib.proxies import MODEL, Simplification
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED
from lib.studies import Study

SVD, RANK_4 = Simplification("svd", 2, 1), Simplification("svd", 4, 1)
KMEANS, ONE_HOT = Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)
CONTROL = Simplification("random_subspace", 2, 1)
UNSEEN = ("unseen_structure", "unseen_structure_long", "unseen_length", "unseen_depth")
SPLITS = ("iid", "seen_structure", "iid_matched", *UNSEEN)
USUAL = 0.97  # where nothing else is planted, all agree with the model, and are right, so often

Rate = float | Mapping[str, float]  # for both depths, "shallow" and "deep", or by depth
Planted = Mapping[tuple[Simplification, str], Rate]  # by simplification and split


@pytest.fixture
def planted(small_experiment) -> Callable[..., Study]:
    """A function that makes a study with planted agreement with the model and accuracy; `model` is its accuracy by split."""
    grid = {"1": {"svd": (2, 4), "kmeans": (8,), "one_hot": (), "random_subspace": (2,)}}
    measuring = small_experiment.measuring.model_copy(update={"grid": grid})
    experiment = small_experiment.model_copy(update={"measuring": measuring})

    def make(agreement: Planted | None = None, accuracy: Planted | None = None, model: Mapping | None = None, **of) -> Study:
        rates = {split: {(MODEL, "accuracy"): (model or {}).get(split, USUAL)} for split in SPLITS}
        for split, of_split in rates.items():
            for s in (SVD, RANK_4, KMEANS, ONE_HOT, CONTROL):
                of_split[s, "same_prediction"] = (agreement or {}).get((s, split), USUAL)
                of_split[s, "accuracy"] = (accuracy or {}).get((s, split), USUAL)
        return study(experiment, rates, ("shallow", "deep"), by=("depth", "length"), **of)

    return make


def cells(study: Study, number: int, reading: str = "A", proxy: str = "svd") -> list[Cell]:
    found = study.task.findings(study)
    return [c for c in found if (c.claim.number, c.reading, c.proxy) == (number, reading, proxy)]


def effects(study: Study, number: int, reading: str = "A", proxy: str = "svd") -> dict[tuple[str, str], tuple[float, str]]:
    """Effect and verdict by split and reference."""
    found = cells(study, number, reading, proxy)
    return {(c.split, c.reference): (pytest.approx(c.effect.value, abs=1e-6), c.verdict) for c in found if c.measured}


# Which simplification stands for a family


@pytest.mark.parametrize(
    ("rank_2", "rank_4", "chosen"),
    [
        pytest.param(0.95, 0.99, SVD, id="the simplest that is trusted"),
        pytest.param(0.901, 0.99, SVD, id="trusted from the level on"),
        pytest.param(0.5, 0.95, RANK_4, id="the only one that is"),
        pytest.param(0.5, 0.6, RANK_4, id="none, so the closest"),
        pytest.param(0.7, 0.6, SVD, id="none, and the closest is simpler"),
    ],
)
def test_the_simplification_that_stands_for_a_family_is_chosen_on_a_split_of_its_own(planted, rank_2, rank_4, chosen):
    agreement = {(SVD, "seen_structure"): rank_2, (RANK_4, "seen_structure"): rank_4}
    for split in set(SPLITS) - {"seen_structure"}:  # on which the other one would be chosen
        other = RANK_4 if chosen == SVD else SVD
        agreement |= {(chosen, split): 0.1, (other, split): 0.99}
    made = planted(agreement)
    assert representative(made, 1, "svd") == chosen
    assert representative(made, 1, "weight_svd") is None, "which was not measured"
    assert {c.setting for c in made.task.findings(made) if c.proxy == "svd" and c.reading in "AB"} == {chosen.label}


def test_nothing_is_claimed_about_controls(planted):
    made = planted()
    assert proxies_of(made, 1) == ["svd", "kmeans", "one_hot"]
    assert proxies_of(made, 1, "fitted") == ["svd", "kmeans"]
    assert proxies_of(made, 1, "no data") == ["one_hot"]
    by_claim = {number: {c.proxy for c in made.task.findings(made) if c.claim.number == number} for number in (1, 2, 3, 4)}
    assert by_claim == {1: {"svd", "kmeans"}, 2: {"svd", "kmeans"}, 3: {"svd", "kmeans", "one_hot"}, 4: {"one_hot"}}


# The claims as the paper says them


@pytest.mark.parametrize(
    ("number", "s", "other", "of_other"),
    [(1, SVD, 4, "one_hot"), (4, ONE_HOT, 1, "svd")],
    ids=["fitted on data", "without data"],
)
def test_a_gap_is_agreement_in_distribution_less_agreement_elsewhere(planted, number, s, other, of_other):
    agreement = {
        "iid": 0.92,
        "unseen_structure": 0.72,
        "unseen_structure_long": 0.92,
        "unseen_length": 0.97,
        "unseen_depth": 0.52,
    }
    made = planted({(s, split): rate for split, rate in agreement.items()})
    assert effects(made, number, proxy=s.proxy) == {
        ("unseen_structure", "iid"): (0.2, GAP),
        ("unseen_structure_long", "iid"): (0, EQUAL),
        ("unseen_length", "iid"): (-0.05, OPPOSITE),
        ("unseen_depth", "iid"): (0.4, GAP),
    }
    assert {verdict for _, verdict in effects(made, other, proxy=of_other).values()} == {EQUAL}, "nothing was planted there"


@pytest.mark.parametrize(("sign", "verdict"), [(1, GAP), (-1, OPPOSITE)])
def test_accuracy_is_lost_against_the_model_and_more_than_elsewhere(planted, sign, verdict):
    """SVD loses 0.01 on iid, gains 0.02 on its control and loses 0.15 at unseen depth; or all the other way round."""
    model = {"iid": 0.6, "iid_matched": 0.5, "unseen_depth": 0.8}
    lost = {"iid": 0.01, "iid_matched": -0.02, "unseen_depth": 0.15}
    made = planted(accuracy={(SVD, x): model[x] - sign * lost[x] for x in lost}, model=model)
    assert effects(made, 2) == {("unseen_depth", "iid"): (sign * 0.14, verdict)}
    assert effects(made, 2, "B") == {
        ("unseen_depth", "iid_matched"): (sign * 0.17, verdict),
        ("unseen_depth", "iid_matched at the same depth"): (sign * 0.17, verdict),
    }
    assert [cell.word for cell in cells(made, 2)] == ["loses more" if sign > 0 else "loses less"]


def test_a_proxy_is_better_where_it_is_right_more_often_than_the_model(planted):
    model = {"unseen_length": 0.6, "unseen_depth": 0.5}
    accuracy = {(s, split): rate for s in (SVD, KMEANS) for split, rate in model.items()}
    accuracy |= {(ONE_HOT, "unseen_length"): 0.75, (ONE_HOT, "unseen_depth"): 0.3, (SVD, "unseen_depth"): 0.4}
    made = planted({(ONE_HOT, "seen_structure"): 0.2}, accuracy, model)
    against = "its model"
    assert effects(made, 3, proxy="one_hot") == {
        ("unseen_length", against): (0.15, GAP), ("unseen_depth", against): (-0.2, OPPOSITE),
    }  # fmt: skip
    assert effects(made, 3) == {("unseen_length", against): (0, EQUAL), ("unseen_depth", against): (-0.1, OPPOSITE)}
    assert not cells(made, 3, "B"), "it is held against its model, and no split has a part in it"
    assert [cell.word for cell in cells(made, 3, proxy="one_hot")] == ["better", "worse"]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("chosen_on", "inside", "short"),
    [
        pytest.param(0.89, 0.97, "seen_structure", id="where it is chosen"),
        pytest.param(0.97, 0.89, "iid", id="in distribution"),
        pytest.param(0.89, 0.88, "seen_structure and iid", id="on both"),
    ],
)
def test_what_does_not_match_the_model_has_no_verdict(planted, number, chosen_on, inside, short):
    """On the split that settings are chosen on and on that in distribution; the reason says on which it fails."""
    made = planted({(KMEANS, "seen_structure"): chosen_on, (KMEANS, "iid"): inside})
    said = f"agreement of {100 * chosen_on:.1f} % on seen_structure and {100 * inside:.1f} % on iid: short of 90 % on {short}"
    for reading in ("A", "B"):
        found = cells(made, number, reading, "kmeans")
        assert found
        assert {cell.verdict for cell in found} == {NOT_APPLICABLE}
        assert {cell.reason for cell in found} == {said}
        assert all(cell.agreement == pytest.approx(inside) for cell in found)
    assert NOT_APPLICABLE not in {cell.verdict for cell in cells(made, number)}, "SVD does"
    assert {cell.verdict for cell in cells(made, 3, proxy="kmeans")} == {EQUAL}, "which is not about such alone"


# The premise


@pytest.mark.parametrize("accuracy", [0.494, 0.74, 0.76])
def test_where_the_model_itself_does_not_go_on_there_is_nothing_to_lose(planted, accuracy):
    """In any reading; other claims do not ask for it, and other splits do not count."""
    made = planted(
        {(SVD, "iid"): 0.91, (RANK_4, "iid"): 0.96}, {(SVD, "unseen_depth"): accuracy - 0.3},
        {"unseen_depth": accuracy, "iid": 0.5, "unseen_length": 0.1},
    )  # fmt: skip
    holds = accuracy >= RULES.claim(2).premise
    for reading in "ABC":
        found = [cell for cell in cells(made, 2, reading) if cell.measured]
        assert found
        assert NOT_APPLICABLE not in {c.verdict for c in cells(made, 1, reading) if c.measured}
        if holds:
            assert NOT_APPLICABLE not in {cell.verdict for cell in found}
        else:
            assert {cell.verdict for cell in cells(made, 2, reading)} == {NOT_APPLICABLE}
            there = made.task.look("unseen_depth").label
            assert {cell.reason for cell in cells(made, 2, reading)} == {
                f"the model itself does not go on: right on {100 * accuracy:.1f} % of {there}, 75 % are asked for"
            }
    assert NOT_APPLICABLE not in {cell.verdict for cell in cells(made, 3)}


def test_the_premise_is_a_mean_over_the_seeds_that_verdicts_rest_on(planted):
    shifts = {seed: -0.1 if seed >= 5 else 0.0 for seed in range(10)}
    made = planted(model={"unseen_depth": 0.8}, seeds=10, shifts=shifts)
    first, second = cells(made, 2)
    assert (first.decides, first.verdict) == (True, NOT_APPLICABLE)
    assert f"right on 70.0 % of {made.task.look('unseen_depth').label}," in first.reason
    assert second.verdict != NOT_APPLICABLE, "on the others it is right on 80 %"


def test_without_the_models_accuracy_its_premise_is_not_met(planted):
    made = planted()
    for seed in range(3):
        del made.estimates.block(seed, "unseen_depth").sums[MODEL, "accuracy"]
    made.estimates._found.clear()
    assert {cell.verdict for cell in cells(made, 2)} == {NOT_APPLICABLE}
    assert all("was not measured on split 'unseen_depth'" in cell.reason for cell in cells(made, 2))


# Matched


def test_what_another_mix_of_depths_costs_is_no_gap_at_the_same_depth(planted):
    """Agreement depends on depth alone; deep positions are more frequent at unseen depth than among its references."""
    by_depth = {"shallow": 0.98, "deep": 0.78}
    counts = {
        "unseen_depth": {"shallow": 1, "deep": 7},
        "iid": {"shallow": 7, "deep": 1},
        "iid_matched": {"shallow": 6, "deep": 2},
    }
    made = planted({(SVD, split): by_depth for split in (*counts, "unseen_length")}, n=counts)
    assert effects(made, 1)["unseen_depth", "iid"] == (0.2 * 6 / 8, GAP)
    matched = effects(made, 1, "B")
    assert matched["unseen_depth", "iid_matched"] == (0.2 * 5 / 8, GAP)
    assert matched["unseen_depth", "iid_matched at the same depth"] == (0, EQUAL)
    assert matched["unseen_length", "iid at the same depth"] == (0, EQUAL)


def test_structures_are_held_against_seen_ones_of_the_same_length(planted):
    """`length` and `depth` are the same number here. Seen structures agree less often than iid, and the long ones more."""
    counts = {"seen_structure": {"shallow": 7, "deep": 1}, "unseen_structure": {"shallow": 1, "deep": 7}}
    seen, unseen = {"shallow": 0.96, "deep": 0.92}, {"shallow": 0.86, "deep": 0.82}
    made = planted({(SVD, "seen_structure"): seen, (SVD, "unseen_structure"): unseen}, n=counts)
    assert effects(made, 1, "B")["unseen_structure", "seen_structure at the same length"] == (0.1, GAP)


def test_without_anything_alike_there_is_no_matched_effect(planted):
    counts = {"unseen_depth": {"shallow": 0, "deep": 4}, "iid_matched": {"shallow": 4, "deep": 0}}
    found = cells(planted(n=counts), 1, "B")
    (cell,) = [cell for cell in found if cell.reference == "iid_matched at the same depth"]
    assert (cell.effect, cell.verdict) == (None, NOT_APPLICABLE)
    assert cell.reason.startswith("no depth has 20 scored positions in both 'iid_matched' and 'unseen_depth'")


# At equal agreement


def test_at_equal_agreement_the_effect_is_between_the_settings_of_a_family(planted):
    agreement = {(SVD, "iid"): 0.75, (RANK_4, "iid"): 0.96, (SVD, "unseen_depth"): 0.5, (RANK_4, "unseen_depth"): 0.92}
    found = [cell for cell in cells(planted(agreement), 1, "C") if cell.split == "unseen_depth"]
    assert [cell.level for cell in found] == [*RULES.levels.sensitivity] == [0.8, 0.9, 0.95, 0.99]
    assert [cell.effect.value for cell in found[:3]] == pytest.approx([0.8 - 0.6, 0.9 - 0.8, 0.95 - 0.9], abs=1e-6)
    assert [cell.verdict for cell in found] == [GAP, GAP, GAP, NOT_APPLICABLE]
    assert [cell.setting for cell in found[:2]] == ["SVD at 80 % on iid", "SVD at 90 % on iid"]
    assert [cell.reason for cell in found] == ["", "", "", UNSPANNED]


def test_a_level_that_all_settings_exceed_is_not_reached_from_below(planted):
    agreement = {(SVD, "iid"): 0.85, (RANK_4, "iid"): 0.96}
    found = [cell for cell in cells(planted(agreement), 1, "C") if cell.split == "unseen_depth"]
    assert [cell.measured for cell in found] == [False, True, True, False]


def test_between_the_settings_of_a_family_of_one_there_is_nothing(planted):
    found = cells(planted(), 4, "C", "one_hot")
    assert len(found) == 4 * len(UNSEEN)
    assert {cell.verdict for cell in found} == {NOT_APPLICABLE}
    assert all(cell.reason.startswith("a family of 1 has nothing to interpolate between") for cell in found)


# Seeds


def test_with_two_seeds_nothing_is_decided_and_each_cell_says_why(planted):
    made = planted(seeds=2)
    found = made.task.findings(made)
    assert {cell.claim.number for cell in found} == {1, 2, 3, 4}
    assert {cell.verdict for cell in found} <= {UNDECIDED, NOT_APPLICABLE}
    assert all("measured in 2 seeds, a verdict needs 3" in cell.note for cell in found if cell.measured)
    assert {cell.seeds for cell in found} == {(0, 1)}
    assert all(cell.decides for cell in found)


def test_with_ten_seeds_settings_are_chosen_on_five_and_verdicts_rest_on_the_others(planted):
    """On seeds 5 to 9 all agree less often but on iid: chosen there, rank 4 would stand for SVD, and not match the model."""
    agreement = {(SVD, "seen_structure"): 0.95, (RANK_4, "seen_structure"): 0.99}
    shifts = {seed: -0.1 if seed >= 5 else 0.0 for seed in range(10)}
    made = planted(agreement, seeds=10, shifts=shifts)
    found = [cell for cell in cells(made, 1) if cell.split == "unseen_depth"]
    assert [(cell.seeds, cell.decides) for cell in found] == [((5, 6, 7, 8, 9), True), ((0, 1, 2, 3, 4), False)]
    assert [cell.plain()["seeds"] for cell in found] == [[5, 6, 7, 8, 9], [0, 1, 2, 3, 4]]
    assert [round(cell.effect.value, 6) for cell in found] == [0.1, 0]
    assert [cell.verdict for cell in found] == [GAP, EQUAL]
    assert {cell.setting for cell in found} == {SVD.label}
    assert {cell.reason for cell in found} == {"agreement of 95.0 % on seen_structure and 97.0 % on iid"}
    assert {cell.decides for cell in cells(made, 1, "B")} == {cell.decides for cell in cells(made, 1, "C")} == {True, False}


def test_what_a_claim_lacks_is_said_where_its_effect_would_stand(planted):
    made = planted()
    for seed in range(3):
        del made.estimates.block(seed, "unseen_length").sums[SVD, "same_prediction"]
    lacking = [cell for cell in cells(made, 1) if cell.effect is None]
    assert [cell.split for cell in lacking] == ["unseen_length"]
    assert lacking[0].reason.startswith("same_prediction of SVD, rank 2, layer 1, was not measured on split 'unseen_length'")
    assert lacking[0].verdict == NOT_APPLICABLE
    for seed in range(3):
        del made.estimates.block(seed, "seen_structure").sums[SVD, "same_prediction"]
    made.estimates._found.clear()
    assert {cell.reason.partition(",")[0] for cell in cells(made, 1)} == {"same_prediction of SVD"}, "nor can one be chosen"
