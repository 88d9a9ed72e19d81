"""Diagnostics foresee agreement on other text where it depends on what they look at, and not where it depends on more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib.errors import InputError
from lib.measuring.diagnostics import DIAGNOSTICS, FEWEST, Cell, errors, foresee, left_out
from lib.measuring.table import Block
from lib.proxies import Simplification

S = Simplification("svd", 2, 1)
LABELS = {"kind": ("a", "b", "c"), "margin": tuple(f"{k} nats" for k in range(5))}
POSITIONS = 10  # of a row

Covariates = Mapping[str, np.ndarray]


def drawn(rng: np.random.Generator, rows: int = 400, **values: object) -> dict[str, np.ndarray]:
    """Covariates of rows, drawn from the given values, or from usual ones."""
    usual = {"depth": range(1, 7), "length": range(10, 30), "kind": range(3), "margin": range(5)}
    found = {name: rng.choice(list(of), rows) for name, of in {**usual, **values}.items() if name != "outside"}
    return {**found, "outside": rng.choice(list(values.get("outside", np.linspace(0.05, 0.6, 40))), rows)}


def block(split: str, columns: Covariates, agreement: Callable[[Covariates], np.ndarray]) -> Block:
    """A block whose rows agree as often as a function of their covariates says, exactly."""
    rows = len(columns["depth"])
    share = np.broadcast_to(agreement(columns), rows)
    sums = {(S, "same_prediction"): POSITIONS * share, (S, "outside"): POSITIONS * columns["outside"]}
    index = {"sequence": np.arange(rows), "n": np.full(rows, POSITIONS)}
    covariates = {name: values for name, values in columns.items() if name != "outside"}
    return Block(split, rows, {**index, **covariates}, sums, LABELS)


def cell(agreement: Callable[[Covariates], np.ndarray], key: str = "depth", covariates=("depth", "length", "kind"), **target):
    """In distribution everything is drawn alike, on the target as `target` says. Also returned: agreement on the target."""
    rng = np.random.default_rng(0)
    outside = block("target", drawn(rng, **target), agreement)
    made = Cell(block("inside", drawn(rng), agreement), outside, S, key, covariates)
    return made, outside.sums[S, "same_prediction"].sum() / outside.columns["n"].sum()


DEEP, UNSURE, FAR = {"depth": (4, 5, 6)}, {"margin": (0, 1)}, {"outside": np.linspace(0.4, 0.6, 20)}


@pytest.mark.parametrize(
    ("name", "agreement", "target", "tolerance"),
    [
        pytest.param("mix", lambda c: 1 - 0.1 * c["depth"], DEEP, 1e-6, id="depth alone"),
        pytest.param("margin", lambda c: 0.5 + 0.1 * c["margin"], UNSURE, 1e-6, id="margin alone"),
        pytest.param("outside", lambda c: 1 - c["outside"], FAR, 0.02, id="what is dropped alone"),
        pytest.param("regression", lambda c: 1 / (1 + np.exp(0.8 * c["depth"] - 3)), DEEP, 0.01, id="depth, smoothly"),
    ],
)
def test_a_diagnostic_foresees_what_depends_on_what_it_looks_at(name, agreement, target, tolerance):
    made, actual = cell(agreement, **target)
    found = foresee(made)
    assert [*found] == [*DIAGNOSTICS]
    assert found[name] == pytest.approx(actual, abs=tolerance)
    assert found["unchanged"] - actual > 0.1, "it is not what it was in distribution"
    others = {"mix", "margin", "outside"} - ({"mix"} if name == "regression" else {name})
    assert all(abs(found[other] - found["unchanged"]) < 0.03 for other in others), "nor do the others see it coming"


def test_where_nothing_differs_every_diagnostic_says_so():
    made, actual = cell(lambda c: 1 - 0.1 * c["depth"])
    assert list(foresee(made).values()) == pytest.approx([actual] * len(DIAGNOSTICS), abs=0.02)


def test_the_regression_alone_sees_two_things_at_once():
    def agreement(c: Covariates) -> np.ndarray:
        return 1 / (1 + np.exp(0.5 * c["depth"] + 5 * c["outside"] - 3))

    made, actual = cell(agreement, **DEEP, **FAR)
    off = {name: abs(value - actual) for name, value in foresee(made).items()}
    assert off["regression"] < 0.02
    assert min(of for name, of in off.items() if name != "regression") > 0.05


def test_beyond_what_was_seen_a_mix_stays_and_a_regression_goes_on():
    """The target has depths that the split in distribution does not; there the agreement of the deepest known is assumed."""
    made, actual = cell(lambda c: 1 / (1 + np.exp(0.8 * c["depth"] - 4)), depth=(8, 9, 10))
    found = foresee(made)
    assert found["mix"] == pytest.approx(1 / (1 + np.exp(0.8 * 6 - 4)))
    assert found["mix"] - actual > 0.2
    assert found["regression"] == pytest.approx(actual, abs=0.02)


def test_a_value_that_is_too_rare_counts_as_the_nearest_that_is_not():
    """One position in distribution at depth 6 says nothing; a kind that is too rare counts as all together."""
    rng = np.random.default_rng(1)
    inside, target = drawn(rng, depth=range(1, 6), kind=(0, 1)), drawn(rng, depth=(6,), kind=(2,))
    inside["depth"][0], inside["kind"][0] = 6, 2
    pair = [block(name, of, lambda c: np.where(c["depth"] == 6, 0, 1 - 0.1 * c["depth"])) for name, of in
            (("inside", inside), ("target", target))]  # fmt: skip
    pair[0].columns["n"][0] = 1
    assert foresee(Cell(*pair, S, "depth", ()))["mix"] == pytest.approx(0.5)
    by_kind = foresee(Cell(*pair, S, "kind", ()))
    assert by_kind["mix"] == pytest.approx(by_kind["unchanged"])


def test_where_every_value_is_too_rare_agreement_stays():
    rng = np.random.default_rng(2)
    pair = [block(name, drawn(rng, 30, depth=range(1, 40)), lambda c: 0.7) for name in ("inside", "target")]
    spread = [replace(b, columns={**b.columns, "depth": np.arange(30)}) for b in pair]
    assert foresee(Cell(*spread, S, "depth", ()))["mix"] == pytest.approx(0.7)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_of_one_outcome_alone_nothing_can_be_learned(outcome):
    made, _ = cell(lambda c: np.array(outcome), **DEEP)
    assert foresee(made) == dict.fromkeys(DIAGNOSTICS, outcome)


def test_the_predictions_on_the_target_have_no_part_in_it():
    made, _ = cell(lambda c: 1 - 0.1 * c["depth"], **DEEP)
    blind = replace(made.target, sums={(S, "outside"): made.target.sums[S, "outside"]})
    assert foresee(replace(made, target=blind)) == foresee(made)


def test_a_covariate_with_names_has_no_order():
    """Agreement is lowest for the middle one of three kinds."""
    made, actual = cell(lambda c: np.where(c["kind"] == 1, 0.3, 0.9), "kind", ("kind",), kind=(1, 1, 2))
    found = foresee(made)
    assert found["mix"] == pytest.approx(actual)
    assert found["regression"] == pytest.approx(actual, abs=0.01)


# Refusals


def test_what_a_diagnostic_needs_is_named_where_it_is_missing():
    made, _ = cell(lambda c: 1 - 0.1 * c["depth"])
    without = {name: values for name, values in made.target.columns.items() if name != "margin"}
    nothing = replace(made.inside, sums={(S, "outside"): made.inside.sums[S, "outside"]})
    few = {name: values[: FEWEST // POSITIONS - 1] for name, values in made.target.columns.items()}
    for changes, says in (
        ({"key": "weight"}, "split 'inside' lacks the covariate 'weight', which this diagnostic needs"),
        ({"covariates": ("depth", "width")}, "lacks the covariate 'width'"),
        ({"target": replace(made.target, columns=without)}, "split 'target' lacks the covariate 'margin'"),
        ({"target": replace(made.target, sums={})}, "on split 'target' it was not measured what SVD, rank 2 drops"),
        ({"inside": nothing}, "SVD, rank 2 was not measured on split 'inside'"),
        (
            {"target": replace(made.target, columns=few)},
            f"'target' has {FEWEST - POSITIONS} scored positions, {FEWEST} are needed",
        ),
    ):
        with pytest.raises(InputError, match=says):
            replace(made, **changes)


# How good they are


def table_of(**columns: list) -> pd.DataFrame:
    return pd.DataFrame({**dict.fromkeys(DIAGNOSTICS, 0.9), **columns})


def test_errors_are_distances_from_what_was_measured():
    found = errors(table_of(measured=[0.8, 0.95], mix=[0.7, 0.95]))
    assert found["mix"].tolist() == pytest.approx([0.1, 0])
    assert found["unchanged"].tolist() == pytest.approx([0.1, 0.05])
    assert [*found] == [*DIAGNOSTICS]


def test_a_diagnostic_is_chosen_on_all_cells_but_those_that_it_is_judged_on():
    """`mix` is exact on two families and far off on the third, where `margin` is exact and would be chosen if it could be."""
    family, measured = ["a", "a", "b", "b", "c", "c"], [0.5, 0.6, 0.5, 0.6, 0.5, 0.6]
    mix, margin = [*measured[:4], 0.1, 0.2], [0.7, 0.8, 0.7, 0.8, *measured[4:]]
    found = left_out(table_of(family=family, measured=measured, mix=mix, margin=margin), "family")
    assert found.index.tolist() == ["a", "b", "c"]
    assert found["chosen"].tolist() == ["margin", "margin", "mix"]
    assert found["chosen_error"].tolist() == pytest.approx([0.2, 0.2, 0.4])
    assert found["baseline_error"].tolist() == pytest.approx([0.35] * 3)
    assert found["cells"].tolist() == [2, 2, 2]
    assert found["chosen_error"].dtype == float


def test_the_baseline_itself_is_not_chosen():
    table = table_of(family=["a", "b"], measured=[0.5, 0.5], unchanged=[0.5, 0.5], mix=[0.6, 0.6])
    assert left_out(table, "family")["chosen"].tolist() == ["mix", "mix"]


def test_where_there_is_one_of_a_kind_none_can_be_left_out():
    with pytest.raises(InputError, match="all cells have the same split"):
        left_out(table_of(split=["x", "x"], measured=[0.5, 0.6]), "split")
