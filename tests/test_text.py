"""Texts of anyone's: what is read of files and folders, and the windows that are made of it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from language_models import character_tokenizer, sentences

from lib.errors import InputError
from lib.tasks.text import windows as making
from lib.tasks.text.reading import read, without_shared
from lib.tasks.text.windows import Texts, Windows, texts

ALL = 10**9  # characters
SMALL = Windows(sequences=20, length=32, positions=8, fit_sequences=10, fit_positions=5)
WORDS = {"plain": "the cat sat on a mat and saw one dog", "other": "zwei hunde jagen drei katzen um den baum herum"}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, Path]:
    """Two texts of other words."""
    folder, found = tmp_path_factory.mktemp("texts"), {}
    for seed, (name, words) in enumerate(WORDS.items()):
        found[name] = folder / f"{name}.txt"
        found[name].write_text(sentences(seed, 150, words))
    return found


def made(given: dict[str, Path], windows: Windows = SMALL, start: bool = False) -> Texts:
    return texts(given, character_tokenizer(start), 97, windows)


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Reading


def stripped(documents: list[list[str]]) -> list[list[str]]:
    """Documents without what separates their paragraphs."""
    return [[paragraph.strip() for paragraph in document] for document in documents]


def test_a_file_is_a_document_of_paragraphs(tmp_path):
    file = written(tmp_path / "a.txt", "\ufeffone\r\nline\r\n\r\n \n\ntwo\n")
    assert stripped(read(file, ALL)) == [["one\nline", "two"]]
    spaced = "a = 1\n\n\nb = 2\n"
    assert "".join(*read(written(tmp_path / "c.py", spaced), ALL)) == spaced, "source is read as it stands"
    assert read(written(tmp_path / "b.txt", "all in one line"), ALL) == [["all in one line"]]


def test_html_is_read_as_what_it_shows(tmp_path):
    page = """<html><head><title>A title</title><style>p { color: red }</style><script>var hidden = 1</script></head>
    <body><!-- a remark --><h1>Head &amp; tail</h1><p>One <b>bold</b>
    word.</p><ul><li>first</li><li>second</li></ul>a<br>b<template>unseen</template><noscript>unseen</noscript></body></html>"""
    shown = ["A title", "Head & tail", "One bold word.", "first", "second", "a", "b"]
    assert stripped(read(written(tmp_path / "page.HTML", page), ALL)) == [shown]
    code = "<p>This:</p><pre>\nif a:\n    b\n\nc</pre>"
    assert stripped(read(written(tmp_path / "code.html", code), ALL)) == [["This:", "if a:\n    b\n\nc"]]
    assert "<b>bold</b>" in read(written(tmp_path / "page.txt", page), ALL)[0][0], "elsewhere, tags are text"


def test_in_a_folder_only_what_is_shown_and_can_be_read_is_read(tmp_path):
    folder = tmp_path / "folder"
    for name in ("a.txt", "below/b.py", ".hidden.txt", ".git/c.txt", "below/.d/e.txt", "site-packages/theirs.py"):
        written(folder / name, f"this is {name}")
    written(folder / "binary", b"a\0b")
    written(folder / "latin.txt", "é".encode("latin-1"))
    written(folder / "empty.txt", "")
    os.mkfifo(folder / "pipe")
    (folder / "again").symlink_to(folder)
    (folder / "circle").symlink_to("circle")
    (folder / "gone").symlink_to("nowhere")
    assert sorted(read(folder, ALL)) == [["this is a.txt"], ["this is below/b.py"]]
    assert read(folder / "*.py", ALL) == [["this is below/b.py"]]


def test_the_order_of_files_is_not_that_of_the_file_system(tmp_path, monkeypatch):
    for name in map(str, range(12)):
        written(tmp_path / "one" / name, f"text {name}")
    for name in map(str, reversed(range(12))):
        written(tmp_path / "other" / name, f"text {name}")
    expected, walk = read(tmp_path / "one", ALL), os.walk
    monkeypatch.setattr(os, "walk", lambda folder: ((a, b[::-1], c[::-1]) for a, b, c in [*walk(folder)][::-1]))
    assert read(tmp_path / "one", ALL) == read(tmp_path / "other", ALL) == expected
    assert expected != sorted(expected), "nor that of names, so that the first are a sample"


def test_no_more_is_read_than_is_enough(tmp_path):
    for name in map(str, range(30)):
        written(tmp_path / name, "x" * 100)
    assert [len(read(tmp_path, enough)) for enough in (1, 800, 4000, ALL)] == [1, 20, 30, 30]


def test_no_file_of_a_folder_is_most_of_what_is_read(tmp_path):
    for name in map(str, range(9)):
        written(tmp_path / "folder" / name, "\n\n".join(["x" * 48] * 100))
    found = read(tmp_path / "folder", 20 * 100)
    assert [sum(map(len, document)) for document in found] == [100] * 9, "of each a twentieth"
    alone = read(tmp_path / "folder" / "0", 20 * 100)
    assert [len(document) for document in alone] == [100], "a file that was asked for is read whole"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty: give one with something in it"),
        (" \n\n\t\n", "is empty: give one with something in it"),
        (b"\x89PNG\0\0", r"is no text in UTF-8 \(byte 0\): convert it first"),
        (b"abc\0def", "is binary: give one that people can read"),
        ("naïve".encode("latin-1"), r"is no text in UTF-8 \(byte 2\): convert it first"),
        ("hello".encode("utf-16"), r"is no text in UTF-8 \(byte 0\): convert it first"),
    ],
)
def test_what_is_no_text_is_refused_by_name(content, says, tmp_path):
    file = written(tmp_path / "given.txt", content)
    with pytest.raises(InputError, match=rf"text '{file}' {says}"):
        read(file, ALL)


def test_what_would_never_end_is_refused(tmp_path):
    """A file that is too large, by its size; a pipe, without waiting for who writes into it; links in a circle."""
    large, pipe, circle = (tmp_path / name for name in ("large.txt", "pipe", "circle"))
    with large.open("wb") as file:
        file.truncate(100_000_001)
    os.mkfifo(pipe)
    circle.symlink_to("circle")
    for path, says in (
        (large, "has 100,000,001 bytes, at most 100,000,000 are read: give a part of it"),
        (pipe, "is neither a file nor a folder"),
        (circle, "does not exist: give a file or a folder of text"),
        (tmp_path / "nothing", "does not exist: give a file or a folder of text"),
    ):
        with pytest.raises(InputError, match=f"text '{path}' {says}"):
            read(path, ALL)
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_folder_without_text_is_refused(tmp_path):
    written(tmp_path / "image.png", b"\x89PNG\0")
    written(tmp_path / ".hidden", "text")
    with pytest.raises(InputError, match="holds no file with text in UTF-8: give a folder that does, or a file"):
        read(tmp_path, ALL)


def test_paragraphs_that_two_texts_have_alike_are_left_out_of_both_with_their_share():
    """Whatever the space between their words; short ones may stand in both."""
    long, short = "nobody has translated this paragraph of more than sixty characters", "a short one"
    mine = [[long.replace(" ", "\n  "), "x" * 200, short], [long]]
    kept, shares = without_shared({"first": [[long, short]], "mine": mine, "third": [["y" * 99]]})
    assert kept == {"first": [[short]], "mine": [["x" * 200, short]], "third": [["y" * 99]]}
    assert shares["mine"] == pytest.approx((len(mine[0][0]) + len(long)) / (len(mine[0][0]) + 200 + len(short) + len(long)))
    assert shares["first"] == pytest.approx(len(long) / (len(long) + len(short)))
    assert shares["third"] == 0


# Windows


def test_what_is_shared_with_the_first_text_is_in_no_window(given, tmp_path):
    marked = "~" * 90  # which stands in neither text
    plain = written(tmp_path / "plain.txt", f"{given['plain'].read_text()}\n\n{marked}")
    other = written(tmp_path / "other.txt", f"{marked}\n\n{given['other'].read_text()}")
    found = made({"plain": plain, "other": other}, Windows(sequences=1000, length=32, positions=8, fit_sequences=1000))
    mark = character_tokenizer().convert_tokens_to_ids("~")
    assert not any((of.tokens == mark).any() for of in (found.training, found.oracles["other"], *found.splits.values()))
    assert found.shared["other"] == pytest.approx(92 / len(other.read_text()))
    assert found.shared["plain"] == pytest.approx(90 / len(plain.read_text()))
    assert found.documents == {"plain": 1, "other": 1}
    with pytest.raises(InputError, match="text 'other' has nothing that 'plain' does not have as well"):
        made({"plain": plain, "other": written(tmp_path / "all.txt", marked)})


@pytest.mark.parametrize("start", [False, True])
def test_a_window_starts_as_the_tokenizer_starts_a_text(given, start):
    """And holds the text's characters in their order."""
    found = made({"plain": given["plain"], "other": given["other"]}, start=start)
    for of in (found.training, found.oracles["other"], *found.splits.values()):
        assert of.tokens.shape[1] == 32
        assert ((of.tokens[:, 0] == 0).all()) == start
        assert (of.lengths == 32).all()
    tokenizer = character_tokenizer(start)
    first = tokenizer(given["plain"].read_text()).input_ids[:32]
    assert found.training.tokens[0].tolist() == first


