"""The live figure of gaps: what it holds is what was measured, what it says is true for every outcome, and a page shows it."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from planted import estimate, scrambled
from planted import study as planted
from readable import flaw

from lib.chapters.gap import GapFigure
from lib.chapters.settings import Row, key, key_of, references, settings
from lib.errors import InputError
from lib.foreseeing import foreseen
from lib.live import script
from lib.measuring.intervals import Estimate, nothing
from lib.measuring.matching import Matched
from lib.prose import percent, points
from lib.proxies import PROXIES, Simplification
from lib.rules import RULES
from lib.studies import Study

OUTCOMES = {
    "above": estimate(0.02, 0.06),
    "below": estimate(-0.06, -0.02),
    "unclear": estimate(-0.02, 0.06),
    "missing": nothing(),
}
SVD, KMEANS, ONE_HOT = Simplification("svd", 2, 1), Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)


@pytest.fixture(scope="module")
def dyck(small_experiment, tmp_path_factory) -> Study:
    """Two seeds with enough scored to foresee something; every share differs from all others. One family is a control."""
    task = small_experiment.task.model_copy(update={"split_sentences": 300})
    grid = {
        "0": {"svd": (2,)},
        "1": {"svd": (2, 4), "kmeans": (8,), "one_hot": (), "random_subspace": (2,)},
        "all": {"svd": (2,)},
    }
    measuring = small_experiment.measuring.model_copy(
        update={"grid": grid, "refitted": {}, "refitted_on": (), "along_training": {}}
    )
    experiment = small_experiment.model_copy(update={"task": task, "measuring": measuring})
    made = Study("dyck", experiment, tmp_path_factory.mktemp("gap") / "dyck", device="cpu", preset="made-up")
    made.estimates = made.estimates_of({run.seed: scrambled(run.blocks(), run.seed) for run in made.runs})
    return made


@pytest.fixture(scope="module")
def other(small_experiment) -> Study:
    """A study with nothing to match or to foresee anything by, and k-means measured in distribution alone."""
    measuring = small_experiment.measuring.model_copy(update={"grid": {"1": {"svd": (2,), "kmeans": (8,)}}})
    everywhere = {(SVD, "same_prediction"): 0.95}
    rates = {"iid": {**everywhere, (KMEANS, "same_prediction"): 0.7}, "seen_structure": everywhere}
    rates |= {"unseen_structure": {(SVD, "same_prediction"): 0.96}, "unseen_depth": {(SVD, "same_prediction"): 0.91}}
    return planted(small_experiment.model_copy(update={"measuring": measuring}), rates)


@pytest.fixture(scope="module")
def figure(dyck, other) -> GapFigure:
    return GapFigure([dyck, other])


@pytest.fixture(scope="module")
def config(figure) -> dict:
    """What a page gets."""
    return json.loads(json.dumps(figure.live().config, allow_nan=False))


def numbers(of: Estimate) -> list[float | None]:
    return [None if number != number else pytest.approx(number, abs=5.1e-5) for number in (of.value, *of.interval)]


def sentence(row: dict, config: dict) -> str:
    """A row's sentences, put together as the page does it."""
    said = []
    for phrase, values in row["says"]:
        text = config["phrases"][phrase]
        assert text.count("{}") == len(values.split())
        said.append(text.format(*values.split()))
    return " ".join(said)


# What the figure holds


def test_every_setting_is_on_every_split_on_which_gaps_are_claimed(figure, config, dyck):
    of_dyck, of_other = config["studies"]
    assert [split["name"] for split in of_dyck["splits"]] == dyck.task.unseen(dyck.splits)
    assert [split["name"] for split in of_other["splits"]] == ["unseen_structure", "unseen_depth"]
    keys = [setting["key"] for setting in of_dyck["settings"]]
    assert keys == [key(s) for s in settings(dyck)]
    assert {"svd-2-0", "svd-4-1", "one_hot-1", "svd-2-all"} < set(keys)
    assert len(set(keys)) == len(keys)
    for setting in of_dyck["settings"]:
        s = Simplification(setting["proxy"], setting["complexity"], setting["layer"])
        assert (setting["label"], setting["place"]) == (s.label, s.place)
        assert config["families"][s.proxy]["label"] == PROXIES[s.proxy].label
        assert config["families"][s.proxy]["control"] == (s.proxy == "random_subspace")


