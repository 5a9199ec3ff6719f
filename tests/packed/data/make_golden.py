"""Write the golden files of a format version: ``python tests/packed/data/make_golden.py``.

Run for each format version, from a version of the package that writes it, and for each new kind of
operation. The files stay forever; they are never written anew, and this script leaves them alone.
"""

from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from zlib import crc32

import numpy as np

from skbnn import packed
from skbnn.bits import pack_bits
from skbnn.packed.format import FORMAT_VERSION

N_FEATURES, N_ROWS = 6, 12


def signs(rng, n_units, n_bits):
    """Return a random matrix of plain signs."""
    return packed.BitMatrix(pack_bits(rng.random((1, n_units, n_bits)) < 0.5), n_bits)


def scores(rng, code, n_classes):
    """Return an output layer."""
    output = packed.ClassScores(
        rng.integers(1, 9, n_classes).astype(np.int32),
        rng.integers(-9, 9, n_classes).astype(np.int32),
    )
    return packed.BinaryLinear(signs(rng, n_classes, code.n_bits), code, output)


def hidden(rng, weights, code, reach, dtype):
    """Return a hidden layer."""
    thresholds = rng.integers(-reach, reach, weights.n_units).astype(dtype)
    return packed.BinaryLinear(weights, code, packed.SignThreshold(thresholds))


def thermometer(rng):
    """Return thermometer bits of five features; one is constant."""
    counts = np.array([3, 1, 0, 2, 1, 3], np.uint8)
    planes = np.sort(rng.normal(size=(3, N_FEATURES)), axis=0).astype(np.float32)
    return packed.Thermometer(counts, planes[np.arange(3)[:, None] < counts])


def bits(rng):
    """Return a network of bits."""
    first = thermometer(rng)
    middle = hidden(rng, signs(rng, 70, 10), first.gives, 4, np.int16)
    return (first, middle, scores(rng, middle.gives, 3)), np.array(["a", "b", "ü"]), 0.25


def planes(rng):
    """Return eight planes of pixels times weights of two planes with offsets."""
    first = packed.BitPlanes(np.array([0, 2, 5], np.int32), N_FEATURES)
    weights = packed.BitMatrix(
        pack_bits(rng.random((2, 9, 3)) < 0.5),
        3,
        rng.integers(1, 5, (2, 9)).astype(np.int32),
        rng.integers(-4, 5, 9).astype(np.int32),
    )
    middle = hidden(rng, weights, first.gives, 1500, np.int32)
    return (first, middle, scores(rng, middle.gives, 2)), np.array([False, True]), 1.0


def real(rng):
    """Return standardised reals, weights of one bit and real weights."""

    def normal(*shape):
        return rng.standard_normal(shape, np.float32)

    first = packed.Standardize(
        np.array([0, 1, 3, 4, 5], np.int32), normal(5), np.abs(normal(5)), N_FEATURES
    )
    middle = packed.MixedLinear(signs(rng, 7, 5), normal(7), normal(7), True, False)
    last = packed.RealLinear(normal(3, 7), normal(3), False, True)
    return (first, middle, last), np.array([0.5, 1.5, 2.5]), 1.0


def codewords(rng):
    """Return a nearest-codeword classifier."""
    first = thermometer(rng)
    owners = np.array([2, 0, 2, 1], np.int32)
    labels = np.array(["x", "y", "z"], object)
    return (first, packed.NearestCodeword(signs(rng, 4, 10), owners, 3)), labels, None


def centroids(rng):
    """Return a nearest-centroid classifier."""
    values = rng.standard_normal((4, N_FEATURES), np.float32)
    operation = packed.NearestCentroid(values, np.array([2, 0, 2, 0], np.int32), 3)
    return (operation,), np.array([-1, 5, 9], np.int16), None


def small_models():
    """Yield name, operations, classes and scale of the models that the tests build."""
    path = str(Path(__file__).parent.parent / "conftest.py")
    loader = SourceFileLoader("small_models", path)
    small = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(small)
    for name, (build, classes, scale) in small.BUILDERS.items():
        operations = build(np.random.default_rng([2, crc32(name.encode())]))
        yield name, (operations, np.array(classes), scale)
    for name in ("threshold", "row-max"):
        rng = np.random.default_rng([2, crc32(name.encode())])
        first, tokens, into, middle, *rest = small.build_attention(rng)
        rule = small.rule_of(rng, name, 2, 4)
        branch = tuple(
            replace(part, rule=rule) if isinstance(part, packed.Attention) else part
            for part in middle.branch
        )
        operations = (first, tokens, into, replace(middle, branch=branch), *rest)
        yield f"attention-{name}", (operations, np.arange(3), 1.0)


def main():
    """Write each model that has no file yet, rows for it and what it makes of them."""
    folder = Path(__file__).parent
    own = (bits, planes, real, codewords, centroids)
    models = [(build.__name__, build(np.random.default_rng(i))) for i, build in enumerate(own)]
    # The tests' network of dense layers, for two classes or three, has a file by another name.
    known = {"mlp", "two-classes", *(name for name, _ in models)}
    models += [(name, parts) for name, parts in small_models() if name not in known]
    for seed, (name, parts) in enumerate(models):
        model = packed.PackedModel(*parts, backend="numpy")
        rng = np.random.default_rng([3, seed])
        X = rng.normal(size=(N_ROWS, model.n_features))
        if isinstance(model.operations[0], packed.BitPlanes | packed.ImagePlanes):
            X = rng.integers(0, 256, X.shape, np.uint8)
        path = folder / f"golden-v{FORMAT_VERSION}-{name}.skbnn"
        if path.exists():
            print(f"{path.name} exists and stays as it is")
            continue
        model.save(path)
        # Labels as strings or numbers: an array of objects could not be stored without pickle.
        labels = np.array(model.predict(X).tolist())
        np.savez(path.with_suffix(".npz"), X=X, scores=model.scores(X), labels=labels)
        print(f"{path.name} written")


if __name__ == "__main__":
    main()
