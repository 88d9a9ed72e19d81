"""The code task: what is trained on and tested on keeps apart what it says it does, and every character is told what it is."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from code_samples import function, write_tree
from hypothesis import given
from hypothesis import strategies as st

from lib.config import checked
from lib.errors import InputError
from lib.split import Dataset, Split
from lib.tasks import TASKS, Look, Reference, Task
from lib.tasks.code.languages import CLASSES, LANGUAGES, NEW, REPEATED, WHITESPACE, language
from lib.tasks.code.splits import (
    CHARACTERS,
    PAD,
    START,
    VOCABULARY,
    code_split,
    decode,
    encode,
    partition,
    split_windows,
)
from lib.tasks.code.task import CodeTask

CONTEXT = 32


@pytest.fixture(autouse=True)
def without_humaneval_x(monkeypatch):
    monkeypatch.delenv("LIB_HUMANEVAL_X", raising=False)


def in_folder(folder: Path) -> CodeTask:
    return CodeTask(corpus="directory", location=str(folder), context=CONTEXT, split_sequences=14, fewest_sequences=5)


def changed(task: CodeTask, **values) -> CodeTask:
    return task.model_copy(update=values)


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> CodeTask:
    folder = write_tree(tmp_path_factory.mktemp("tree"), {"python": 12, "javascript": 3, "c": 2, "java": 1}, functions=8)
    return in_folder(folder)


@pytest.fixture
def data(task) -> Dataset:
    return task.sample(0)


# Windows and tokens


@given(st.integers(0, 200), st.integers(8, 40))
def test_windows_predict_each_character_exactly_once(length, width):
    tokens = np.arange(1, length + 2)
    windows = split_windows(tokens, width)
    assert windows[0][0] == 1
    assert np.concatenate([window[1:] for window in windows]).tolist() == tokens[1:].tolist()
    assert all(after[0] == before[-1] for before, after in pairwise(windows))
    assert max(map(len, windows)) <= width


@given(st.text(st.sampled_from(CHARACTERS)))
def test_what_is_encoded_is_decoded_again(text):
    tokens = encode(text)
    assert tokens[0] == START
    assert not (tokens[1:] < 2).any()
    assert decode(tokens) == text
    assert "".join(VOCABULARY[token] for token in tokens[1:]) == text


def test_the_vocabulary_is_printable_ascii_and_the_line_feed():
    assert VOCABULARY[:2] == ("PAD", "START")
    assert set(VOCABULARY[2:]) == {"\n", *map(chr, range(32, 127))}
    assert len(VOCABULARY) == 2 + 1 + 95
    assert decode([START, *encode("a")[1:], PAD]) == "a"


# Partition


def functions(packages: int, each: int, name: str = "python", offset: int = 0) -> pd.DataFrame:
    rows = [
        (name, f"package{p}", f"{n}.x", function(name, offset + 1_000 * p + n)) for p in range(packages) for n in range(each)
    ]
    return pd.DataFrame(rows, columns=["language", "package", "path", "code"])


PLENTY = functions(10, 12)
SMALL = CodeTask(split_sequences=15, fewest_sequences=5)


def codes(parts: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    return {name: list(part["code"]) for name, part in parts.items()}


def test_id_is_of_packages_and_seen_package_of_functions_that_training_saw_nothing_of():
    parts = partition(PLENTY, SMALL)
    assert set(parts) == {"training", "id", "seen_package"}
    packages = {name: set(part["package"]) for name, part in parts.items()}
    assert packages["id"].isdisjoint(packages["training"] | packages["seen_package"])
    assert packages["seen_package"] <= packages["training"]
    assert set(parts["seen_package"]["code"]).isdisjoint(parts["training"]["code"])
    assert len(packages["id"]) == 2, "0.15 of ten packages, rounded"
    assert len(parts["id"]) == SMALL.split_sequences, "24 functions, of which no more than wanted are used"
    assert len(parts["training"]) + len(parts["seen_package"]) == 8 * 12


def test_other_languages_change_nothing_about_the_training_language():
    other = functions(10, 12, "javascript")
    alone, together = (codes(partition(f, SMALL)) for f in (PLENTY, pd.concat([other, PLENTY, functions(1, 4, "c")])))
    assert {name: together[name] for name in alone} == alone
    assert set(together) == {*alone, "javascript"}, "of C there are fewer than five"
    assert len(together["javascript"]) == SMALL.split_sequences
    assert set(together["javascript"]) <= set(other["code"])


def test_a_further_package_moves_no_other_one_into_or_out_of_training_but_at_the_margin():
    before = set(partition(PLENTY, SMALL)["id"]["package"])
    more = pd.concat([PLENTY, functions(11, 12).query("package == 'package10'")])
    after = set(partition(more, SMALL)["id"]["package"])
    assert len(after - before) <= 1
    assert len(before & after) >= 1


def test_the_order_of_the_corpus_means_nothing():
    shuffled = PLENTY.sample(frac=1, random_state=0)
    assert codes(partition(shuffled, SMALL)) == codes(partition(PLENTY, SMALL))


@pytest.mark.parametrize(
    ("packages", "each", "split", "has"), [(10, 4, "id", 8), (10, 5, "seen_package", 4), (1, 50, "training", 0)]
)
def test_too_few_functions_are_refused_with_how_many_there_are_and_must_be(packages, each, split, has):
    task = changed(SMALL, fewest_sequences=9 if split == "id" else 5)
    with pytest.raises(
        InputError, match=rf"split '{split}' would have {has} functions of python and needs .*lower data.fewest_seq"
    ) as e:
        partition(functions(packages, each), task)
    assert f"needs {task.fewest_sequences}" in str(e.value)
    assert f"{packages * each} functions of {packages} packages" in str(e.value)


def test_a_corpus_without_the_training_language_is_refused_with_what_it_has():
    with pytest.raises(InputError, match=r"language is 'go', but corpus 'installed' has only python$"):
        partition(PLENTY, changed(SMALL, language="go"))


def test_a_corpus_of_nothing_but_the_training_language_is_refused(tmp_path):
    folder = write_tree(tmp_path / "python", {"python": 10}, functions=8)
    with pytest.raises(InputError, match="python"):
        in_folder(folder).sample(0)


# The task


def test_the_splits_of_a_task(data):
    assert list(data.splits) == ["id", "seen_package", "c", "java", "javascript"]
    assert all(split.name == name for name, split in data.splits.items())
    assert data.vocabulary == VOCABULARY
    assert data.context == data.training.tokens.shape[1] == CONTEXT + 1, "so many characters are predicted"
    assert {name: len(split) for name, split in data.splits.items()} == {
        "id": 14, "seen_package": 8, "c": 14, "java": 8, "javascript": 14,
    }  # fmt: skip


def test_training_windows_put_together_are_functions_of_the_corpus(data):
    text, found = "", []
    for row in data.training.tokens:
        if row[0] == START:
            found.append(text)
            text = decode(row)
        else:
            assert VOCABULARY[row[0]] == text[-1]
            text += decode(row[1:])
    known = {function("python", 1_000 * p + n) for p in range(12) for n in range(8)}
    assert {*found[1:], text} <= known
    assert len(found) == 12 * 8 - 2 * 8 - 8, "without two packages for id and a tenth of the rest"


def test_what_is_scored_is_every_next_character_and_nothing_else(data):
    for split in data.splits.values():
        np.testing.assert_array_equal(split.real, split.tokens != PAD)
        expected = np.zeros(split.tokens.shape, bool)
        for row, tokens in enumerate(split.tokens):
            expected[row, : (tokens != PAD).sum() - 1] = True
        np.testing.assert_array_equal(split.scored, expected)
        assert np.isin(split.targets[split.scored], split.candidates).all()
        assert [VOCABULARY[c] for c in split.candidates] == list(VOCABULARY[2:])


def test_the_same_seed_gives_the_same_data_and_another_other_windows_of_the_same_functions(task):
    first, again, other = (task.sample(seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint == other.fingerprint
    for name, split in first.splits.items():
        np.testing.assert_array_equal(split.tokens, again.splits[name].tokens)
        np.testing.assert_array_equal(split.covariates["character"], again.splits[name].covariates["character"])
        assert split.tokens.shape == other.splits[name].tokens.shape
        assert (split.tokens != other.splits[name].tokens).any()


def test_other_sources_have_another_fingerprint_and_identity(task, data, tmp_path):
    other = changed(task, location=str(write_tree(tmp_path / "other", {"python": 11, "c": 1}, functions=8)))
    assert other.identity() != task.identity()
    assert other.sample(0).fingerprint != data.fingerprint


@pytest.mark.parametrize("seed", [-1, 1.0, True])
def test_an_unusable_seed_is_refused(task, seed):
    with pytest.raises(InputError, match="seed is"):
        task.sample(seed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"language": "cobol"}, "language is 'cobol': .*'python'.*'ruby'"),
        ({"corpus": "github"}, "corpus is 'github': .*'installed', 'directory' or 'codesearchnet'"),
        ({"context": 7}, "context is 7"),
        ({"split_sequences": 0}, "split_sequences is 0"),
        ({"fewest_sequences": 3.0}, "fewest_sequences is 3.0"),
        ({"held_out": 0}, "held_out is 0"),
        ({"held_out": 1.0}, "held_out is 1.0"),
    ],
    ids=str,
)
def test_an_unusable_configuration_is_refused(change, says):
    with pytest.raises(InputError, match=says):
        checked(CodeTask, change, "here")


def test_it_is_the_task_registered_as_code_and_every_language_can_be_trained_on():
    assert TASKS["code"] is CodeTask
    assert [CodeTask(language=name).language for name in LANGUAGES] == list(LANGUAGES)


def test_another_language_to_train_on_is_a_variant():
    task = CodeTask(context=64)
    assert task.variants() == [name for name in LANGUAGES if name != "python"]
    assert task.variant("java") == CodeTask(context=64, language="java")
    assert task.variant("cobol") is None


def test_how_much_is_measured_is_said_in_words():
    task = CodeTask(split_sequences=1_500, context=64)
    assert task.size() == "up to 1,500 functions a split, one window of at most 64 characters each"
    assert task.size(2_000) == task.size()
    assert task.size(40).startswith("up to 40 functions")


def test_a_split_looks_like_its_language_and_the_training_languages_own_packages_black():
    task = CodeTask()
    assert task.look("id") == Look("in distribution", "#000000", "o")
    assert task.look("cpp").label == "C++"
    assert task.look("humaneval_x/cpp") == task.look("cpp")._replace(label="HumanEval-X: C++")
    assert task.look("zig").label == "zig", "a split that nobody knows is shown all the same"
    looks = [task.look(split)[1:] for split in ("id", "seen_package", *LANGUAGES)]
    assert len(set(looks)) == len(looks)


def test_figures_show_own_splits_first_and_then_the_other_languages():
    splits = ["c", "humaneval_x/c", "seen_package", "java", "id"]
    assert CodeTask().shown(splits) == ["id", "seen_package", "c", "java"]
    assert CodeTask().unseen(splits) == ["c", "java"]


def test_a_further_language_is_compared_with_the_same_characters_and_with_the_same_certainty():
    """And a problem with itself in the training language. `margin` is what measuring adds."""
    task = CodeTask(language="java")
    of_id = [Reference("id", ("character",)), Reference("id", ("margin",))]
    splits = ["id", "seen_package", "python", "ruby", "humaneval_x/java", "humaneval_x/python"]
    assert [task.references(split) for split in splits] == [[], [], of_id, of_id, [], [Reference("humaneval_x/java")]]
    assert [reference.label for reference in of_id] == ["id at the same character", "id at the same margin"]


def test_the_references_of_each_split_are_there_with_their_covariates(task, humaneval):
    data = task.sample(0)
    compared = {name: task.references(name) for name in data.splits}
    assert [name for name, references in compared.items() if not references] == ["id", "seen_package", "humaneval_x/python"]
    for name, references in compared.items():
        for control, covariates in references:
            parts = [data.splits[name], data.splits[control]]
            for covariate in {*covariates} - {"margin"}:
                one, other = ({*part.covariates[covariate][part.scored].tolist()} for part in parts)
                assert one & other
    assert task.key_covariate in task.foreseen_by
    assert all({*task.foreseen_by} <= {*split.covariates} for split in data.splits.values())


def test_gaps_are_claimed_on_all_but_the_reference_and_what_is_chosen_on_if_a_task_does_not_say(data):
    assert Task.unseen(CodeTask(), ["id", "c", "seen_package", "mine"]) == ["c", "mine"]
    assert Task.references(CodeTask(), "c") == []
    assert Task.fitting_sources(CodeTask(), data.training, 3, 0) == {}


# Kinds of characters


def word_around(text: str, place: int) -> tuple[int, int]:
    """Where the word that has the character at `place` begins and ends."""
    begin, end = place, place
    while begin > 0 and re.match(r"[\w$]", text[begin - 1]):
        begin -= 1
    while end < len(text) and re.match(r"[\w$]", text[end]):
        end += 1
    return begin, end


def slow_class(name: str, code: str, place: int, visible_from: int) -> int:
    """The class of one character, where one sees the text from `visible_from` on up to it."""
    kind = language(name).classify(code)[0][place]
    if kind != NEW:
        return kind
    begin, end = word_around(code, place)
    before = re.split(r"[^\w$]+", code[visible_from : max(begin, visible_from)])
    return REPEATED if code[max(begin, visible_from) : end] in before else NEW


def place_of(code: str, window: np.ndarray, width: int) -> int:
    """Where a window's first predicted character stands in its function."""
    windows = split_windows(encode(code), width)
    (index,) = [i for i, other in enumerate(windows) if other.tolist() == window.tolist()]
    return index * (width - 1)


