"""MNIST and Fashion-MNIST as arrays of bytes.

Both data sets are 70,000 grey images of 28 x 28 pixels in ten classes, published as four files in
the IDX format. They are looked for in scikit-learn's data home and downloaded when they are not
there.
"""

import gzip
import os
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

_N_ROWS = {"train": 60_000, "t10k": 10_000}
_IMAGE_SHAPE = (28, 28)
_N_CLASSES = 10

_MNIST_DESCR = """\
MNIST: handwritten digits

70,000 grey images of 28 x 28 pixels (0 is paper, 255 is ink) of the digits 0 to 9, size-normalised
and centred. The first 60,000 rows are the training set, the other 10,000 the test set; the two
were written by different people.

Y. LeCun, L. Bottou, Y. Bengio and P. Haffner. Gradient-based learning applied to document
recognition. Proceedings of the IEEE 86(11), 2278-2324, 1998.
"""

_FASHION_MNIST_DESCR = """\
Fashion-MNIST: articles of clothing

70,000 grey images of 28 x 28 pixels (0 is background) of ten kinds of clothing, shoes and bags, in
the form of MNIST and harder. The first 60,000 rows are the training set, the other 10,000 the test
set.

H. Xiao, K. Rasul and R. Vollgraf. Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms. arXiv:1708.07747, 2017.
"""

_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fetch_mnist(*, data_home=None, download_if_missing=True, return_X_y=False):
    """Load MNIST, the handwritten digits (classification).

    =================   ==============
    Classes                         10
    Samples total               70,000
    Training samples            60,000
    Dimensionality                 784
    Features             uint8, 0..255
    =================   ==============

    The four IDX files (``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
    ``t10k-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte``, plain or ``.gz``) are read from the
    folder ``mnist`` of the data home. Where that folder holds none of them, the data set is
    downloaded from OpenML and stored there in the same form.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder of all data sets. By default the one of scikit-learn: the environment variable
        ``SCIKIT_LEARN_DATA``, else ``~/scikit_learn_data``.
    download_if_missing : bool, default=True
        If False, raise an :class:`OSError` instead of downloading.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : ndarray of shape (70000, 784), dtype uint8
            One image a row, pixels in row-major order. The first 60,000 rows are the training set.
        target : ndarray of shape (70000,), dtype int64
            The digit of each image.
        images : ndarray of shape (70000, 28, 28), dtype uint8
            The same memory as `data`, as images.
        image_shape : tuple
            ``(28, 28)``, as the estimators take it.
        target_names : ndarray of shape (10,)
            The name of each class.
        train, test : slice
            The rows of the standard split: ``data[train]`` and ``data[test]``.
        DESCR : str
            Description of the data set.

    (data, target) : tuple of ndarray, if ``return_X_y=True``
        The same two arrays.

    Raises
    ------
    OSError
        If the files are not there and cannot or must not be downloaded.
    ValueError
        If a file is damaged or is not the file that its name promises.

    Examples
    --------
    >>> from skbnn.datasets import fetch_mnist
    >>> mnist = fetch_mnist()  # doctest: +SKIP
    >>> X_train, y_train = mnist.data[mnist.train], mnist.target[mnist.train]  # doctest: +SKIP
    >>> X_test, y_test = mnist.data[mnist.test], mnist.target[mnist.test]  # doctest: +SKIP
    """
    return _fetch(
        "mnist",
        openml_name="mnist_784",
        target_names=np.array([str(digit) for digit in range(_N_CLASSES)]),
        descr=_MNIST_DESCR,
        data_home=data_home,
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
    )