def test_agreement_gaps_and_what_was_foreseen_are_those_of_the_study(config, dyck):
    estimates, (of_dyck, _), checked = dyck.estimates, config["studies"], 0
    for split, (s, setting, at) in product(
        of_dyck["splits"], [(s, of_dyck["settings"][at], at) for at, s in enumerate(settings(dyck))]
    ):
        row, name = split["rows"][at], split["name"]
        inside, there = (estimates.estimate(s, x, "same_prediction") for x in ("iid", name))
        assert setting["inside"] == [*numbers(inside), percent(inside, interval=True)]
        assert row["there"] == [*numbers(there), percent(there, interval=True)]
        assert row["sides"][0][1] == points(estimates.gap(s, name, "iid"))
        sign, (low, high) = row["sides"][0][0], estimates.gap(s, name, "iid").interval
        assert sign == (1 if low > 0 else -1 if high < 0 else 0)
        gap = foreseen(dyck, estimates, s, name)
        assert row["foreseen"][0] == (pytest.approx((inside - gap).value, abs=5.1e-5) if gap.measured else None)
        assert all(number is None or 0 <= number <= 1 for number in row["foreseen"][:3]), "agreement is a share"
        checked += gap.measured
    assert checked > len(settings(dyck)), "something was foreseen"


def test_gaps_at_equal_covariates_are_those_of_claims(config, dyck):
    estimates, (of_dyck, _), measured = dyck.estimates, config["studies"], 0
    for split in of_dyck["splits"]:
        known = references(dyck, split["name"])
        assert [of["key"] for of in split["controls"]] == [key_of(reference) for reference in known]
        for (side, reference), (at, s) in product(list(enumerate(known))[1:], enumerate(settings(dyck))):
            sign, text, inside, there = split["rows"][at]["sides"][side]
            try:
                gap = estimates.matched_gap(s, split["name"], reference.split, reference.covariates)
            except InputError:  # nothing is alike
                assert (sign, text, inside, there) == (None, "not measured", [None] * 3, [None] * 3)
                continue
            assert text == points(gap)
            if reference.covariates:
                both = estimates.matched(s, split["name"], reference.split, reference.covariates)
                assert [inside, there] == [numbers(both.reference), numbers(both.target)]
                measured += 1
    assert measured


def test_what_it_is_compared_with_is_told_in_words(config):
    (depth,) = [split for split in config["studies"][0]["splits"] if split["name"] == "unseen_depth"]
    assert [of["label"] for of in depth["controls"]] == [
        "in distribution", "as long as the deeper ones", "as long as the deeper ones, at the same depth",
    ]  # fmt: skip
    assert depth["controls"][2]["there"] == "deeper sentences, at the same depth"


def test_sentences_lose_nothing_where_each_phrase_is_kept_once(figure, config, dyck):
    for split in config["studies"][0]["splits"]:
        for row, short in zip(figure.rows["dyck"][split["name"]], split["rows"], strict=True):
            said = sentence(short, config)
            assert said == " ".join(row.sentences())
            assert flaw(said) is None, said


def test_it_opens_on_the_largest_gap_of_what_matches_the_model(figure, dyck, other, config):
    assert config["start"] == {"against": "measured", "level": 0, "study": "dyck"}
    assert figure.opens_on(other) == ("unseen_depth", SVD)
    assert config["studies"][1]["open"] == {"split": "unseen_depth", "point": "svd-2-1"}
    assert config["levels"] == [100 * level for level in RULES.levels.sensitivity]