REPETITIVE = {
    "python": "def total(items, item):\n    total = items + item  # the items\n    the = [item, items]\n    return total",
    "java": 'int total(int items) {\n    String the = "total items";\n    items += total(items);\n    return the + items;\n}',
    "go": "func (s *Set) Add(item Item) {\n\tif item == nil {\n\t\titem = s.items\n\t}\n\ts.items = append(s.items, item)\n}",
}


@pytest.mark.parametrize("name", REPETITIVE)
@pytest.mark.parametrize("width", [16, 32, 200])
def test_the_class_of_each_character_is_that_of_a_slow_computation(name, width):
    """For all windows: they are drawn, so this draws often. A word that the window's end cuts off is left to the next test."""
    code = REPETITIVE[name].replace("\t", "    ")
    seen = set()
    for seed in range(30):
        split = code_split("x", name, [code], width, np.random.default_rng(seed))
        window = split.tokens[0][: split.lengths[0]]
        start = place_of(code, window, width)
        stop = start + len(window) - 1
        whole = word_around(code, stop - 1)
        checked = stop if whole[1] <= stop else min(stop, max(whole[0], start))
        visible_from = max(0, start - 1)
        expected = [slow_class(name, code, place, visible_from) for place in range(start, checked)]
        assert split.covariates["character"][0][: checked - start].tolist() == expected
        assert decode(window[1:]) == code[start:stop]
        seen |= {start}
    assert len(seen) == len(split_windows(encode(code), width)), "every window was drawn"


