"""Puts documents into batches of rows: stories end to end, or whole conversations one after the other.

A target is the id that follows an input, or IGNORED if the model must not learn it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinyllm.models.training.vocabulary import Document

Ids = NDArray[np.int64]

IGNORED = -100
"""The target that torch's cross entropy leaves out."""
OPEN_ROWS = 64
"""The number of rows in which a conversation may find room before a new row is begun."""
STEP = 32
"""The longest document's length is rounded up to a multiple of so many tokens."""


class Batch(NamedTuple):
    """inputs, targets: int64 (rows, length).

    documents: the number of each token's conversation in its row, int64 (rows, length). None if rows are cut from one
    long text and each token sees all tokens before it.
    """

    inputs: Ids
    targets: Ids
    documents: Ids | None = None

    def reshaped(self, length: int) -> Batch:
        """The batch in rows of another length. Only for text that may be cut anywhere."""
        return Batch(self.inputs.reshape(-1, length), self.targets.reshape(-1, length))


def stretches(documents: Sequence[Document], seed: int, tokens: int) -> Iterator[Batch]:
    """Endless rows (1, tokens) of stories end to end, every epoch in a new order.

    The last target of a row is the first input of the next. So each token is an input once and a target once.
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
    """The length of packed rows: the longest document fits, and it is at least a quarter of the context."""
    longest = max(len(document.ids) for document in documents) - 1
    return min(context, max(-(-longest // STEP) * STEP, context // 4))


def packed(documents: Sequence[Document], seed: int, tokens: int, length: int) -> Iterator[Batch]:
    """Endless batches of about `tokens` tokens in rows of `length`, every epoch in a new order.

    A row holds whole documents, the first that fit; its rest is padded with tokens that are not learned. An epoch's
    last batch may have fewer rows.
    """
    rng = np.random.default_rng(seed)
    count = max(1, tokens // length)
    while True:
        rows = _pack([documents[index] for index in rng.permutation(len(documents))], length)
        order = rng.permutation(len(rows))
        for start in range(0, len(rows), count):
            yield _batch([rows[index] for index in order[start : start + count]], length)


def _pack(documents: Sequence[Document], length: int) -> list[list[Document]]:
    """The documents packed in rows: each goes into the first of the last OPEN_ROWS rows that has room for it."""
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
