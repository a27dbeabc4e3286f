"""Measurements spread over processes of one thread each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from threading import Thread

import torch

from litecompress.errors import InputError
from litecompress.scan.probe import Probe, Prober, Row, Subject

_prober: Prober | None = None  # of this worker


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for each operation: so results do not depend on how many processors there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measured(prober: Prober, probes: Mapping[str, Probe], jobs: int) -> Iterator[tuple[str, Row]]:
    """The row of each probe by its key, as they are done; here where one process is enough."""
    jobs = min(jobs, len(probes))
    if jobs < 2:
        for key, probe in probes.items():
            yield key, probe.run(prober)
    else:
        yield from _in_workers(prober.subject, probes, jobs)


def _in_workers(
    subject: Subject, probes: Mapping[str, Probe], jobs: int
) -> Iterator[tuple[str, Row]]:
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start, (subject,))
    try:
        keys = {pool.submit(_run, probe): key for key, probe in probes.items()}
        for done in as_completed(keys):
            yield keys[done], done.result()
    except BrokenProcessPool as error:
        raise InputError(
            "expected the workers to live, got one that ended, perhaps for lack of memory; "
            "the same command goes on where this one stopped: try fewer --jobs"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(subject: Subject) -> None:
    """Make a worker ready; it ends with its parent, and leaves Ctrl-C to it."""
    global _prober  # noqa: PLW0603
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _prober = Prober(subject)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _run(probe: Probe) -> Row:
    assert _prober is not None
    return probe.run(_prober)
