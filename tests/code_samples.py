"""Source files that tests make up: functions without end, no two alike, in four languages."""

from __future__ import annotations

import random
from pathlib import Path

EXTENSIONS = {"python": ".py", "javascript": ".js", "java": ".java", "c": ".c"}


def function(language: str, number: int) -> str:
    """A function of 100 to 400 characters; other numbers give other names throughout."""
    rng = random.Random(f"{language} {number}")

    def word() -> str:  # of letters that make up no keyword
        return "".join(rng.choice("bfklmnprtz") + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))

    name, first, second = word(), word(), word()
    calls = [f"{word()} = {word()}({first}, {second}) + {rng.randint(0, 99)}" for _ in range(rng.randint(3, 6))]
    if language == "python":
        body = [f"def {name}({first}, {second}):", *(f"    {call}" for call in calls), f"    return {second}"]
    else:
        head = {
            "javascript": f"function {name}({first}, {second}) {{",
            "java": f"int {name}(int {first}, int {second}) {{",
            "c": f"int {name}(int {first}, int {second}) {{",
        }[language]
        body = [head, *(f"    {call};" for call in calls), f"    return {second};", "}"]
    return "\n".join(body)


def as_file(language: str, functions: list[str]) -> str:
    """The text of a source file with these functions."""
    if language == "java":
        return "class A {\n" + "\n\n".join(f.replace("\n", "\n    ").replace("int", "    int", 1) for f in functions) + "\n}\n"
    return "\n\n\n".join(functions) + "\n"


def write_tree(folder: Path, packages: dict[str, int], functions: int = 10) -> Path:
    """Write a folder of sources with so many packages of each language, `functions` in each; returns it."""
    for language, count in packages.items():
        for package in range(count):
            file = folder / f"{language}_{package}" / f"module{EXTENSIONS[language]}"
            file.parent.mkdir(parents=True, exist_ok=True)
            made = [function(language, 1_000 * package + number) for number in range(functions)]
            file.write_text(as_file(language, made))
    return folder
