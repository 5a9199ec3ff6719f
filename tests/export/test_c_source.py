"""Exported C gives the scores of the packed program, with every compiler and on every machine."""

import re
import subprocess

import numpy as np
import pytest

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
)
from skbnn.export import CompiledModel, to_c, to_c_files
from skbnn.packed import PackedModel

WARNINGS = (
    "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wdouble-promotion -Wundef "
    "-Werror"
).split()
C99, CPP = ["-std=c99", *WARNINGS], ["-x", "c++", "-std=c++17", *WARNINGS]
SANITIZED = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def test_scores_equal_python(sources, compile_c, run_c):
    assert run_c(compile_c(sources, ["gcc", "-O1", *C99])) == ""


def test_self_test_finds_a_wrong_bit(models, tmp_path, compile_c, run_c):
    model, X = models["mlp"]
    text = to_c(model, "mlp", test_rows=X)
    head, table, rest = re.split(r"(mlp_3_words\[\d+\] \w+ = \{\n +0x)", text)
    (tmp_path / "mlp.h").write_text(head + table + format(int(rest[0], 16) ^ 8, "x") + rest[1:])
    main = '#define MLP_SELF_TEST\n#include "mlp.h"\nint main(void) { return !mlp_self_test(); }\n'
    (tmp_path / "main.c").write_text(main)
    assert run_c(compile_c(tmp_path, ["gcc", *C99])) == ""


BUILDS = {
    "gcc-O0": ["gcc", "-O0", *C99],
    "gcc-O2": ["gcc", "-O2", *C99],
    "gcc-O3-native": ["gcc", "-O3", "-march=native", *C99],
    "gcc-Os": ["gcc", "-Os", *C99],
    "gcc-m-table": ["gcc", "-O2", "-DTABLE", *C99],
    "gcc-sanitized": ["gcc", "-O1", *SANITIZED, *C99],
    "g++": ["g++", "-O2", *CPP],
    "clang": ["clang", "-O2", *C99],
    "clang-sanitized": ["clang", "-O1", *SANITIZED, *C99],
    "clang++": ["clang++", "-O2", *CPP],
}


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS)
def test_every_compiler(sources, build, compile_c, run_c):
    assert run_c(compile_c(sources, BUILDS[build])) == ""


# By its ABI, C99 on s390x computes floats as doubles unless told otherwise.
BIG_ENDIAN = ["s390x-linux-gnu-gcc", "-O2", "-static", "-fexcess-precision=fast", *C99]
MACHINES = {
    "arm-O2": (["arm-linux-gnueabihf-gcc", "-O2", "-static", *C99], "qemu-arm"),
    "arm-Os-thumb": (["arm-linux-gnueabihf-gcc", "-Os", "-mthumb", "-static", *C99], "qemu-arm"),
    "big-endian": (BIG_ENDIAN, "qemu-s390x"),
}


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_other_machines(sources, machine, compile_c, run_c):
    command, emulator = MACHINES[machine]
    assert run_c(compile_c(sources, command), emulator) == ""