def fetch_fashion_mnist(*, data_home=None, download_if_missing=True, return_X_y=False):
    """Load Fashion-MNIST, articles of clothing (classification).

    =================   ==============
    Classes                         10
    Samples total               70,000
    Training samples            60,000
    Dimensionality                 784
    Features             uint8, 0..255
    =================   ==============

    The four IDX files, named as those of MNIST, are read from the folder ``fashion-mnist`` of the
    data home. Where that folder holds none of them, the data set is downloaded from OpenML and
    stored there in the same form.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder of all data sets. By default the one of scikit-learn: the environment variable
        ``SCIKIT_LEARN_DATA``, else ``~/scikit_learn_data``.
    download_if_missing : bool, default=True
        If False, raise an :class:`OSError` instead of downloading.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes of :func:`fetch_mnist`; `target_names` are the ten kinds of clothing.

    (data, target) : tuple of ndarray, if ``return_X_y=True``
        The same two arrays.

    Raises
    ------
    OSError
        If the files are not there and cannot or must not be downloaded.
    ValueError
        If a file is damaged or is not the file that its name promises.

    Examples
    --------
    >>> from skbnn.datasets import fetch_fashion_mnist
    >>> X, y = fetch_fashion_mnist(return_X_y=True)  # doctest: +SKIP
    """
    return _fetch(
        "fashion-mnist",
        openml_name="Fashion-MNIST",
        target_names=np.array(_CLOTHES),
        descr=_FASHION_MNIST_DESCR,
        data_home=data_home,
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
    )


def _fetch(
    folder_name, *, openml_name, target_names, descr, data_home, download_if_missing, return_X_y
):
    """Read the IDX files of a data set, downloading them first where there are none."""
    data_home = _data_home(data_home)
    folder = data_home / folder_name
    files = _find_files(folder)
    if files is not None:
        data, target = _read_files(files)
    elif download_if_missing:
        data, target = _download(openml_name, data_home, folder)
        _write_files(folder, data, target)
    else:
        raise OSError(
            f"{openml_name} is not below {folder} and download_if_missing is False. "
            + _how_to_get(folder)
        )
    if return_X_y:
        return data, target
    n_train = _N_ROWS["train"]
    return Bunch(
        data=data,
        target=target,
        images=data.reshape(-1, *_IMAGE_SHAPE),
        image_shape=_IMAGE_SHAPE,
        target_names=target_names,
        train=slice(0, n_train),
        test=slice(n_train, len(data)),
        DESCR=descr,
    )


def _data_home(data_home):
    """Scikit-learn's data home, without creating the folder."""
    if data_home is None:
        data_home = os.environ.get("SCIKIT_LEARN_DATA", os.path.join("~", "scikit_learn_data"))
    return Path(data_home).expanduser()


def _how_to_get(folder):
    """Tell what to do when the files are not there."""
    return (
        f"Put the four IDX files (train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        f"t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz) in {folder}, or set data_home or "
        f"the environment variable SCIKIT_LEARN_DATA to the folder that holds {folder.name}/, or "
        f"call again with a network connection and download_if_missing=True, the default."
    )


def _shape_of(split, kind):
    """Shape of the array in one of the four files."""
    return (_N_ROWS[split], *_IMAGE_SHAPE) if kind == "images" else (_N_ROWS[split],)


def _stem(split, kind, separator="-"):
    """Name of one of the four files, without ``.gz``."""
    return f"{split}-{kind}{separator}idx{len(_shape_of(split, kind))}-ubyte"


def _find_files(folder):
    """Paths by (split, kind); None where the folder holds none of the four files."""
    found, missing = {}, []
    for split in _N_ROWS:
        for kind in ("images", "labels"):
            candidates = (
                folder / (_stem(split, kind, separator) + suffix)
                for suffix in ("", ".gz")
                for separator in ("-", ".")
            )
            path = next((path for path in candidates if path.is_file()), None)
            if path is None:
                missing.append(_stem(split, kind))
            else:
                found[split, kind] = path
    if found and missing:
        raise FileNotFoundError(
            f"{folder} holds some of the four IDX files but not {', '.join(missing)} (plain or "
            f".gz). Add what is missing, or delete the others to download all four."
        )
    return found or None


