"""Answers a scrape: the figures of a registry and of the process, as text."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from .collector import MetricsCollector


class Scrape(Collector):
    """The figures of a registry and of its process, in no registry of `prometheus_client`'s.

    They are collected in a thread of its own: the loop does not wait for ``/proc``, and agents that have
    taken all threads of the loop's executor do not keep the figures from being seen.
    """

    #: The text format that every scraper reads.
    content_type: ClassVar = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, figures: MetricsCollector) -> None:
        self._figures = figures
        self._process = ProcessCollector(registry=None)
        self._executor = ThreadPoolExecutor(1, "turnkeeper metrics")

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        yield from self._figures.collect()
        yield from self._process.collect()

    async def text(self) -> bytes:
        """All of them, as text. Cancelling it is harmless."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, generate_latest, self)

    def close(self) -> None:
        """Let the thread end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
