"""A lake of drawings that are described already: TensorFlow computes their embeddings once for all tests here."""

import os
import shutil

import pytest

from include.lake.local import LocalStore
from tests.pictures import describe_photos, fill_base

PER_SOURCE = 40


@pytest.fixture(scope="package")
def described(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A lake with drawings, their facts and their embeddings."""
    store = LocalStore(tmp_path_factory.mktemp("described"))
    fill_base(store, per_source=PER_SOURCE)
    describe_photos(store, "before", tmp_path_factory.mktemp("cache"))
    return store


@pytest.fixture
def base_lake(described: LocalStore, lake: LocalStore) -> LocalStore:
    """A copy of that lake for one test; stores never change a file in place, so links will do."""
    shutil.copytree(described.root, lake.root, copy_function=os.link)
    return lake
