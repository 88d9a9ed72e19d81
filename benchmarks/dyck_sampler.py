"""Sampling and annotating Dyck sentences, all at once against one token after the other."""

from __future__ import annotations

import numpy as np
from harness import ratios, run, said

from lib.tasks.dyck.language import PAD, Brackets, sample_structures, with_types
from lib.tasks.dyck.splits import automaton_of
from lib.tasks.dyck.task import DyckTask

TASK = DyckTask()
Sentence = tuple[list[int], list[int], list[int]]  # of each bracket: type (negative closes), depth, index of its opener or -1


def plain_sentence(task: DyckTask, rng: np.random.Generator) -> Sentence:
    """One sentence of the automaton, token by token."""
    while True:  # sentences that grow too long are discarded
        types, depths, openers, stack = [], [], [], []
        while len(types) <= task.max_length:
            if not stack and len(types) >= task.min_length and rng.random() < task.p_end:
                return types, depths, openers
            if not stack or (len(stack) < task.max_depth and rng.random() < 0.5):
                stack.append(len(types))
                depths.append(len(stack))
                types.append(int(rng.integers(1, task.bracket_types + 1)))
                openers.append(-1)
            else:
                depths.append(len(stack))
                openers.append(stack.pop())
                types.append(-types[openers[-1]])


def at_once(sentences: int, rng: np.random.Generator) -> Brackets:
    """As many sentences as `lib` samples them."""
    return with_types(sample_structures(sentences, automaton_of(TASK), rng), TASK.bracket_types, rng)


def check(plain: list[Sentence], sampled: Brackets) -> None:
    """Both annotate the same sentence in the same way, and sample sentences as long and as deep."""
    structures = np.stack([np.pad(np.sign(types), (0, TASK.max_length - len(types))) for types, _, _ in plain]).astype(np.int8)
    annotated = with_types(structures, TASK.bracket_types, np.random.default_rng(0))
    for depth, opener, (types, depths, openers) in zip(annotated.depth, annotated.opener, plain, strict=True):
        inside = slice(1, len(types) + 1)  # START stands before, and shifts openers by one
        assert depth[inside].tolist() == depths, f"other depths: {types}"
        assert opener[inside].tolist() == [i + (i >= 0) for i in openers], f"other openers: {types}"
    for of in (lambda b: (b.tokens != PAD).sum(1), lambda b: b.depth.max(1)):
        one, other = of(annotated), of(sampled)
        error = np.sqrt(one.var() / len(one) + other.var() / len(other))
        assert abs(one.mean() - other.mean()) <= 5 * error, f"mean length or depth {one.mean():.2f}, but {other.mean():.2f}"


def main(sentences: int = 200_000, rounds: int = 5) -> None:
    """Sampling and annotating SENTENCES Dyck sentences all at once, against a hundredth of them token by token."""
    rng = np.random.default_rng(0)
    few = -(-sentences // 100)
    check([plain_sentence(TASK, rng) for _ in range(few)], at_once(sentences, rng))
    found = ratios(lambda: [plain_sentence(TASK, rng) for _ in range(few)], lambda: at_once(sentences, rng), rounds)
    print(f"sentences a second, all at once over token by token: {said(found * sentences / few)}")


if __name__ == "__main__":
    run(main)
