"""Corpora: what is kept and what is left out, and that unusable sources are refused by name and leave nothing behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import socket
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from code_samples import EXTENSIONS, as_file, function, write_tree
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from lib import provenance
from lib.artifacts import root
from lib.errors import ArtifactError, InputError
from lib.tasks.code import CodeTask, codesearchnet, corpora, files, humaneval, sources
from lib.tasks.code.corpora import FEWEST, FILE_FUNCTIONS, MOST, Corpus, corpus, harvest, normalize
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.sources import INSTALLED, MAX_FILE, archive_packages


def kept_files() -> list[Path]:
    return [path for path in root().rglob("*") if path.is_file()]


def refused(name: str, location: object, *parts: str) -> None:
    """Building the corpus fails with a message that has these parts, and leaves no file."""
    with pytest.raises(InputError) as error:
        corpus(name, str(location), 100, 1_000)
    for part in parts:
        assert part in str(error.value)
    assert kept_files() == []


def directory(folder: object, package_functions: int = 100, language_functions: int = 1_000) -> Corpus:
    return corpus("directory", str(folder), package_functions, language_functions)


def codes(found: Corpus) -> list[str]:
    return list(found.functions["code"])


def dropped(found: Corpus) -> dict[str, int]:
    return {reason: n for reason, n in found.manifest["dropped"].items() if n}


def zipped(path: Path, members: dict[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


SOURCE = as_file("python", [function("python", n) for n in range(5)])


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "tree", {"python": 3, "javascript": 2, "java": 1, "c": 1}, functions=4)


# A folder or zip file of sources


def test_functions_come_with_their_language_folder_and_file(tree):
    found = directory(tree)
    assert list(found.functions.columns) == ["language", "package", "path", "code"]
    assert found.languages == ["python", "javascript", "java", "c"]
    for language, packages in {"python": 3, "javascript": 2, "java": 1, "c": 1}.items():
        of_language = found.functions[found.functions["language"] == language]
        assert set(of_language["package"]) == {f"{language}_{n}" for n in range(packages)}
        assert set(of_language["path"]) == {f"{language}_{n}/module{EXTENSIONS[language]}" for n in range(packages)}
        expected = {function(language, 1_000 * package + n) for package in range(packages) for n in range(4)}
        assert set(of_language["code"]) == expected


def test_the_manifest_counts_what_there_is(tree):
    found = directory(tree)
    manifest = found.manifest
    assert manifest["corpus"] == "directory"
    assert manifest["functions"] == {"python": 12, "javascript": 8, "java": 4, "c": 4}
    assert manifest["characters"]["python"] == sum(len(function("python", 1_000 * p + n)) for p in range(3) for n in range(4))
    assert manifest["versions"]["javascript"] == {"javascript_0": "", "javascript_1": ""}
    assert re.fullmatch("[0-9a-f]{64}", manifest["sha256"])
    assert dropped(found) == {}


def test_a_zip_file_of_sources_gives_the_same_functions_as_the_folder(tree, tmp_path):
    members = {file.relative_to(tree).as_posix(): file.read_bytes() for file in tree.rglob("*") if file.is_file()}
    from_zip = directory(zipped(tmp_path / "sources.zip", members))
    pd.testing.assert_frame_equal(from_zip.functions, directory(tree).functions)
    assert from_zip.manifest == directory(tree).manifest


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str)
def test_zip_files_may_be_compressed_in_any_way(tmp_path, compression):
    assert len(codes(directory(zipped(tmp_path / "a.zip", {"a/b.py": SOURCE}, compression)))) == 5


def test_the_same_sources_are_read_from_the_cache_and_changed_ones_are_not(tree, monkeypatch):
    first, made = directory(tree), []
    monkeypatch.setattr(corpora, "harvest", lambda *arguments: made.append(1) or harvest(*arguments))
    again = directory(tree)
    assert made == []
    pd.testing.assert_frame_equal(again.functions, first.functions)
    assert again.manifest == first.manifest
    (tree / "python_0" / "more.py").write_text(function("python", 77))
    changed = directory(tree)
    assert made == [1]
    assert len(changed.functions) == len(first.functions) + 1
    assert changed.manifest["sha256"] != first.manifest["sha256"]


def test_what_cuts_is_part_of_what_a_cached_corpus_depends_on(tree, monkeypatch):
    directory(tree)
    monkeypatch.setattr(corpora, "code_of", lambda *modules: "other code")
    directory(tree)
    assert len(kept_files()) == 2


def test_the_code_that_a_cached_corpus_depends_on_is_all_that_makes_one(monkeypatch):
    """Each module changed in turn, as it would be by an editor; a comment changes nothing."""
    read, modules = Path.read_text, ("languages", "files", "sources", "codesearchnet", "corpora")
    before = provenance.code_of(corpora.__name__)
    for module in modules:
        for more, changes in (("\n# a comment\n", False), ("\nx = 1\n", True)):
            with monkeypatch.context() as patch:
                patch.setattr(Path, "read_text", lambda p, m=module, more=more, **o: read(p, **o) + more * (p.stem == m))
                provenance._module.cache_clear()
                assert (provenance.code_of(corpora.__name__) != before) == changes, module
    provenance._module.cache_clear()


def test_a_cached_corpus_is_found_wherever_its_sources_lie_and_whenever_they_were_written(tree, tmp_path):
    first = directory(tree)
    moved = tree.rename(tmp_path / "moved")
    for file in moved.rglob("*.py"):
        os.utime(file, (0, 0))
    pd.testing.assert_frame_equal(directory(moved).functions, first.functions)
    assert len(kept_files()) == 1


def test_a_changed_file_of_the_same_size_and_name_is_another_corpus(tree):
    first, file = directory(tree), tree / "c_0" / "module.c"
    file.write_text(file.read_text().replace("+ ", "- "))
    assert directory(tree).manifest["sha256"] != first.manifest["sha256"]


def test_the_same_sources_elsewhere_have_the_same_sha256(tree, tmp_path):
    first = directory(tree).manifest["sha256"]
    assert directory(tree.rename(tmp_path / "moved")).manifest["sha256"] == first


def test_the_sha256_depends_on_every_character(tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "a.py"
    file.write_text(SOURCE)
    before = directory(tmp_path / "a").manifest["sha256"]
    file.write_text(SOURCE.replace("+ ", "- ", 1))
    assert directory(tmp_path / "a").manifest["sha256"] != before


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\0" * len(b)], ids=["half", "0", "zeros"]
)
def test_a_damaged_corpus_in_the_cache_is_named(tree, damage):
    directory(tree)
    (path,) = kept_files()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError, match="delete it, and it is made again") as error:
        directory(tree)
    assert str(path) in str(error.value)
    path.unlink()
    assert len(codes(directory(tree))) == 28


@pytest.mark.parametrize("change", ["text", "manifest", "rows"])
def test_a_cached_corpus_whose_text_is_not_that_of_its_manifest_is_refused(tree, change):
    directory(tree)
    (path,) = kept_files()
    table = pd.read_parquet(path)
    if change == "text":
        table.loc[3, "code"] += " "
    attrs = {} if change == "manifest" else table.attrs
    table = table.iloc[:-1] if change == "rows" else table
    table.attrs = attrs
    table.to_parquet(path, index=False)
    with pytest.raises(ArtifactError, match=r"delete it, and it is made again") as error:
        directory(tree)
    assert str(path) in str(error.value)


def test_a_cached_corpus_is_read_where_nothing_can_be_written(tree, monkeypatch):
    first = directory(tree)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    for name in ("mkdir", "touch", "write_bytes", "write_text", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(os, "replace", refuse)
    pd.testing.assert_frame_equal(directory(tree).functions, first.functions)


def test_the_manifest_is_plain_when_made_and_when_read(tree):
    made, read = directory(tree).manifest, directory(tree).manifest
    assert json.loads(json.dumps(made)) == made == read


def test_symbolic_links_are_not_followed(tree, tmp_path):
    (tmp_path / "private.py").write_text(function("python", 90))
    (tree / "link.py").symlink_to(tmp_path / "private.py")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "also.py").write_text(function("python", 91))
    (tree / "linked").symlink_to(tmp_path / "folder")
    assert len(codes(directory(tree))) == 28


def test_neither_a_loop_of_links_nor_a_pipe_nor_a_socket_keeps_anyone_waiting(tree):
    (tree / "again").symlink_to(tree)
    os.mkfifo(tree / "pipe.py")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tree / "socket.py"))
    assert len(codes(directory(tree))) == 28
    with pytest.raises(InputError, match=r"pipe\.py.* name a folder or a zip file"):
        directory(tree / "pipe.py")


@pytest.mark.parametrize("closed", ["python_1", "python_1/module.py"])
def test_what_cannot_be_read_is_named_and_not_left_out(closed):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        closed_one = write_tree(Path(folder), {"python": 3, "c": 1}) / closed
        closed_one.chmod(0)
        root_or_not = os.geteuid()
        if root_or_not == 0:
            os.seteuid(65534)  # whoever runs this: root may read everything
        try:
            with pytest.raises(InputError, match=rf"{closed}.* cannot be read \(Permission denied\): make it readable"):
                directory(folder)
        finally:
            os.seteuid(root_or_not)
            closed_one.chmod(0o755)


def test_a_header_is_cpp_where_there_is_cpp_and_else_c(tmp_path):
    for name in ("plain", "mixed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.h").write_text(function("c", 1))
    (tmp_path / "mixed" / "b.cpp").write_text(function("c", 2))
    assert directory(tmp_path / "plain").languages == ["c"]
    assert directory(tmp_path / "mixed").languages == ["cpp"]


# What is left out


def sized(length: int) -> str:
    start = f"def f{length}(x):\n    return '"
    return start + "a" * (length - len(start) - 1) + "'"


def one_file(folder: Path, text: str, name: str = "a.py") -> Corpus:
    (folder / "one").mkdir(exist_ok=True)
    (folder / "one" / name).write_text(text, newline="")
    return directory(folder / "one")


def test_functions_at_the_length_limits_are_kept_and_others_left_out(tmp_path):
    filler = ",\n".join(f"        {n}" for n in range(1, 130))
    long = [f"def long{n}():\n    return [\n{filler},\n" + " " * 8 for n in (0, 1)]
    exact, over = (text + "9" * (size - len(text) - 6) + "\n    ]" for text, size in zip(long, (MOST, MOST + 1), strict=True))
    assert (len(exact), len(over)) == (MOST, MOST + 1)
    found = one_file(tmp_path, "\n\n".join([sized(FEWEST), sized(FEWEST - 1), exact, over]) + "\n")
    assert set(codes(found)) == {sized(FEWEST), exact}
    assert dropped(found) == {"too short or too long": 2}


def test_functions_that_are_not_printable_ascii_are_left_out(tmp_path):
    good, bad, control = (function("python", n) for n in range(3))
    bad, control = bad.replace("return", "# naïve\n    return"), control.replace("return", "'\x07'\n    return")
    found = one_file(tmp_path, "\n\n".join([good, bad, control]))
    assert codes(found) == [good]
    assert dropped(found) == {"not printable ASCII": 2}


@pytest.mark.parametrize(
    "header",
    ["# Code generated by protoc. DO NOT EDIT.", "# @generated", "# This file was automatically generated", "# do not modify"],
)
def test_generated_files_are_left_out(tmp_path, header):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "generated.py").write_text(f"{header}\n{function('python', 1)}\n")
    assert codes(one_file(tmp_path, function("python", 2))) == [function("python", 2)]


def test_bundles_of_many_packages_are_left_out(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "bundle.js").write_text(f"__webpack_require__.r(exports);\n{function('javascript', 1)}\n")
    assert one_file(tmp_path, function("python", 2)).languages == ["python"]


def test_minified_files_are_left_out(tmp_path):
    minified = ";".join(function("javascript", n).replace("\n", " ") for n in range(5))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "small.min.js").write_text(minified)
    assert one_file(tmp_path, function("python", 2)).languages == ["python"]


def test_files_that_are_too_large_are_left_out(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "large.py").write_text(function("python", 1) + "\n" * MAX_FILE)
    assert codes(one_file(tmp_path, function("python", 2))) == [function("python", 2)]


def test_of_one_file_so_many_functions_are_kept_whatever_their_order(tmp_path):
    functions = [function("python", n) for n in range(FILE_FUNCTIONS + 7)]
    found = one_file(tmp_path, as_file("python", functions))
    assert len(codes(found)) == FILE_FUNCTIONS
    assert dropped(found) == {"more of one file": 7}
    assert codes(one_file(tmp_path, as_file("python", functions[::-1]))) == codes(found)


def test_of_one_package_and_one_language_so_many_functions_are_kept(tree):
    found = directory(tree, package_functions=3, language_functions=7)
    counts = found.functions.groupby(["language", "package"], sort=False).size()
    assert counts["python"].tolist() == [3, 3, 1]
    assert counts["javascript"].tolist() == [3, 3]
    assert found.manifest["functions"] == {"c": 3, "java": 3, "javascript": 6, "python": 7}


def test_duplicates_are_kept_once_within_and_across_files_packages_and_languages(tmp_path):
    common = function("c", 1)
    for name in ("a/x.c", "a/y.c", "b/z.c", "b/w.cpp"):
        (tmp_path / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / name).write_text(common.replace("    ", " " * len(name)) + "\n")
    found = directory(tmp_path / "one")
    assert len(codes(found)) == 1
    assert dropped(found) == {"exact duplicate": 3}, "blanks make no difference"


def test_a_near_duplicate_is_left_out_and_a_different_function_is_not(tmp_path):
    lines = [line for n in range(8) for line in function("python", n).split("\n")[1:-1]]
    original = "\n".join(["def original():", *lines, "    return 1"])
    near = original.replace("return 1", "return 2")
    half = "\n".join(["def half():", *lines[: len(lines) // 2], "    return 1"])
    found = one_file(tmp_path, "\n\n".join([original, near, half]))
    assert half in codes(found)
    assert len(codes(found)) == 2
    assert dropped(found) == {"near duplicate": 1}


def test_line_feeds_tabs_and_blanks_at_line_ends_are_normalized():
    assert normalize("def f():\r\n\tif x:  \r\n\t\treturn 1\t\r\n\r\n") == "def f():\n    if x:\n        return 1"
    assert normalize("a\rb") == "a\nb"


def test_a_file_with_tabs_and_crlf_gives_the_same_function(tmp_path):
    plain = function("python", 3)
    assert codes(one_file(tmp_path, plain.replace("    ", "\t").replace("\n", "\r\n") + "\r\n")) == [plain]


@pytest.mark.parametrize("language", ["java", "python"])
def test_a_method_that_is_indented_with_tabs_is_shifted_to_the_margin_too(tmp_path, language):
    head = {"java": "class A {\n", "python": "class A:\n"}[language]
    method = function(language, 3)
    text = head + "".join(f"    {line}\n" for line in method.split("\n")) + "}\n" * (language == "java")
    assert codes(one_file(tmp_path, text, f"a{EXTENSIONS[language]}")) == [method]
    assert codes(one_file(tmp_path, text.replace("    ", "\t"), f"a{EXTENSIONS[language]}")) == [method]


def test_a_byte_order_mark_is_no_part_of_the_source(tmp_path):
    assert codes(one_file(tmp_path, "\ufeff" + function("python", 3))) == [function("python", 3)]


# Unusable folders and zip files


def test_a_location_that_does_not_exist_is_refused(tmp_path):
    refused("directory", tmp_path / "none", str(tmp_path / "none"), "name a folder or a zip file")
    refused("directory", "", "location is ''", "name a folder or a zip file")


def test_an_unknown_corpus_is_refused():
    refused("github", "", "corpus is 'github', but must be one of: installed, directory, codesearchnet")


def test_a_folder_without_sources_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    refused("directory", tmp_path, str(tmp_path), "holds no source file", ".py", "choose another location")


def test_sources_without_a_usable_function_are_refused(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    refused("directory", tmp_path, "holds no function of 80 to 2000", "use other sources")


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"def f():\n    return '\0'\n", "zero byte at 21"), (b"# na\xefve\n", "not UTF-8 text"), (b"\xff\xfea\0", "not UTF-8")],
    ids=["zero byte", "latin-1", "utf-16"],
)
def test_a_file_that_is_not_text_is_refused_by_name(tmp_path, content, says):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "good.py").write_text(SOURCE)
    (tmp_path / "a" / "bad.py").write_bytes(content)
    refused("directory", tmp_path / "a", "a/bad.py"[2:], says, "leave it out")
    archive = zipped(tmp_path / "a.zip", {"good.py": SOURCE, "bad.py": content})
    refused("directory", archive, "bad.py", says, "leave it out")


def test_a_file_whose_name_is_not_text_is_read(tmp_path):
    (tmp_path / "good.py").write_text(SOURCE)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).write_text(function("python", 50))
    found = directory(tmp_path)
    assert len(codes(found)) == 6
    assert set(found.functions["path"]) == {"good.py", "?.py"}
    assert codes(directory(tmp_path)) == codes(found)


def test_a_file_that_is_no_zip_file_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"not a zip file at all")
    refused("directory", tmp_path / "a.zip", str(tmp_path / "a.zip"), "cannot be read as a zip file", "intact zip file")


@pytest.mark.parametrize("name", ["../evil.py", "a/../../evil.py", "/etc/evil.py", "..\\evil.py", "a/.."])
def test_a_zip_file_that_leads_out_of_itself_is_refused(tmp_path, name):
    refused(
        "directory", zipped(tmp_path / "a.zip", {"good.py": SOURCE, name: SOURCE}), str(tmp_path / "a.zip"), "leads out", "give"
    )
    assert not (tmp_path / "evil.py").exists()


def test_an_encrypted_zip_file_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"good.py": SOURCE})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused("directory", path, str(path), "is encrypted", "'good.py'", "unpacked folder")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = zipped(tmp_path / "a.zip", {"good.py": SOURCE, "zeros.bin": bytes(20_000_000)})
    refused("directory", path, str(path), "would unpack to 20,00", "more than is allowed", "unpacked folder")


def test_a_zip_entry_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.py": "x = 1\n" * 100_000})
    content = bytearray(path.read_bytes())
    for place in (22, content.index(b"PK\x01\x02") + 24):
        content[place : place + 4] = (60).to_bytes(4, "little")
    path.write_bytes(content)
    refused("directory", path, str(path), "'a.py' is damaged")


def test_a_damaged_zip_entry_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"good.py": SOURCE})
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    refused("directory", path, str(path), "'good.py' is damaged", "intact zip file")


def test_a_truncated_zip_file_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"good.py": SOURCE})
    path.write_bytes(path.read_bytes()[:-30])
    refused("directory", path, str(path), "cannot be read as a zip file")


def small_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", function("python", 1))
    return file.getvalue()


SMALL_ZIP = small_zip()


@pytest.mark.parametrize("change", [0x01, 0x08, 0x80, 0xFF])
def test_whatever_byte_of_a_zip_file_is_damaged_it_is_read_or_refused(tmp_path, change):
    path = tmp_path / "a.zip"
    for place in range(len(SMALL_ZIP)):
        damaged = bytearray(SMALL_ZIP)
        damaged[place] ^= change
        path.write_bytes(damaged)
        try:
            for package in archive_packages(path, strict=True):
                assert list(package.files())
        except InputError:
            continue
        except Exception as error:
            raise AssertionError(f"byte {place} changed by {change:#x}") from error


# CodeSearchNet


def rows(parquet: bool, language: str | None = None) -> list[dict]:
    """Functions as CodeSearchNet has them: in its own .jsonl.gz files, or as on the hub."""
    made = []
    for name in ("python", "java"):
        for number in range(6):
            repository, path, code = f"owner/repo{number % 2}", f"src/{number}{EXTENSIONS[name]}", function(name, number)
            common = {"func_name": f"f{number}", "language": name}
            if parquet:
                row = {
                    "repository_name": repository, "func_path_in_repository": path, "whole_func_string": code,
                    "func_code_string": code, "func_code_tokens": code.split(), "func_documentation_string": "What it does.",
                    "func_documentation_tokens": ["What"], "split_name": "train", "func_code_url": f"https://x/{path}",
                }  # fmt: skip
            else:
                row = {
                    "repo": repository, "path": path, "original_string": code, "code": code, "code_tokens": code.split(),
                    "docstring": "What it does.", "docstring_tokens": ["What"], "sha": "0" * 40, "url": f"https://x/{path}",
                    "partition": "train",
                }  # fmt: skip
            made.append(row | common)
    return [row for row in made if language in (None, row["language"])]


def jsonl(path: Path, values: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(value) + "\n" for value in values).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def parquet(path: Path, values: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(values), path)
    return path


def searched(folder: object) -> Corpus:
    return corpus("codesearchnet", str(folder), 100, 1_000)


@pytest.fixture
def published(tmp_path) -> dict[str, Path]:
    for name in ("python", "java"):
        jsonl(tmp_path / "jsonl" / name / "final" / "jsonl" / "train" / f"{name}_train_0.jsonl.gz", rows(False, name))
        parquet(tmp_path / "parquet" / name / "train-00000-of-00001.parquet", rows(True, name))
    return {kind: tmp_path / kind for kind in ("jsonl", "parquet")}


def test_codesearchnet_is_read_in_both_published_forms(published):
    one, other = (searched(folder) for folder in published.values())
    assert set(codes(one)) == {function(name, n) for name in ("python", "java") for n in range(6)}
    assert set(one.functions["package"]) == {"owner/repo0", "owner/repo1"}
    assert set(one.functions["path"]) == {f"src/{n}{EXTENSIONS[name]}" for n in range(6) for name in ("python", "java")}
    pd.testing.assert_frame_equal(one.functions, other.functions)
    assert one.manifest == other.manifest


def test_codesearchnet_is_read_from_the_hub(published, tmp_path, monkeypatch):
    """Its stand-in is a data set folder with the same configurations, which the same library reads."""
    hub = tmp_path / "hub"
    languages = ("python", "javascript", "java", "go", "php", "ruby")
    for name in languages:
        parquet(hub / name / "train-00000-of-00001.parquet", rows(True, name) or [rows(True)[0]])
    configs = [f"- config_name: {n}\n  data_files:\n  - split: train\n    path: {n}/train-*\n" for n in languages]
    (hub / "README.md").write_text("---\nconfigs:\n" + "".join(configs) + "---\n")
    monkeypatch.setattr(codesearchnet, "HUB", str(hub))
    assert set(codes(searched(""))) == set(codes(searched(published["jsonl"])))


def test_a_hub_that_cannot_be_read_is_refused_with_what_to_do_without_it(tmp_path, monkeypatch):
    parquet(tmp_path / "hub" / "python" / "train.parquet", rows(True))
    (tmp_path / "hub" / "README.md").write_text(
        "---\nconfigs:\n- config_name: python\n  data_files:\n  - split: train\n    path: python/*.parquet\n---\n"
    )
    monkeypatch.setattr(codesearchnet, "HUB", str(tmp_path / "hub"))
    refused("codesearchnet", "", "cannot be read from the hub", "javascript", "name a folder", "corpus 'installed'")


def without(values: list[dict], *fields: str) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in fields} for row in values]


@pytest.mark.parametrize("field", [("repo",), ("path",), ("original_string", "code"), ("language",)], ids="/".join)
def test_codesearchnet_rows_that_lack_a_field_are_refused(tmp_path, field):
    path = jsonl(tmp_path / "a" / "train.jsonl.gz", rows(False)[:1] + without(rows(False)[1:], *field))
    refused(
        "codesearchnet", tmp_path / "a", str(path), "lacks the fields of CodeSearchNet", "needed: repo, path, original_string"
    )


@pytest.mark.parametrize(
    "field",
    [
        ("repository_name",),
        ("whole_func_string", "func_code_string"),
        ("language",),
        ("repository_name", "func_path_in_repository", "whole_func_string", "func_code_string", "language"),
    ],
    ids="/".join,
)
def test_codesearchnet_parquet_files_that_lack_a_field_are_refused(tmp_path, field):
    path = parquet(tmp_path / "a" / "train.parquet", without(rows(True), *field))
    refused("codesearchnet", tmp_path / "a", str(path), "lacks the fields of CodeSearchNet", "repository_name")


def test_a_codesearchnet_language_without_a_grammar_is_refused_by_file(tmp_path):
    path = jsonl(tmp_path / "a" / "train.jsonl", [row | {"language": "cobol"} for row in rows(False)])
    refused("codesearchnet", tmp_path / "a", str(path), "cobol")


def test_a_codesearchnet_folder_that_holds_nothing_is_refused(tmp_path):
    (tmp_path / "readme.txt").write_text("moved")
    refused("codesearchnet", tmp_path, str(tmp_path), "holds no .jsonl.gz or .parquet file", "name the folder")
    refused("codesearchnet", tmp_path / "none", str(tmp_path / "none"), "which is no folder", "name one")


def test_a_truncated_gz_file_is_refused(tmp_path):
    path = jsonl(tmp_path / "train.jsonl.gz", rows(False))
    path.write_bytes(path.read_bytes()[:-20])
    refused("codesearchnet", tmp_path, f"{path}, line ", "ended before the end-of-stream marker", "fetch it again")


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b'{"a": 1}')[:-12] + b"\0" * 12], ids=["other", "checksum"])
def test_a_gz_file_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "train.jsonl.gz").write_bytes(content)
    refused("codesearchnet", tmp_path, str(tmp_path / "train.jsonl.gz"), "cannot be read", "fetch it again")


@pytest.mark.parametrize("content", [b" " * 12_000_000, b'{"a": 1}\n' * 120_000], ids=["one line", "many lines"])
def test_a_gz_file_that_expands_without_end_is_refused(tmp_path, content):
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress(content))
    with pytest.raises(
        InputError, match=r"train.jsonl.gz, line \d+, .*unpacks to more than 200 times its size\): fetch it again"
    ):
        for _ in files.lines(tmp_path / "train.jsonl.gz"):
            pass


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "Expecting property name"),
        (b"[1]", "expected a JSON object, found list"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b"[" * 200_000, "recursion"),
    ],
    ids=["open", "list", "not UTF-8", "nested deeply"],
)
def test_a_line_that_is_no_json_object_is_refused_by_its_number(tmp_path, line, says):
    path = jsonl(tmp_path / "train.jsonl", rows(False)[:2])
    path.write_bytes(path.read_bytes() + line + b"\n")
    refused("codesearchnet", tmp_path, f"{path}, line 3", says, "fetch it again")


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"PAR1" + b[8:], lambda b: b""], ids=["half", "magic", "0"]
)
def test_a_damaged_parquet_file_is_refused(tmp_path, damage):
    path = parquet(tmp_path / "train.parquet", rows(True))
    path.write_bytes(damage(path.read_bytes()))
    refused("codesearchnet", tmp_path, str(path), "parquet", "fetch it again")


def test_a_parquet_file_whose_text_is_not_utf8_is_refused(tmp_path):
    path = parquet(tmp_path / "train.parquet", rows(True, "python"))
    pq.write_table(pa.Table.from_pylist(rows(True, "python")), path, compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes().replace(b"owner/repo0", b"owner/rep\xff0"))
    refused("codesearchnet", tmp_path, str(path), "fetch it again")


# HumanEval-X


def problems(folder: Path, of: dict[str, list[dict]]) -> str:
    for name, values in of.items():
        jsonl(folder / name, values)
    return str(folder)


def problem(language: str, number: int) -> dict:
    head, _, body = function(language, number).partition("\n")
    return {"task_id": f"{language.title()}/{number}", "declaration": head + "\n", "canonical_solution": body + "\n\n"}


def test_humaneval_x_has_the_same_problems_in_every_language(tmp_path):
    of = {
        "humaneval_python.jsonl.gz": [problem("python", n) for n in (2, 10, 1)],
        "humaneval_js.jsonl.gz": [problem("javascript", n) for n in (1, 2, 3, 10)],
    }
    found = humaneval.functions(problems(tmp_path, of))
    assert {name: list(problems) for name, problems in found.items()} == {
        "javascript": ["1", "2", "10"],
        "python": ["1", "2", "10"],
    }
    assert found["javascript"]["10"] == function("javascript", 10)


def test_humaneval_x_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"LIB_HUMANEVAL_X is .*none'.* name the folder of HumanEval-X, or unset it"):
        humaneval.functions(str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"no folder with humaneval_<language>\.jsonl\.gz files"):
        humaneval.functions(str(tmp_path))


@pytest.mark.parametrize("field", ["task_id", "declaration", "canonical_solution"])
def test_a_humaneval_x_file_that_lacks_a_field_is_refused(tmp_path, field):
    folder = problems(tmp_path, {"humaneval_python.jsonl.gz": without([problem("python", 1)], field)})
    with pytest.raises(InputError, match=rf"humaneval_python.jsonl.gz lacks the field '{field}' .* fetch it again"):
        humaneval.functions(folder)


@pytest.mark.parametrize("change", [{"task_id": "Python/one"}, {"declaration": 1}, {"canonical_solution": None}], ids=str)
def test_a_humaneval_x_field_of_another_kind_is_refused(tmp_path, change):
    folder = problems(tmp_path, {"humaneval_python.jsonl": [problem("python", 1) | change]})
    with pytest.raises(InputError, match=r"humaneval_python\.jsonl"):
        humaneval.functions(folder)


def test_humaneval_x_without_a_common_problem_is_refused(tmp_path):
    of = {"humaneval_python.jsonl": [problem("python", 1)], "humaneval_java.jsonl": [problem("java", 2)]}
    with pytest.raises(InputError, match="no problem with a usable function in each of java, python: fetch it again"):
        humaneval.functions(problems(tmp_path, of))


@pytest.mark.parametrize("twice", ["in a file", "in two files", "unusable"])
def test_a_humaneval_x_problem_that_is_there_twice_is_refused(tmp_path, twice):
    of = {"humaneval_python.jsonl": [problem("python", 1), problem("python", 2)]}
    if twice == "in a file":
        of["humaneval_python.jsonl"].append(problem("python", 3) | {"task_id": "Other/1"})
    elif twice == "unusable":
        of["humaneval_python.jsonl"] += [problem("python", 3) | {"canonical_solution": ""}] * 2
    else:
        of["humaneval_python.jsonl.gz"] = [problem("python", 1)]
    with pytest.raises(InputError, match=r"humaneval_python\.jsonl.*: problem [13] is there twice.*fetch it again"):
        humaneval.functions(problems(tmp_path, of))


def test_a_humaneval_x_file_of_an_unknown_language_is_refused_by_name(tmp_path):
    folder = problems(tmp_path, {"humaneval_rust.jsonl": [problem("c", 1)], "humaneval_python.jsonl": [problem("python", 1)]})
    with pytest.raises(InputError, match=r"humaneval_rust\.jsonl"):
        humaneval.functions(folder)


# Installed packages and a JDK


@pytest.fixture
def no_jdk(tmp_path, monkeypatch) -> None:
    """There is no JDK, neither named nor in the usual places."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    for name in ("JAVA_HOME", "LIB_JAVA_SOURCES"):
        monkeypatch.delenv(name, raising=False)
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: [] if path == Path("/") else glob(path, pattern))


