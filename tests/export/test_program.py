"""Memory that is shared only by what does not live at the same time, and tables as C text."""

import numpy as np
import pytest

from skbnn.bits import pack_bits
from skbnn.export.emit import emit, lower
from skbnn.export.program import Memory, Program, memory_of, n_words32, numbers_text, words32
from skbnn.packed import BitCode, Reals


def test_buffers_that_live_at_once_do_not_overlap():
    rng = np.random.default_rng(0)
    for _ in range(30):
        program = Program()
        for c_type in ("uint32_t", "@number") * 8:
            buffer = program.buffer(Memory(c_type, int(rng.integers(1, 50))))
            buffer.first, buffer.last = np.sort(rng.integers(0, 12, 2)).tolist()
        sizes, places = program.layout()
        assert len(places) == 16
        for buffer, place in places:
            assert 0 <= place <= sizes[buffer.memory.c_type] - buffer.memory.size
            for other, start in places:
                alive = other.first <= buffer.last and buffer.first <= other.last
                if other is not buffer and alive and other.memory.c_type == buffer.memory.c_type:
                    assert place + buffer.memory.size <= start or start + other.memory.size <= place


def test_neighbours_take_turns():
    """A chain of layers needs room for its largest pair of neighbours, not for all results."""
    program, buffers = Program(), []
    for size in (10, 30, 20, 5, 25):
        buffers.append(program.buffer(Memory("uint32_t", size)))
        program.step("", *buffers[-2:])
    assert program.layout()[0] == {"uint32_t": 50}


def test_held_buffers_are_not_changed():
    program = Program()
    buffer = program.buffer(Memory("@number", 3))
    assert program.own(buffer) is buffer
    with program.holding(buffer):
        assert program.own(buffer) is not buffer
    assert program.own(buffer) is buffer


@pytest.mark.parametrize(
    ("values", "c_type", "text"),
    [
        ([0, 255], "uint8_t", "0u, 255u"),
        ([-128, 127], "int8_t", "(-127 - 1), 127"),
        ([0, 65535], "uint16_t", "0u, 65535u"),
        ([-1, 128], "int16_t", "-1, 128"),
        ([-(2**31), 1], "int32_t", "(-2147483647 - 1), 1"),
        ([2**31, -1], "int64_t", "2147483648, -1"),
        ([], "uint8_t", "0u"),
    ],
)
def test_tables_are_narrow(values, c_type, text):
    program = Program()
    table = program.table("@0_x", np.array(values, np.int64))
    assert table.c_type == c_type
    assert text in program.texts[0]
    assert f"({c_type})@@READ" in table.read("i")


def test_floats_come_back():
    floats = np.random.default_rng(0).standard_normal(500, np.float32) ** 9
    floats[:3] = 3, -0.0, 1e-40
    texts = numbers_text(floats).replace("\n", " ").split(",")
    assert all(text.strip().endswith("f") for text in texts)
    back = np.array([float(text.strip()[:-1]) for text in texts], np.float32)
    np.testing.assert_array_equal(back.view(np.uint32), floats.view(np.uint32))


@pytest.mark.parametrize("n_bits", [0, 1, 31, 32, 33, 64, 65, 100])
def test_words(n_bits):
    bits = np.random.default_rng(n_bits).random((3, n_bits)) < 0.5
    words = words32(pack_bits(bits), n_bits)
    assert words.dtype == np.uint32
    assert words.shape == (3, n_words32(n_bits))
    places = np.arange(n_bits)
    np.testing.assert_array_equal(words[:, places // 32] >> (places % 32) & 1, bits)


def test_what_has_no_emitter_says_so():
    for function in (emit, lower):
        with pytest.raises(TypeError, match="no C emitter for object"):
            function(object(), Program(), None)
    with pytest.raises(TypeError, match="Reals has no form in C"):
        memory_of(Reals(3))
    assert memory_of(BitCode(33, (1, 2), 3)) == Memory("uint32_t", 4, 2)
