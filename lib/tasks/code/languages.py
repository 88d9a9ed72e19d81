"""Programming languages as tree-sitter sees them: where functions are in a file, and what kind each character is.

Source text is only ever parsed. Nothing here imports or runs it.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import one_of

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

CLASSES = (
    "whitespace", "closing bracket", "opening bracket", "other punctuation", "keyword", "number", "string or comment",
    "first character of a word", "later character, new word", "later character, repeated word",
)  # fmt: skip
WHITESPACE, CLOSING, OPENING, PUNCTUATION, KEYWORD, NUMBER, TEXT, FIRST, NEW, REPEATED = range(len(CLASSES))

# Kinds of syntax nodes, over all grammars: a node of the first two kinds is coloured as a whole, with what is in it.
_TEXT = re.compile(
    r"comment|line_comment|block_comment|string|string_literal|raw_string_literal|interpreted_string_literal|"
    r"concatenated_string|char_literal|character_literal|character|rune_literal|template_string|regex|heredoc_body|heredoc|"
    r"encapsed_string|text_block|system_lib_string|symbol_array|string_array|simple_symbol|nowdoc"
)
_NUMBER = re.compile(
    r"integer|float|number|number_literal|(int|float|imaginary)_literal|rational|complex|.*_(integer|floating_point)_literal"
)
_KEYWORD = re.compile(
    r"true|false|none|null|nil|this|super|self|auto|(predefined|primitive|void|boolean)_type|primitive_type|boolean|iota"
)
_BRACKETS = dict.fromkeys("([{", OPENING) | dict.fromkeys(")]}", CLOSING)
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_NAMED = re.compile(r"#?[A-Za-z][A-Za-z_]*")  # an unnamed node that looks like a word is a keyword


@dataclass(frozen=True)
class Language:
    """One programming language."""

    name: str  # in tables and options
    title: str  # in prose and figures
    package: str  # the Python package with the grammar
    extensions: tuple[str, ...]
    functions: str  # a tree-sitter query that captures functions as @function
    grammar: str = "language"  # the grammar's name within its package
    prefix: str = ""  # what must stand before a function that stands alone

    @cached_property
    def _grammar(self) -> tuple[Parser, Query]:
        """What parses a file, and what finds the functions in it."""
        import tree_sitter  # not above: to know which languages there are takes no grammar

        grammar = tree_sitter.Language(getattr(importlib.import_module(self.package), self.grammar)())
        return tree_sitter.Parser(grammar), tree_sitter.Query(grammar, self.functions)

    def cut(self, source: str) -> list[str]:
        """The outermost functions and methods of a file, in their order, each shifted to the margin; tabs are four blanks."""
        from tree_sitter import QueryCursor

        parser, query = self._grammar
        encoded = source.expandtabs(4).encode()
        found = QueryCursor(query).captures(parser.parse(encoded).root_node).get("function", [])
        functions, end = [], -1
        for node in sorted(found, key=lambda node: (node.start_byte, -node.end_byte)):
            if node.start_byte >= end:
                end = node.end_byte
                functions.append(_dedent(encoded[node.start_byte : end].decode(), node.start_point.column))
        return functions

    def classify(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """What each character of an ASCII text is: its class, and the number of the word it belongs to (-1: of none).

        Two int arrays [characters]. The class of a later character of a word is `NEW` throughout; which of them repeat
        depends on how much of the text is seen, and `repeated` tells. Words count names only: not keywords, nor what
        stands in strings and comments.
        """
        kinds = np.array([WHITESPACE if c.isspace() else _BRACKETS.get(c, PUNCTUATION) for c in text], np.int8)
        words = np.full(len(text), -1, np.int32)
        for number, word in enumerate(_WORD.finditer(text)):
            kinds[word.start()], kinds[word.start() + 1 : word.end()] = FIRST, NEW
            words[word.start() : word.end()] = number
        parser, _ = self._grammar
        stack = [parser.parse((self.prefix + text).encode()).root_node]
        while stack:
            node = stack.pop()
            kind = _kind(node)
            if kind is None:
                stack += node.children
            elif node.end_byte > node.start_byte >= len(self.prefix):
                span = slice(node.start_byte - len(self.prefix), node.end_byte - len(self.prefix))
                # Outside text, the blanks of a directive and the sign of a number stay what they are.
                inner = np.array([kind == TEXT or c.isalnum() or c in "#._'" for c in text[span]], bool)
                kinds[span] = np.where(inner, kind, kinds[span])
                words[span] = -1
        return kinds, words


def _kind(node: Node) -> int | None:
    """The class of all of a node, or None where its parts decide or its characters do."""
    if node.is_named:
        for kind, pattern in ((TEXT, _TEXT), (NUMBER, _NUMBER), (KEYWORD, _KEYWORD)):
            if pattern.fullmatch(node.type):
                return kind
        return None
    return KEYWORD if _NAMED.fullmatch(node.type) and not node.children else None


def repeated(text: str, kinds: np.ndarray, words: np.ndarray, start: int = 0) -> np.ndarray:
    """`kinds` [characters] of a text, where later characters of words that occurred before in it are `REPEATED`.

    Only what stands from `start` on is seen; a word that is cut off there has not occurred, and is not a repetition. One that
    occurred in a string or a comment, or as a keyword, counts as having occurred: it can be copied from there.
    """
    kinds = kinds.copy()
    seen: set[str] = set()
    for word in _WORD.finditer(text):
        if word.start() < start:
            continue
        if word.group() in seen and words[word.start()] >= 0:
            later = kinds[word.start() + 1 : word.end()]
            later[later == NEW] = REPEATED
        seen.add(word.group())
    return kinds


def _dedent(function: str, column: int) -> str:
    """The text with up to `column` leading blanks taken off every line but the first, which began there."""
    first, *rest = function.split("\n")
    return "\n".join([first, *(line[min(column, len(line) - len(line.lstrip(" "))) :] for line in rest)])


_C_FUNCTIONS = "(function_definition) @function"
# One pattern a kind of value: as an alternation within the field, tree-sitter 0.26 takes any value for a function.
_JAVASCRIPT_FUNCTIONS = """
    [(function_declaration) (generator_function_declaration) (method_definition)
     (expression_statement (assignment_expression right: [(arrow_function) (function_expression)]))
     (lexical_declaration (variable_declarator value: (arrow_function)))
     (lexical_declaration (variable_declarator value: (function_expression)))
     (variable_declaration (variable_declarator value: (arrow_function)))
     (variable_declaration (variable_declarator value: (function_expression)))] @function"""
_PHP_FUNCTIONS = "[(function_definition) (method_declaration)] @function"
_CPP_FILES = (".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".cuh", ".h")
_LANGUAGES = (
    Language("python", "Python", "tree_sitter_python", (".py",), "(function_definition) @function"),
    Language("javascript", "JavaScript", "tree_sitter_javascript", (".js", ".mjs", ".cjs", ".jsx"), _JAVASCRIPT_FUNCTIONS),
    Language("java", "Java", "tree_sitter_java", (".java",), "[(method_declaration) (constructor_declaration)] @function"),
    Language("c", "C", "tree_sitter_c", (".c", ".h"), _C_FUNCTIONS),
    Language("cpp", "C++", "tree_sitter_cpp", _CPP_FILES, _C_FUNCTIONS),
    Language("go", "Go", "tree_sitter_go", (".go",), "[(function_declaration) (method_declaration)] @function"),
    Language("php", "PHP", "tree_sitter_php", (".php",), _PHP_FUNCTIONS, grammar="language_php", prefix="<?php "),
    Language("ruby", "Ruby", "tree_sitter_ruby", (".rb",), "[(method) (singleton_method)] @function"),
)
LANGUAGES = {language.name: language for language in _LANGUAGES}


def language(name: str) -> Language:
    """The language called `name`; `InputError` names the ones there is a grammar for."""
    one_of("language", name, LANGUAGES)
    return LANGUAGES[name]
