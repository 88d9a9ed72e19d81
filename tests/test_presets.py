"""Sizes of the study as files: the project's own, and a user's, checked to the last value before anything is computed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lib import presets
from lib.artifacts import root
from lib.errors import InputError
from lib.experiment import simplifications_of
from lib.measuring.measures import LABELS, MEASURES
from lib.presets import NAMES, load
from lib.proxies import PROXIES, Simplification
from lib.tasks import TASKS, task_class


@pytest.fixture(autouse=True)
def registries():
    """What a test registers is gone after it."""
    task_class("dyck")  # the project's own are there
    kept = [(registry, dict(registry)) for registry in (PROXIES, MEASURES, LABELS, TASKS, presets._PLUGINS)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


@pytest.fixture(autouse=True)
def nothing_is_computed():
    yield
    assert not root().exists()


@pytest.fixture
def write(tmp_path) -> Callable[..., str]:
    """A function that writes a file and gives its path."""

    def to_file(text: str, name: str = "mine.toml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return to_file


# The project's own


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_measures_what_the_figures_show(name):
    preset = load(name)
    assert preset.name == name
    assert preset.folder == root() / name
    for experiment in preset.experiments.values():
        assert experiment.measuring.grid["1"].keys() >= {"svd", "kmeans", "one_hot"}
        assert "all" in experiment.measuring.grid
    for task in ("dyck", "code"):
        assert preset.experiment(task).task.kind == task
    dyck = preset.experiment("dyck")
    assert dyck.measuring.fit_sequences <= dyck.task.training_sentences
    assert dyck.measuring.along_training
    assert dyck.measuring.refitted


@pytest.mark.parametrize("name", ["smoke", "paper"])
def test_variants_of_an_experiment_differ_from_it_in_what_they_say_alone(name):
    preset = load(name)
    dyck, without, java = (preset.experiments[e] for e in ("dyck", "dyck-none", "code-java"))
    assert without.model.plain() == {**dyck.model.plain(), "positions": "none"}
    snapshots = {"snapshots": without.training.snapshots}  # kept only of what is measured along training
    assert without.training == dyck.training.model_copy(update=snapshots)
    assert without.task == dyck.task
    few, all_of = ({*simplifications_of(of.measuring.grid)} for of in (without, dyck))
    assert few
    assert few <= all_of
    assert without.measuring.along_training == without.measuring.refitted == {}
    assert java.task.plain() == {**preset.experiments["code"].task.plain(), "language": "java"}
    assert java.measuring == preset.experiments["code"].measuring


def test_presets_grow():
    smoke, quick, paper = (load(name) for name in NAMES)
    for task in ("dyck", "code"):
        steps = [preset.experiments[task].training.steps for preset in (smoke, quick, paper)]
        assert steps == sorted(steps)
        assert quick.experiments[task].seeds < paper.experiments[task].seeds
        for layer, proxies in quick.experiments[task].measuring.grid.items():
            for proxy, complexities in proxies.items():
                if (task, proxy) == ("code", "weight_svd") and layer != "all":
                    continue  # cut at paper, as book/running.md says
                assert len(complexities) <= len(paper.experiments[task].measuring.grid[layer][proxy]) + (task == "code")


@pytest.mark.parametrize("name", ["huge", "", "smoke.tml", "Smoke", "dyck"])
def test_a_preset_that_does_not_exist_is_refused_with_those_that_do(name):
    with pytest.raises(InputError, match=rf"preset is '{name}', but must be one of: smoke, quick, paper, the path of a file"):
        load(name)


def test_an_experiment_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InputError, match=r"task is 'dyk', but must be one of: dyck, .*code, .*code-javascript"):
        load("smoke").study("dyk")
    for name in ("code-latin", "dyck-", "code-", "dyck-sinusoidal-none"):
        with pytest.raises(InputError, match=f"task is '{name}'"):
            load("quick").study(name)


def test_a_variant_of_a_task_needs_no_table(tmp_path):
    study = load("smoke").study("code-javascript")
    assert study.task.language == "javascript"
    assert study.folder == root() / "smoke" / "code-javascript"


def test_options_of_a_task_make_a_study_of_their_own(tmp_path):
    study = load("smoke").study("code", corpus="directory", location=str(tmp_path / "my project"))
    assert (study.task.corpus, study.task.location) == ("directory", str(tmp_path / "my project"))
    assert study.folder == root() / "smoke" / "code@directory-my project"
    assert load("smoke").study("code", corpus="").folder == root() / "smoke" / "code"
    with pytest.raises(InputError, match="corpus is 'directory', but task 'dyck' has no corpus"):
        load("smoke").study("dyck", corpus="directory")
    with pytest.raises(InputError, match=r"task 'code': corpus is 'wikipedia': .*'installed'"):
        load("smoke").study("code", corpus="wikipedia")


# A user's own


def test_a_file_may_build_on_a_preset_and_change_one_value(write):
    preset = load(write('inherits = "quick"\n[dyck.training]\nsteps = 7\n'))
    quick = load("quick")
    assert preset.name == "mine"
    assert preset.folder == root() / "mine"
    assert list(preset.experiments) == list(quick.experiments)
    assert preset.experiments["code"] == quick.experiments["code"]
    changed, before = preset.experiments["dyck"].plain(), quick.experiments["dyck"].plain()
    assert changed == {**before, "training": {**before["training"], "steps": 7}}


def test_a_file_may_build_on_another_file_which_is_looked_for_beside_it(write, tmp_path, monkeypatch):
    write('inherits = "smoke"\n[dyck]\nseeds = 4\nmodel.width = 64\n', "base/theirs.toml")
    path = write('inherits = "base/theirs.toml"\n[dyck]\nmodel.heads = 2\n')
    monkeypatch.chdir(tmp_path.parent)
    for given in (path, os.path.relpath(path)):
        dyck = load(given).experiments["dyck"]
        assert (dyck.seeds, dyck.model.width, dyck.model.heads) == (4, 64, 2)
        assert dyck.training == load("smoke").experiments["dyck"].training


def test_a_path_may_begin_at_home(write, monkeypatch, tmp_path):
    write('inherits = "smoke"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("~/mine.toml").name == "mine"


def test_a_file_may_add_an_experiment_that_builds_on_another_of_its_own(write):
    preset = load(write('inherits = "quick"\n[wide]\ninherits = "dyck"\nseeds = 1\nmodel.width = 64\ndata.bracket_types = 5\n'))
    wide, dyck = preset.experiments["wide"], preset.experiments["dyck"]
    assert dyck == load("quick").experiments["dyck"]
    assert (wide.model.width, wide.task.bracket_types, wide.seeds) == (64, 5, 1)
    assert (wide.training, wide.measuring) == (dyck.training, dyck.measuring)
    assert preset.study("wide").folder == root() / "mine" / "wide"


def test_tables_of_measurements_are_merged_and_lists_are_replaced(write):
    text = 'inherits = "quick"\n[dyck.measuring]\nrefitted = {}\ngrid.1.svd = [3]\ngrid.0 = {}\n'
    measuring, before = load(write(text)).experiments["dyck"].measuring, load("quick").experiments["dyck"].measuring
    assert measuring.grid["1"] == {**before.grid["1"], "svd": (3,)}
    assert measuring.grid["0"] == {}
    assert measuring.grid["all"] == before.grid["all"]
    assert measuring.refitted == {}
    assert measuring.along_training == before.along_training


def test_a_file_may_stand_on_its_own(write):
    text = '[small]\ntask = "dyck"\ntraining.steps = 5\nmeasuring.grid.all.one_hot = []\n'
    small = load(write(text)).experiments["small"]
    assert small.seeds == 1
    assert small.task == TASKS["dyck"]()
    assert small.simplifications() == [Simplification("one_hot")]


def test_remedies_and_captions_name_the_file(write):
    path = write('inherits = "quick"\n', "my sizes.toml")
    study = load(path).study("dyck", seeds=1)
    assert study.preset == "my sizes"
    assert f"python -m lib train dyck --preset '{path}' --seed 0 --replace" in study.runs[0].trained.remedy


# Plugins

PROXY = """
from lib.proxies import Proxy

