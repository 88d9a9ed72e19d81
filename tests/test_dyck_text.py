"""Sentences as text: what is written can be read, and what cannot be read is refused with its line and what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InputError
from lib.tasks.dyck.language import END, FIRST_BRACKET, START, Automaton, sample_structures, with_types
from lib.tasks.dyck.text import parse_sentences, read_sentences, type_names, vocabulary, write_sentences


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 10_000))
def test_what_is_written_is_read_back(k, count, seed):
    rng = np.random.default_rng(seed)
    sentences = with_types(sample_structures(count, Automaton(min_length=2, max_length=20), rng), k, rng)
    text = write_sentences(sentences.tokens, k)
    assert len(text.splitlines()) == count
    read = parse_sentences(text.splitlines(), k)
    width = read.tokens.shape[1]  # as long as the longest sentence; the rest is padding
    assert not sentences.tokens[:, width:].any()
    for field in ("tokens", "depth", "opener"):
        np.testing.assert_array_equal(getattr(read, field), getattr(sentences, field)[:, :width])
    assert write_sentences(read.tokens, k) == text


def test_the_example_of_the_published_generators_is_read():
    sentences = parse_sentences(["(a (b b) a)"], 20)
    opens, closes = FIRST_BRACKET, FIRST_BRACKET + 20
    assert sentences.tokens.tolist() == [[START, opens, opens + 1, closes + 1, closes, END]]
    assert sentences.depth.tolist() == [[0, 1, 2, 2, 1, 0]]
    assert sentences.opener.tolist() == [[-1, -1, -1, 2, 1, -1]]
    assert write_sentences(sentences.tokens, 20) == "(a (b b) a)\n"


def test_type_names_double_beyond_the_alphabet():
    names = type_names(55)
    assert names[:2] == ["a", "b"]
    assert names[25:28] == ["z", "aa", "bb"]
    assert names[51:54] == ["zz", "aaa", "bbb"]
    assert len(set(names)) == 55


def test_doubled_types_match_their_own_kind_only():
    assert len(parse_sentences(["(aa (a a) aa)"], 27)) == 1
    with pytest.raises(InputError, match=r"token 2 \(a\)\) closes a \(aa"):
        parse_sentences(["(aa a)"], 27)


def test_the_vocabulary_lists_every_token_once():
    words = vocabulary(30)
    assert len(set(words)) == len(words) == FIRST_BRACKET + 60
    assert words[:4] == ("PAD", "START", "END", "(a")
    assert words[-1] == "dd)"


def test_a_trailing_end_and_blank_lines_mean_nothing():
    plain = parse_sentences(["(a a)", "(b b)"], 2)
    decorated = parse_sentences(["", "(a a) END", "   ", "END", "  (b   b)\t"], 2)
    np.testing.assert_array_equal(plain.tokens, decorated.tokens)


def nested(levels: int) -> list[str]:
    return [" ".join(["(a"] * levels + ["a)"] * levels)]


def test_sentences_as_deep_as_a_byte_counts_are_read_and_deeper_ones_refused():
    """Depths are kept in one signed byte: 128 levels would silently become -128."""
    deepest = parse_sentences(nested(127), 1)
    assert deepest.depth.max() == 127
    assert deepest.opener[0, -2] == 1
    with pytest.raises(InputError, match=r"text, line 1: token 128 .* deep"):
        parse_sentences(nested(128), 1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("(a a) ?", "token 3 is '\\?'", id="unknown token"),
        pytest.param("(a (d d) a)", "token 2 is '\\(d'.*\\(a to \\(c", id="type beyond those of the language"),
        pytest.param("(a END a)", "token 2 is 'END'", id="END inside a sentence"),
        pytest.param("(aa)", "token 1 is '\\(aa\\)'.*separated by spaces", id="missing spaces"),
        pytest.param(
            "(a a) b)", "token 3 \\(b\\)\\) closes a bracket that was never opened", id="closes what was never opened"
        ),
        pytest.param("(a (b a) b)", "token 3 \\(a\\)\\) closes a \\(b", id="wrong type closes"),
        pytest.param("(a (b (c c)", "2 bracket\\(s\\) left open.*b\\) a\\)", id="left open"),
        pytest.param("(a (a (a (a a) a) a) a)", "token 4 \\(\\(a\\) is 4 deep.* 3 ", id="too deep"),
        pytest.param("(a a) (a a) (a a) (a a) (a a)", "10 brackets.* 8", id="too long"),
    ],
)
def test_a_bad_sentence_is_refused_with_its_line_and_what_is_wrong(tmp_path, line, says):
    file = tmp_path / "mine.txt"
    file.write_text(f"(a (b b) a)\n\n{line}\n(a a)\n")
    with pytest.raises(InputError, match=says) as refused:
        read_sentences(file, 3, max_depth=3, max_length=8)
    assert str(refused.value).startswith(f"{file}, line 3: ")


def test_sentences_at_the_limits_are_accepted(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("(a (a (a a) a) (a a) a)\n")
    assert len(read_sentences(file, 3, max_depth=3, max_length=8)) == 1


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "END\n"], ids=["empty", "only blank lines", "only END"])
def test_a_file_without_a_sentence_is_refused(tmp_path, content):
    file = tmp_path / "mine.txt"
    file.write_text(content)
    with pytest.raises(InputError, match=r"mine.txt holds no sentence"):
        read_sentences(file, 3)


def test_a_binary_file_is_refused(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_bytes(b"(a a)\n\x93\xff\x00")
    with pytest.raises(InputError, match=r"mine.txt is not a text file of sentences \(not UTF-8 at byte 6\)"):
        read_sentences(file, 3)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none.txt cannot be read: No such file"):
        read_sentences(tmp_path / "none.txt", 3)
    with pytest.raises(InputError, match="is no regular file: name a file with one sentence a line"):
        read_sentences(tmp_path, 3)


def test_a_byte_order_mark_is_not_part_of_the_first_bracket(tmp_path):
    """Some editors begin every text file with one."""
    file = tmp_path / "mine.txt"
    file.write_text("(a a)\n", encoding="utf-8-sig")
    assert len(read_sentences(file, 3)) == 1
