"""Languages: every character has the class that a reader would give it, and functions are cut where a reader would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib.errors import InputError
from lib.tasks.code.languages import CLASSES, LANGUAGES, TEXT, WHITESPACE, language, repeated

LETTERS = "_)(.KNTFnr"  # of CLASSES, in their order

# Each line of code has its classes beneath it. A line feed is whitespace, unless a further letter in its line says otherwise.
LABELLED = {
    "python": r"""
def add(total, item):  # the total
KKK_Fnn(Fnnnn._Fnnn).__TTTTTTTTTTT
    the = total + 0x1F * item[1.5e3]
____Frr_._Frrrr_._NNNN_._Frrr(NNNNN)
    _x1 = {lambda: item_2 for _x1 in True}
____Fnn_._(KKKKKK._Fnnnnn_KKK_Frr_KK_KKKK)
    return not 'it''s' is None
____KKKKKK_KKK_TTTTTTT_KK_KKKK
""",
    "javascript": r"""
const f = async (a1, $b) => {
KKKKK_F_._KKKKK_(Fn._Fn)_.._(
  /* one
__TTTTTTT
 two */
TTTTTTT
  if (a1 === null) throw new Error(`no ${a1}`);
__KK_(Fr_..._KKKK)_KKKKK_KKK_Fnnnn(TTTTTTTTTT).
  return this.f(/x+/g, 'a1', 1e3).two;
__KKKKKK_KKKK.F(TTTTT._TTTT._NNN).Frr.
};
).
""",
    "java": r"""
@Override
.Fnnnnnnn
public int size(String name) {  // Override
KKKKKK_KKK_Fnnn(Fnnnnn_Fnnn)_(__TTTTTTTTTTT
    this.size = name.length() + 10L;
____KKKK.Frrr_._Frrr.Fnnnnn()_._NNN.
    return true ? 'c' : size * 0x1F;
____KKKKKK_KKKK_._TTT_._Frrr_._NNNN.
}
)
""",
    "c": r"""
#include <text.h>
KKKKKKKK_TTTTTTTT
static int f(char *text, struct item *it) {
KKKKKK_KKK_F(KKKK_.Frrr._KKKKKK_Fnnn_.Fn)_(
    return text[0] == '\n' ? 1.5f : sizeof(it->item);
____KKKKKK_Frrr(N)_.._TTTT_._NNNN_._KKKKKK(Fr..Frrr).
}
)
""",
    "cpp": r"""
auto sum(const std::vector<int>& v) -> int {
KKKK_Fnn(KKKKK_Fnn..Fnnnnn.KKK.._F)_.._KKK_(
  for (auto x : v) this->sum += x; // auto
__KKK_(KKKK_F_._F)_KKKK..Frr_.._F._TTTTTTT
  return nullptr == R"(a)" ? 1'000 : 0b1;
__KKKKKK_KKKKKKK_.._TTTTTT_._NNNNN_._NNN.
}
)
""",
    "go": r"""
func (s *Set) Add(item string) error {
KKKK_(F_.Fnn)_Fnn(Fnnn_Fnnnnn)_Fnnnn_(
	s.items[item] = `raw`
_F.Fnnnn(Frrr)_._TTTTT
	defer s.Add("x", 'y', 3i) // other
_KKKKK_F.Frr(TTT._TTT._NN)_TTTTTTTT
	return nil, other
_KKKKKK_KKK._Frrrr
}
)
""",
    "php": r"""
function total(array $items, ?int $n = null) {
KKKKKKKK_Fnnnn(KKKKK_Fnnnnn._.KKK_Fn_._KKKK)_(
    foreach ($items as $n) { $that->total += $n * 2.5; } # items
____KKKKKKK_(Frrrrr_KK_Fr)_(_Fnnnn..Frrrr_.._Fr_._NNN._)_TTTTTTT
    return "n: $n" . 'x' . 12;
____KKKKKK_TTTTTTT_._TTT_._NN.
}
)
""",
    "ruby": r"""
def self.total(items, n: 10)
KKK_KKKK.Fnnnn(Fnnnn._F._NN)
  @sum = items.map { |item| item[:n] * 1.5 } # word
