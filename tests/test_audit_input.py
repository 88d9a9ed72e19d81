"""What an audit is given: what cannot be audited is refused in a sentence, before anything is measured, and nothing is left."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import psutil
import pytest
import torch
from language_models import character_tokenizer, random_model, saved, sentences
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, dynamic_module_utils

from lib.audit import Audit, audit, measuring
from lib.cli import main
from lib.errors import InputError
from lib.models import pretrained
from lib.models.export import to_gpt2
from lib.models.transformer import ModelConfig, Transformer
from lib.proxies import Simplification
from lib.split import Dataset
from lib.tasks.text.reading import read
from lib.tasks.text.windows import Windows
from lib.tasks.text.windows import texts as windows_of

SMALL = {"sequences": 20, "length": 32, "positions": 8}
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> dict[str, Path]:
    folder, found = tmp_path_factory.mktemp("texts"), {}
    words = {"plain": "the cat sat on a mat and saw one dog", "other": "zwei hunde jagen drei katzen um den baum herum"}
    for seed, (name, of) in enumerate(words.items()):
        found[name] = folder / f"{name}.txt"
        found[name].write_text(sentences(seed, 150, of))
    return found


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A folder with a model that can be audited. Read only: `copy` is one to change."""
    return saved(tmp_path_factory.mktemp("models") / "good", random_model("gpt2"), character_tokenizer())


