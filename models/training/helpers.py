"""Processes that compute gradients of some rows of each batch, each on a core of its own.

They read the weights where the training keeps them, in shared memory, and answer with gradients there. The sum is in
the same order each time. A second thread of torch gains nothing at this size, for its operations are too small.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from torch import Tensor, multiprocessing

from tinyllm.errors import Failure
from tinyllm.models.training.learner import Learner, Rows
from tinyllm.models.training.network import Weights
from tinyllm.models.training.rounding import Rounding


class Task(NamedTuple):
    """rows: to learn from. whole: the targets of the whole batch. seed: of the dropout."""

    rows: Rows
    whole: Tensor
    rounding: Rounding
    seed: int


class Helpers:
    """Some processes with a learner, whose weights are in shared memory. They start with the first task."""

    def __init__(self, learner: Learner, count: int) -> None:
        self._learner, self._count, self._busy = learner, count, 0
        self.processes: list[multiprocessing.Process] = []
        self._pipes: list[Connection] = []
        self._gradients: list[Weights] = []

    def begin(self, tasks: Sequence[Task]) -> None:
        """Give each task to a process; there are no more tasks than processes. Failure if a process has ended."""
        while len(self._pipes) < self._count:
            self._start()
        with _alive():
            for pipe, task in zip(self._pipes, tasks, strict=False):
                pipe.send(task)
        self._busy = len(tasks)

    def finish(self) -> float:
        """Wait for the gradients of all tasks and add them to those of the weights. Returns the sum of the losses.

        Raises Failure if a process has ended.
        """
        loss = 0.0
        for pipe, gradients in zip(self._pipes[: self._busy], self._gradients, strict=False):
            with _alive():
                loss += pipe.recv()
            for name, weight in self._learner.weights.items():
                weight.grad = gradients[name].clone() if weight.grad is None else weight.grad + gradients[name]
        return loss

    def close(self) -> None:
        """End the processes. The next task starts others."""
        for pipe in self._pipes:
            pipe.close()  # a process ends when it cannot read
        for process in self.processes:
            process.join()
        self.processes, self._pipes, self._gradients = [], [], []

    def _start(self) -> None:
        gradients = {name: torch.zeros_like(weight).share_memory_() for name, weight in self._learner.weights.items()}
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, ours, self._learner, gradients), daemon=True)
        with _ignored(), _without_the_folder():
            process.start()
        theirs.close()
        self.processes.append(process)
        self._pipes.append(ours)
        self._gradients.append(gradients)


@contextmanager
def _ignored() -> Iterator[None]:
    """A process that starts here ignores Ctrl-C: it is for the training, which stops after the step under way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _without_the_folder() -> Iterator[None]:
    """Python looks in the folder that a process starts in first, and a user's may hold a json.py. (From 3.11 on.)"""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def _alive() -> Iterator[None]:
    """Raise Failure if a pipe leads to no process."""
    try:
        yield
    except (EOFError, OSError):
        raise Failure(
            "a process of the training has ended, perhaps for lack of memory; the same command goes on from the last "
            "checkpoint, and --cores 1 needs less"
        ) from None


def _serve(pipe: Connection, other: Connection, learner: Learner, gradients: Weights) -> None:
    """Answer tasks until nobody gives one. other: the end of the pipe that is not ours."""
    other.close()
    torch.set_num_threads(1)
    while True:
        try:
            task: Task = pipe.recv()
        except (EOFError, OSError):
            return
        torch.manual_seed(task.seed)
        loss = learner.loss(task.rows, task.rounding, task.whole)
        loss.backward()
        for name, weight in learner.weights.items():
            gradients[name].copy_(torch.zeros(()) if weight.grad is None else weight.grad)
            weight.grad = None
        pipe.send(loss.item())