__.Fnn_._Frrrr.Fnn_(_.Fnnn._Frrr(TT)_._NNN_)_TTTTTT
  raise "no #{n}" unless nil or sum and word
__Fnnnn_TTTTTTTTT_KKKKKK_KKK_KK_Frr_KKK_Frrr
end
KKK
""",
}


def classes(name: str, text: str) -> str:
    kinds, words = language(name).classify(text)
    return "".join(LETTERS[kind] for kind in repeated(text, kinds, words))


def unlabelled(labelled: str) -> tuple[str, str]:
    """The code, and a letter for each of its characters."""
    lines = labelled.strip("\n").split("\n")
    code, labels = lines[::2], lines[1::2]
    for line, label in zip(code, labels, strict=True):
        assert len(label) - len(line) in (0, 1), f"labelled wrongly: {line}"
    ended = [label if len(label) > len(line) else label + "_" for line, label in zip(code, labels, strict=True)]
    return "\n".join(code) + "\n", "".join(ended)


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_character_has_the_class_that_a_reader_gives_it(name):
    code, expected = unlabelled(LABELLED[name])
    found = classes(name, code)
    start = 0
    for line in code.splitlines(keepends=True):  # line by line, so that a failure shows where
        assert (line, found[start : start + len(line)]) == (line, expected[start : start + len(line)])
        start += len(line)


def test_there_is_a_letter_for_every_class_and_labelled_code_for_every_language():
    assert len(LETTERS) == len(CLASSES) == len(set(LETTERS))
    assert set(LABELLED) == set(LANGUAGES)
    for name in LANGUAGES:
        assert set(LETTERS) <= set(unlabelled(LABELLED[name])[1]), f"{name} lacks a class"


def test_blanks_within_a_directive_are_whitespace():
    assert classes("c", "#  include <a.h>\n") == "K__KKKKKKK_TTTTT_"


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_sign_is_punctuation_in_every_language(name):
    assert classes(name, "x = -1;") == "F_._.N."


def test_words_are_numbered_where_they_are_names_and_nowhere_else():
    text = "def f(ab):\n    return 'ab' + ab\n"
    kinds, words = language("python").classify(text)
    named = [{int(n) for n in words[start : start + 2]} for start in (6, text.rindex("ab"))]
    assert [len(numbers) for numbers in named] == [1, 1]
    assert named[0].isdisjoint(named[1])
    assert set(words[: len("def")]) == set(words[text.index("'ab'") : text.index("'ab'") + 4]) == {-1}
    assert ((words >= 0) == np.isin(kinds, [CLASSES.index(c) for c in CLASSES if "of a word" in c or "later" in c])).all()


FRAGMENTS = [" ", "\n", "  ", *(word for code in LABELLED.values() for word in unlabelled(code)[0].split())]


@pytest.mark.parametrize("name", LANGUAGES)
@given(
    text=st.text(st.sampled_from("\n" + "".join(map(chr, range(32, 127))))) | st.lists(st.sampled_from(FRAGMENTS)).map("".join)
)
@example(text="")
@example(text="?>")
@example(text="A0'A0")
@example(text="\"'`/*")
def test_whatever_the_text_each_character_has_a_class(name, text):
    kinds, words = language(name).classify(text)
    assert kinds.shape == words.shape == (len(text),)
    assert set(kinds) <= set(range(len(CLASSES)))
    for character, kind in zip(text, kinds, strict=True):
        assert not character.isspace() or kind in (WHITESPACE, TEXT)
        assert character.isspace() or kind != WHITESPACE
    changed = repeated(text, kinds, words) != kinds
    assert not changed[kinds != CLASSES.index("later character, new word")].any()


def test_a_word_counts_as_seen_wherever_it_stood_before():
    assert classes("python", "x = 'total'\ntotal + total_\n") == "F_._TTTTTTT_Frrrr_._Fnnnnn_"


# Cutting


CUT = {
    "python": (
        """
import os

class A:
    def method(self):
        if self:
            return 1

    @property
    def other(self): return 2

def outer():
    def inner():
        return 3
    return inner

async def last(): pass
""",
        [
            "def method(self):\n    if self:\n        return 1",
            "def other(self): return 2",
            "def outer():\n    def inner():\n        return 3\n    return inner",
            "async def last(): pass",
        ],
    ),
    "javascript": (
        """