def test_without_a_clear_gap_it_opens_on_the_first_setting(small_experiment):
    rates = {split: {(s, "same_prediction"): 0.8 for s in (SVD, KMEANS)} for split in ("iid", "seen_structure", "unseen_depth")}
    measuring = small_experiment.measuring.model_copy(update={"grid": {"1": {"svd": (2,), "kmeans": (8,)}}})
    made = planted(small_experiment.model_copy(update={"measuring": measuring}), rates)
    assert GapFigure([made]).opens_on(made) == ("unseen_depth", SVD)


def test_a_study_without_splits_on_which_gaps_are_claimed_is_left_out(small_experiment, dyck):
    made = planted(small_experiment, {"iid": {(SVD, "same_prediction"): 0.9}})
    assert GapFigure([made, dyck]).studies == [dyck]
    with pytest.raises(InputError, match="no study has a split on which gaps are claimed"):
        GapFigure([made])


def test_the_first_frame_says_what_the_figure_opens_on(figure, dyck):
    html = figure.live().to_html()
    still, _ = html.split('<script type="application/json"')
    split, s = figure.opens_on(dyck)
    (row,) = [row for row in figure.rows["dyck"][split] if row.setting == s]
    assert row.sentences()[0].replace("'", "&#x27;") in still
    assert figure.summary(dyck, split) in still, "the picture's text"
    assert "<svg" in still


def test_the_summary_counts_settings_without_controls(figure, dyck, other):
    gaps = [dyck.estimates.gap(s, "unseen_length", "iid").interval for s in settings(dyck) if s.proxy != "random_subspace"]
    above, below = sum(low > 0 for low, _ in gaps), sum(high < 0 for _, high in gaps)
    assert figure.summary(dyck, "unseen_length") == (
        f"Settings, controls left out: {len(gaps)}. Agreement on longer sentences is lower than in distribution for {above} of "
        f"these, higher for {below}, and cannot be told to differ for {len(gaps) - above - below}."
    )
    assert figure.summary(other, "unseen_depth").startswith("Settings, controls left out: 1."), "what was measured there"


# What it says


def row_with(gap: str, matched: str, off: str) -> Row:
    inside = estimate(0.9, 0.9)
    there = nothing() if gap == "missing" else inside - OUTCOMES[gap]
    alike = Matched(estimate(0.8, 0.8), estimate(0.8, 0.8) - OUTCOMES[matched])
    return Row(
        SVD,
        "deeper sentences",
        {"in distribution": Matched(inside, there), "iid": alike},
        inside - OUTCOMES["above"] + OUTCOMES[off],
    )


@pytest.mark.parametrize(("gap", "matched", "off"), [*product(OUTCOMES, repeat=3)])
def test_a_sentence_is_true_for_every_outcome(gap, matched, off):
    row = row_with(gap, matched, off)
    first, *others = row.sentences()
    assert flaw(" ".join(row.sentences())) is None
    assert first.startswith("SVD of rank 2 in layer 1 makes the model's prediction in 90.0 % of cases in distribution")
    if gap == "missing":
        assert first.endswith("; on deeper sentences it was not measured.")
        assert not others
        return
    assert (
        first.partition(" on deeper sentences: ")[2]
        == {
            "above": "4.0 [2.0, 6.0] points less often there.",
            "below": "4.0 [2.0, 6.0] points more often there.",
            "unclear": "a gap of 2.0 [−2.0, 6.0] points, which cannot be told from none.",
        }[gap]
    )
    assert (
        others[0]
        == "Against iid, "
        + {
            "above": "it does so 4.0 [2.0, 6.0] points less often.",
            "below": "it does so 4.0 [2.0, 6.0] points more often.",
            "unclear": "a gap of 2.0 [−2.0, 6.0] points cannot be told from none.",
            "missing": "nothing could be compared.",
        }[matched]
    )
    if off == "missing":
        assert others[1] == "What it would do there could not be foreseen."


