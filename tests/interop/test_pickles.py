"""The seed's feature pickles: read as data, never run."""

import os
import pickle
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coverslip.errors import CorruptFileError, DataError, UnsafePickleError
from coverslip.interop.pickles import read_pickle_features, write_pickle_features

FEATURES = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
NAMES = [f"tumor_001_0.5mpp_256px_x{512 * i}_y7.jpg" for i in range(4)]
ROWS = [
    {"feature": row, "file_name": name}
    for row, name in zip(FEATURES, NAMES, strict=True)
]


class Payload:
    """Pickles as a call of anything."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        """Return what unpickling would call."""
        return self.reduced


@pytest.fixture
def pickled(tmp_path):
    """Return a function that pickles an object, or writes bytes, to tumor_001.pkl."""

    def write(content, protocol=4):
        path = tmp_path / "tumor_001.pkl"
        is_raw = isinstance(content, bytes)
        path.write_bytes(content if is_raw else pickle.dumps(content, protocol))
        return path

    return write


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("layout", [list, tuple, lambda rows: {"tumor_001": rows}])
def test_every_protocol_and_layout_is_read(pickled, protocol, layout):
    """A list in a file named after its slide, or a dictionary of slides."""
    found = read_pickle_features(pickled(layout(ROWS), protocol))
    assert list(found) == ["tumor_001"]
    features, names, coords = found["tumor_001"]
    assert np.array_equal(features, FEATURES)
    assert features.dtype == np.float32
    assert names == NAMES
    assert coords.tolist() == [[0, 7], [512, 7], [1024, 7], [1536, 7]]


def test_a_split_of_many_slides_is_read(pickled):
    """DTFD's merged dictionary gives each slide its own bag, empty ones too."""
    split = OrderedDict(tumor_001=ROWS[:1], normal_002=ROWS[1:], normal_003=[])
    found = read_pickle_features(pickled(split))
    assert {name: len(bag.features) for name, bag in found.items()} == {
        "tumor_001": 1,
        "normal_002": 3,
        "normal_003": 0,
    }


@pytest.mark.parametrize(
    "array",
    [
        FEATURES[0].astype(">f4"),
        FEATURES[0].astype(np.float64),
        np.asfortranarray(FEATURES[0].reshape(2, 4)),
        FEATURES[0].reshape(1, 8, 1, 1),
        FEATURES[0].tolist(),
    ],
    ids=["big-endian", "float64", "fortran", "1x8x1x1", "list"],
)
def test_arrays_of_any_kind_become_float32_vectors(pickled, array):
    """Byte order, precision and trailing ones do not matter; values do."""
    found = read_pickle_features(pickled([{"feature": array, "file_name": "a.png"}]))
    assert np.allclose(found["tumor_001"].features, FEATURES[:1])
    assert found["tumor_001"].coords is None


def test_numpy_1_and_numpy_2_spell_their_modules_differently(pickled):
    """A pickle written under numpy 1 is read under numpy 2."""
    data = pickle.dumps(ROWS, 2)
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    new = old.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    for content in (old, new):
        found = read_pickle_features(pickled(content))
        assert np.array_equal(found["tumor_001"].features, FEATURES)


def test_python_2_arrays_are_read(pickled):
    """Python 2 stored an array's bytes as a text of latin1."""
    raw = FEATURES[0].tobytes()
    state = (
        b"(cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"
        b"(I1\n(I8\ntcnumpy\ndtype\n(U\x02f4I0\nI1\ntR(I3\nU\x01<NNNI-1\nI-1\nI0\ntb"
        b"I00\nU" + bytes([len(raw)]) + raw + b"tb"
    )
    rows = b"(lp0\n(dS'feature'\n" + state[1:] + b"sS'file_name'\nS'a.png'\nsa."
    found = read_pickle_features(pickled(rows))
    assert np.array_equal(found["tumor_001"].features, FEATURES[:1])


def test_paths_as_names_give_coordinates_too(pickled):
    """The folder before a name, in either spelling, does not hide the coordinates."""
    rows = [
        {"feature": FEATURES[0], "file_name": f"D:\\patches\\{NAMES[0]}"},
        {"feature": FEATURES[1], "file_name": f"/data/{NAMES[1]}"},
    ]
    found = read_pickle_features(pickled(rows))
    assert found["tumor_001"].coords.tolist() == [[0, 7], [512, 7]]