FAMILIES = {
    "logistic": BinaryLogisticRegression(max_iter=1, random_state=0),
    "mlp": BinaryMLPClassifier((256, 256), max_iter=1, random_state=0),
    "mlp-planes": BinaryMLPClassifier((256, 256), technique="lqnets", max_iter=1, random_state=0),
    "cnn": BinaryCNNClassifier(max_iter=1, random_state=0),
    "transformer": BinaryTransformerClassifier(max_iter=1, random_state=0),
}
SCORES = """\
#include <stdio.h>
#include "net.h"
int main(void)
{
    uint8_t image[NET_N_FEATURES];
    int32_t scores[NET_N_CLASSES];
    unsigned c;
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {
        printf("%ld", (long)net_predict(image));
        net_scores(image, scores);
        for (c = 0; c < NET_N_CLASSES; ++c) {
            printf(" %ld", (long)scores[c]);
        }
        putchar('\\n');
    }
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("build", [*BUILDS, *MACHINES])
@pytest.mark.parametrize("family", FAMILIES)
def test_all_test_images_of_mnist(mnist, tmp_path, family, build, compile_c, run_c):
    command, *emulator = MACHINES.get(build) or [BUILDS[build]]
    X, X_test = mnist.data[:2000], mnist.data[mnist.test]
    model = FAMILIES[family].fit(X, mnist.target[:2000]).packed_
    (tmp_path / "net.h").write_text(to_c(model, "net"))
    (tmp_path / "main.c").write_text(SCORES)
    printed = run_c(compile_c(tmp_path, command), *emulator, reads=X_test.tobytes())
    classes, *scores = np.array(printed.split(), int).reshape(len(X_test), -1).T
    np.testing.assert_array_equal(np.transpose(scores), model.scores(X_test))
    np.testing.assert_array_equal(model.classes[classes], model.predict(X_test))


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiler",
    [
        ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-Os", "-c"],
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-O2", "-c"],
        ["avr-gcc", "-mmcu=atmega2560", "-Os", "-c"],
    ],
    ids=["cortex-m0plus", "cortex-m4", "avr"],
)
def test_microcontrollers_compile(sources, compiler, compile_c):
    text = (sources / "main.c").read_text().replace("#include <stdio.h>\n", "")
    (sources / "main.c").write_text(re.sub(r"printf\(.*\);", "return 1;", text))
    assert compile_c(sources, [*compiler, *C99]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["BUILTIN", "TABLE", "SWAR"])
def test_popcounts(models, tmp_path, choice, compile_c, run_c):
    model, X = models["windows-stream"]
    (tmp_path / "net.h").write_text(to_c(model, "net", test_rows=X))
    main = '#define NET_SELF_TEST\n#include "net.h"\nint main(void) { return net_self_test(); }\n'
    (tmp_path / "main.c").write_text(main)
    assert run_c(compile_c(tmp_path, ["gcc", f"-DNET_POPCOUNT_{choice}", *C99])) == ""
    # Whatever the caller defines is what counts.
    define = ["gcc", "-DNET_POPCOUNT(x)=__builtin_popcount(x)", *C99]
    assert run_c(compile_c(tmp_path, define)) == ""


def test_two_files(models, tmp_path, compile_c, run_c):
    model, X = models["codewords"]
    header, source = to_c_files(model, "net", test_rows=X)
    assert "{" not in header.replace('extern "C" {', "")
    (tmp_path / "net.h").write_text(header)
    (tmp_path / "net.c").write_text(source)
    main = """\
    #include "net.h"
    int main(void)
    {
        float x[NET_N_FEATURES] = {0};
        return (int)net_self_test() + (net_predict(x) >= NET_N_CLASSES);
    }
    """
    (tmp_path / "main.c").write_text(main)
    command = ["gcc", "-DNET_SELF_TEST", *C99]
    assert run_c(compile_c(tmp_path, command, ["main.c", "net.c"])) == ""


def test_probabilities(models, tmp_path, compile_c, run_c):
    model, X = models["mlp"]
    (tmp_path / "net.h").write_text(to_c(model, "net", proba=True))
    rows = ", ".join(f"{x:.9g}f" if "." in f"{x:.9g}" else f"{x:.1f}f"
                     for x in X.astype(np.float32).ravel())  # fmt: skip
    (tmp_path / "main.c").write_text(f"""\
    #include <stdio.h>
    #include "net.h"
    static const float rows[] = {{{rows}}};
    int main(void)
    {{
        float out[NET_N_CLASSES];
        int i, j;
        for (i = 0; i < {len(X)}; ++i) {{
            net_proba(rows + i * NET_N_FEATURES, out);
            for (j = 0; j < NET_N_CLASSES; ++j) {{
                printf("%.9g ", (double)out[j]);
            }}
        }}
        return 0;
    }}
    """)
    printed = run_c(compile_c(tmp_path, ["gcc", "-O2", *C99]))
    found = np.array(printed.split(), float).reshape(len(X), -1)
    np.testing.assert_allclose(found, model.predict_proba(X), rtol=2e-5, atol=1e-30)


def test_no_float_is_computed_behind_bytes(models):
    model, _ = models["planes"]
    assert not re.search(r"\b(float|double)\b", to_c(model, "net"))
    assert "float" in to_c(model, "net", proba=True)


DEFINED = r"^#define (\w+)|^typedef \w+ (\w+);|^\} (\w+);|^static .*?(\w+)[\[(]"


def test_nothing_but_stdint_and_prefixed_names(models):
    for kind, (model, _) in models.items():
        text = to_c(model, "net")
        assert set(re.findall(r"#include <(.*)>", text)) == {"stdint.h", "avr/pgmspace.h"}, kind
        defined = ["".join(found) for found in re.findall(DEFINED, text, re.M)]
        assert {"NET_N_CLASSES", "net_index", "net_predict"} <= set(defined)
        assert [name for name in defined if not re.match("(?i:net_)", name)] == []
        assert not re.search(r"\b(malloc|free|memcpy|memset|printf)\b", text)


def test_models_of_reals_are_refused(real_models):
    assert len(real_models) >= 5
    for model in real_models:
        with pytest.raises(ValueError, match=r"real numbers.*technique='bnn'"):
            to_c(model, "net")


@pytest.mark.parametrize("name", ["", "9net", "_net", "net_", "a__b", "a-b", "ü", "a b", None, 3])
def test_bad_names(models, name):
    with pytest.raises(ValueError, match="no prefix of C names"):
        to_c(models["mlp"][0], name)


def test_an_estimator_is_no_model(models):
    for call in (to_c, CompiledModel):
        with pytest.raises(ValueError, match=r"Classifier is no packed model; pass estimator\.pac"):
            call(BinaryMLPClassifier(), *["net"][: call is to_c])


def test_no_probabilities(models):
    with pytest.raises(ValueError, match="proba=False"):
        to_c(models["codewords"][0], "net", proba=True)
    model, _ = models["mlp"]
    with pytest.raises(ValueError, match="scale is beyond float32"):
        to_c(PackedModel(model.operations, model.classes, 1e60), "net", proba=True)


def test_labels_cannot_become_code(models, tmp_path, compile_c, run_c):
    model, X = models["mlp"]
    labels = np.array(["*/ int x; /*", "a\\", "??/\n#error no"])
    (tmp_path / "net.h").write_text(to_c(PackedModel(model.operations, labels, 1.0), "net"))
    (tmp_path / "main.c").write_text('#include "net.h"\nint main(void) { return 0; }\n')
    assert run_c(compile_c(tmp_path, ["gcc", *C99])) == ""


def test_features_near_the_end_of_float32():
    X = np.array([[-3e38, 1.0], [3e38, 2.0], [1e20, 3.0], [-1e20, 0.0]])
    est = BinaryLogisticRegression(max_iter=1, random_state=0).fit(X, [0, 1, 0, 1])
    assert "float" in to_c(est.packed_, "net")


def test_rows_of_the_self_test_are_checked(models):
    model, X = models["planes"]
    with pytest.raises(ValueError, match="test_rows must hold a row at least"):
        to_c(model, "net", test_rows=X[:0])
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        to_c(model, "net", test_rows=X + 0.5)


@pytest.mark.slow
def test_sanitizers_are_active(tmp_path, compile_c):
    (tmp_path / "main.c").write_text(
        "int main(int n, char **_) { (void)_; return n << 31 << n; }\n"
    )
    program = compile_c(tmp_path, ["gcc", *SANITIZED, "-std=c99"])
    assert subprocess.run([program], capture_output=True).returncode != 0
