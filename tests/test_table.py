"""What is kept of a measurement: rows that add up, files that are read back or refused, and the published table."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import ArtifactError, InputError
from lib.measuring.faithfulness import block_of
from lib.measuring.table import COLUMNS, Block, read, tidy, write
from lib.proxies import MODEL, Simplification
from lib.split import Split

SVD, KMEANS = Simplification("svd", 2, layer=1), Simplification("kmeans", 16, fit_on="iid")
ONE_HOT = Simplification("one_hot", None, layer=0, head=1)
MEASURES = ("same_prediction", "accuracy")
KINDS = ("letter", "digit", "space")


def split_of(name: str, seed: int = 0, sequences: int = 12, length: int = 9) -> Split:
    """Random tokens, of which about half are scored, and two covariates; the categories of one have names."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, length + 1, sequences)
    scored = (rng.random((sequences, length)) < 0.5) & (np.arange(length) < lengths[:, None] - 1)
    scored[0], scored[1, 0] = False, True  # a sequence without a scored position, and one with at least one
    return Split(
        name=name,
        tokens=rng.integers(1, 5, (sequences, length)),
        lengths=lengths,
        scored=scored,
        candidates=np.arange(1, 5),
        covariates={"depth": rng.integers(1, 4, scored.shape), "kind": rng.integers(0, 3, scored.shape)},
        labels={"kind": KINDS},
    )


def values_of(split: Split, *simplifications: Simplification, seed: int = 1) -> dict:
    """Random values of every measure at each scored position."""
    rng = np.random.default_rng(seed)
    return {key: rng.random(split.scored.sum()) for key in product((MODEL, *simplifications), MEASURES)}


def covariates_of(split: Split) -> dict[str, np.ndarray]:
    return {name: values[split.scored] for name, values in split.covariates.items()}


def measured(split: Split, *simplifications: Simplification) -> Block:
    return block_of(split, covariates_of(split), values_of(split, *simplifications))


# Rows


@given(st.integers(0, 1_000), st.integers(2, 20), st.integers(2, 12))
def test_a_row_is_all_scored_positions_of_a_sequence_with_the_same_covariates(seed, sequences, length):
    split = split_of("iid", seed, sequences, length)
    values = values_of(split, SVD)
    expected = defaultdict(lambda: np.zeros(2))
    for i, (row, position) in enumerate(np.argwhere(split.scored)):
        key = (row, *(covariate[row, position] for covariate in split.covariates.values()))
        expected[key] += [1, values[SVD, "accuracy"][i]]
    block = block_of(split, covariates_of(split), values)
    found = zip(*(block.columns[name] for name in ("sequence", "depth", "kind")), strict=True)
    assert list(found) == sorted(expected)
    totals = np.array([expected[key] for key in sorted(expected)])
    np.testing.assert_array_equal(block.columns["n"], totals[:, 0])
    np.testing.assert_allclose(block.sums[SVD, "accuracy"], totals[:, 1], rtol=1e-5)


def test_rows_need_no_covariates():
    split = replace(split_of("iid"), covariates={})
    block = measured(split, SVD)
    np.testing.assert_array_equal(block.columns["sequence"], np.flatnonzero(split.scored.any(1)))
    np.testing.assert_array_equal(block.columns["n"], split.scored.sum(1)[split.scored.any(1)])
    assert (block.covariates, block.sequences) == ([], len(split))


def test_groups_by_pairs_of_covariates_add_up_to_the_whole():
    block = measured(split_of("iid"), SVD)
    parts = [block.where({"depth": depth, "kind": kind}) for depth, kind in product((1, 2, 3), KINDS)]
    assert (np.sum(parts, axis=0) == 1).all(), "each row is in one group"
    assert sum(part.any() for part in parts) > 5
    for values in (block.columns["n"], *block.sums.values()):
        assert sum(values[part].sum(dtype=float) for part in parts) == pytest.approx(values.sum(dtype=float))


