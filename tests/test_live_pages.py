"""Live figures as a reader meets them: on a page opened from disk, in a real Chromium, without a network and without Python."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from code_study import small_study
from live_pages import both, in_double, opened, write_page
from playwright.sync_api import expect

from lib.live import script
from lib.proxies import PROXIES, Simplification
from lib.tasks.code.live import live_reading
from lib.tasks.code.reading import read
from lib.tasks.dyck.language import FIRST_BRACKET
from lib.tasks.dyck.text import parse_sentences

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SENTENCE = "(a (b (c (a a) (b b) c) (a (c c) a) b) a)"
TYPES = ("a", "b", "c")


@pytest.fixture(scope="module")
def brackets(depth, tmp_path_factory):
    """A page with the figures of brackets: by depth, one sentence, queries and keys."""
    folder = tmp_path_factory.mktemp("page")
    return write_page(folder, [depth.by_depth_live(), depth.hardest(), depth.live.representation("<p>still</p>")])


def figure(page, kind: str):
    """A live figure, once it is there."""
    found = page.locator(f"[data-live={kind}]")
    found.scroll_into_view_if_needed()
    expect(found).to_have_class(re.compile("live-ready"), timeout=20_000)
    return found


def said(found) -> str:
    return found.locator(".live-said").inner_text().replace("\N{NO-BREAK SPACE}", " ")


def sentence_as_python_says(run, text: str, at: int, s: Simplification) -> str:
    """What the page is to say of a sentence, from PyTorch in double precision."""
    of = parse_sentences([text], len(TYPES))
    tokens, opener, words = of.tokens[0].tolist(), of.opener[0].tolist(), ["START", *text.split()]
    right = tokens[at] - FIRST_BRACKET - len(TYPES)
    parts = []
    for patterns, logits in both(run, s, tokens):
        row = patterns[s.layer].mean(0)[at - 1, :at]
        closing = logits[at - 1, FIRST_BRACKET + len(TYPES) : FIRST_BRACKET + 2 * len(TYPES)].softmax(-1).numpy()
        top, chosen = int(row.argmax()), int(closing.argmax())
        where = "the opener" if top == opener[at] else "START" if top == 0 else f"{words[top]} at {top}"
        verdict = "right" if chosen == right else f"wrong, {TYPES[right]}) is due"
        predicts = f"predicts {TYPES[chosen]}) ({100 * closing[chosen]:.0f} %; {verdict})"
        parts.append(f"attends most to {where} ({100 * row[top]:.0f} %) and {predicts}")
    label = f"{s.label}, in layer {s.layer},"
    due = f"{words[at]} at position {at} closes {words[opener[at]]} at {opener[at]}, {of.depth[0, at]} deep."
    return f"{due} The model {parts[0]}. {label} {parts[1]}."


@pytest.mark.parametrize(
    ("s", "seed"),
    [
        (Simplification("svd", 1, 1), 0),
        (Simplification("svd", 3, 0), 1),
        (Simplification("kmeans", 8, 1), 1),
        (Simplification("one_hot", None, 1), 0),
        (Simplification("svd_joint", 4, 1), 0),
    ],
    ids=lambda value: getattr(value, "label", value),
)
def test_a_typed_sentence_says_what_python_says(browser, brackets, depth, s, seed):
    """Every step is a reader's: the proxy from its list, the slider by key, the sentence typed, a bracket clicked."""
    with opened(browser, brackets) as page:
        of = figure(page, "brackets")
        of.get_by_label("Layer", exact=True).select_option(str(s.layer))
        of.get_by_label("Picture", exact=True).select_option(label=PROXIES[s.proxy].label)
        of.get_by_label("Model", exact=True).select_option(label=f"seed {seed}")
        if s.complexity:
            slider = of.get_by_label(PROXIES[s.proxy].parameter.capitalize(), exact=True)
            slider.focus()
            slider.press("Home")
            for _ in range(20):
                if of.locator("output").first.inner_text().split(" ")[0] == str(s.complexity):
                    break
                slider.press("ArrowRight")
        of.get_by_label("or type one").fill(SENTENCE)
        of.locator(".live-click").nth(2).click()
        at = [i for i, word in enumerate(["START", *SENTENCE.split()]) if word.endswith(")")][2]
        expected = sentence_as_python_says(depth.study.runs[seed], SENTENCE, at, s)
        expect(of.locator(".live-said")).to_contain_text(expected.replace(" %", "\N{NO-BREAK SPACE}%"))
        shown = of.locator(".live-predictions .live-number").all_inner_texts()
        assert len(shown) == 6
        assert "nan" not in page.inner_text("body").lower()