@pytest.fixture
def copy(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


def command(model: object, texts: dict[str, Path], *more: object, **others: object) -> list[str]:
    """The arguments of a small audit; `others` are texts in place of these."""
    first, *rest = ({name: f"{name}={path}" for name, path in texts.items()} | others).values()
    settings = [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    given = ["audit", model, "--in-distribution", first, "--out-of-distribution", *rest, *settings, *more]
    return list(map(str, given))


@pytest.fixture
def refused(good, texts, tmp_path, capfd, monkeypatch) -> Refused:
    """A function that runs an audit which has to be refused; returns what it says of why, and checks how."""

    def measured(*arguments: object) -> None:
        pytest.fail("something was measured")

    def run(*more: object, model: object = good, **others: object) -> str:
        arguments, before = command(model, texts, *more, **others), sorted(tmp_path.rglob("*"))
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(measuring, "compare", measured)
            assert main(arguments) == 2
        printed, said = capfd.readouterr()
        assert printed == ""
        lines = [line for line in re.split(r"[\r\n]+", said) if line and "%|" not in line]  # but progress
        assert lines[-1].lower().startswith("error: ")
        assert len(lines) == 1 or lines[0].startswith("Usage: "), said
        assert "Traceback" not in said
        assert sorted(path for path in tmp_path.rglob("*") if path != tmp_path / "artifacts") == before
        return lines[-1].partition(": ")[2]

    return run


def changed(file: Path, **values: object) -> None:
    """Change values of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


# Models


def test_what_is_no_model_is_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.bin").touch()
    (tmp_path / "circle").symlink_to("circle")
    for model, says in (
        (tmp_path / "empty", "holds no config.json, so it is no folder of a model: give one that is"),
        (tmp_path / "nothing", "does not exist: give a folder, a GGUF file, or an id on the hub (owner/name)"),
        (tmp_path / "circle", "does not exist: give a folder"),
        ("nothing", "does not exist: give a folder"),
        ("", "does not exist: give a folder"),
        (tmp_path / "weights.bin", "is a file, but not of GGUF: give the folder that holds config.json"),
        ("x" * 300, "cannot be looked for: File name too long; give another path"),
    ):
        assert refused(model=model).startswith(f"model {str(model)!r} {says}")


_SIZES = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("family", "kind", "says"),
    [
        ("bert", AutoModelForMaskedLM, "is a BertForMaskedLM, which does not predict the next token: give a causal model"),
        ("gpt2", AutoModel, "is a GPT2Model, which does not predict the next token"),
        ("t5", AutoModelForSeq2SeqLM, "has an encoder (t5): give a model that is a decoder alone"),
    ],
)
def test_a_model_that_does_not_predict_the_next_token_is_refused(family, kind, says, refused, tmp_path):
    config = AutoConfig.for_model(family, **_SIZES, pad_token_id=0)
    folder = saved(tmp_path / "model", kind.from_config(config), character_tokenizer())
    assert refused(model=folder).startswith(f"model {str(folder)!r} {says}")


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("mamba", "MambaForCausalLM has no attention, or computes it in code of its own that nothing can replace"),
        ("zamba2", "Zamba2ForCausalLM is refused: when layers are run one by one, logits are off by"),
    ],
)
def test_a_model_whose_attention_cannot_be_replaced_is_refused(family, says, refused, tmp_path):
    assert refused(model=saved(tmp_path / "model", random_model(family), character_tokenizer())).startswith(says)


def test_an_architecture_that_nobody_knows_is_refused_by_its_name(refused, copy):
    changed(copy / "config.json", model_type="quux", architectures=["QuuxForCausalLM"])
    assert "model type `quux` but Transformers does not recognize this architecture" in refused(model=copy)


AGAIN = "copy or download it again"


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", "{", f"config.json in it is damaged; {AGAIN}"),
        ("config.json", "[]", f"config.json in it is damaged; {AGAIN}"),
        ("tokenizer.json", '{"a', f"tokenizer.json in it is damaged; {AGAIN}"),
        ("tokenizer.json", "{}", f"if it is damaged, {AGAIN}"),
        ("tokenizer_config.json", "{", f"tokenizer_config.json in it is damaged; {AGAIN}"),
        ("tokenizer.json", None, f"it comes without one; {AGAIN} with tokenizer.json and tokenizer_config.json"),
    ],
)
def test_a_damaged_file_of_a_model_or_a_missing_tokenizer_is_named(file, content, says, refused, copy):
    if content is None:
        (copy / "tokenizer_config.json").unlink()
        (copy / file).unlink()
    else:
        (copy / file).write_text(content)
    said = refused(model=copy)
    assert said.startswith(f"tokenizer of model {str(copy)!r} cannot be read: ")
    assert said.endswith(says)


def test_a_model_of_another_kind_without_tokenizer_is_refused_alike(refused, tmp_path):
    """For GPT-2 transformers makes one up; for Llama it says a page of what it would need."""
    folder = saved(tmp_path / "llama", random_model("llama"))
    assert refused(model=folder).endswith(f"it comes without one; {AGAIN} with tokenizer.json and tokenizer_config.json")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-100], lambda b: b + b"\0", lambda b: b[:50], lambda b: b"", lambda b: b"\xff" * 5000, lambda b: LFS],
    ids=["cut off", "too long", "cut in its header", "empty", "random", "of Git LFS"],
)
def test_damaged_weights_are_named(damage, refused, copy):
    file = copy / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    assert refused(model=copy) == f"weights {str(file)!r} are no safetensors, or cut off: {AGAIN}"


def test_weights_that_are_missing_are_not_made_up(refused, copy):
    """transformers would go on with random numbers in their place."""
    changed(copy / "config.json", n_layer=4)
    said = refused(model=copy)
    assert f"lacks 12 of the weights that its configuration asks for, such as transformer.h.3.attn.c_attn.bias: {AGAIN}" in said


def test_weights_of_other_shapes_are_refused_without_a_table_of_them(refused, copy):
    changed(copy / "config.json", n_embd=64)
    said, handler = [], logging.Handler()
    handler.emit = said.append
    logging.getLogger("transformers").addHandler(handler)
    try:
        assert refused(model=copy).endswith(
            f"its weights do not have the shapes that its config.json says; {AGAIN}, both from one place"
        )
    finally:
        logging.getLogger("transformers").removeHandler(handler)
    assert said == []


def test_weights_that_nothing_asks_for_are_told_of(copy, capfd):
    changed(copy / "config.json", n_layer=2)
    pretrained.read(pretrained.locate(str(copy)))
    assert "holds 11 weights that its configuration does not ask for, such as transformer.h.2.attn" in capfd.readouterr().err


def test_weights_as_pickle_are_not_opened(refused, copy, tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was opened",)

    (copy / "model.safetensors").unlink()
    torch.save(Harmful(), copy / "pytorch_model.bin")
    said = refused(model=copy)
    assert f"model {str(copy)!r} holds no weights as safetensors; others are not read, as opening them may run code" in said
    assert "save_pretrained(another), and audit that" in said
    (copy / "other.safetensors").touch()
    assert refused(model=copy) == said
    assert not (tmp_path / "was opened").exists()
    torch.load(copy / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "was opened").exists(), "else this tests nothing"


def test_weights_as_pickle_are_not_read_beside_others_either(refused, copy):
    """Where it is not known how a file of safetensors belongs to a model, transformers would turn to the other."""
    torch.save(random_model("gpt2").state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    assert "no file named model.safetensors" in refused(model=copy)


def test_code_that_comes_with_a_model_is_run_only_if_that_is_asked_for(refused, copy, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    ran = tmp_path / "ran"
    (copy / "mine.py").write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()\nraise ValueError('mine')\n")
    every = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"}
    changed(copy / "config.json", model_type="mine", architectures=["MyForCausalLM"], auto_map=every)
    said = refused(model=copy)
    assert said.endswith("it comes with code of its own, which is run only if you say --trust-remote-code")
    assert not ran.exists()
    (tmp_path / "modules").mkdir()
    with pytest.raises(InputError, match="cannot be read: mine"):
        pretrained.read(pretrained.locate(str(copy), trust_remote_code=True))
    assert ran.exists(), "else this tests nothing"


def test_without_a_network_an_id_on_the_hub_is_refused_at_once(refused, monkeypatch):
    asked = []

    def unknown(host: str, *arguments: object, **named: object) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    pretrained._hub_is_unreachable.cache_clear()
    try:
        said = refused(model="nobody/has-such-a-model")
    finally:
        pretrained._hub_is_unreachable.cache_clear()
    assert said.startswith("tokenizer of model 'nobody/has-such-a-model' cannot be read: ")
    assert said.endswith("; without a network, give a folder with the model")
    assert 1 <= len(asked) < 5, "and not again and again, with a pause of seconds before each"


# GGUF


@pytest.fixture(scope="module")
def of_gguf(tmp_path_factory) -> Path:
    """A tiny Llama as one file, with a tokenizer in it."""
    model = random_model("llama")
    config, file = model.config, tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", "\N{LOWER ONE EIGHTH BLOCK}", *map(chr, range(33, 126))])
    writer.add_token_scores([0.0] * config.vocab_size)
    writer.add_token_types([2, 3, 3] + [1] * (config.vocab_size - 3))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        part = re.search("([qk])_proj", name)
        if part:  # halves of rotary position, which GGUF has in turns
            heads = config.num_attention_heads if part[1] == "q" else config.num_key_value_heads
            tensor = tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_a_model_in_one_file_is_the_model_that_was_written(of_gguf, texts, capsys):
    source = pretrained.locate(str(of_gguf))
    tokens = torch.randint(97, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = (of(input_ids=tokens).logits for of in (pretrained.read(source), random_model("llama")))
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)
    assert pretrained.read_tokenizer(source)("hi").input_ids[0] == 1
    assert pretrained.locate(str(of_gguf.parent), "tiny.gguf") == source
    assert main(command(of_gguf, texts, "--proxies", "svd:8", "--no-oracles")) == 0
    assert "SVD of rank 8 in all layers, the picture that was tried, predicts what tiny predicts in 100.0 %" in (
        capsys.readouterr().out
    )


def test_of_files_of_gguf_the_one_that_is_read_has_to_be_one(of_gguf, refused, good, tmp_path):
    whole = of_gguf.read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("fake", b"GGUF" + bytes(99))):
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(content)
        said = refused(model=file)
        assert said.startswith(f"tokenizer of model {str(file)!r} cannot be read: ")
        assert said.endswith(f"; if it is damaged, {AGAIN}")
    assert refused(model=tmp_path).endswith(f"holds files of GGUF: choose one of them, as in {str(tmp_path / 'cut.gguf')!r}")
    assert refused("--gguf", "no.gguf") == f"gguf is 'no.gguf', which {str(good)!r} does not hold"


# Texts


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: give one with something in it"),
        (b"\n \n", "is empty"),
        (b"abc\0\0", "is binary: give one that people can read"),
        ("é".encode("latin-1") * 99, "is no text in UTF-8 (byte 0): convert it first"),
    ],
)
def test_what_is_no_text_is_refused(content, says, refused, tmp_path):
    file = tmp_path / "given.txt"
    file.write_bytes(content)
    assert refused(other=file).startswith(f"text {str(file)!r} {says}")


def test_what_is_no_file_is_refused(refused, tmp_path):
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate(100_000_001)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "empty").mkdir()
    for path, says in (
        (tmp_path / "nothing", "does not exist: give a file or a folder of text"),
        (tmp_path / "pipe", "is neither a file nor a folder"),
        (tmp_path / "circle", "cannot be looked for: Symlink loop"),
        (large, "has 100,000,001 bytes, at most 100,000,000 are read: give a part of it"),
        ("x" * 300, "cannot be looked for: File name too long; give another path"),
        ("a\0b", "cannot be looked for: embedded null byte"),
        (f"mine={tmp_path / 'nothing'}", "does not exist: give a file or a folder of text"),
        ("mine=", "does not exist"),
    ):
        assert refused(other=path).startswith(f"text {str(path).removeprefix('mine=')!r} {says}")
    assert refused(other=tmp_path / "empty").endswith("holds no file with text in UTF-8: give a folder that does, or a file")
    assert refused(other="/proc/self/mem") == "text '/proc/self/mem' cannot be read: Input/output error"


def test_a_text_that_is_too_short_is_refused_with_what_is_needed(refused, tmp_path):
    (tmp_path / "short.txt").write_text("a few words")
    said = refused(other=tmp_path / "short.txt")
    assert said.startswith("text 'short' is too short: 12 tokens make 0 windows of 32, and 40 are needed")
    assert said.endswith("give more text, or shorter windows (length)")


def test_a_text_in_one_line_is_audited(good, texts, tmp_path, capsys):
    line = tmp_path / "line.txt"
    line.write_text(" ".join(texts["other"].read_text().split()))
    assert main(command(good, texts, "--proxies", "svd:8", "--no-oracles", other=line)) == 0
    assert "+0.0 [+0.0, +0.0]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("={}", "text '={}' would be called '': give it a name of letters and digits, as in mine={}"),
        ("a b={}", "text 'a b={}' would be called 'a b': give it a name of letters and digits, as in mine={}"),
        (".x={}", "text '.x={}' would be called '.x': give it a name of letters and digits, as in mine={}"),
        ("../x={}", "text '../x={}' does not exist"),
        ("/", "text '/' would be called ''"),
        ("training={}", "a text cannot be called 'training': choose another name"),
        ("plain={}", "two texts are called 'plain': give one of them a name of its own, as in other={}"),
        ("PLAIN={}", "two texts are called 'PLAIN', but for capital letters: choose another name"),
        ("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn={}",
         "a text cannot be called 'nnn"),
    ],
)  # fmt: skip
def test_names_that_texts_cannot_have_are_refused(given, says, refused, texts):
    path = texts["other"]
    assert refused(other=given.format(path)).startswith(says.format(path, path))


def test_odd_names_that_texts_can_have_are_theirs(good, texts, tmp_path):
    equals = tmp_path / "a=b.txt"
    equals.write_bytes(texts["plain"].read_bytes())
    kept = tmp_path / "kept"
    others = {"third": f"größe-2.0_={texts['other']}"}
    assert main(command(good, {"other": texts["other"]}, "--proxies", "svd:8", "--folder", kept, fourth=equals, **others)) == 2
    equals.rename(tmp_path / "x=y.txt")
    given = {"plain": f"x={tmp_path / 'x=y.txt'}", **others}
    assert main(command(good, texts, "--proxies", "svd:8", "--no-oracles", "--folder", kept, **given)) == 0
    assert [block.split for block in Audit.read(kept).blocks] == ["x", "other", "größe-2.0_"]


@pytest.fixture
def somebody() -> Iterator[Path]:
    """A folder of everybody's, for a while of which we are nobody in particular: whoever is root may do everything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    for name in ("closed", "fixed"):
        (folder / name).mkdir()
    (folder / "closed" / "text.txt").write_text("text")
    (folder / "secret.txt").write_text("text")
    (folder / "secret.txt").chmod(0)
    (folder / "closed").chmod(0)
    (folder / "fixed").chmod(0o555)
    if root:
        os.setresuid(65534, 65534, 0)
    yield folder
    if root:
        os.setresuid(0, 0, 0)
    for name in ("closed", "fixed"):
        (folder / name).chmod(0o755)
    shutil.rmtree(folder)


def test_what_may_not_be_read_or_written_is_refused(good, texts, somebody, capsys):
    """Before a model or a text is looked at; these may be closed to us, too."""
    readable = dict.fromkeys(("plain", "other"), somebody)
    closed, fixed = somebody / "closed" / "text.txt", somebody / "fixed"
    for arguments, says in (
        (command(good, readable, other=closed), f"text {str(closed)!r} cannot be looked for: Permission denied; give another"),
        (command(closed, readable), f"model {str(closed)!r} cannot be looked for: Permission denied; give another path"),
        (command(good, readable, "--folder", fixed), f"folder is {str(fixed)!r}, but nothing may be written to {str(fixed)!r}"),
        (command(good, readable, "--folder", fixed / "new" / "one"), f"folder is {str(fixed / 'new' / 'one')!r}, but nothing"),
        (
            command(good, readable, "--report", fixed / "new"),
            f"--report is {str(fixed / 'new')!r}, but nothing may be written to",
        ),
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.startswith(f"error: {says}")
    assert list(fixed.iterdir()) == []
    with pytest.raises(InputError, match=r"secret.txt' cannot be read: Permission denied"):
        read(somebody / "secret.txt", 1)


# Options


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("threads", 999, "threads is 999, but this process may use"),
        ("threads", 0, "Invalid value for '--threads': 0 is not in the range"),
        ("dtype", "float8", "dtype is 'float8', but must be one of: float32, bfloat16"),
        ("device", "quux", "device is 'quux', which cannot be used here"),
        ("length", 65, "length is 65, but the model was made for 64 tokens: ask for no more"),
        ("length", 15, "audit: length is 15: Input should be greater than or equal to 16"),
        ("length", "nan", "Invalid value for '--length': 'nan' is not a valid integer"),
        ("length", 10**20, f"audit: length is {10**20}: Input should be less than or equal to"),
        ("sequences", -1, "audit: sequences is -1: Input should be greater than or equal to 20"),
        ("positions", 0, "audit: positions is 0: Input should be greater than or equal to 1"),
        ("seed", -1, "Invalid value for '--seed': -1 is not in the range"),
        ("seed", "nan", "Invalid value for '--seed': 'nan' is not a valid integer"),
        ("each", "word", "Invalid value for '--each': 'word' is not one of 'none', 'layer', 'head'"),
        ("fail-above", "nan", "--fail-above is nan, but must be a number of points, from 0 to 100"),
        ("fail-above", -1, "Invalid value for '--fail-above': -1.0 is not in the range"),
        ("fail-above", "inf", "Invalid value for '--fail-above': inf is not in the range"),
        ("quux", 1, "No such option '--quux'"),
    ],
)
def test_an_option_out_of_range_is_refused(option, value, says, refused):
    assert refused(f"--{option}", value).startswith(says)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("svd:9", "rank of svd is 9, but must be a whole number, between 1 and 8"),
        ("svd:0", "rank of svd is 0, but must be a whole number, between 1 and 8"),
        ("svd:-1", "proxy 'svd:-1': '-1' is no rank; write it as in svd:8,16,32"),
        ("svd:nan", "proxy 'svd:nan': 'nan' is no rank; write it as in svd:8,16,32"),
        ("svd", "proxy 'svd' does not say which rank: write it as in svd:2"),
        ("one_hot:3", "one_hot has nothing to choose, but complexity is 3; leave it empty"),
        ("quux:3", "proxy is 'quux', but must be one of: kmeans, svd, "),
        ("kmeans:9999", "clusters of kmeans is 9999, but a text has only 1,240 positions to fit on: ask for no more, or give"),
        ("weight_svd:2", "weight_svd needs queries and keys that are linear in what the layer reads, and this model's are not"),
    ],
)
def test_a_proxy_that_no_head_allows_is_refused(proxy, says, refused):
    assert refused("--proxies", "one_hot", proxy).startswith(says)