@pytest.mark.parametrize(
    ("conditions", "rows"),
    [
        pytest.param({}, lambda depth, kind: depth > 0, id="none"),
        pytest.param({"depth": 2}, lambda depth, kind: depth == 2, id="a category"),
        pytest.param({"depth": [1, 3]}, lambda depth, kind: depth != 2, id="several"),
        pytest.param({"depth": range(2, 9)}, lambda depth, kind: depth > 1, id="a range"),
        pytest.param({"depth": np.array([3])}, lambda depth, kind: depth == 3, id="an array"),
        pytest.param({"kind": "digit"}, lambda depth, kind: kind == 1, id="the name of a category"),
        pytest.param({"kind": ["digit", "space"]}, lambda depth, kind: kind > 0, id="names"),
        pytest.param({"kind": ("letter", 2)}, lambda depth, kind: kind != 1, id="a name and a category"),
        pytest.param({"kind": "space", "depth": 1}, lambda depth, kind: (kind == 2) & (depth == 1), id="two covariates"),
        pytest.param({"depth": 7}, lambda depth, kind: depth > 9, id="a category that does not occur"),
    ],
)
def test_rows_are_chosen_by_values_of_covariates(conditions, rows):
    block = measured(split_of("iid"), SVD)
    np.testing.assert_array_equal(block.where(conditions), rows(block.columns["depth"], block.columns["kind"]))


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        pytest.param({"margin": 1}, "split 'iid' has no covariate 'margin', but only: depth, kind", id="unknown covariate"),
        pytest.param({"sequence": 1}, "split 'iid' has no covariate 'sequence'", id="a column that is none"),
        pytest.param({"kind": "comma"}, "kind of split 'iid' is 'comma', .* letter, digit, space", id="unknown name"),
        pytest.param({"depth": "deep"}, "depth of split 'iid' is 'deep', .* whole number", id="name where none has one"),
    ],
)
def test_rows_that_a_split_cannot_have_are_refused(conditions, says):
    with pytest.raises(InputError, match=says):
        measured(split_of("iid"), SVD).where(conditions)


def test_what_is_measured_later_joins_and_takes_precedence():
    split = split_of("iid")
    first, later = measured(split, SVD), block_of(split, covariates_of(split), values_of(split, KMEANS, seed=2))
    both = first + later
    assert both.simplifications == [MODEL, SVD, KMEANS]
    np.testing.assert_array_equal(both.sums[SVD, "accuracy"], first.sums[SVD, "accuracy"])
    np.testing.assert_array_equal(both.sums[MODEL, "accuracy"], later.sums[MODEL, "accuracy"])


# Files


@pytest.fixture
def blocks() -> list[Block]:
    """Of splits with different covariates, on which different things were measured."""
    plain = replace(split_of("plain", 1), covariates={"depth": split_of("plain", 1).covariates["depth"]}, labels={})
    return [measured(split_of("iid"), SVD, ONE_HOT), replace(measured(plain, SVD, KMEANS), step=40)]


@pytest.fixture
def file(blocks, tmp_path) -> Path:
    write(tmp_path / "measurements.parquet", blocks)
    return tmp_path / "measurements.parquet"


def test_what_is_written_is_read_back(blocks, file):
    for one, other in zip(read(file), blocks, strict=True):
        assert (one.split, one.sequences, one.step) == (other.split, other.sequences, other.step)
        assert (one.covariates, one.measures) == (other.covariates, other.measures)
        assert {name: tuple(of) for name, of in one.labels.items()} == other.labels
        assert set(one.simplifications) == set(other.simplifications)
        assert len(one.sums) == len(other.sums)
        for name, column in other.columns.items():
            np.testing.assert_array_equal(one.columns[name], column)
        for key, sums in other.sums.items():
            np.testing.assert_array_equal(one.sums[key], sums)


def test_what_was_not_measured_on_a_split_is_not_in_its_block(file):
    iid, plain = read(file)
    assert (KMEANS, "accuracy") not in iid.sums
    assert (ONE_HOT, "accuracy") not in plain.sums
    with pytest.raises(KeyError):
        iid.sums[KMEANS, "accuracy"]
    assert plain.covariates == ["depth"]