def test_one_state_moves_all_figures_of_a_page_and_stands_in_its_address(browser, brackets):
    with opened(browser, brackets) as page:
        by_depth, one = figure(page, "depth"), figure(page, "brackets")
        slider = by_depth.get_by_label("Rank", exact=True)
        slider.focus()
        slider.press("End")
        expect(one.get_by_label("Rank", exact=True)).to_have_value(slider.input_value())
        expect(one.locator(".live-said")).to_contain_text("SVD, rank 8, in layer 1,")
        before = one.locator(".live-said").inner_text()
        one.get_by_label("or type one").fill(SENTENCE)
        expect(one.locator(".live-said")).not_to_have_text(before)
        page.wait_for_function(
            "['complexity=8', 'sentence=%28a+%28b+%28c+%28a+a%29'].every((part) => location.hash.includes(part))"
        )  # written when nothing has changed for a moment
        address, told = page.evaluate("location.hash"), said(one)
        assert "complexity=8" in address
    with opened(browser, brackets, address) as page:
        again = figure(page, "brackets")
        assert said(again) == told
        page.evaluate("location.hash = '#live:proxy=kmeans&complexity=4&layer=1'")
        expect(again.locator(".live-said")).to_contain_text("k-means, 4 clusters, in layer 1,")


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("(a (b b)", "1 bracket left open. It would go on with a)"),
        ("(a a) b)", "Token 3, “b)”, closes a bracket that was never opened"),
        ("(a (b a) b)", "Token 3, “a)”, closes (b"),
        ("(a <script>alert(1)</script> a)", "Token 2 is “<script>alert(1)</script>”, but must be (a to (c or a) to c)"),
        ("(a &amp; a)", "Token 2 is “&amp;”, but must be"),
        ("   ", "There is no sentence yet"),
        ("(a a) " * 40, "80 brackets, but the model reads at most 24"),
    ],
)
def test_what_is_no_sentence_is_said_in_place_and_the_last_picture_stays(browser, brackets, typed, named):
    with opened(browser, brackets) as page:
        of = figure(page, "brackets")
        before = said(of)
        of.get_by_label("or type one").fill(typed)
        expect(of.locator(".live-message")).to_contain_text(named)
        expect(of).to_have_class(re.compile("live-stale"))
        assert said(of) == before
        assert of.locator(".live-picture").count() == 1
        of.get_by_label("or type one").fill(SENTENCE)
        expect(of.locator(".live-message")).to_be_empty()
        expect(of).not_to_have_class(re.compile("live-stale"))


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("seed=length", "There is no model of seed length"),
        ("layer=", "There is no layer null"),
        ("proxy=magic", "There is no picture called magic; there are rounded, svd, "),
        ("complexity=99", "SVD was not fitted with rank 99 in layer 1; choose one of 1, 2"),
        ("layer=7", "There is no layer 7; layers are 0 to 1, and all (-1)."),
        ("seed=5", "There is no model of seed 5; seeds are 0, 1."),
    ],
)
def test_an_address_that_asks_for_what_is_not_there_is_answered(browser, brackets, address, named):
    with opened(browser, brackets, f"#live:{address}") as page:
        of = page.locator("[data-live=brackets]")
        expect(of.locator(".live-message")).to_contain_text(named, timeout=20_000)
        expect(of.locator(".live-still")).to_be_visible()
        of.get_by_label("Picture", exact=True).select_option(label="SVD")
        of.get_by_label("Model", exact=True).select_option(label="seed 0")
        of.get_by_label("Layer", exact=True).select_option("1")
        figure(page, "brackets")  # controls are there to put it right


def test_a_proxy_without_arrays_says_that_it_needs_python(browser, brackets):
    with opened(browser, brackets) as page:
        of = figure(page, "brackets")
        of.get_by_label("Picture", exact=True).select_option(label="rounded off")
        expect(of.locator(".live-message")).to_contain_text("rounded off is computed by Python, which a page does not have")
        of.get_by_label("Layer", exact=True).select_option("all")
        expect(of.locator(".live-message")).to_contain_text("rounded off is computed by Python, one layer at a time")


