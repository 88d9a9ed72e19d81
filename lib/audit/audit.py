"""Auditing a model: how well simplified pictures of it predict it, in distribution and on other texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib import provenance
from lib.artifacts import first_difference
from lib.audit import measuring
from lib.audit.inputs import begun_in, check_fits, check_folder, check_names, check_tokens
from lib.audit.results import Audit, record_of
from lib.audit.settings import Settings, default_proxies, oracles, parse, parts
from lib.config import checked
from lib.errors import ArtifactError, InputError, looking_for
from lib.models import pretrained
from lib.models.base import Model
from lib.proxies import PROXIES, TRAINING, Fitter
from lib.split import Dataset, Sequences, Split
from lib.tasks.text.windows import Texts, texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CODE = ("lib.audit.measuring", "lib.audit.settings", "lib.tasks.text.windows")
_WRAPPING = ("_module", "_model")  # where nnsight has the model that it wraps
_VALUES = 4096


def audit(
    model: PreTrainedModel | Model,
    tokenizer: PreTrainedTokenizerBase | None,
    splits: Mapping[str, Path | str] | Dataset,
    proxies: Sequence[str] | str = (),
    *,
    folder: Path | None = None,
    name: str = "",
    say: Callable[[str], None] = print,
    **settings: object,
) -> Audit:
    """What simplified pictures of a model are worth on several texts.

    `model` is one of transformers, one that nnsight wraps, or anything that satisfies `lib.models.base.Model`. `splits` are
    files or folders of text by name, the first of them in distribution; or a `Dataset`, whose first split is, and which needs
    no tokenizer. `proxies` are words such as `svd:8,16,32`; if there are none, SVD at three ranks and hard attention.
    `settings` are the fields of `lib.audit.settings.Settings`. With a `folder`, what is measured is kept there, and an
    interrupted audit goes on.

    Raises `InputError` for a model that cannot be audited, texts that are too short, or settings that the model does not allow.
    """
    words = tuple(proxies.split() if isinstance(proxies, str) else proxies)
    chosen = checked(Settings, {**settings, "proxies": words}, "audit")
    if folder:
        check_folder(folder := Path(folder))
    check_names(splits.splits if isinstance(splits, Dataset) else splits)
    wrapped = _wrapped(model)
    name = name or getattr(wrapped, "name", type(wrapped).__name__)
    whole = parse(chosen.proxies or default_proxies(wrapped.head_width), wrapped)
    if "length" not in settings and (context := getattr(wrapped, "context", None)):
        chosen = chosen.model_copy(update={"length": min(chosen.length, context)})
    data = splits if isinstance(splits, Dataset) else _texts(wrapped, tokenizer, splits, chosen)
    check_tokens(wrapped, data)
    reference, *others = data.splits
    known = getattr(data, "oracles", {name: data.splits[name] for name in others})
    fitter = Fitter(wrapped, {TRAINING: data.training, **known}, chosen.seed)
    check_fits(fitter, whole)
    measured = [*whole, *(oracles(whole, known) if chosen.oracles else [])]
    single = parts(whole, wrapped, chosen.each)
    identity = {
        "audited": {"name": name, "weights": _digest_of_weights(wrapped), "configuration": _configuration(wrapped)},
        "texts": {split.name: _digest_of(split) for split in data.splits.values()} | {TRAINING: _digest_of(data.training)},
        "settings": chosen.plain(),
        "code": provenance.code_of(*_CODE, type(wrapped).__module__, *(PROXIES[s.proxy].__module__ for s in whole)),
        "versions": provenance.versions(),
    }
    if folder and record_of(folder).is_current(identity):
        return Audit.read(folder)
    with _taken(folder, identity) if folder else nullcontext():
        chunks = list(measuring.chunks(data.splits, fitter, measured, single))
        fitted = [fitter.sources[name] for name in dict.fromkeys(s.fit_on for s in measured if PROXIES[s.proxy].fitted)]
        say(f"{name}: {measuring.cost(wrapped, chunks, fitted)}")
        measuring.fit(fitter, [*measured, *single], f"fit {name}")
        rules = {s: fitter.rules(s) for s in (*measured, *single)}
        blocks = measuring.measure(wrapped, chunks, rules, folder, f"measure {name}")
    found = Audit(name, reference, whole, *blocks, _about(wrapped, data, chosen))
    if folder:
        found.write(folder, identity)
        measuring.clear(folder)
    return found


def _wrapped(model: object) -> Model:
    """A model as `lib.models.base.Model`; one of transformers is checked first."""
    if hasattr(model, "pause") and hasattr(model, "unembed"):
        return model
    pretrained.require()
    from transformers import PreTrainedModel

    from lib.audit.checks import check
    from lib.models.attention import UnsuitableModel
    from lib.models.huggingface import HuggingFace

    candidates = [model, *(getattr(model, name, None) for name in _WRAPPING)]
    inner = next((one for one in candidates if isinstance(one, PreTrainedModel)), None)
    if inner is None:
        raise InputError(f"model is a {type(model).__name__}, but must be a causal language model of transformers")
    try:
        wrapped = HuggingFace(inner)
        check(wrapped)
    except InputError:
        raise
    except Exception as error:  # whatever a model's own code says where it is called in a way that it does not know
        raise UnsuitableModel(f"{type(inner).__name__} is refused: it failed when it was tried ({error})") from error
    return wrapped


def _texts(model: Model, tokenizer: object, given: Mapping[str, Path | str], chosen: Settings) -> Texts:
    if tokenizer is None:
        raise InputError("tokenizer is None, but texts need the model's: give it, or a Dataset in place of texts")
    context = getattr(model, "context", None)
    if context and chosen.length > context:
        raise InputError(f"length is {chosen.length}, but the model was made for {context} tokens: ask for no more")
    for path in given.values():
        with looking_for("text", path):
            Path(path).expanduser().exists()
    size = getattr(model, "vocabulary_size", None) or len(tokenizer)
    return texts({name: Path(path) for name, path in given.items()}, tokenizer, size, chosen)


@contextmanager
def _taken(folder: Path, identity: Mapping) -> Iterator[None]:
    """Within it, a folder is an audit's; it is left as it was where that is refused before anything is measured."""
    new = not folder.exists()
    _begin(folder, identity)
    try:
        yield
    except InputError:
        if not any(folder.glob("*.parquet")):
            begun_in(folder).path.unlink(missing_ok=True)
            with suppress(OSError):
                if new:
                    folder.rmdir()
        raise