@pytest.mark.parametrize(
    ("beyond", "says"),
    [
        (
            -1,
            "model {!r} needs 0.0 GB for its weights, and 0.0 GB of memory are free: close what else runs, use --dtype",
        ),
        (+1, "this audit needs 0.0 GB of memory beside the model, and 0.0 are free: ask for shorter windows"),
    ],
)
def test_too_little_memory_is_said_before(beyond, says, refused, good, tmp_path, monkeypatch):
    """For the weights before they are read; for what is measured before it is. A folder is left as it was."""
    size = pretrained.weights_size(good, None, torch.float32)
    assert size == 4 * random_model("gpt2").num_parameters()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=size + beyond))
    said = refused("--folder", tmp_path / "kept")
    assert said.removeprefix("good: ").startswith(says.format(str(good)))


def test_a_folder_that_is_in_the_way_is_left_alone(refused, tmp_path):
    file, mine = tmp_path / "a file", tmp_path / "mine"
    file.write_text("mine")
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    kept = tmp_path / "new" / "kept"
    for option, path, says in (
        ("folder", file, f"folder is {str(file)!r}, but {str(file)!r} is a file: name a folder"),
        ("folder", file / "below", f"folder is {str(file / 'below')!r}, but {str(file)!r} is a file: name a folder"),
        ("folder", mine, f"folder is {str(mine)!r}, which is there and holds no audit: name a new one"),
        ("report", file, f"--report is {str(file)!r}, but {str(file)!r} is a file: name a folder"),
        ("report", file / "below", f"--report is {str(file / 'below')!r}, but {str(file)!r} is a file: name a folder"),
        ("report", mine, f"--report is {str(mine)!r}, which is there and holds no report: name a new folder"),
        ("report", kept, f"--report is {str(kept)!r}, where the audit itself is kept ({kept}): name another folder"),
        (
            "report",
            kept.parent,
            f"--report is {str(kept.parent)!r}, where the audit itself is kept ({kept}): name another folder",
        ),
    ):
        also = ("--folder", kept) if option == "report" else ()
        assert refused(f"--{option}", path, *also) == says
    assert refused("--folder", "/proc/kept").startswith("/proc/kept/begun.json cannot be written: No such file or directory")


