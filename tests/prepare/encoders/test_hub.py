"""Where weights are looked for, in which order, and what is said when they are not."""

import hashlib
import json
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from coverslip.errors import EncoderError, MissingExtraError
from coverslip.prepare.encoders import hub
from coverslip.prepare.encoders.registry import card

UNI = card("uni")


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch, tmp_path):
    """A hub's cache of its own, and no variable that says otherwise."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))


def keep(folder, commit, name="pytorch_model.bin", *, main=False):
    """Put a file into the hub's cache."""
    path = hub.hub_cache() / folder / "snapshots" / commit / name
    path.parent.mkdir(parents=True)
    path.write_bytes(commit.encode())
    if main:
        (hub.hub_cache() / folder / "refs").mkdir()
        (hub.hub_cache() / folder / "refs" / "main").write_text(commit)
    return path


def test_the_cache_is_where_the_hubs_library_keeps_it(monkeypatch, tmp_path):
    """HF_HUB_CACHE before HF_HOME before the user's cache folder."""
    assert hub.hub_cache() == tmp_path / "home" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "own"))
    assert hub.hub_cache() == tmp_path / "own"
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert hub.hub_cache() == tmp_path / "xdg" / "huggingface" / "hub"


def test_the_pinned_commit_is_preferred_and_the_newest_will_do():
    """Without either there is nothing; the case of the repository's name is no matter."""
    assert hub.cached(UNI) is None
    newest = keep("models--MahmoodLab--uni", "a" * 40, main=True)
    assert hub.cached(UNI) == newest
    pinned = keep("models--MahmoodLab--uni", UNI.revision)
    assert hub.find_weights(UNI, None) == (pinned,)


def test_a_given_path_comes_before_the_cache(tmp_path):
    """A file is taken as it is; of a folder the file that the hub has."""
    keep("models--MahmoodLab--UNI", UNI.revision)
    file = tmp_path / "own.pth"
    file.write_bytes(b"x")
    assert hub.find_weights(UNI, file) == (file,)
    (tmp_path / "model.safetensors").write_bytes(b"y")
    assert hub.find_weights(UNI, tmp_path) == (tmp_path / "model.safetensors",)
    (tmp_path / "pytorch_model.bin").write_bytes(b"z")
    assert hub.find_weights(UNI, tmp_path) == (tmp_path / "pytorch_model.bin",)


def test_a_folder_with_one_weights_file_of_any_name_is_understood(tmp_path):
    """With two of other names the user is asked which."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match=r"uni\? Looked for .*, found none"):
        hub.find_weights(UNI, tmp_path)
    (tmp_path / "mine.pt").write_bytes(b"x")
    assert hub.find_weights(UNI, tmp_path) == (tmp_path / "mine.pt",)
    (tmp_path / "other.pt").write_bytes(b"x")
    with pytest.raises(EncoderError, match=r"found mine.pt, other.pt: name the file"):
        hub.find_weights(UNI, tmp_path)


def test_a_path_that_is_not_there_is_named(tmp_path):
    """Neither file nor folder."""
    with pytest.raises(EncoderError, match=r"none.bin: no such file or folder"):
        hub.find_weights(UNI, tmp_path / "none.bin")


def test_weights_in_parts_are_taken_whole_and_hashed_together(tmp_path):
    """The index names them; one that is missing is told; the hash is of all."""
    names = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"]
    index = {"weight_map": dict(zip("ab", names, strict=True))}
    (tmp_path / hub.INDEX).write_text(json.dumps(index))
    (tmp_path / names[0]).write_bytes(b"2")
    with pytest.raises(EncoderError, match=r"00001-of-00002.safetensors: missing"):
        hub.find_weights(replace(UNI, hub_files=()), tmp_path)
    (tmp_path / names[1]).write_bytes(b"1")
    found = hub.find_weights(replace(UNI, hub_files=()), tmp_path)
    assert [path.name for path in found] == sorted(names)
    lines = "".join(
        f"{hashlib.sha256(text).hexdigest()}  {name}\n"
        for name, text in zip(sorted(names), (b"1", b"2"), strict=True)
    )
    assert hub.weights_digest(found) == hashlib.sha256(lines.encode()).hexdigest()
    assert hub.weights_digest(found[:1]) == hashlib.sha256(b"1").hexdigest()


def test_an_index_that_makes_no_sense_is_told(tmp_path):
    """No mapping in it."""
    (tmp_path / hub.INDEX).write_text("[]")
    with pytest.raises(EncoderError, match="does not say which files"):
        hub.find_weights(replace(UNI, hub_files=()), tmp_path)


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_offline_means_that_nobody_is_asked(monkeypatch, value):
    """HF_HUB_OFFLINE is honoured, and the message says what to do."""
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EncoderError, match=r"HF_HUB_OFFLINE is set: .* --weights"):
        hub.find_weights(UNI, None)


def test_without_the_hubs_library_a_download_says_what_to_install(monkeypatch):
    """The extra is named, and the other way out."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"coverslip\[hub\].* --weights"):
        hub.find_weights(UNI, None)


class _AbsentError(Exception):
    pass


class _ConnectionError(_AbsentError):
    pass


class _UnknownError(Exception):
    pass


class _GatedError(_UnknownError):
    pass


class _CommitError(Exception):
    pass


ERRORS = SimpleNamespace(
    EntryNotFoundError=_AbsentError,
    LocalEntryNotFoundError=_ConnectionError,
    RepositoryNotFoundError=_UnknownError,
    GatedRepoError=_GatedError,
    RevisionNotFoundError=_CommitError,
)


@pytest.fixture
def asked(monkeypatch):
    """A stand-in for the hub's library: raises what it is told, remembers calls."""
    calls, answers = [], {}

    def hf_hub_download(repository, name, **how):
        calls.append((repository, name, how["revision"]))
        answer = answers.get(name, "got")
        if isinstance(answer, Exception):
            raise answer
        return f"place/{name}"

    library = ModuleType("huggingface_hub")
    library.hf_hub_download, library.errors = hf_hub_download, ERRORS
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    return SimpleNamespace(calls=calls, answers=answers)


def test_a_download_asks_for_the_pinned_commit(asked):
    """The first name that the repository has is taken."""
    asked.answers["pytorch_model.bin"] = _AbsentError()
    assert [path.name for path in hub.find_weights(UNI, None)] == ["model.safetensors"]
    assert asked.calls == [
        ("MahmoodLab/UNI", name, UNI.revision)
        for name in ("pytorch_model.bin", "model.safetensors")
    ]


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        (
            "uni",
            _GatedError(),
            r"accepted its licence \(CC-BY-NC-ND-4.0\): log in there",
        ),
        ("uni", _GatedError(), r"set HF_TOKEN to a token of that account .* --weights"),
        (
            "uni",
            _UnknownError(),
            "https://huggingface.co/MahmoodLab/UNI is given only to",
        ),
        ("phikon-v2", _UnknownError(), "the hub knows no such repository"),
        ("uni", _CommitError(), f"no longer has commit {UNI.revision[:12]}"),
        ("uni", _ConnectionError(), "no connection to the hub"),
        ("uni", OSError("disk\nfull"), r"cannot be fetched \(disk full\): repeat"),
    ],
)
def test_what_went_wrong_and_what_to_do_stands_in_one_line(asked, name, error, told):
    """A gate, a name, a commit, a connection, a disk."""
    asked.answers.update(dict.fromkeys(card(name).hub_files, error))
    with pytest.raises(EncoderError, match=told) as raised:
        hub.find_weights(card(name), None)
    assert "\n" not in str(raised.value)
