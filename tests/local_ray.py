"""A real Ray on this machine with two workers of one thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest


@contextmanager
def two_workers(module: ModuleType) -> Iterator[None]:
    """Start the workers; classes and functions of a test module go to them by value, since they cannot import it."""
    ray = pytest.importorskip("ray", reason="needs zerolabel-vision[ray]")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.cloudpickle.register_pickle_by_value(module)
    yield
    ray.cloudpickle.unregister_pickle_by_value(module)
    ray.shutdown()