def damage(file: Path, column: str, group: int = 0) -> None:
    """Change the last byte of a column's values."""
    row_group = pq.ParquetFile(file).metadata.row_group(group)
    (chunk,) = [c for c in map(row_group.column, range(row_group.num_columns)) if c.path_in_schema == column]
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    content = bytearray(file.read_bytes())
    content[start + chunk.total_compressed_size - 1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("column", ["sequence", "n", "depth", "kind"])
def test_a_damaged_index_is_refused(file, column):
    damage(file, column)
    with pytest.raises(ArtifactError, match=f"{file} cannot be read as measurements.*delete it"):
        read(file)


def test_values_are_read_when_they_are_asked_for_and_refused_if_damaged(file, blocks):
    """So a damaged column does no harm to those who do not look at it."""
    damage(file, "1:accuracy", group=1)
    iid, plain = read(file)
    assert (SVD, "accuracy") in plain.sums
    with pytest.raises(ArtifactError, match=f"{file} is damaged.*delete it"):
        plain.sums[SVD, "accuracy"]
    np.testing.assert_array_equal(plain.sums[SVD, "same_prediction"], blocks[1].sums[SVD, "same_prediction"])
    np.testing.assert_array_equal(iid.sums[SVD, "accuracy"], blocks[0].sums[SVD, "accuracy"])


@pytest.mark.parametrize("kept", [0, 4, 0.5, 0.9, -1], ids=["all of it", "to its mark", "half", "its end", "its last byte"])
def test_a_truncated_file_is_refused(file, kept):
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ArtifactError, match=f"{file} cannot be read as measurements.*delete it"):
        read(file)


def test_what_is_no_table_of_measurements_is_refused(tmp_path):
    other, missing = tmp_path / "other.parquet", tmp_path / "missing.parquet"
    pq.write_table(pa.table({"n": [1, 2]}), other)
    for path in (other, missing):
        with pytest.raises(ArtifactError, match=f"{path} cannot be read as measurements"):
            read(path)


# The published table


@pytest.fixture
def results(blocks) -> pd.DataFrame:
    return tidy(blocks, "dyck", 3)


def test_the_published_table_has_the_columns_that_users_rely_on(results):
    assert list(results.columns) == [
        *("task", "seed", "layer", "head", "proxy", "complexity", "fit_on"),
        *("split", "group", "group_value", "metric", "value", "n"),
    ]
    assert list(results.columns) == COLUMNS
    assert (results["task"] == "dyck").all()
    assert (results["seed"] == 3).all()
    assert set(results["metric"]) == {*MEASURES, "original_accuracy"}
    assert set(results.loc[results["proxy"] == "one_hot", "complexity"]) == {pd.NA}
    assert {s: set(results.loc[results["proxy"] == s, "complexity"]) for s in ("svd", "kmeans")} == {"svd": {2}, "kmeans": {16}}
    assert set(zip(results["proxy"], results["layer"], results["head"], results["fit_on"], strict=True)) == {
        *(("svd", 1, -1, "training"), ("one_hot", 0, 1, "training"), ("kmeans", -1, -1, "iid"))
    }
    assert not results.duplicated([c for c in COLUMNS if c not in ("value", "n")]).any()
    assert not results.drop(columns="complexity").isna().any().any()


def test_the_published_table_has_whole_splits_and_every_category(results, blocks):
    assert (results.loc[results["group"] == "", "group_value"] == "").all()
    assert set(results.loc[results["group"] == "kind", "group_value"]) == set(KINDS)
    assert set(results.loc[results["group"] == "depth", "group_value"]) == {"1", "2", "3"}
    assert set(results.loc[results["group"] == "kind", "split"]) == {"iid"}
    for block in blocks:
        of_split = results[(results["split"] == block.split) & (results["proxy"] == "svd")]
        for group, conditions in [("", {}), ("depth", {"depth": 2})]:
            chosen = block.where(conditions)
            n = block.columns["n"][chosen].sum()
            of = of_split[(of_split["group"] == group) & of_split["group_value"].isin(["", "2"])]
            assert set(of["n"]) == {n}
            found = of.set_index("metric")["value"]
            assert found["accuracy"] == pytest.approx(block.sums[SVD, "accuracy"][chosen].sum() / n)
            assert found["original_accuracy"] == pytest.approx(block.sums[MODEL, "accuracy"][chosen].sum() / n)


def test_every_covariate_adds_up_to_the_whole(results):
    weighted = results.assign(value=results["value"] * results["n"])
    for part in ("n", "value"):
        totals = weighted.pivot_table(part, ["split", "proxy", "metric"], "group", "sum")
        for group in ("depth", "kind"):
            there = totals[group].dropna()
            assert len(there)
            np.testing.assert_allclose(there, totals[""][there.index], rtol=1e-6)


def test_the_published_table_does_not_depend_on_the_order_in_which_things_were_measured(results, blocks):
    turned = [replace(block, sums=dict(reversed(block.sums.items()))) for block in blocks[::-1]]
    pd.testing.assert_frame_equal(tidy(turned, "dyck", 3), results)


def test_the_published_table_of_a_file_is_that_of_what_was_written(results, file):
    pd.testing.assert_frame_equal(tidy(read(file), "dyck", 3), results)
