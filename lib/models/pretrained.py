"""Language models that others have trained, from a folder, a GGUF file or the Hugging Face hub, with their tokenizers.

Weights are read as safetensors or GGUF, never as pickle, and code that comes with a model is not run unless that is asked for.
"""

from __future__ import annotations

import fnmatch
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch

from lib.errors import InputError, looking_for
from lib.models.machine import resolve_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EXTRA = "pip install '.[audit]'"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_GGUF = ".gguf"
_SAFETENSORS = "model*.safetensors"  # what transformers reads; some folders hold the same weights a second time
_AGAIN = "copy or download it again"
_REASONS = {  # by what transformers says, what is the matter
    "trust_remote_code": "it comes with code of its own, which is run only if you say --trust-remote-code",
    "ignore_mismatched_sizes": f"its weights do not have the shapes that its config.json says; {_AGAIN}, both from one place",
    "backend tokenizer": f"it comes without one; {_AGAIN} with tokenizer.json and tokenizer_config.json",
}


class Source(NamedTuple):
    """Where a model is."""

    model: str  # a folder, or an id on the hub
    gguf: str | None = None  # the file in it, if it is one of GGUF
    trust_remote_code: bool = False

    @property
    def path(self) -> str:
        """Where its weights are: a folder, a file in it, or an id on the hub."""
        return str(Path(self.model, self.gguf)) if self.gguf else self.model

    @property
    def options(self) -> dict:
        """What transformers is told of it."""
        there = {"local_files_only": True} if not Path(self.model).exists() and _hub_is_unreachable() else {}
        return {"trust_remote_code": self.trust_remote_code} | there | ({"gguf_file": self.gguf} if self.gguf else {})


def require() -> None:
    """Raise `InputError` where what language models need is not installed."""
    if missing := [name for name in ("transformers", "accelerate", "gguf", "bs4") if find_spec(name) is None]:
        raise InputError(f"language models need {missing[0]}, which is not installed; in the project's folder: {EXTRA}")


@cache
def _hub_is_unreachable() -> bool:
    """Whether its name leads nowhere: then only what was downloaded before is there, and asking for more takes a minute."""
    if getproxies().keys() - {"no"}:  # which know its name
        return False
    try:
        socket.getaddrinfo(urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname, 443)
    except OSError:
        return True
    return False


def locate(model: str, gguf: str | None = None, trust_remote_code: bool = False) -> Source:
    """Where a model is: a folder, a GGUF file, or an id on the hub. `InputError` where nothing can be there."""
    with looking_for("model", model):
        return _located(model, gguf, trust_remote_code)


def _located(model: str, gguf: str | None, trust_remote_code: bool) -> Source:
    path = Path(model).expanduser()
    if path.is_file():
        if path.suffix != _GGUF:
            raise InputError(f"model {model!r} is a file, but not of GGUF: give the folder that holds config.json")
        return Source(str(path.parent), path.name, trust_remote_code)
    if not path.is_dir() or not model:
        if path.is_absolute() or model.count("/") != 1 or model.startswith((".", "~")):
            raise InputError(f"model {model!r} does not exist: give a folder, a GGUF file, or an id on the hub (owner/name)")
        return Source(model, gguf, trust_remote_code)
    inside = {file.name for file in path.iterdir()}
    if gguf and gguf not in inside:
        raise InputError(f"gguf is {gguf!r}, which {model!r} does not hold")
    if not gguf:
        if files := sorted(name for name in inside if name.endswith(_GGUF)):
            if "config.json" not in inside:
                raise InputError(f"model {model!r} holds files of GGUF: choose one of them, as in {str(path / files[0])!r}")
        elif "config.json" not in inside:
            raise InputError(f"model {model!r} holds no config.json, so it is no folder of a model: give one that is")
        elif not fnmatch.filter(inside, _SAFETENSORS):
            raise InputError(
                f"model {model!r} holds no weights as safetensors; others are not read, as opening them may run code in them. "
                "Where you trust it: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(another), and audit that"
            )
    return Source(str(path), gguf, trust_remote_code)