class Halved(Proxy, name="{name}", label="halved", parameter="parts"):
    @classmethod
    def fit(cls, head, complexity):
        return cls()

    def simplify(self, queries, keys):
        return queries / 2, keys
"""


def test_a_proxy_of_a_plugin_joins_every_grid_at_its_example_complexity(write, tiny):
    write(PROXY.format(name="halved"), "plugins/mine.py")
    preset = load(write(f'inherits = "{tiny}"\nplugins = ["plugins/mine.py"]\n'))
    measuring = preset.experiments["dyck"].measuring
    for grid in (measuring.grid, measuring.along_training, measuring.refitted):
        assert all(proxies["halved"] == (16,) for proxies in grid.values())
    assert measuring.grid["1"]["svd"] == (2,)
    assert measuring.each_head == {}


def test_a_proxy_of_a_plugin_is_measured_like_any_other(write, tiny, tmp_path, monkeypatch):
    write(PROXY.format(name="halved"), "mine.py")
    preset = load(write(f'inherits = "{tiny}"\nplugins = ["mine.py"]\n'))
    monkeypatch.setenv("LIB_ARTIFACTS", str(tmp_path / "results"))
    table = pd.read_parquet(preset.study("dyck", seeds=1).save())
    halved = table[(table["proxy"] == "halved") & (table["group"] == "")]
    assert set(halved["fit_on"]) == {"training", *preset.experiments["dyck"].measuring.refitted_on}
    assert set(halved["layer"]) == {0, 1}
    assert halved.loc[halved["metric"] == "output_kl", "value"].gt(0).any()
    shutil.rmtree(tmp_path / "results")


def test_a_plugin_changes_no_other_preset_that_is_loaded_with_it(write, tiny):
    before = load(tiny).study("dyck", seeds=1)
    write(PROXY.format(name="halved"), "mine.py")
    assert "halved" in load(write(f'inherits = "{tiny}"\nplugins = ["mine.py"]\n')).experiments["dyck"].measuring.grid["1"]
    after = load(tiny).study("dyck", seeds=1)
    assert after.experiment == before.experiment
    assert after.experiment.measuring_identity(0) == before.experiment.measuring_identity(0)


def test_a_plugin_that_is_named_again_joins_again(write, tiny):
    write(PROXY.format(name="halved"), "mine.py")
    for name in ("one.toml", "two.toml", "one.toml"):
        preset = load(write(f'inherits = "{tiny}"\nplugins = ["mine.py"]\n', name))
        assert preset.experiments["dyck"].measuring.grid["0"]["halved"] == (16,)


def test_plugins_of_the_same_name_in_two_folders_are_two(write, tiny):
    for name in ("one", "two"):
        write(PROXY.format(name=name), f"{name}/mine.py")
        preset = load(write(f'inherits = "{tiny}"\nplugins = ["mine.py"]\n', f"{name}/{name}.toml"))
        assert [p for p in preset.experiments["dyck"].measuring.grid["1"] if p in ("one", "two")] == [name]


def test_plugins_are_inherited(write, tiny):
    write(PROXY.format(name="theirs"), "base/theirs.py")
    write(PROXY.format(name="mine"), "mine.py")
    write(f'inherits = "{tiny}"\nplugins = ["theirs.py"]\n', "base/theirs.toml")
    grid = load(write('inherits = "base/theirs.toml"\nplugins = ["mine.py"]\n')).experiments["dyck"].measuring.grid
    assert {"theirs", "mine"} <= set(grid["1"])


def test_a_complexity_that_a_file_asks_for_stands(write, tiny):
    write(PROXY.format(name="halved"), "mine.py")
    text = f'inherits = "{tiny}"\nplugins = ["mine.py"]\n[dyck.measuring.grid.1]\nhalved = [2, 4]\n'
    assert load(write(text)).experiments["dyck"].measuring.grid["1"]["halved"] == (2, 4)


def test_what_a_plugin_defines_counts_wherever_the_file_lies(write, tiny):
    """Its text is part of what measurements depend on, its place is not."""

    def code(folder: str, text: str) -> dict:
        write(text, f"{folder}/mine.py")
        preset = load(write(f'inherits = "{tiny}"\nplugins = ["mine.py"]\n', f"{folder}/mine.toml"))
        return preset.experiments["dyck"].measuring_identity(0)["code"]

    text = PROXY.format(name="halved")
    here, there = code("here", text), code("there", text + "\n# a comment\n")
    assert here == there
    assert "mine.py" in here
    assert code("elsewhere", text.replace("queries / 2", "queries / 3")) != here


def test_a_task_of_a_plugin_can_be_asked_for(write):
    task = """