@pytest.mark.parametrize("where", ["alone", "as a feature", "deep inside", "as a key"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_payload_is_refused_and_not_run(pickled, tmp_path, where, protocol):
    """A call of os.system stops the reading before anything happens."""
    evil = Payload(os.system, (f"touch {tmp_path / 'owned'}",))
    content = {
        "alone": evil,
        "as a feature": [*ROWS, {"feature": evil, "file_name": "x"}],
        "deep inside": {"s": [{"feature": FEATURES[0], "file_name": [[evil]]}]},
        "as a key": {"s": ROWS, (evil,): ROWS},
    }[where]
    with pytest.raises(
        UnsafePickleError, match=r"tumor_001\.pkl: asks for \w+\.system"
    ):
        read_pickle_features(pickled(content, protocol))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"(S'1'\ni__builtin__\neval\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"cnumpy\nload\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.",
        b"\x80\x04\x8c\x11coverslip.interop\x8c\x07pickles\x93.",
        b"Pstored elsewhere\n.",
        b"ctorch._utils\n_rebuild_tensor_v2\n.",
        b"c_codecs\nencode\n(V1\nVrot13\ntR.",
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
        b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.",
    ],
)
def test_every_way_of_asking_for_more_is_refused(pickled, content):
    """GLOBAL, INST, OBJ, dotted names, outside objects, codecs, object arrays."""
    with pytest.raises(UnsafePickleError, match=r"tumor_001\.pkl"):
        read_pickle_features(pickled(content))


def test_an_array_of_objects_is_refused(pickled):
    """Arrays that hold Python objects or records are no features."""
    objects = np.array([{}, []], dtype=object)
    with pytest.raises(UnsafePickleError, match="'O8'"):
        read_pickle_features(pickled([{"feature": objects, "file_name": "a"}]))
    records = np.zeros(2, [("a", "f4"), ("b", "O")])
    with pytest.raises(UnsafePickleError, match="array of kind"):
        read_pickle_features(pickled([{"feature": records, "file_name": "a"}]))


def test_a_pickle_cannot_tamper_with_the_reader(pickled):
    """Attributes set on what the pickle is given do not last to the next file."""
    tamper = (
        b"c_codecs\nencode\n(NNNN(dS'__defaults__'\n(S'x'\ntsS'__code__'\nNstb."
        b"cnumpy\nndarray\n(N(dS'fill'\nNsltb."
    )
    with pytest.raises((CorruptFileError, DataError)):
        read_pickle_features(pickled(tamper))
    assert np.array_equal(
        read_pickle_features(pickled(ROWS))["tumor_001"].features, FEATURES
    )


@pytest.mark.parametrize("content", [b"", b"\x80", b"hello", b"\x80\x04."])
def test_what_is_no_pickle_is_corrupt(pickled, content):
    """Empty and foreign files are named in one line."""
    with pytest.raises(CorruptFileError, match=r"tumor_001\.pkl") as caught:
        read_pickle_features(pickled(content))
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 10**6))
def test_a_truncated_pickle_is_corrupt(tmp_path_factory, cut):
    """Wherever it ends, half a pickle is damage."""
    whole = pickle.dumps({"tumor_001": ROWS}, 4)
    path = tmp_path_factory.mktemp("cut") / "tumor_001.pkl"
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(CorruptFileError):
        read_pickle_features(path)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_flipped_byte_gives_an_error_of_ours_or_other_data(
    tmp_path_factory, at, value
):
    """Damage never ends in a foreign exception."""
    damaged = bytearray(pickle.dumps({"tumor_001": ROWS}, 2))
    damaged[at % len(damaged)] = value
    path = tmp_path_factory.mktemp("flip") / "tumor_001.pkl"
    path.write_bytes(damaged)
    with suppress(DataError):
        assert read_pickle_features(path)


@pytest.mark.parametrize(
    "content",
    [
        3,
        {"s": 3},
        {"s": [3]},
        {3: ROWS},
        [{"file_name": "no feature"}],
        [{"feature": np.zeros(3)}, {"feature": np.zeros(4)}],
        [{"feature": "text", "file_name": "a"}],
    ],
)
def test_another_layout_is_refused(pickled, content):
    """What is no list of features of one length says so."""
    with pytest.raises(DataError, match=r"tumor_001\.pkl"):
        read_pickle_features(pickled(content))


def test_a_missing_pickle_is_named(tmp_path):
    """The path is in the message."""
    with pytest.raises(DataError, match=r"gone\.pkl: no such file"):
        read_pickle_features(tmp_path / "gone.pkl")


def test_what_is_written_is_the_seeds_layout(tmp_path):
    """Plain pickle sees {slide: [{feature, file_name}]}, and so does the reader."""
    path = tmp_path / "out.pkl"
    write_pickle_features(path, "tumor_001", FEATURES.astype(np.float16), NAMES)
    with path.open("rb") as file:
        content = pickle.load(file)  # noqa: S301, TID251 - written here, a line above
    assert list(content) == ["tumor_001"]
    assert [row["file_name"] for row in content["tumor_001"]] == NAMES
    assert {row["feature"].dtype for row in content["tumor_001"]} == {np.dtype("f4")}
    found = read_pickle_features(path)["tumor_001"]
    assert np.array_equal(found.features, FEATURES.astype(np.float16))


def test_names_must_match_the_features(tmp_path):
    """A name too few writes nothing."""
    with pytest.raises(DataError, match="4 features but 3 names"):
        write_pickle_features(tmp_path / "out.pkl", "s", FEATURES, NAMES[:3])
    assert list(tmp_path.iterdir()) == []
