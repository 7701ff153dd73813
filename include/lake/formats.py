"""JSON and Parquet objects of a store."""

import hashlib
import io
import json
from typing import Any

import pandas as pd

from include.lake.base import ObjectStore


def write_json(store: ObjectStore, key: str, value: Any) -> str:
    """Store ``value`` as JSON; returns ``key``."""
    store.write(key, to_json(value))
    return key


def read_json(store: ObjectStore, key: str) -> Any:
    """Parse the JSON stored under ``key``. Raises ObjectNotFound."""
    return json.loads(store.read(key))


def to_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys: equal values give equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()


def json_sha256(value: Any) -> str:
    """The digest of a value by its JSON: what is kept carries that of what it was made from."""
    return hashlib.sha256(to_json(value)).hexdigest()


def write_table(store: ObjectStore, key: str, table: pd.DataFrame) -> str:
    """Store ``table`` as Parquet, without its index; returns ``key``."""
    store.write(key, to_parquet(table))
    return key


def read_table(store: ObjectStore, key: str) -> pd.DataFrame:
    """Read the Parquet table stored under ``key``. Raises ObjectNotFound."""
    return parse_table(store.read(key))


def parse_table(body: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(body))


def to_parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
