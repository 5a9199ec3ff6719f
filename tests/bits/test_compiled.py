"""What the compiler makes of the kernels: bounds, other processors, vector instructions."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import skbnn
from skbnn.bits import backend, interleave, pack_bits, threshold_layout

ROOT = Path(skbnn.__file__).parent.parent
NO_AVX512 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+popcnt,+sse4.2",
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"NUMBA_BOUNDSCHECK": "1"}, id="bounds-checked"),
        pytest.param(NO_AVX512, id="haswell"),
    ],
)
@pytest.mark.slow
def test_kernels_compiled_with_other_settings(settings, tmp_path):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", here]
    environment = {**os.environ, **settings, "NUMBA_CACHE_DIR": str(tmp_path)}
    left_out = ("bool", "float64", "int64", "float32-uint8", "uint8-float32")
    chosen = " and not ".join(["numba and compact", *left_out])
    result = subprocess.run(
        [*command, "-k", chosen],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    assert re.search(r"\d\d passed", result.stdout)


@pytest.mark.parametrize(
    ("kernel", "lanes", "expected"),
    [
        ("compare_words", 32, {"vpopcntq": 16, "vpxorq": 16}),
        # Of two words: two exclusive ors and one look-up, whose ones are counted.
        ("compare_parities", 16, {"vpopcntq": 16, "vpxorq": 16, "vpternlogq": 8}),
    ],
)
def test_products_count_ones_in_whole_vectors(kernel, lanes, expected):
    llvm = pytest.importorskip("llvmlite.binding")
    numba = pytest.importorskip("numba")
    from skbnn.bits import _products

    if not llvm.get_host_cpu_features().get("avx512vpopcntdq"):
        pytest.skip("this processor has no AVX-512 VPOPCNTDQ")
    kernel = numba.njit(getattr(_products, kernel).py_func)
    words = np.zeros((64, 2), np.uint64)
    kernel(words, interleave(words, lanes), np.zeros(64, np.int64), np.zeros((64, 1), np.uint64))
    (assembly,) = kernel.inspect_asm().values()
    for instruction, count in expected.items():
        assert len(re.findall(rf"{instruction}\s+.*%zmm", assembly)) >= count


@pytest.mark.parametrize(("name", "n_vectors"), [("_store_bits", 4), ("_store_bits_of_pairs", 2)])
def test_products_count_bytes_on_arm(monkeypatch, name, n_vectors):
    """Compile a tile for a 64-bit Arm processor; it is read, not run."""
    llvm, numba = pytest.importorskip("llvmlite.binding"), pytest.importorskip("numba")
    from skbnn.bits import _pairs, _products, _tile

    for module in (_tile, _pairs):
        monkeypatch.setattr(module, "counts_words", lambda context: False)
    store = getattr(_products, name)

    @numba.njit(_nrt=False)
    def tile(rows, units, limits, out):
        width = rows.shape[1]
        store(n_vectors, rows, (width, 1, 0, width), 0, 64, units, 0, limits, out)

    words = np.zeros((64, 2), np.uint64)
    units = interleave(words, 8 * n_vectors)
    tile(words, units, np.zeros(64, np.int64), np.zeros((64, 1), np.uint64))
    (source,) = tile.inspect_llvm().values()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(
        cpu="neoverse-n1", opt=3
    )
    source = re.sub("target triple = .*", f'target triple = "{machine.triple}"', source)
    layout = f'target datalayout = "{machine.target_data}"'
    source = re.sub("target datalayout = .*", layout, source)
    source = re.sub('"target-(cpu|features)"="[^"]*"', "", source)
    assembly = machine.emit_assembly(llvm.parse_assembly(source))
    n_registers = 4 * n_vectors
    assert len(re.findall(r"cnt\s+v\d+\.16b", assembly)) >= n_registers
    # Bytes are added as bytes, not widened one by one.
    assert len(re.findall(r"add\s+v\d+\.16b", assembly)) >= n_registers
    carries = list(re.finditer(r"\s(bsl|bif|bit)\s", assembly))
    if name == "_store_bits":
        assert "uaddlp" not in assembly
    else:
        # A carry is one instruction; what is widened is behind the last of them.
        assert len(carries) >= n_registers
        assert "uaddlp" not in assembly[: carries[-1].end()]


def test_writable_inputs(random_bits, guarded):
    kernels, reference = backend("numba"), backend("numpy")
    rows, units = pack_bits(random_bits(9, 70)), interleave(pack_bits(random_bits(64, 70)), 32)
    limits = np.full(64, 34)
    layout = threshold_layout(np.ones(70, np.uint8), np.linspace(0, 1, 70, dtype=np.float32))
    X = np.linspace(0, 1, 630, dtype=np.float32).reshape(9, 70)
    for name, inputs, width in [
        ("compare_mismatches", (rows, units, limits), 1),
        ("encode_thresholds", (X, *layout), 2),
    ]:
        found, expected = (guarded((9, width), np.uint64) for _ in range(2))
        getattr(kernels, name)(*inputs, found)
        getattr(reference, name)(*inputs, expected)
        np.testing.assert_array_equal(found, expected)


def test_arrays_that_are_not_contiguous_are_refused():
    errors = pytest.importorskip("numba.core.errors")
    words, out = np.zeros((8, 4), np.uint64), np.zeros((8, 32), np.int32)
    with pytest.raises(errors.TypingError, match="C-contiguous"):
        backend("numba").count_mismatches(words[:, ::2], np.zeros((1, 2, 32), np.uint64), out)


def test_kernels_run_side_by_side(random_bits):
    """Threads may share one set of units, each with its own rows and result."""
    kernels = backend("numba")
    rows, units = pack_bits(random_bits(512, 784)), interleave(pack_bits(random_bits(256, 784)), 32)
    expected = np.empty((512, 256), np.int32)
    kernels.count_mismatches(rows, units, expected)
    out = np.empty_like(expected)
    threads = [
        threading.Thread(target=kernels.count_mismatches, args=(rows[i::4].copy(), units, part))
        for i, part in enumerate(np.split(out, 4))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(np.concatenate([expected[i::4] for i in range(4)]), out)