def test_documents_are_told_apart_by_an_end(tmp_path, given):
    for name in "ab":
        written(tmp_path / "both" / name, given["plain"].read_text())
    found = made({"both": tmp_path / "both", "other": given["other"]}, Windows(sequences=1000, length=32, fit_sequences=1000))
    halves = np.concatenate([found.training.tokens, found.splits["both"].tokens])
    assert (halves == character_tokenizer().eos_token_id).sum() == 1, "the second is in the part of a window that is left over"


def test_halves_do_not_overlap(tmp_path, given):
    """What is fitted on comes first, what is tested on after it: numbers that count tell where a window is from."""
    counted = " ".join(f"{number:05d}" for number in range(1000))
    found = made({"counted": written(tmp_path / "counted.txt", counted), "other": given["other"]})
    cut = {}
    for name, of in (("fitted", found.training), ("tested", found.splits["counted"])):
        windows = ["".join(found.vocabulary[token] for token in row) for row in of.tokens]
        cut[name] = [counted.index(window) for window in windows]
        assert cut[name] == sorted(set(cut[name]))
    assert (len(cut["fitted"]), len(cut["tested"])) == (10, 20)
    assert max(cut["fitted"]) + 32 <= min(cut["tested"])
    assert max(cut["tested"]) > 5500, "spread over its half"