def test_an_audit_that_is_interrupted_says_so_and_goes_on(good, texts, tmp_path, capfd):
    """By a signal, as soon as something was measured."""
    kept = tmp_path / "kept"
    arguments = command(good, texts, "--proxies", "svd:1,2", "--each", "head", "--folder", kept)

    def interrupt() -> None:
        while not list(kept.glob("*.parquet")):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    waiting = threading.Thread(target=interrupt, daemon=True)
    waiting.start()
    try:
        assert main(arguments) == 130
    finally:
        waiting.join()
        signal.signal(signal.SIGINT, before)
    said = capfd.readouterr().err
    assert said.endswith("interrupted; the same command resumes from the last checkpoint\n")
    assert "Traceback" not in said
    names = {path.name for path in kept.iterdir()}
    assert "begun.json" in names
    assert not any(name.endswith(".part") for name in names)
    assert "audit.json" not in names
    assert main(arguments) == 0
    assert {path.name for path in kept.iterdir()} == {"audit.csv", "audit.json", "begun.json", "parts.parquet", "whole.parquet"}


# From Python


class Wrapping:
    """As nnsight 0.8 holds the model that it wraps."""

    def __init__(self, module: torch.nn.Module):
        self._module = module


def quiet(model: object, tokenizer: object, splits: object, proxies: str = "svd:2", **more: object) -> Audit:
    return audit(model, tokenizer, splits, proxies, **{"oracles": False, "say": lambda line: None} | SMALL | more)