def _begin(folder: Path, identity: Mapping) -> None:
    """Take a folder for an audit, or go on with the one begun there; `ArtifactError` if that is another one."""
    begun = begun_in(folder)
    other = record_of(folder).identity() or begun.identity()
    if other and (difference := first_difference(other, json.loads(json.dumps(identity)))):
        raise ArtifactError(f"{folder} holds another audit ({difference}): choose another folder, or {begun.remedy}")
    begun.write(identity, (), {})


def _about(model: Model, data: Dataset, chosen: Settings) -> dict:
    """What tables do not say: of the model, and of the texts."""
    facts = {"layers": model.layers, "heads": model.heads, "head_width": model.head_width}
    facts["blocks"] = getattr(model, "blocks", model.layers)
    splits = list(data.splits.values())
    texts = {
        "windows": {split.name: len(split) for split in splits},
        "length": max(int(split.lengths.max()) for split in splits),
        "positions": round(sum(int(split.scored.sum()) for split in splits) / sum(map(len, splits))),
        "commonest": _commonest(splits[0]),
        "shared": dict(getattr(data, "shared", {})),
        "documents": dict(getattr(data, "documents", {})),
    }
    return facts | texts | {"settings": chosen.plain()}


def _commonest(split: Split) -> float:
    """How often one would be right who always names the token that is most often asked for."""
    asked = split.targets[split.scored]
    return float(np.unique(asked, return_counts=True)[1].max() / len(asked))


def _configuration(model: Model) -> str:
    """Digest of what a model of transformers is configured by beside its weights, or of the shape of another one."""
    inner = getattr(model, "model", None)
    shape = {"layers": model.layers, "heads": model.heads, "head_width": model.head_width}
    return provenance.digest_of(json.loads(inner.config.to_json_string(use_diff=False)) if inner is not None else shape)


def _digest_of_weights(model: Model) -> str:
    """Of some of each parameter's values: to tell models apart, not to protect them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(getattr(model, "model", model).state_dict().items()):
        some = tensor.flatten()[:: max(1, tensor.numel() // _VALUES)].float().cpu()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode() + some.numpy().tobytes())
    return digest.hexdigest()


def _digest_of(sequences: Sequences) -> str:
    """Of everything that is measured or fitted on."""
    arrays = {"tokens": sequences.tokens, "lengths": sequences.lengths, "fitted": sequences.fitted}
    if isinstance(sequences, Split):
        arrays |= {"scored": sequences.scored, "candidates": sequences.candidates, **sequences.covariates}
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(name.encode() + (b"" if array is None else np.ascontiguousarray(array, dtype="<i8").tobytes()))
    return digest.hexdigest()
