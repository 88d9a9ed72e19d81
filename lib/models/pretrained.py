"""Language models that others have trained, from a folder, a GGUF file or the Hugging Face hub, with their tokenizers.

Weights are read as safetensors or GGUF, never as pickle, and code that comes with a model is not run unless that is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from lib.errors import InputError
from lib.models.machine import resolve_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EXTRA = "pip install '.[audit]'"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_GGUF = ".gguf"


class Source(NamedTuple):
    """Where a model is."""

    model: str  # a folder, or an id on the hub
    gguf: str | None = None  # the file in it, if it is one of GGUF
    trust_remote_code: bool = False

    @property
    def options(self) -> dict:
        """What transformers is told of it."""
        return {"trust_remote_code": self.trust_remote_code} | ({"gguf_file": self.gguf} if self.gguf else {})


def require() -> None:
    """Raise `InputError` where what language models need is not installed."""
    if missing := [name for name in ("transformers", "accelerate", "gguf", "bs4") if find_spec(name) is None]:
        raise InputError(f"language models need {missing[0]}, which is not installed; in the project's folder: {EXTRA}")


def locate(model: str, gguf: str | None = None, trust_remote_code: bool = False) -> Source:
    """Where a model is: a folder, a GGUF file, or an id on the hub. `InputError` where nothing can be there."""
    path = Path(model).expanduser()
    if path.is_file():
        if path.suffix != _GGUF:
            raise InputError(f"model {model!r} is a file, but not of GGUF: give the folder that holds config.json")
        return Source(str(path.parent), path.name, trust_remote_code)
    if not path.is_dir():
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
            raise InputError(f"model {model!r} holds no config.json, so it is not a folder of a model")
        elif not any(name.endswith(".safetensors") for name in inside):
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
        weights = {} if source.gguf else {"use_safetensors": True}
        model = AutoModelForCausalLM.from_pretrained(source.model, dtype=DTYPES[dtype], **weights, **source.options)
        return model.to(on)


def read_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """The model's tokenizer; `InputError` where there is none."""
    from transformers import AutoTokenizer

    with _named(source, "tokenizer of model"):
        return AutoTokenizer.from_pretrained(source.model, **source.options)


@contextmanager
def _named(source: Source, what: str) -> Iterator[None]:
    """Say in a line what transformers has against a model."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of many kinds: files, JSON, architectures, the network
        reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__).rstrip(".")
        if "trust_remote_code" in str(error):
            reason = "it comes with code of its own, which is run only if you say --trust-remote-code"
        elif not Path(source.model).exists():
            reason += "; without a network, give a folder with the model in it"
        raise InputError(f"{what} {source.model!r} cannot be read: {reason}") from error


def _check_architecture(source: Source, config: object) -> None:
    """Raise `InputError` for what is known not to predict the next token, before its weights are read."""
    names = getattr(config, "architectures", None) or []
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"model {source.model!r} has an encoder ({config.model_type}): only decoders can be audited")
    if names and not any(name.endswith(("CausalLM", "LMHeadModel", "ForConditionalGeneration")) for name in names):
        raise InputError(f"model {source.model!r} is a {names[0]}, which does not predict the next token")


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
    parameters = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        shapes = (entry["shape"] for name, entry in header.items() if name != "__metadata__")
        parameters += sum(int(torch.Size(shape).numel()) for shape in shapes)
    return parameters * dtype.itemsize