AGREES = Simplification("svd", 2), "other", "agreement"


def test_a_loaded_model_one_that_is_wrapped_and_one_of_ours_are_audited(texts):
    """Ours as well without being written as a GPT-2 first, with the same numbers; and then its weights can be simplified."""
    ours, tokenizer = Transformer.seeded(ModelConfig(layers=2, heads=2, width=16), 97, 64, seed=0).eval(), character_tokenizer()
    for parameter in ours.parameters():
        parameter.data.normal_(std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    loaded = to_gpt2(ours)
    found = [quiet(model, tokenizer, texts).estimate(*AGREES).value for model in (loaded, Wrapping(loaded))]
    own = quiet(ours, tokenizer, texts, "svd:2 weight_svd:2")
    assert 0.1 < found[0] < 0.9
    assert [*found, own.estimate(*AGREES).value] == pytest.approx([found[0]] * 3, abs=1e-6)
    assert own.estimate(Simplification("weight_svd", 2), "other", "agreement").measured
    assert own.name == "Transformer"


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return random_model("gpt2")


@pytest.mark.parametrize("other", [torch.nn.Linear(2, 2), "gpt2", None], ids=repr)
def test_what_is_no_model_is_refused_by_its_type(other, texts):
    with pytest.raises(InputError, match=f"model is a {type(other).__name__}, but must be a causal language model of transf"):
        quiet(other, character_tokenizer(), texts)


def test_texts_need_the_tokenizer_of_the_model(model, texts):
    with pytest.raises(InputError, match="tokenizer is None, but texts need the model's: give it, or a Dataset"):
        quiet(model, None, texts)
    small = random_model("gpt2")
    small.resize_token_embeddings(60)
    with pytest.raises(InputError, match=r"there is a token \d\d, but the model knows 60: use this model's own tokenizer"):
        quiet(small, character_tokenizer(), texts)


def test_names_and_settings_from_python_are_checked_alike(model, texts, tmp_path):
    tokenizer, (plain, other) = character_tokenizer(), texts.values()
    for splits, says in (
        ({}, "there are not two texts"),
        ({"plain": plain}, r"there are not two texts \(plain\)"),
        ({"plain": plain, "training": other}, "a text cannot be called 'training'"),
        ({"plain": plain, "a/b": other}, "a text cannot be called 'a/b'"),
        ({"plain": plain, "Plain": other}, "two texts are called 'Plain', but for capital letters"),
        ({"plain": plain, "x": "x" * 300}, "cannot be looked for: File name too long"),
        ({"plain": plain, "x": tmp_path / "nothing"}, "does not exist: give a file or a folder of text"),
    ):
        with pytest.raises(InputError, match=says):
            quiet(model, tokenizer, splits)
    for more, says in (
        ({"sequences": float("nan")}, "audit: sequences is nan"),
        ({"sequences": "20"}, "audit: sequences is '20'"),
        ({"seed": -1}, "audit: seed is -1"),
        ({"quux": 1}, "audit: quux is no key that there is: use one of "),
        ({"folder": plain}, "is a file: name a folder"),
        ({"proxies": "svd:9"}, "rank of svd is 9"),
    ):
        with pytest.raises(InputError, match=says):
            quiet(model, tokenizer, texts, **more)


def test_a_dataset_has_to_fit_the_model(model, texts):
    small = random_model("gpt2")
    small.resize_token_embeddings(60)
    with pytest.raises(InputError, match=r"there is a token \d\d, but the model knows 60: use this model's own tokenizer"):
        quiet(small, None, windows_of(texts, character_tokenizer(), 97, Windows(**SMALL)))
    data = windows_of(texts, character_tokenizer(), 97, Windows(**{**SMALL, "length": 80}))
    with pytest.raises(InputError, match="sequences have 80 tokens, but the model was made for 64: cut them shorter"):
        quiet(model, None, data)
    only = Dataset(data.vocabulary, data.context, data.training, {"plain": data.splits["plain"]})
    with pytest.raises(InputError, match=r"there are not two texts \(plain\)"):
        quiet(model, None, only)


def test_an_audit_that_was_refused_leaves_a_folder_to_another(model, texts, tmp_path):
    """Too many clusters of vectors that repeat are found out only when they are fitted."""
    kept = tmp_path / "kept"
    with pytest.raises(InputError, match="distinct vectors to cluster"):
        quiet(model, character_tokenizer(), texts, "kmeans:1200", folder=kept)
    assert not kept.exists()
    assert np.isfinite(quiet(model, character_tokenizer(), texts, folder=kept).estimate(*AGREES).value)
