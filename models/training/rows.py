"""From documents to batches of rows: stories end to end, or whole conversations side by side.

A target is the id that follows, or IGNORED if the model is not to learn it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinyllm.models.training.vocabulary import Document

Ids = NDArray[np.int64]

IGNORED = -100
"""What torch's cross entropy leaves out."""
OPEN_ROWS = 64
"""Rows that are tried for a conversation before a new one is begun."""
STEP = 32
"""Rows are a multiple of this many tokens long."""


class Batch(NamedTuple):
    """inputs, targets: int64 (rows, length). documents: which conversation of its row a token belongs to, int64 (rows,
    length), or None if rows are cut from one long text and each token sees all before it.
    """

    inputs: Ids
    targets: Ids
    documents: Ids | None = None

    def reshaped(self, length: int) -> Batch:
        """Rows of another length; only of text that may be cut anywhere."""
        return Batch(self.inputs.reshape(-1, length), self.targets.reshape(-1, length))


def stretches(documents: Sequence[Document], seed: int, tokens: int) -> Iterator[Batch]:
    """Endless rows (1, tokens) of stories end to end, every epoch in a new order.

    The last target of a row is the first input of the next, so that each token is once an input and once a target.
    """
    rng = np.random.default_rng(seed)
    pending: Ids = np.zeros(0, np.int64)
    while True:
        for index in rng.permutation(len(documents)):
            pending = np.concatenate((pending, documents[index].ids))
            while len(pending) > tokens:
                yield Batch(pending[None, :tokens], pending[None, 1 : tokens + 1])
                pending = pending[tokens:]


def row_length(documents: Sequence[Document], context: int) -> int:
    """Of packed rows: a quarter of the context or more, so that the longest document fits."""
    longest = max(len(document.ids) for document in documents) - 1
    return min(context, max(-(-longest // STEP) * STEP, context // 4))


def packed(documents: Sequence[Document], seed: int, tokens: int, length: int) -> Iterator[Batch]:
    """Endless batches of about `tokens` tokens in rows of `length`, every epoch in a new order.

    A row holds whole documents, the first that fit; what is left over is filled with tokens that nobody learns. An
    epoch's last batch may have fewer rows.
    """
    rng = np.random.default_rng(seed)
    count = max(1, tokens // length)
    while True:
        rows = _pack([documents[index] for index in rng.permutation(len(documents))], length)
        order = rng.permutation(len(rows))
        for start in range(0, len(rows), count):
            yield _batch([rows[index] for index in order[start : start + count]], length)


def _pack(documents: Sequence[Document], length: int) -> list[list[Document]]:
    """The documents in rows, each into the first of the last OPEN_ROWS rows with room for it."""
    rows: list[list[Document]] = []
    room: list[int] = []
    for document in documents:
        needed = len(document.ids) - 1
        start = max(0, len(rows) - OPEN_ROWS)
        place = next((index for index in range(start, len(rows)) if room[index] >= needed), None)
        if place is None:
            place = len(rows)
            rows.append([])
            room.append(length)
        rows[place].append(document)
        room[place] -= needed
    return rows


def _batch(rows: Sequence[Sequence[Document]], length: int) -> Batch:
    shape = (len(rows), length)
    inputs, targets, numbers = np.zeros(shape, np.int64), np.full(shape, IGNORED), np.zeros(shape, np.int64)
    for row, documents in enumerate(rows):
        end = 0
        for number, (ids, learned) in enumerate(documents, 1):
            place = slice(end, end := end + len(ids) - 1)
            inputs[row, place], numbers[row, place] = ids[:-1], number
            targets[row, place] = np.where(learned[1:], ids[1:], IGNORED)
    return Batch(inputs, targets, numbers)
