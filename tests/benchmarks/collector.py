"""Python's garbage collector: as `turnkeeper serve` sets it, and as Python does."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Asked when this is imported, before anything is calmed.
BY_DEFAULT = gc.get_threshold()


@contextmanager
def uncalmed() -> Iterator[None]:
    """As a host has it that does not calm the collector: it looks often, and at everything."""
    calmed = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(*BY_DEFAULT)
    try:
        yield
    finally:
        gc.set_threshold(*calmed)
        gc.freeze()