def first_window(code: str, width: int) -> Split:
    """A split of the first window of a Python function, whichever seed draws it."""
    for seed in range(50):
        split = code_split("x", "python", [code], width, np.random.default_rng(seed))
        if split.tokens[0, 0] == START:
            return split
    raise AssertionError("the first window was never drawn")


def test_a_repeated_word_that_the_end_of_the_window_cuts_off_is_still_repeated():
    code = "total = total + 12\n"
    split = first_window(code, 12)
    assert decode(split.tokens[0]) == "total = tot"
    names = [CLASSES[kind] for kind in split.covariates["character"][0][:11]]
    assert names[-3:] == ["first character of a word", CLASSES[REPEATED], CLASSES[REPEATED]]


def test_a_new_word_that_the_end_of_the_window_cuts_down_to_an_earlier_one_is_still_new():
    code = "tot = 10; total = 2"
    split = first_window(code, 14)
    assert decode(split.tokens[0]) == "tot = 10; tot"
    assert split.covariates["character"][0][11:13].tolist() == [NEW, NEW]


def test_kinds_in_a_window_are_those_of_the_whole_function():
    """A window that begins within a comment looks like code on its own."""
    code = "def f():\n    # if x is None and y is not None: return total\n    return 1"
    for seed in range(20):
        split = code_split("x", "python", [code], 16, np.random.default_rng(seed))
        if decode(split.tokens[0][1:]) == code[15:30]:
            assert set(split.covariates["character"][0][:15]) == {CLASSES.index("string or comment")}
            return
    raise AssertionError("the window was not drawn")