import x from 'y';
class A {
  method() {
    return () => 1;
  }
}
const arrow = (a) => a + 1;
var old = function () { return 2; };
exports.named = function (b) {
  function inner() { return b; }
  return inner;
};
function* plain() { yield 3; }
""",
        [
            "method() {\n  return () => 1;\n}",
            "const arrow = (a) => a + 1;",
            "var old = function () { return 2; };",
            "exports.named = function (b) {\n  function inner() { return b; }\n  return inner;\n};",
            "function* plain() { yield 3; }",
        ],
    ),
    "java": (
        """
package a;
public class A {
    private int x = 1;
    public A() { x = 2; }
    int outer() {
        Runnable r = new Runnable() { public void run() { } };
        return x;
    }
    static class B {
        void inner() { }
    }
}
""",
        [
            "public A() { x = 2; }",
            "int outer() {\n    Runnable r = new Runnable() { public void run() { } };\n    return x;\n}",
            "void inner() { }",
        ],
    ),
    "c": (
        """
#include <a.h>
int declared(int x);
static int x = 1;
static int
first(int x)
{
    return x;
}
void second(void) { }
""",
        ["static int\nfirst(int x)\n{\n    return x;\n}", "void second(void) { }"],
    ),
    "cpp": (
        """
namespace n {
  class A {
    int method() const {
      return 1;
    }
  };
  int A::other() { auto f = [] { return 2; }; return f(); }
}
""",
        ["int method() const {\n  return 1;\n}", "int A::other() { auto f = [] { return 2; }; return f(); }"],
    ),
    "go": (
        """
package a
type T struct{}
func (t *T) Method() int {
\treturn func() int { return 1 }()
}
func Plain() {}
""",
        ["func (t *T) Method() int {\n    return func() int { return 1 }()\n}", "func Plain() {}"],
    ),
    "php": (
        """<?php
class A {
    public function method($x) {
        return function () { return 1; };
    }
}
function plain() { return 2; }
""",
        ["public function method($x) {\n    return function () { return 1; };\n}", "function plain() { return 2; }"],
    ),
    "ruby": (
        """
class A
  def method(x)
    x.map { |y| y }
  end

  def self.single
    1
  end
end
def plain = 2
""",
        ["def method(x)\n  x.map { |y| y }\nend", "def self.single\n  1\nend", "def plain = 2"],
    ),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_functions_and_methods_are_cut_in_their_order_and_shifted_to_the_margin(name):
    source, functions = CUT[name]
    assert language(name).cut(source) == functions


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_file_without_a_function_has_none(name):
    assert language(name).cut("") == []
    assert language(name).cut("x = 1;\n") == []


@pytest.mark.parametrize("value", ["4", "[1, 2]", "require('x')", "g(() => 1)", "{ f: () => 1 }"])
def test_a_declared_value_that_is_no_function_is_not_cut(value):
    assert language("javascript").cut(f"const a = {value};\nlet b = {value};\nvar c = {value};\n") == []


def test_php_outside_its_tags_is_no_function_but_a_function_that_stands_alone_is_coloured():
    assert language("php").cut("function plain() { return 2; }\n") == []
    assert classes("php", "function f() { }") == "KKKKKKKK_F()_(_)"


def test_a_line_that_is_indented_less_than_its_function_loses_only_its_blanks():
    source = "class A:\n        def f(self):\n            x = '''\n  text'''\n            return x\n"
    assert language("python").cut(source) == ["def f(self):\n    x = '''\ntext'''\n    return x"]


def test_what_does_not_parse_still_gives_the_functions_that_do():
    assert "def good():\n    return 1" in language("python").cut("def bad(:\n\n)))\n\ndef good():\n    return 1\n")


def test_characters_of_several_bytes_do_not_shift_what_is_cut():
    assert language("python").cut("x = 'äöü€'\ndef f():\n    return 'é'\n") == ["def f():\n    return 'é'"]


def test_an_unknown_language_is_refused_with_the_known_ones():
    with pytest.raises(
        InputError, match=r"language is 'cobol', but must be one of: python, javascript, java, c, cpp, go, php, ru"
    ):
        language("cobol")