def _read_files(files):
    """Read the four files into one array of rows and one of labels."""
    data = np.empty((sum(_N_ROWS.values()), *_IMAGE_SHAPE), dtype=np.uint8)
    target = np.empty(len(data), dtype=np.int64)
    start = 0
    for split, n_rows in _N_ROWS.items():
        stop = start + n_rows
        data[start:stop] = _read_idx(files[split, "images"], _shape_of(split, "images"))
        labels = _read_idx(files[split, "labels"], _shape_of(split, "labels"))
        if labels.max() >= _N_CLASSES:
            raise _damaged(
                files[split, "labels"], f"it holds the label {labels.max()}, beyond 0 to 9"
            )
        target[start:stop] = labels
        start = stop
    return data.reshape(len(data), -1), target


def _read_idx(path, shape):
    """Read an IDX file of bytes, which must hold an array of exactly this shape.

    An IDX file is two zero bytes, a type code (8 for unsigned bytes), the number of dimensions,
    each dimension as a big-endian 32-bit integer, and then the array in row-major order.
    """
    header_size = 4 + 4 * len(shape)
    size = header_size + int(np.prod(shape))
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content = file.read(size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, f"it cannot be decompressed ({error})") from error
    if content[:2] != b"\0\0" or len(content) < 4:
        raise _damaged(path, "it does not begin as an IDX file")
    if content[2] != 8:
        raise _damaged(path, f"its type code is {content[2]:#04x}, not 0x08 (unsigned bytes)")
    if content[3] != len(shape):
        raise _damaged(path, f"its array has {content[3]} dimensions, not {len(shape)}")
    if len(content) < header_size:
        raise _damaged(path, "it ends within its header")
    found = tuple(np.frombuffer(content, dtype=">u4", count=len(shape), offset=4).tolist())
    if found != shape:
        raise _damaged(path, f"its array has the shape {found}, not {shape}")
    if len(content) < size:
        raise _damaged(path, f"it ends after {len(content)} of {size} bytes")
    if len(content) > size:
        raise _damaged(path, f"it goes on after the {size} bytes of its array")
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)


def _damaged(path, reason):
    """Build the error that refuses a file."""
    return ValueError(
        f"{path} is damaged or not the expected file: {reason}. Replace it with an intact copy, "
        f"or delete the four IDX files beside it so that they are downloaded again."
    )


def _download(openml_name, data_home, folder):
    """Download a data set from OpenML, or take it from scikit-learn's cache."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A network error occurred")
            bunch = fetch_openml(
                openml_name,
                version=1,
                data_home=data_home,
                # The default parser fails with pandas 3.
                parser="liac-arff",
                as_frame=False,
            )
    except OSError as error:
        raise OSError(
            f"{openml_name} is not below {folder} and could not be downloaded ({error}). "
            + _how_to_get(folder)
        ) from None
    data = np.ascontiguousarray(bunch.data, dtype=np.uint8)
    target = bunch.target.astype(np.int64)
    n_rows, n_features = sum(_N_ROWS.values()), int(np.prod(_IMAGE_SHAPE))
    if (
        data.shape != (n_rows, n_features)
        or target.shape != (n_rows,)
        or not np.array_equal(data, bunch.data)
        or target.min() < 0
        or target.max() >= _N_CLASSES
    ):
        raise ValueError(
            f"What OpenML returned as {openml_name} is not {n_rows} rows of {n_features} bytes "
            f"with labels 0 to 9. Delete {data_home / 'openml'} to download it again."
        )
    return data, target


def _write_files(folder, data, target):
    """Store a data set as four IDX files: all of them, or none where one cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        start = 0
        for split, n_rows in _N_ROWS.items():
            rows = slice(start, start + n_rows)
            for kind, array in (("images", data[rows]), ("labels", target[rows])):
                _write_idx(Path(scratch, _stem(split, kind) + ".gz"), array, _shape_of(split, kind))
            start += n_rows
        for path in Path(scratch).iterdir():
            path.replace(folder / path.name)


def _write_idx(path, array, shape):
    """Write an array of bytes as a compressed IDX file."""
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, dtype=">u4").tobytes()
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(header + array.astype(np.uint8).tobytes())