@pytest.fixture
def one_package(monkeypatch) -> None:
    """Of the installed packages only one, a small one."""
    monkeypatch.setattr(sources, "INSTALLED", {"python": ("click",)})


def test_java_without_a_jdk_is_refused_with_what_to_install(no_jdk, one_package):
    assert sources.jdk_sources() is None
    task = CodeTask(language="java", package_functions=30, fewest_sequences=1, split_sequences=1)
    with pytest.raises(
        InputError, match=r"'java', but corpus 'installed' has only python; .* install a JDK .* LIB_JAVA_SOURCES"
    ):
        task.sample(0)


def test_java_is_unavailable_where_no_jdk_is_unless_other_sources_are_read(no_jdk, tmp_path, monkeypatch):
    task = CodeTask(language="java")
    assert CodeTask().unavailable() == CodeTask(language="java", corpus="directory", location="x").unavailable() == ""
    assert "install a JDK" in task.unavailable()
    monkeypatch.setenv("HOME", str(tmp_path))
    zipped(tmp_path / "src.zip", {"a/A.java": ""})
    monkeypatch.setenv("LIB_JAVA_SOURCES", "~/src.zip")
    assert task.unavailable() == ""


def test_java_sources_that_are_no_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LIB_JAVA_SOURCES", str(tmp_path))
    refused("installed", "", "LIB_JAVA_SOURCES", str(tmp_path), "set it to a JDK's lib/src.zip, or unset it")