def test_positions_beyond_a_window_are_not_scored_but_have_a_class():
    split = code_split("x", "python", ["x = 1"], 20, np.random.default_rng(0))
    assert split.scored.sum() == 5
    assert (split.covariates["character"][0][5:] == WHITESPACE).all()


def test_at_most_so_many_characters_of_a_window_are_scored_and_chance_draws_which():
    functions = ["x = 1", "def f(a, b):\n    return a + b * 2"]
    every, some, same, other = (
        code_split("x", "python", functions, 40, np.random.default_rng(seed), most)
        for seed, most in ((0, 40), (0, 7), (0, 7), (1, 7))
    )
    assert every.scored.sum(1).tolist() == [5, len(functions[1])]
    assert some.scored.sum(1).tolist() == [5, 7]
    assert (some.scored <= every.scored).all()
    assert np.array_equal(some.tokens, every.tokens)
    assert np.array_equal(some.scored, same.scored)
    assert not np.array_equal(some.scored, other.scored)
    drawn = sum(code_split("x", "python", functions[1:], 40, np.random.default_rng(s), 7).scored[0] for s in range(400))
    assert drawn[: len(functions[1])].min() > 50, "every character can be drawn"
    assert drawn[len(functions[1]) :].max() == 0


def test_kinds_of_characters_have_their_names_with_them(data):
    split = data.splits["id"].first(2)
    assert split.covariates["character"].shape == split.tokens.shape
    assert split.labels["character"][REPEATED] == "later character, repeated word"
    assert split.labels["character"] == CLASSES