@pytest.mark.parametrize(
    ("off", "said"),
    [
        ("above", "The agreement foreseen there was 94.0 %, 4.0 [2.0, 6.0] points too many."),
        ("below", "The agreement foreseen there was 86.0 %, 4.0 [2.0, 6.0] points too few."),
        (
            "unclear",
            "The agreement foreseen there was 92.0 %, an error of 2.0 [−2.0, 6.0] points, which cannot be told from none.",
        ),
    ],
)
def test_what_was_foreseen_is_held_against_what_was_measured(off, said):
    there = estimate(0.9, 0.9)
    row = Row(SVD, "deeper sentences", {"in distribution": Matched(estimate(0.95, 0.95), there)}, there + OUTCOMES[off])
    assert row.sentences()[-1] == said


def test_with_one_seed_and_no_draws_nothing_is_claimed():
    alone = Estimate(estimate(0.9, 0.9).by_seed[:1])
    row = Row(ONE_HOT, "C#", {"in distribution": Matched(alone, alone - 0.1)}, nothing())
    assert row.sentences()[0].endswith("on C#: a gap of 10.0 points, which cannot be told from none.")


# On a page


@pytest.fixture(scope="module")
def address(figure, tmp_path_factory) -> str:
    """A page of the figure alone, on disk."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "live.js").write_text(script.script(), encoding="utf-8")
    (folder / "live.css").write_text(script.style(), encoding="utf-8")
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Gaps</title><link rel="stylesheet" href="live.css">'
    page = Path(folder / "index.html")
    page.write_text(f'{head}<script src="live.js"></script><body>{figure.live().to_html()}', encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def opened(browser, address):
    """A function that opens the page at a state, with no request allowed but of what is on disk."""
    found, pages = [], []

    def open_at(state: str = "", width: int = 1000):
        page = browser.new_page(viewport={"width": width, "height": 900})
        allowed = ("file:", "data:", "blob:")
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(allowed) else route.abort())
        page.on("request", lambda request: request.url.startswith(allowed) or found.append(request.url))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and found.append(message.text))
        page.goto(address + (f"#live:{state}" if state else ""))
        pages.append(page)
        page.wait_for_selector(".live-ready" if "nowhere" not in state else ".live-stale")
        return page

    yield open_at
    for page in pages:
        page.close()
    assert not found


def row_shown(page) -> list[str]:
    return page.locator(".live-gap-table td").all_inner_texts()


def said(page) -> str:
    return page.locator(".live-gap-said").inner_text()


def expected(config: dict, study: int, split: str, point: str) -> tuple[list[str], str]:
    """What a page shows of a point: its row, and its sentence."""
    of = config["studies"][study]
    (chosen,) = [x for x in of["splits"] if x["name"] == split]
    at = [setting["key"] for setting in of["settings"]].index(point)
    row = chosen["rows"][at]
    cells = [of["settings"][at]["inside"][3], row["there"][3], *(side[1] for side in row["sides"]), row["foreseen"][3]]
    return cells, sentence(row, config)


@pytest.mark.browser
def test_a_page_opens_with_the_row_that_it_opens_on(opened, config):
    page, of = opened(), config["studies"][0]["open"]
    assert (row_shown(page), said(page)) == expected(config, 0, of["split"], of["point"])
    assert page.locator(".live-gap-mark[data-key]").count() == len(config["studies"][0]["settings"])
    assert page.locator(".live-still").is_hidden()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1000])
def test_a_click_chooses_a_point_and_pointing_only_looks(opened, config, width):
    page = opened("split=unseen_length", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    before = said(page)
    box = page.locator('[data-key="kmeans-8-1"]').bounding_box()
    at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*at)
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_length", "kmeans-8-1")
    assert page.locator(".live-gap-said").get_attribute("aria-live") == "off"
    page.mouse.move(5, 5)
    assert said(page) == before
    page.mouse.click(*at)
    page.mouse.move(5, 5)
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_length", "kmeans-8-1")
    assert page.locator(".live-gap-said").get_attribute("aria-live") == "polite"
    for part in ("point=kmeans-8-1", "proxy=kmeans", "complexity=8", "layer=1"):  # as other figures of the page want it
        page.wait_for_function(f"location.hash.includes({part!r})")


@pytest.mark.browser
def test_the_keyboard_chooses_what_a_click_does(opened, config):
    page = opened("split=unseen_depth&point=svd-2-0")
    page.get_by_label("Point").focus()
    page.keyboard.press("ArrowDown")
    keys = [setting["key"] for setting in config["studies"][0]["settings"]]
    following = keys[keys.index("svd-2-0") + 1]
    page.wait_for_function(f"location.hash.includes('point={following}')")
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_depth", following)


@pytest.mark.browser
def test_controls_change_what_is_compared(opened, config):
    page = opened("point=svd-2-1")

    def place() -> list[float]:
        page.mouse.move(5, 5)
        return list(page.locator('[data-key="svd-2-1"]').bounding_box().values())

    page.get_by_label("Split").select_option("longer sentences")
    plain = place()
    page.get_by_label("Compared with").select_option("in distribution, at the same depth")
    assert place() != plain, "it stands elsewhere"
    axes = " ".join(page.locator(".live-gap .live-axis").all_text_contents())
    assert axes == "agreement in distribution, at the same depth agreement on longer sentences"
    assert page.locator(".live-gap-table .live-right th").inner_text() == "gap from in distribution, at the same depth"
    assert "lower than in distribution, at the same depth for" in page.locator(".live-gap-figure figcaption").inner_text()
    page.get_by_label("Show").select_option("what was foreseen")
    assert not page.get_by_label("Compared with").is_visible()
    assert "What is foreseen on longer sentences" in page.locator(".live-gap-figure figcaption").inner_text()
    assert page.locator(".live-gap-table .live-right th").inner_text() == "agreement foreseen there"
    page.get_by_label("Agreement in distribution").select_option("at least 80 %")
    few = [of for of in config["studies"][0]["settings"] if of["inside"][0] >= 0.8 or of["key"] == "svd-2-1"]
    assert page.locator(".live-gap-mark[data-key]").count() == len(few) < len(config["studies"][0]["settings"])
    page.get_by_label("Study").select_option("planted")
    assert (row_shown(page), said(page)) == expected(config, 1, "unseen_depth", "svd-2-1"), "split and reference are its own"
    page.evaluate("location.hash = '#live:study=dyck&split=unseen_length'")
    page.wait_for_function("document.querySelector('.live-gap-table caption').textContent.includes('dyck')")
    assert row_shown(page) == expected(config, 0, "unseen_length", config["studies"][0]["open"]["point"])[0]


@pytest.mark.browser
def test_the_caption_counts_as_python_does(opened, figure, dyck):
    page = opened("split=unseen_length")
    assert page.locator(".live-gap-figure figcaption").inner_text().startswith(figure.summary(dyck, "unseen_length"))
    assert page.locator("svg.live-gap").get_attribute("aria-label") == figure.summary(dyck, "unseen_length")


@pytest.mark.browser
def test_what_was_not_measured_is_said_to_be_so(opened, config):
    page = opened("study=planted&split=unseen_depth&point=kmeans-8-1&against=foreseen")
    assert row_shown(page)[1] == "not measured"
    assert said(page).endswith("; on deeper sentences it was not measured.")
    assert page.locator(".live-gap-mark[data-key]").count() == 0, "nothing was foreseen there"
    assert "NaN" not in page.content().split('class="live-board"')[1]


@pytest.mark.browser
def test_another_figure_of_the_page_chooses_the_point_too(opened, config):
    page = opened("split=unseen_length&point=one_hot-1")
    page.evaluate("location.hash = '#live:proxy=svd&complexity=4&layer=1'")
    page.wait_for_function("location.hash.includes('point=svd-4-1')")
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_length", "svd-4-1")
    page.evaluate("location.hash = '#live:proxy=svd&complexity=3&layer=1'")
    page.wait_for_function("location.hash.includes('complexity=3')")
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_length", "svd-4-1"), "that was not measured"
    page = opened("split=unseen_length&proxy=one_hot&layer=1")
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_length", "one_hot-1")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("study=nowhere", "There is no study called nowhere; there are dyck, planted."),
        (
            "study=planted&split=nowhere",
            "There is no split of planted called nowhere; there are unseen_structure, unseen_depth.",
        ),
        (
            "split=unseen_length&control=nowhere",
            "There is no reference of unseen_length called nowhere; there are iid, iid-depth.",
        ),
        ("against=nowhere", "There is no comparison called nowhere; there are measured, foreseen."),
        ("level=nowhere", "There is no level called nowhere; there are 0, 80, 90, 95, 99."),
        ("study=planted&point=nowhere", "There is no setting of planted called nowhere; there are svd-2-1, kmeans-8-1."),
    ],
)
def test_a_state_that_there_is_not_is_told_in_place(opened, config, state, says):
    page = opened(state)
    assert page.locator(".live-message").inner_text() == says
    assert page.locator(".live-still").is_visible()
    page = opened("split=unseen_length&point=svd-2-1")
    page.evaluate(f"location.hash = '#live:{state}'")
    page.wait_for_selector(".live-stale")
    assert page.locator(".live-message").inner_text() == says
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_length", "svd-2-1"), "the last picture stays"


@pytest.mark.browser
def test_a_wrong_state_is_left_by_choosing_another(opened, config):
    page = opened("split=unseen_length&point=svd-2-1")
    page.evaluate("location.hash = '#live:split=nowhere'")
    page.wait_for_selector(".live-stale")
    page.get_by_label("Split").select_option("deeper sentences")
    page.wait_for_selector(".live:not(.live-stale)")
    assert page.locator(".live-message").inner_text() == ""
    assert (row_shown(page), said(page)) == expected(config, 0, "unseen_depth", "svd-2-1")


@pytest.mark.browser
@pytest.mark.parametrize("against", ["measured", "foreseen"])
def test_points_stand_where_their_numbers_say(opened, config, against):
    """Across and up on one scale, which the diagonal shows."""
    page, of = opened(f"split=unseen_length&against={against}"), config["studies"][0]
    (split,) = [split for split in of["splits"] if split["name"] == "unseen_length"]
    marks = page.locator(".live-gap-mark[data-key]")
    drawn = dict(
        marks.evaluate_all(
            "marks => marks.map((of) => [of.dataset.key, of.getAttribute('transform').match(/[\\d.]+/g).map(Number)])"
        )
    )
    assert len(drawn) == len(of["settings"])
    across, up = [], []
    for setting, row in zip(of["settings"], split["rows"], strict=True):
        x, y, _ = drawn[setting["key"]]
        across.append(((row["foreseen"] if against == "foreseen" else setting["inside"])[0], x))
        up.append((row["there"][0], y))
    line = page.locator(".live-gap-even")
    x1, y1, x2, y2 = (float(line.get_attribute(name)) for name in ("x1", "y1", "x2", "y2"))
    (slope, start), error, *_ = np.polyfit(*zip(*across, strict=True), 1, full=True)
    assert float(error[0]) < 1e-6
    assert slope > 0
    assert np.polyfit(*zip(*up, strict=True), 1)[0] == pytest.approx(-slope, rel=1e-6)
    low, high = ((x - start) / slope for x in (x1, x2))
    assert [y1, y2] == pytest.approx(np.polyval(np.polyfit(*zip(*up, strict=True), 1), [low, high]), abs=1e-3)