def test_java_sources_are_read_package_by_package_with_the_version_of_their_jdk(no_jdk, one_package, tmp_path, monkeypatch):
    home = tmp_path / "jdk"
    (home / "lib").mkdir(parents=True)
    members = {f"java.base/java/{n}/A.java": as_file("java", [function("java", n)]) for n in range(3)}
    zipped(home / "lib" / "src.zip", {**members, "java.base/README.py": SOURCE})
    (home / "release").write_text('IMPLEMENTOR="X"\nJAVA_VERSION="17.0.1"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))
    found = corpus("installed", "", 5, 100)
    assert found.languages == ["python", "java"]
    assert found.manifest["versions"]["java"] == {f"java.base/java/{n}": "17.0.1" for n in range(3)}
    assert set(found.functions["package"]) == {"click", *found.manifest["versions"]["java"]}


def test_what_is_trained_on_in_python_does_not_depend_on_a_jdk(no_jdk, one_package, tmp_path, monkeypatch):
    """Which is read last."""
    task = CodeTask(package_functions=60, fewest_sequences=1, split_sequences=5)
    alone = task.load()
    members = {"a/A.java": as_file("java", [function("java", n) for n in range(9)])}
    monkeypatch.setenv("LIB_JAVA_SOURCES", str(zipped(tmp_path / "src.zip", members)))
    both = task.load()
    assert both.languages == ["python", "java"]
    python = both.functions[both.functions["language"] == "python"]
    pd.testing.assert_frame_equal(python.reset_index(drop=True), alone.functions)


def test_a_missing_package_is_refused_by_name(no_jdk, monkeypatch):
    monkeypatch.setattr(sources, "INSTALLED", {"python": ("no-such-package",)})
    refused("installed", "", "'no-such-package', which is not installed", "make environment", "another corpus")


def test_installed_takes_no_location(tmp_path):
    refused("installed", tmp_path, str(tmp_path), "takes no location", "use corpus 'directory'")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(tmp_path_factory.mktemp("installed")))
        return CodeTask(package_functions=3, language_functions=100).load()


