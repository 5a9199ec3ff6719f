"""Files with a right checksum and wrong contents; each ends in one ValueError with its name.

Tables of what can be wrong make it longer than other files: they are read side by side.
"""

import copy
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from skbnn.packed.format import FORMAT_VERSION, to_bytes

START = b'{"__metadata__":{"sha256":"'


def unpack(data):
    """Container header, our metadata and the arrays' bytes of a file."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = json.loads(header.pop("__metadata__")["skbnn"])
    return header, metadata, data[8 + length :]


def seal(head, body):
    """A file with the right checksum, as the documentation describes it."""
    assert head.startswith(START)
    data = len(head).to_bytes(8, "little") + head + body
    place = 8 + len(START)
    data = data[:place] + b"0" * 64 + data[place + 64 :]
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:place] + digest + data[place + 64 :]


def pack(header, metadata, body):
    """A file of these contents; metadata may be JSON text already."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    entries = {"sha256": "0" * 64, "skbnn": text}
    head = json.dumps({"__metadata__": entries, **header}, separators=(",", ":"))
    return seal(head.encode(), body)


@pytest.fixture
def parts(make_model):
    """Contents of a file of bits: header, metadata and body."""
    return unpack(to_bytes(make_model("mlp")[0]))


@pytest.fixture
def refuse(load_bytes):
    """A function that checks that a file is refused with its name and a message."""

    def check(data, message):
        expected = rf"^hostile\.skbnn is not a usable skbnn model: .*({message})"
        with pytest.raises(ValueError, match=expected):
            load_bytes(data, "hostile.skbnn")

    return check


def test_an_untouched_file_is_accepted(make_model, kind, load_bytes):
    model, _ = make_model(kind)
    assert load_bytes(pack(*unpack(to_bytes(model)))) == model