def test_a_missing_file_of_weights_is_named_and_the_first_frame_stays(browser, depth, tmp_path):
    page_of = write_page(tmp_path, [depth.hardest()])
    (tmp_path / script.FOLDER / "dyck-0.mjs").unlink()
    with opened(browser, page_of) as page:
        of = page.locator("[data-live=brackets]")
        expect(of.locator(".live-message")).to_contain_text(
            "The weights in _static/live/dyck-0.mjs are missing", timeout=20_000
        )
        expect(of.locator(".live-still svg").first).to_be_visible()


def test_a_damaged_file_of_weights_is_said(browser, depth, tmp_path):
    explorer = depth.hardest()
    explorer.packs = {name: packed[: len(packed) // 2] for name, packed in explorer.packs.items()}
    with opened(browser, write_page(tmp_path, [explorer])) as page:
        of = page.locator("[data-live=brackets]")
        expect(of.locator(".live-message")).to_contain_text("cut short", timeout=20_000)


def test_without_scripts_the_first_frame_says_what_the_figure_shows(browser, brackets):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(brackets.as_uri())
    for kind in ("depth", "brackets"):
        still = page.locator(f"[data-live={kind}] .live-still [role=img]").first
        assert len(still.get_attribute("aria-label")) > 40
    context.close()


def test_texts_in_an_address_stay_texts_and_nothing_in_it_is_code(browser, brackets):
    with opened(browser, brackets, "#live:of=constructor&sentence=1") as page:
        figure(page, "brackets")
    with opened(browser, brackets, "#live:sentence=007") as page:
        expect(page.locator("[data-live=brackets] .live-message")).to_contain_text("Token 1 is “007”", timeout=20_000)
        page.evaluate("location.hash = ''")
        figure(page, "brackets")


def test_a_figure_does_not_depend_on_how_often_an_address_may_be_written(browser, brackets):
    """Browsers allow so many times a second, and throw then."""
    with opened(browser, brackets) as page:
        of = figure(page, "brackets")
        page.evaluate("history.replaceState = () => { globalThis.written = (globalThis.written ?? 0) + 1; }")
        slider = of.get_by_label("Closing bracket", exact=True)
        slider.focus()
        for _ in range(40):
            slider.press("ArrowLeft")
            slider.press("ArrowRight")
        page.wait_for_timeout(500)
        assert 1 <= page.evaluate("globalThis.written") < 20


def test_weights_that_are_no_numbers_are_refused(browser, depth, tmp_path):
    explorer = depth.hardest()
    explorer.packs = {name: packed[:-4] + b"\x00\x00\xc0\x7f" for name, packed in explorer.packs.items()}
    with opened(browser, write_page(tmp_path, [explorer])) as page:
        of = page.locator("[data-live=brackets]")
        expect(of.locator(".live-message")).to_contain_text("The weights of dyck-0 are damaged (", timeout=20_000)
        assert "NaN" not in page.inner_text("body")


def test_a_reader_can_guess_before_the_answer_is_shown(browser, brackets):
    with opened(browser, brackets) as page:
        of = figure(page, "brackets")
        of.get_by_label("or type one").fill("(a (b b) (c c) a)")
        of.get_by_label("Guess first").check()
        expect(of.locator(".live-said")).to_contain_text("Which bracket closes at position")
        assert of.locator(".live-number").count() == 0
        assert of.get_by_label("or type one").is_hidden(), "it holds the answer"
        of.get_by_role("button", name="a)").click()
        expect(of.locator(".live-number").first).to_be_visible()


def test_queries_and_keys_keep_what_python_says(browser, brackets, depth):
    s, run = depth.example, depth.run
    with opened(browser, brackets) as page:
        of = figure(page, "representation")
        found = re.findall(r"(\d+) %", said(of))
    expected = []
    rule, reference = (
        run.fitter.rules(Simplification("svd", c, s.layer))[s.layer] for c in (s.complexity, run.model.head_width)
    )
    vectors = {split: queries_and_keys(run, depth.live, split, s.layer) for split in ("iid", "unseen_depth")}
    for part in (0, 1):
        for split in ("iid", "unseen_depth"):
            x = vectors[split][part]
            mean = (reference.proxies[0].queries, reference.proxies[0].keys)[part].mean.double()
            moved = rule.proxies[0].simplify(*(v.float() for v in vectors[split]))[part].double()
            expected.append(f"{100 * float(1 - (x - moved).square().sum() / (x - mean).square().sum()):.0f}")
    assert found == expected


def queries_and_keys(run, live, split: str, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the first head, at the brackets of the sentences that a figure shows."""
    parts = []
    for sentence in live._first(split):
        tokens = torch.from_numpy(sentence.tokens.astype(np.int64))
        tokens = tokens[:, : int((tokens[0] != 0).sum())]
        with torch.no_grad():
            paused = run.model.pause(run.model.run(run.model.embed(tokens), stop=layer), layer)
        parts.append([x[0, 0, 1:-1].double() for x in (paused.queries, paused.keys)])
    return tuple(torch.cat(of) for of in zip(*parts, strict=True))


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A study of code, and a page with its live figure."""
    study = small_study(tmp_path_factory.getbasetemp())
    explorer = live_reading(study, Simplification("svd", 2, -1), ("c", 3))
    return study, write_page(tmp_path_factory.mktemp("code"), [explorer])


@pytest.mark.parametrize("text", ["if x == 1:\n    return x\n", '<script>alert(1)</script> & "quoted" &lt;'])
def test_pasted_code_is_read_as_python_reads_it_and_shown_as_text(browser, code, text):
    study, path = code
    run = study.runs[0]
    with opened(browser, path) as page:
        assert page.evaluate("globalThis.livePacks === undefined || !Object.keys(livePacks).length"), "only when asked for"
        page.get_by_role("button", name="Load the model").click()
        of = figure(page, "reading")
        of.get_by_text("Type or paste your own").click()
        of.get_by_label("your own text").fill(text)
        shown = of.locator(".live-text")
        expect(shown).to_contain_text(text.split("\n")[0])
        tokens = [1, *(run.data.vocabulary.index(c) for c in text)]
        model, proxy = (logits[:-1, 2:].argmax(-1).numpy() for _, logits in both(run, Simplification("svd", 2, -1), tokens))
        right = np.array(tokens[1:]) - 2
        expect(of.locator(".live-said")).to_contain_text(
            f"on {100 * (model == proxy).mean():.0f}\N{NO-BREAK SPACE}% of {len(text)} characters"
        )
        marks = [span.get_attribute("class") or "" for span in shown.locator("span").all()]
        assert ["live-by" in mark for mark in marks] == (model != proxy).tolist()
        assert ["by-model" in mark for mark in marks] == ((model != proxy) & (model == right)).tolist()
        shown.locator("span").nth(4).click()
        expect(of.locator(".live-said")).to_contain_text("At character 5,")
        assert of.locator(".live-strips tr").count() == 4, "two layers of two heads"


def test_the_example_is_read_as_python_read_it(browser, code):
    """A window that begins within a function is read with the character before it."""
    study, path = code
    found = read(study.runs[0], "c", 3, Simplification("svd", 2, -1))
    with opened(browser, path) as page:
        page.get_by_role("button", name="Load the model").click()
        of = figure(page, "reading")
        marks = ["live-by" in (span.get_attribute("class") or "") for span in of.locator(".live-text span").all()]
    assert marks == (~found.agrees).tolist()


def test_text_that_the_model_cannot_read_is_said(browser, code):
    _, path = code
    with opened(browser, path) as page:
        page.get_by_role("button", name="Load the model").click()
        of = figure(page, "reading")
        of.get_by_text("Type or paste your own").click()
        for text, named in (("a\tb", "Character 2 is a tab"), ("naïve", "Character 3 is ï"), ("", "There is no text yet")):
            of.get_by_label("your own text").fill(text)
            expect(of.locator(".live-message")).to_contain_text(named)
        of.get_by_label("your own text").fill("x = 1\n" * 30)
        expect(of.locator(".live-said")).to_contain_text("of 64 characters (the first of 180: the model reads no more)")


def test_in_double_is_the_model_itself(depth):
    """What pages are held against is what the model computes, only more precisely."""
    tokens = parse_sentences([SENTENCE], len(TYPES)).tokens[0].tolist()
    _, logits = in_double(depth.run.model, {}, tokens)
    with torch.no_grad():
        np.testing.assert_allclose(depth.run.model(torch.tensor([tokens]))[0].numpy(), logits.numpy(), atol=1e-4)