@pytest.mark.parametrize(("asked", "scored"), [(1, 1), (8, 8), (31, 31), (500, 31)])
def test_so_many_positions_are_scored_as_were_asked_for_and_never_the_last(given, asked, scored):
    found = made(given, Windows(sequences=20, length=32, positions=asked, fit_sequences=10, fit_positions=5))
    for split in found.splits.values():
        assert (split.scored.sum(1) == scored).all()
        assert not split.scored[:, -1].any()
    assert (found.training.fitted.sum(1) == 5).all()


def test_positions_follow_from_the_seed(given):
    one, same, other = (made(given, Windows(**{**SMALL.plain(), "seed": seed})) for seed in (1, 1, 2))
    for name in given:
        np.testing.assert_array_equal(one.splits[name].scored, same.splits[name].scored)
        assert (one.splits[name].scored != other.splits[name].scored).any()
        np.testing.assert_array_equal(one.splits[name].tokens, other.splits[name].tokens)
    np.testing.assert_array_equal(one.training.fitted, same.training.fitted)


def test_covariates_of_a_text_are_those_of_the_token_that_is_predicted(given, tmp_path):
    """Against counting by hand, window by window; the first text begins in other words than it ends."""
    mixed = "\n\n".join(sentences(seed, 150, words) for seed, words in enumerate(WORDS.values(), 7))
    given = {"mixed": written(tmp_path / "mixed.txt", mixed), **given}
    found = made(given)
    fitted = Counter(np.concatenate([found.training.tokens, _left_out(given, found)]).ravel().tolist())
    for split in found.splits.values():
        for row, window in enumerate(split.tokens.tolist()):
            for position in range(31):
                target = window[position + 1]
                called = {of: split.labels[of][classes[row, position]] for of, classes in split.covariates.items()}
                before = "in the window before" if target in window[: position + 1] else "new in the window"
                assert _holds(called["position"], position)
                assert _holds(called["frequency"].replace("never", "0"), fitted[target])
                assert called["repeated"] == before


def _left_out(given: dict[str, Path], found: Texts) -> np.ndarray:
    """The windows of the half that is fitted on which are not: tokens are counted in all of it."""
    every = made(given, Windows(**{**SMALL.plain(), "fit_sequences": 10_000})).training.tokens
    chosen = {row.tobytes() for row in found.training.tokens}
    return np.array([row for row in every if row.tobytes() not in chosen])


def _holds(label: str, number: int) -> bool:
    """Whether a number is in a class as it is called: `4 to 15`, `256 or more`, `0`."""
    if label.endswith(" or more"):
        return number >= int(label.split()[0])
    low, _, high = label.partition(" to ")
    return int(low) <= number <= int(high or low)


def test_covariates_of_a_window_by_hand():
    tokens = np.array([[3, 5, 3, 7, 5, 5]])
    counts = np.array([0, 0, 0, 1, 0, 64, 0, 3])
    split = making._split("mine", tokens, Windows(length=16, positions=3), counts, np.random.default_rng(0))
    assert split.covariates["repeated"][0, :5].tolist() == [0, 1, 0, 1, 1]
    called = [split.labels["frequency"][of] for of in split.covariates["frequency"][0, :5]]
    assert called == ["64 to 255", "1 to 3", "1 to 3", "64 to 255", "64 to 255"]
    assert {split.labels["position"][of] for of in split.covariates["position"][0]} == {"0 to 15"}
    assert split.candidates.tolist() == list(range(8))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a few words", r"text 'short' is too short: 12 tokens make 0 windows of 32, and 40 are needed.*or shorter windows"),
        ("x" * 32 * 39, r"text 'short' is too short: 1,249 tokens make 39 windows"),
    ],
)
def test_a_text_that_is_too_short_is_refused_with_what_is_needed(given, content, says, tmp_path):
    short = written(tmp_path / "short.txt", content)
    with pytest.raises(InputError, match=says):
        made({"plain": given["plain"], "short": short})
    with pytest.raises(InputError, match="one text is not enough"):
        made({"plain": given["plain"]})


def test_a_text_in_one_line_is_a_text(given, tmp_path):
    line = written(tmp_path / "line.txt", " ".join(given["other"].read_text().split()))
    assert len(made({"plain": given["plain"], "line": line}).splits["line"]) == 20