HEADERS = {
    "huge shape": ("1.weights.words", {"shape": [1, 70, 2**60]}, "misplaced"),
    "larger than any integer": ("1.weights.words", {"shape": [2**70, 2**70]}, "misplaced"),
    "negative shape": ("1.weights.words", {"shape": [-1, -70, 1]}, "no list of numbers"),
    "real shape": ("1.weights.words", {"shape": [1, 70.0, 1]}, "no list of numbers"),
    "shape of truth": ("1.weights.words", {"shape": [True, 70, 1]}, "no list of numbers"),
    "no shape": ("1.weights.words", {"shape": None}, "no list of numbers"),
    "shape turned": ("1.weights.words", {"shape": [70, 1, 1]}, "scales"),
    "many dimensions": ("1.weights.words", {"shape": [1, 70, 1, 1, 1]}, "misdescribed"),
    "other dtype": ("1.weights.words", {"dtype": "I64"}, "words has dtype int64"),
    "float for integer": ("3.output.offsets", {"dtype": "F32"}, "offsets has dtype float32"),
    "unknown dtype": ("3.output.offsets", {"dtype": "BF16"}, "unknown dtype"),
    "dtype of no text": ("3.output.offsets", {"dtype": ["I32"]}, "unknown dtype"),
    "before the file": ("1.weights.words", {"data_offsets": [-560, 0]}, "no list of numbers"),
    "behind the file": ("1.weights.words", {"data_offsets": [2**40, 2**40 + 560]}, "overlaps"),
    "overlap": ("2.weights.words", {"data_offsets": [0, 80]}, "overlaps"),
    "backwards": ("1.weights.words", {"data_offsets": [560, 0]}, "overlaps|misplaced"),
    "three ends": ("1.weights.words", {"data_offsets": [0, 560, 560]}, "misdescribed"),
    "unknown field": ("1.weights.words", {"stride": 1}, "misdescribed"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_arrays_described_wrongly(parts, refuse, case):
    header, metadata, body = parts
    name, change, message = HEADERS[case]
    header[name] |= change
    refuse(pack(header, metadata, body), message)


def test_arrays_missing_or_too_many(parts, refuse):
    header, metadata, body = parts
    for name in list(header):
        fewer = {key: value for key, value in header.items() if key != name}
        refuse(pack(fewer, metadata, body), "overlaps|no array|missing")
    extra = {"dtype": "U8", "shape": [0], "data_offsets": [len(body), len(body)]}
    refuse(pack({**header, "more": extra}, metadata, body), "no operation uses")
    refuse(pack({**header, "more": 7}, metadata, body), "not described")
    refuse(pack(header, metadata, body + b"\0"), "belong to no array")
    refuse(pack(header, metadata, body[:-1]), "beyond the end")
    metadata["operations"][1]["weights"]["words"] = {"array": "0.counts"}
    refuse(pack(header, metadata, body), "missing or used twice")


def edited(parts, name, change):
    """The file with one array's values changed."""
    header, metadata, body = copy.deepcopy(parts)
    entry = header[name]
    start, stop = entry["data_offsets"]
    dtypes = {"U8": "u1", "I16": "<i2", "I32": "<i4", "U64": "<u8", "F32": "<f4"}
    array = np.frombuffer(body[start:stop], dtypes[entry["dtype"]]).reshape(entry["shape"]).copy()
    change(array)
    return pack(header, metadata, body[:start] + array.tobytes() + body[stop:])


def put(place, value):
    """A change of one value of an array."""

    def change(array):
        array[place] = value

    return change


@pytest.mark.parametrize(
    ("kind", "name", "place", "value", "message"),
    [
        ("mlp", "1.output.thresholds", 0, 14, "reach"),
        ("mlp", "1.output.thresholds", 69, -13, "reach"),
        ("mlp", "1.weights.words", (0, 3, 0), 1 << 12, "Padding"),
        ("mlp", "2.weights.words", (0, 4, 1), 1 << 63, "Padding"),
        ("mlp", "3.output.multipliers", 0, 2**31 - 1, "int32"),
        ("mlp", "0.counts", 0, 255, "thresholds has shape"),
        ("mlp", "0.thresholds", 0, np.nan, "not finite"),
        ("mlp", "0.thresholds", 0, np.inf, "not finite"),
        ("mlp", "0.thresholds", 0, 3e38, "rise"),
        ("planes", "0.columns", 0, -1, "rise"),
        ("planes", "0.columns", 3, 7, "rise"),
        ("planes", "1.weights.scales", (0, 0), -(2**31), "reach|int32|float64"),
        ("real", "0.scales", 0, np.inf, "not finite"),
        ("real", "1.biases", 0, np.nan, "not finite"),
        ("real", "2.weights", (0, 0), -np.inf, "not finite"),
        ("windows", "0.thresholds", 0, 3e38, "rise"),
        ("windows", "0.counts", 0, 2, "thresholds has shape"),
        ("windows", "1.output.thresholds", 0, 11, "reach"),
        ("windows", "1.weights.words", (0, 0, 0), 1 << 9, "Padding"),
        ("windows-real", "0.scales", 0, np.nan, "not finite"),
        ("windows-real", "0.channels", 0, 1, "rise"),
        ("windows-real", "2.scales", 0, np.inf, "not finite"),
        ("stream", "3.branch.0.thresholds", 0, 11, "reach"),
        ("stream", "3.branch.0.flips", 0, 1 << 9, "Padding bits of flips"),
        ("stream", "2.table", (0, 0, 0), 2**15 - 1, "takes"),
        ("stream-real", "2.branch.0.operation.shifts", 0, np.nan, "not finite"),
        ("attention", "1.owners", 0, 3, "does not exist"),
        ("attention", "3.branch.2.thresholds", 0, 5, "reach"),
        ("attention", "3.branch.2.flips", 0, 1 << 8, "Padding bits of flips"),
        ("attention", "3.branch.2.rule.table", 0, 2**20 + 1, "must fall"),
        ("attention", "3.branch.2.rule.table", 4, -1, "must fall"),
        ("attention", "3.branch.2.rule.table", 3, 2**20, "must fall"),
        ("attention", "3.branch.2.rule.shares", 1, 2**16 + 1, "share"),
        ("codewords", "1.owners", 0, 3, "does not exist"),
        ("codewords", "1.owners", 0, -1, "does not exist"),
        ("centroids", "0.centroids", (0, 0), np.nan, "not finite"),
    ],
)
def test_values_out_of_range(make_model, refuse, kind, name, place, value, message):
    parts = unpack(to_bytes(make_model(kind)[0]))
    if (kind, name) == ("planes", "1.weights.scales"):
        # A scale this large is legal in itself; the thresholds then still fit, the sums do not.
        parts[1]["operations"][1]["takes"]["scales"][0] = 2**31 - 1
    refuse(edited(parts, name, put(place, value)), message)


def deep(levels):
    """Lists in lists."""
    return "[" * levels + "]" * levels


METADATA = {
    "newer version": (("format_version",), FORMAT_VERSION + 1, "install a newer skbnn"),
    "far newer version": (("format_version",), 10**30, "install a newer skbnn"),
    "version zero": (("format_version",), 0, "names no format version"),
    "version of truth": (("format_version",), True, "names no format version"),
    "version of text": (("format_version",), "1", "names no format version"),
    "package version": (("skbnn_version",), 1, "names no version of skbnn"),
    "unknown field": (("author",), "me", "missing or unknown fields"),
    "no operations": (("operations",), [], "no operation uses"),
    "operations of no list": (("operations",), {}, "no list of operations"),
    "operations of numbers": (("operations", 2), 1, "no operation uses"),
    "an array as operation": (("operations", 3), {"array": "0.counts"}, "used twice|no operation"),
    "unknown kind": (("operations", 1, "kind"), "os.system", "unknown kind.*newer skbnn"),
    "kind of no text": (("operations", 1, "kind"), ["thermometer"], "names no kind"),
    "no kind": (("operations", 1, "kind"), None, "names no kind"),
    "a value as operation": (
        ("operations", 0),
        {"kind": "bit-code", "n_bits": 3, "scales": [1], "offset": 0},
        "no operation",
    ),
    "operation as value": (("operations", 1, "takes", "kind"), "sign-threshold", "has the fields"),
    "unknown operation field": (("operations", 1, "speed"), 1, "has the fields"),
    "unknown array field": (("operations", 0, "counts", "speed"), 1, "names no kind"),
    "array of no name": (("operations", 0, "counts", "array"), ["x"], "missing or used twice"),
    "number for array": (("operations", 0, "counts"), 3, "wrong type"),
    "text for number": (("operations", 1, "takes", "n_bits"), "12", "a field holds"),
    "real for number": (("operations", 1, "takes", "n_bits"), 12.0, "a field holds"),
    "truth for number": (("operations", 1, "takes", "n_bits"), True, "wrong type"),
    "other width": (("operations", 1, "takes", "n_bits"), 13, "differ in width"),
    "negative width": (("operations", 1, "weights", "n_bits"), -5, "cannot be -5 bits"),
    "huge width": (("operations", 1, "weights", "n_bits"), 2**62, "cannot be"),
    "number for list": (("operations", 1, "takes", "scales"), 1, "wrong type"),
    "texts in list": (("operations", 1, "takes", "scales"), ["1"], "something else"),
    "no scales": (("operations", 1, "takes", "scales"), [], "at least one plane"),
    "huge scale": (("operations", 1, "takes", "scales"), [2**80], "int32"),
    "other scale": (("operations", 1, "takes", "scales"), [2], "gives"),
    "too few labels": (("classes", "labels"), ["a", "b"], "2 class labels for 3"),
    "labels repeated": (("classes", "labels"), ["a", "b", "a"], "repeated"),
    "labels of no text": (("classes", "labels"), ["a", "b", 3], "no string"),
    "labels of lists": (("classes", "labels"), [["a"], ["b"], ["c"]], "no string"),
    "unknown label dtype": (("classes", "dtype"), "M8[s]", "have the dtype"),
    "compound label dtype": (("classes", "dtype"), "int64,int64", "have the dtype"),
    "label dtype of no text": (("classes", "dtype"), ["int64"], "have the dtype"),
    "numbers of text": (("classes", "dtype"), "int64", "no number"),
    "labels beyond dtype": (("classes",), {"dtype": "int8", "labels": [1, 2, 300]}, "300|fit"),
    "real labels": (("classes",), {"dtype": "int8", "labels": [1, 2, 0.5]}, "fit"),
    "whole reals": (("classes",), {"dtype": "float64", "labels": [1, 2, 3]}, "fit"),
    "unknown class field": (("classes", "more"), 1, "misdescribed"),
    "classes of no kind": (("classes",), None, "misdescribed"),
    "scale of text": (("probability_scale",), "1.0", "scale is no number"),
    "whole scale": (("probability_scale",), 1, "scale is no number"),
    "zero scale": (("probability_scale",), 0.0, "not a positive number"),
    "negative scale": (("probability_scale",), -1.0, "not a positive number"),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_with_wrong_contents(parts, refuse, case):
    header, metadata, body = parts
    path, value, message = METADATA[case]
    *outer, last = path
    place = metadata
    for step in outer:
        place = place[step]
    place[last] = value
    refuse(pack(header, metadata, body), message)


def test_metadata_that_is_not_plain_json(parts, refuse):
    header, metadata, body = parts
    text = json.dumps(metadata)
    for broken, message in [
        (text.replace('"format_version": 1', '"format_version": 1, "format_version": 1'), "repeat"),
        (text.replace('"probability_scale": 0.01', '"probability_scale": NaN'), "NaN"),
        (text.replace('"probability_scale": 0.01', '"probability_scale": Infinity'), "Infinity"),
        (text.replace('"probability_scale": 0.01', '"probability_scale": 1e999'), "positive"),
        (text.replace('"format_version": 1', '"format_version": ' + "1" * 5000), "digits"),
        (text.replace('"probability_scale": 0.01', f'"probability_scale": {deep(100_000)}'), ""),
        (deep(100_000), ""),
        ("[]", "no object"),
        ("", "Expecting value"),
        (text + "}", "Extra data"),
    ]:
        assert broken != text
        refuse(pack(header, broken, body), message)
    for missing in metadata:
        fewer = {name: value for name, value in metadata.items() if name != missing}
        refuse(pack(header, fewer, body), "fields|names no format version")


def test_headers_that_are_not_ours(parts, refuse):
    header, metadata, body = parts
    data = pack(header, metadata, body)
    head, text = data[8 : len(data) - len(body)], json.dumps(json.dumps(metadata))
    digits = START + b"0" * 64
    for broken, message in [
        (head[:-1] + b',"' + next(iter(header)).encode() + b'":{}}', "repeated"),
        (head + b"x", "Extra data"),
        (head[:-1], "delimiter"),
        (head[:-1] + b',"\xff":{}}', "utf-8"),
        (digits + b'"}}', "missing or unknown metadata"),
        (digits + b'","skbnn-checkpoint":"{}"}}', r"metadata: \['skbnn-checkpoint'\], not 'skbnn'"),
        (digits + b'","skbnn":1}}', "missing or unknown metadata"),
        (digits + b'","skbnn":' + text.encode() + b',"more":"1"}}', "missing or unknown metadata"),
        (digits + b'","skbnn":"1"},"__metadata__":{"sha256":"","skbnn":"{}"}}', "repeated"),
        (digits + b'","skbnn":' + deep(100_000).encode() + b"}}", ""),
    ]:
        refuse(seal(broken, body), message)
    for foreign in (b"", b"x" * 7, bytes(500), b"\x80\x04K\x01." * 40, b"PK\x03\x04" * 40):
        refuse(foreign, "does not begin")
    for length in (2**63, 2**64 - 1, len(data) - 7, 1 << 25):
        long = length.to_bytes(8, "little") + data[8:]
        place = 8 + len(START)
        zeroed = long[:place] + b"0" * 64 + long[place + 64 :]
        digest = hashlib.sha256(zeroed).hexdigest().encode()
        refuse(long[:place] + digest + long[place + 64 :], "longer than the file")


def test_a_small_file_that_claims_to_be_huge_takes_no_memory(parts, refuse):
    header, metadata, body = parts
    header["1.weights.words"]["shape"] = [1, 2**40, 1]
    header["1.weights.words"]["data_offsets"] = [0, 2**43]
    data = pack(header, metadata, body)
    tracemalloc.start()
    try:
        refuse(data, "beyond the end|overlaps")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def places_in(value, path=()):
    """Every path into nested lists and dicts."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places_in(inner, (*path, key))


NASTY = [None, True, -1, 0, 1, 2, 7, 64, 2**31, 2**70, 0.5, 1e308, "x", "bit-code"]
NASTY += ["thermometer", [], {}, [1], [[1]], {"array": "0.counts"}]


@pytest.mark.parametrize(
    "kind",
    [
        "planes",
        "real",
        "codewords",
        pytest.param("windows", marks=pytest.mark.slow),
        "windows-real",
        pytest.param("windows-stream", marks=pytest.mark.slow),
        pytest.param("stream", marks=pytest.mark.slow),
        pytest.param("stream-real", marks=pytest.mark.slow),
        pytest.param("attention", marks=pytest.mark.slow),
        "attention-real",
    ],
)
def test_no_replaced_value_ends_in_another_error(make_model, kind, load_bytes):
    """Whatever one place holds, a file is refused, or is a model whose scores can be computed."""
    model, _ = make_model(kind)
    header, metadata, body = unpack(to_bytes(model))
    whole = {"header": header, "metadata": metadata}
    n_accepted = n_refused = 0
    for place in list(places_in(whole)):
        if len(place) < 2:
            continue
        for value in NASTY:
            changed = copy.deepcopy(whole)
            inner = changed
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = value
            try:
                found = load_bytes(pack(changed["header"], changed["metadata"], body))
            except ValueError as error:
                assert "model.skbnn" in str(error)
                n_refused += 1
            else:
                n_accepted += 1
                if found.n_features < 1000:
                    X = np.ones((3, found.n_features))
                    assert found.scores(X).shape == (3, len(found.classes))
    assert n_refused > 20 * n_accepted > 0


def with_scalars_as_arrays(data):
    """Files in which one number of a list is an array without dimensions instead."""
    header, metadata, body = unpack(data)

    def lists_in(part):
        for item in part.values() if isinstance(part, dict) else part:
            if isinstance(item, list | dict):
                yield from lists_in(item)
            if isinstance(item, list) and item and all(type(i) is int for i in item):
                yield item

    for numbers in lists_in(metadata["operations"]):
        for k, number in enumerate(numbers):
            dtype = "U8" if 0 <= number < 256 else "I64"
            width = 1 if dtype == "U8" else 8
            numbers[k] = {"array": "scalar"}
            place = {"dtype": dtype, "shape": [], "data_offsets": [len(body), len(body) + width]}
            scalar = number.to_bytes(width, "little", signed=dtype == "I64")
            yield pack({**header, "scalar": place}, metadata, body + scalar)
            numbers[k] = number


@pytest.mark.parametrize("kind", ["planes", "windows", "windows-stream"])
def test_an_array_is_no_number(make_model, refuse, kind):
    """Arrays of narrow integers wrap around, and what is too large would look small enough."""
    files = list(with_scalars_as_arrays(to_bytes(make_model(kind)[0])))
    assert files
    for data in files:
        refuse(data, "holds a wrong type|a list holds|has dtype|is no|cannot")


@pytest.mark.slow
def test_mutated_files():
    """Some of the files that ``fuzz_format.py`` makes; run it by itself for many."""
    script = Path(__file__).parent / "fuzz_format.py"
    home = str(Path(sys.modules["skbnn"].__file__).parents[1])
    result = subprocess.run(
        [sys.executable, str(script), "--files", "2000", "--seed", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": home},
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
