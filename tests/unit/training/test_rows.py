"""Rows that a model learns from: stories end to end, conversations whole."""

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.models.training.rows import IGNORED, packed, row_length, stretches
from tinyllm.models.training.vocabulary import Document

BOS = 1


def document(number: int, length: int) -> Document:
    """BOS, then tokens that no other document has, every second one learned."""
    ids = np.array([BOS, *(1000 * number + index for index in range(1, length))])
    return Document(ids, np.arange(length) % 2 == 1)


def test_every_epoch_of_stretches_holds_every_story_once_in_a_new_order() -> None:
    documents = [document(number, 10 + number) for number in range(1, 20)]
    epoch = sum(len(each.ids) for each in documents)
    batches = islice(stretches(documents, seed=1, tokens=32), 2 * epoch // 32 + 1)
    stream = np.concatenate([batch.inputs[0] for batch in batches])[: 2 * epoch]
    for part in (stream[:epoch], stream[epoch:]):
        found = np.split(part, np.flatnonzero(part == BOS)[1:])
        assert sorted(each.tolist() for each in found) == [each.ids.tolist() for each in documents]
    assert stream[:epoch].tolist() != stream[epoch:].tolist()


def test_the_last_target_of_a_stretch_is_the_first_input_of_the_next() -> None:
    first, second = islice(stretches([document(1, 100)], seed=1, tokens=16), 2)
    assert first.targets[0, -1] == second.inputs[0, 0]
    assert first.targets[0, :-1].tolist() == first.inputs[0, 1:].tolist()
    assert first.reshaped(4).inputs.shape == (4, 4)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=60), st.integers(0, 3))
def test_packed_rows_cut_no_conversation_and_lose_none(lengths: list[int], seed: int) -> None:
    documents = [document(number, length) for number, length in enumerate(lengths, 1)]
    length = row_length(documents, context=48)
    rows = sum(len(each.ids) for each in documents)
    found = []
    for inputs, targets, numbers in islice(packed(documents, seed, 4 * length, length), rows):
        assert numbers is not None
        assert inputs.shape == targets.shape == numbers.shape
        assert inputs.shape[1] == length
        for row in range(len(inputs)):
            for number in range(1, numbers[row].max() + 1):
                place = numbers[row] == number
                found.append((inputs[row][place].tolist(), targets[row][place].tolist()))
        assert (targets[numbers == 0] == IGNORED).all()
        if len(found) >= len(documents):
            break
    expected = []
    for ids, learned in documents:
        expected.append((ids[:-1].tolist(), np.where(learned[1:], ids[1:], IGNORED).tolist()))
    assert sorted(found) == sorted(expected)


def test_rows_of_conversations_are_no_longer_than_the_context() -> None:
    assert row_length([document(1, 10)], context=256) == 64
    assert row_length([document(1, 200)], context=256) == 224
    assert row_length([document(1, 257)], context=256) == 256