# HumanEval-X


@pytest.fixture
def humaneval(tmp_path, monkeypatch) -> Path:
    """Problems 0 to 7 in Python and 2 to 9 in JavaScript."""
    for file, name, numbers in (("python", "python", range(8)), ("js", "javascript", range(2, 10))):
        lines = []
        for number in numbers:
            head, _, body = function(name, 50_000 + number).partition("\n")
            declaration = {"python": "from typing import List\n\n\n", "javascript": "\n"}[name] + head + "\n"
            row = {"task_id": f"X/{number}", "prompt": "?", "declaration": declaration, "canonical_solution": body + "\n\n"}
            lines.append(json.dumps(row | {"test": "?"}))
        (tmp_path / f"humaneval_{file}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    monkeypatch.setenv("LIB_HUMANEVAL_X", str(tmp_path))
    return tmp_path


def test_humaneval_x_adds_the_same_problems_in_each_of_its_languages(task, data, humaneval):
    added = task.sample(0)
    names = [name for name in added.splits if name.startswith("humaneval_x/")]
    assert sorted(names) == ["humaneval_x/javascript", "humaneval_x/python"]
    for name in names:
        known = name.removeprefix("humaneval_x/")
        split = added.splits[name]
        assert len(split) == 6
        for number, tokens in zip(range(2, 8), split.tokens, strict=True):
            assert decode(tokens[1:]) in function(known, 50_000 + number)
    assert added.fingerprint == data.fingerprint
    for name, split in data.splits.items():
        np.testing.assert_array_equal(split.tokens, added.splits[name].tokens)


def test_a_humaneval_x_folder_that_is_wrong_is_refused(task, monkeypatch, tmp_path):
    monkeypatch.setenv("LIB_HUMANEVAL_X", str(tmp_path / "none"))
    with pytest.raises(InputError, match="LIB_HUMANEVAL_X is"):
        task.sample(0)
    with pytest.raises(InputError, match="LIB_HUMANEVAL_X is"):
        task.tested_on()


def test_the_users_own_folder_may_be_written_with_a_tilde(task, data, humaneval, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(Path(task.location).parent))
    of_home = changed(task, location=f"~/{Path(task.location).name}")
    assert of_home.sample(0).fingerprint == data.fingerprint
    assert of_home.identity() == task.identity()
    monkeypatch.setenv("HOME", str(humaneval.parent))
    monkeypatch.setenv("LIB_HUMANEVAL_X", f"~/{humaneval.name}")
    assert "humaneval_x/python" in task.sample(0).splits


# Identity


def test_the_identity_is_plain_and_changes_with_content_alone(task, humaneval, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(task.location, folder)
    copy = changed(task, location=str(folder))
    assert copy.identity() == task.identity() == json.loads(json.dumps(task.identity()))
    (folder / "notes.txt").write_text("no source")
    assert copy.identity() == task.identity()
    depends = {folder / "c_0" / "module.c": copy.identity, humaneval / "humaneval_js.jsonl.gz": copy.tested_on}
    for file, identity in depends.items():
        before = copy.identity(), copy.tested_on()
        file.write_bytes(file.read_bytes() + b"\n")
        changed_parts = [one != other for one, other in zip(before, (copy.identity(), copy.tested_on()), strict=True)]
        assert changed_parts == [identity == copy.identity, identity == copy.tested_on], file
    before = copy.identity()
    (folder / "c_0" / "module.c").rename(folder / "c_0" / "other.c")
    assert copy.identity() != before


def test_the_identity_names_packages_grammars_and_the_jdk(tmp_path, monkeypatch):
    first, second = (tmp_path / name for name in ("first.zip", "second.zip"))
    found, others = [], []
    for archive in (first, second):
        archive.write_text(archive.name)
        monkeypatch.setenv("LIB_JAVA_SOURCES", str(archive))
        found.append(CodeTask(language="java").identity()["corpus"])
        others.append((CodeTask().identity(), CodeTask().tested_on()))
    assert found[0]["sources"]["packages"]["sympy"] == metadata.version("sympy")
    assert {"tree-sitter", "tree-sitter-python", "tree-sitter-cpp", "datasketch"} <= set(found[0]["versions"])
    assert found[0]["sources"].pop("jdk") != found[1]["sources"].pop("jdk")
    assert found[0] == found[1]
    (trained, tested), (trained_again, tested_otherwise) = others
    assert trained == trained_again, "a model of another language needs no JDK"
    assert tested != tested_otherwise


def test_to_know_the_task_and_its_identity_takes_no_grammar_and_builds_nothing(tmp_path, task):
    code = (
        "import sys; from lib.tasks.code import CodeTask; "
        f"task = CodeTask(corpus='directory', location={task.location!r}); task.identity(); task.look('java'); "
        "CodeTask().identity(); CodeTask(language='java').unavailable(); "
        "heavy = ('tree_sitter', 'datasets', 'datasketch', 'torch', 'matplotlib', 'lib.figures'); "
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    environment = {**os.environ, "LIB_ARTIFACTS": str(tmp_path / "artifacts")}
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert not (tmp_path / "artifacts").exists()