def read(source: Source, device: str = "auto", dtype: str = "float32") -> PreTrainedModel:
    """The model; `InputError` says why it cannot be had, or is not one that predicts the next token."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}, but must be one of: {', '.join(DTYPES)}")
    on = resolve_device(device)
    with _named(source, "model"):
        config = AutoConfig.from_pretrained(source.model, **source.options)
        _check_architecture(source, config)
        _check_memory(source, DTYPES[dtype])
        weights = {"output_loading_info": True} | ({} if source.gguf else {"use_safetensors": True})
        model, found = AutoModelForCausalLM.from_pretrained(source.model, dtype=DTYPES[dtype], **weights, **source.options)
        if missing := sorted(found["missing_keys"]):  # transformers goes on with random numbers
            raise InputError(
                f"model {source.path!r} lacks {len(missing)} of the weights that its configuration asks for, such as "
                f"{missing[0]}: {_AGAIN}, whole"
            )
        if unused := sorted(found["unexpected_keys"]):
            also = f"{len(unused)} weights that its configuration does not ask for, such as {unused[0]}"
            print(f"model {source.path!r} holds {also}: they are left out", file=sys.stderr)
        return model.to(on)


def read_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """The model's tokenizer; `InputError` where there is none."""
    from transformers import AutoTokenizer

    with _named(source, "tokenizer of model"):
        tokenizer = AutoTokenizer.from_pretrained(source.model, **source.options)
        if not {*tokenizer.get_vocab()} - {*tokenizer.all_special_tokens}:  # made up by transformers, of no file
            raise InputError(f"tokenizer of model {source.path!r} cannot be read: {_REASONS['backend tokenizer']}")
        return tokenizer


@contextmanager
def _named(source: Source, what: str) -> Iterator[None]:
    """Say in a line what transformers has against a model, and keep it from saying more."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of many kinds: files, JSON, architectures, the network
        raise InputError(f"{what} {source.path!r} cannot be read: {_reason(source, error)}") from error
    finally:
        logging.set_verbosity(before)


def _reason(source: Source, error: Exception) -> str:
    """What is the matter with a model, and what to do about it."""
    if known := [reason for sign, reason in _REASONS.items() if sign in str(error)]:
        return known[0]
    folder = Path(source.model)
    for file in sorted(folder.glob("*.json")):
        try:
            if isinstance(json.loads(file.read_text(encoding="utf-8")), dict):
                continue
        except (OSError, ValueError):
            pass
        return f"{file.name} in it is damaged; {_AGAIN}"
    said = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__).rstrip(".")
    return f"{said}; {f'if it is damaged, {_AGAIN}' if folder.exists() else 'without a network, give a folder with the model'}"


def _check_architecture(source: Source, config: object) -> None:
    """Raise `InputError` for what is known not to predict the next token, before its weights are read."""
    names = getattr(config, "architectures", None) or []
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"model {source.model!r} has an encoder ({config.model_type}): give a model that is a decoder alone")
    if names and not any(name.endswith(("CausalLM", "LMHeadModel", "ForConditionalGeneration")) for name in names):
        raise InputError(f"model {source.model!r} is a {names[0]}, which does not predict the next token: give a causal model")


def _check_memory(source: Source, dtype: torch.dtype) -> None:
    """Raise `InputError` where the weights would not fit."""
    import psutil

    needed, free = weights_size(Path(source.model), source.gguf, dtype), psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"model {source.model!r} needs {needed / 1e9:.1f} GB for its weights, and {free / 1e9:.1f} GB of memory are free: "
            "close what else runs, use --dtype bfloat16, or a smaller model"
        )


def weights_size(folder: Path, gguf: str | None, dtype: torch.dtype) -> int:
    """Bytes that the weights of a model in a folder take in memory; 0 where nothing says so, as for one on the hub."""
    if gguf:
        return 8 * (folder / gguf).stat().st_size  # four bits a weight become 32
    return sum(map(_parameters, folder.glob(_SAFETENSORS))) * dtype.itemsize


def _parameters(file: Path) -> int:
    """How many numbers a file of safetensors holds; `InputError` where it is none, or cut off."""
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, size)))
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max(entry["data_offsets"][1] for entry in entries) == size:
            return sum(torch.Size(entry["shape"]).numel() for entry in entries)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):  # something else than such a header
        pass
    raise InputError(f"weights {str(file)!r} are no safetensors, or cut off: {_AGAIN}")