@pytest.mark.slow
def test_the_environment_itself_is_a_corpus_of_four_languages(installed):
    assert set(installed.languages) >= {"python", "cpp", "c", "javascript"}
    functions = installed.functions
    assert functions.groupby("language").size().max() <= 100
    assert functions.groupby(["language", "package"]).size().max() <= 3
    assert all(re.fullmatch(r"[\n -~]{80,2000}", code) for code in functions["code"])
    assert not functions["code"].duplicated().any()


def test_versions_in_the_manifest_are_those_installed(installed):
    for language, packages in installed.manifest["versions"].items():
        if language != "java":
            assert packages == {package: metadata.version(package) for package in packages}
            assert set(packages) <= set(INSTALLED[language])


def test_every_package_that_the_corpus_is_made_of_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0].strip().lower()) for line in lines if "==" in line}
    project = re.findall(r'"([\w.-]+)==', (ROOT / "pyproject.toml").read_text())
    pinned |= {re.sub(r"[-_.]+", "-", name.lower()) for name in project}
    wanted = {re.sub(r"[-_.]+", "-", package.lower()) for packages in INSTALLED.values() for package in packages}
    assert wanted - pinned == set()
    assert set(INSTALLED) <= set(LANGUAGES)


@given(st.text(st.sampled_from("ab \t\n\r(){}é\x0c")))
def test_normalizing_twice_changes_nothing(text):
    once = normalize(text)
    assert normalize(once) == once
    assert "\t" not in once
    assert "\r" not in once
    assert not any(line != line.rstrip() for line in once.split("\n"))