from lib.tasks import Look, Task

class Nothing(Task):
    kind, title, reference, chosen_on = "nothing", "nothing", "a", "a"
    amount: int = 3

    def sample(self, seed):
        raise NotImplementedError

    def look(self, split):
        return Look(split, "#000000", "o")

    def size(self, sequences=None):
        return ""
"""
    write(task, "mine.py")
    text = 'plugins = ["mine.py"]\n[n]\ntask = "nothing"\ndata.amount = 4\ntraining.steps = 5\nmeasuring.grid = {}\n'
    experiment = load(write(text)).experiments["n"]
    assert experiment.task.plain() == {"amount": 4}
    assert "mine.py" in experiment.training_code()


def test_a_measure_of_a_plugin_joins_what_is_measured(write, tiny):
    measure = "from lib.measuring.measures import measure\n\n@measure('nothing')\ndef nothing(c):\n    return c.targets * 0.0\n"
    write(measure, "mine.py")
    before = load(tiny).experiments["dyck"].measuring_identity(0)
    experiment = load(write(f'inherits = "{tiny}"\nplugins = ["mine.py"]\n')).experiments["dyck"]
    assert "nothing" in MEASURES
    assert "mine.py" in experiment.measuring_identity(0)["code"]
    assert "mine.py" not in before["code"]


# What is refused


WRONG = [
    ("[dyck.model]\nwidht = 3", r"\[dyck\], model: widht is no key .*: use one of layers, heads, width, "),
    ("[dyck.data]\ndepth = 3", r"\[dyck\], data: depth is no key .*: use one of bracket_types, "),
    ("[dyck.measuring]\nranks = 3", r"\[dyck\], measuring: ranks is no key .*: use one of grid, "),
    ("[dyck]\nepochs = 3", r"\[dyck\]: epochs is no key that there is: use one of inherits, task, "),
    ("[dyck.optimizer]\nlr = 3", r"\[dyck\]: optimizer is no key that there is"),
    ('[dyck.training]\nsteps = "8"', r"\[dyck\], training: steps is '8': .*valid integer"),
    ("[dyck.training]\nsteps = true", r"training: steps is True: .*valid integer"),
    ("[dyck.training]\nsteps = 2.0", r"training: steps is 2.0: .*valid integer"),
    ("[dyck.training]\nsteps = 0", r"training: steps is 0: .*greater than or equal to 1"),
    ("[dyck.training]\nsteps = 10_000_000_000", r"steps is 10000000000: .*less than or equal"),
    ("[dyck.training]\nsteps = [8]", r"training: steps is \(8,\): "),
    ("[dyck.training]\nsteps = 2020-01-01", r"training: steps is datetime.date"),
    ('[dyck.training]\npeak_learning_rate = "1e-3"', r"peak_learning_rate is '1e-3': .*number"),
    ("[dyck.training]\npeak_learning_rate = true", r"peak_learning_rate is True: .*number"),
    ("[dyck.training]\npeak_learning_rate = nan", r"peak_learning_rate is nan: .*finite"),
    ("[dyck.training]\nclip_norm = inf", r"clip_norm is inf: .*finite"),
    ('[dyck.training]\nprecision = "half"', r"precision is 'half': .*'float32', 'bfloat16' or 'auto'"),
    ("[dyck.model]\nbias = 1", r"\[dyck\], model: bias is 1: .*boolean"),
    ("[dyck.model]\nwidth = 33\nheads = 2", r"\[dyck\], model: width is 33, but must be a multiple of"),
    ("[dyck.data]\nmax_length = 5", r"\[dyck\], data: max_length is 5, but must be at least min_le"),
    ("[dyck]\nseeds = 0", r"\[dyck\]: seeds is 0: .*greater than or equal to 1"),
    ("[dyck]\nseeds = '2'", r"\[dyck\]: seeds is '2': .*valid integer"),
    ("[dyck]\ndata = 3", r"\[dyck\]: data is 3, but must be a table"),
    ("[dyck]\ntraining = [1]", r"\[dyck\]: training is \[1\], but must be a table"),
    ("[dyck.measuring]\ngrid = 3", r"\[dyck\], measuring: grid is 3: .*dictionary"),
    ("[dyck.measuring.grid]\n2.svd = [2]", r"\[dyck\]: layer 2 is measured, but the model has only 2"),
    ("[dyck.measuring.grid]\none.svd = [2]", r"\[dyck\], measuring: .*layers are .*not 'one'"),
    ("[dyck.measuring.grid]\n1.pca = [2]", r"\[dyck\], measuring: .*no proxy is called pca; there are "),
    ("[dyck.measuring.grid]\n1.svd = [33]", r"\[dyck\]: rank of svd is 33, .*between 1 and 32"),
    ("[dyck.measuring.grid]\n1.svd = ['8']", r"\[dyck\], measuring: grid.1.svd.0 is '8': .*integer"),
    ("[dyck.measuring.grid]\n1.svd = 8", r"\[dyck\], measuring: grid.1.svd is 8: "),
    ("[dyck.measuring.grid]\n1.svd = []", r"\[dyck\]: rank of svd is None"),
    ("[dyck.measuring.grid]\n1.one_hot = [2]", r"\[dyck\]: one_hot has nothing to choose"),
    ("[dyck.measuring]\nrefitted_on = []", r"\[dyck\]: .*refitted_on is empty"),
    ("[more]\nseeds = 1", r"\[more\]: task is None, but must be one of: .*dyck"),
    ("[more]\ntask = 'dyk'", r"\[more\]: task is 'dyk', but must be one of: .*dyck"),
    ("[more]\ntask = ['dyck']", r"\[more\]: task is \['dyck'\], but must be one of"),
    ("[more]\ntask = 'dyck'", r"\[more\], training: steps is missing"),
    ("[more]\ntask = 'dyck'\ntraining.steps = 3", r"\[more\], measuring: grid is missing"),
    ("[more]\ninherits = 'dyk'", r"\[more\]: inherits is 'dyk', but must be one of: dyck, "),
    ("[more]\ninherits = ['dyck']", r"\[more\]: inherits is \['dyck'\], but must be one of"),
    ("[more]\ninherits = 'more'", r"\[more\] inherits from itself: more from more"),
    ("[a]\ninherits = 'b'\n[b]\ninherits = 'a'", r"\[a\] inherits from itself: a from b from a"),
    ('["../a"]\ninherits = "dyck"', r"\[../a\]: an experiment's name is that of a folder"),
    ('["dyck@x"]\ninherits = "dyck"', r"\[dyck@x\]: an experiment's name is that of a folder"),
]


@pytest.mark.parametrize(("text", "says"), WRONG, ids=[text.replace("\n", " ") for text, _ in WRONG])
def test_what_is_wrong_in_a_file_is_said_with_file_section_key_value_and_what_is_allowed(write, text, says):
    path = write(f'inherits = "quick"\n{text}\n')
    with pytest.raises(InputError, match=says) as refused:
        load(path)
    assert str(refused.value).startswith(f"{path}, [")


WRONG_AS_A_WHOLE = [
    ("seeds = 3", "seeds is no table of an experiment, and no key that there is: inherits, plugins"),
    ("inherits = 3", "inherits is 3, but must be the name or the path of a preset"),
    ('plugins = "mine.py"', "plugins is 'mine.py', but must be a list of Python files"),
    ("plugins = [3]", r"plugins is \[3\], but must be a list"),
    ("[dyck", "is not TOML: "),
    ("a = 1\na = 2", "is not TOML: "),
    ('inherits = "mine.toml"', "inherits from itself"),
    ('inherits = "./x/../mine.toml"', "inherits from itself"),
]


@pytest.mark.parametrize(("text", "says"), WRONG_AS_A_WHOLE, ids=[text.replace("\n", " ") for text, _ in WRONG_AS_A_WHOLE])
def test_what_is_wrong_with_a_file_as_a_whole_is_said_with_its_path(write, tmp_path, text, says):
    (tmp_path / "x").mkdir()
    path = write(text)
    with pytest.raises(InputError, match=says) as refused:
        load(path)
    assert str(refused.value).startswith(path)


def test_files_that_build_on_each_other_are_refused(write):
    write('inherits = "b.toml"\n', "a.toml")
    write('inherits = "sub/c.toml"\n', "b.toml")
    write('inherits = "../a.toml"\n', "sub/c.toml")
    for name in ("a.toml", "b.toml", "sub/c.toml"):
        with pytest.raises(InputError, match=r"inherits from itself: .*\.toml from .*\.toml from .*\.toml from "):
            load(str(Path(write("", "x")).parent / name))


def test_a_file_that_cannot_be_read_is_refused_by_its_path(write, tmp_path):
    with pytest.raises(InputError, match=r"preset '.*none.toml' cannot be read: No such file"):
        load(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"preset '.*none.toml' cannot be read: No such file"):
        load(write('inherits = "none.toml"\n'))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match=r"preset '.*folder.toml' is no regular file: give a TOML file"):
        load(str(tmp_path / "folder.toml"))
    (tmp_path / "latin.toml").write_bytes(b'inherits = "\xe9"')
    with pytest.raises(InputError, match=r"latin.toml is not TOML: .*utf-8"):
        load(str(tmp_path / "latin.toml"))
    with pytest.raises(InputError, match=r"'~nobody_at_all/mine.toml' cannot be read|mine.toml' cannot be read"):
        load("~nobody_at_all/mine.toml")


def test_a_file_that_would_share_its_folder_with_a_preset_of_the_project_is_refused(write):
    path = write('inherits = "quick"\n', "quick.toml")
    with pytest.raises(InputError, match=r"quick.toml' is called 'quick', which is taken: give the file another name"):
        load(path)
    assert load(str(Path(presets.__file__).parent / "quick.toml")).experiments == load("quick").experiments


@pytest.mark.parametrize(
    ("plugin", "says"),
    [
        pytest.param(None, "does not exist", id="missing"),
        pytest.param("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero", id="fails"),
        pytest.param("def", "cannot be loaded: SyntaxError: invalid syntax", id="no Python"),
        pytest.param("import nothing_of_this_name", "cannot be loaded: ModuleNotFoundError: No module named", id="needs more"),
        pytest.param("raise SystemExit(1)", "cannot be loaded: SystemExit: 1", id="wants to leave"),
        pytest.param(
            "from lib.proxies import Proxy\nclass P(Proxy): pass", "cannot be loaded: TypeError: .*name", id="no name"
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_by_its_path(write, tmp_path, plugin, says):
    if plugin is not None:
        write(plugin, "plugin.py")
    for _ in range(2):  # nothing of the first time is left that the second would take for loaded
        with pytest.raises(InputError, match=says) as refused:
            load(write('inherits = "quick"\nplugins = ["plugin.py"]\n'))
        assert str(refused.value).startswith(f"plugin '{tmp_path / 'plugin.py'}' ")


def test_an_example_that_the_model_does_not_allow_is_refused(write):
    proxy = PROXY.format(name="halved").replace('parameter="parts"', 'parameter="rank"')
    write(proxy + "\n    @classmethod\n    def example(cls, head_width):\n        return 2 * head_width\n", "mine.py")
    path = write('inherits = "quick"\nplugins = ["mine.py"]\n')
    with pytest.raises(InputError, match=r"mine.toml, \[dyck\]: rank of halved is 64, but must be .* between 1 and 32"):
        load(path)
