"""From a text file of stories to a tokenizer and chunks of token ids.

A story file is UTF-8 text with a line `<|endoftext|>` between stories, as TinyStories (arXiv 2305.07759) is published.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sentencepiece as spm
from numpy.typing import NDArray

from tinyllm.errors import UserError

Ids = NDArray[np.int64]

SEPARATOR = "<|endoftext|>"
LARGEST_TEXT = 1 << 28
"""Bytes; a corpus is held in memory, and a model of this size learns nothing more from a longer one."""


def read_stories(path: Path) -> list[str]:
    """The stories of a file, stripped, empty ones left out.

    Raises UserError if the file cannot be read, is too large, is not UTF-8 or holds no story.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_TEXT:
            raise UserError(f"{path}: {size} bytes, at most {LARGEST_TEXT} expected; give a smaller text")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a text file of stories") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save the stories as UTF-8 text") from error
    stories = [story for part in text.split(SEPARATOR) if (story := part.strip())]
    if not stories:
        raise UserError(f"{path}: no story found; expected text with a line {SEPARATOR} between stories")
    return stories


def train_tokenizer(stories: list[str], vocab_size: int) -> bytes:
    """A SentencePiece BPE model, the bytes of a tokenizer.model, with the options of llama2.c's tinystories.py.

    Byte fallback makes every text encodable; ids 0, 1, 2 are unknown, BOS, EOS.
    Raises UserError if the text is too small for the vocabulary.
    """
    model = io.BytesIO()
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(line for story in stories for line in story.split("\n")),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            self_test_sample_size=0,
            character_coverage=1.0,
            num_threads=1,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            byte_fallback=True,
            unk_surface=" \u2047 ",
            normalization_rule_name="identity",
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError(f"the text is too small for a vocabulary of {vocab_size}; give more stories") from error
    return model.getvalue()


class Corpus:
    """Tokenized stories, each BOS story EOS.

    documents: one int64 (tokens,) array per story.
    """

    def __init__(self, stories: list[str], tokenizer: bytes) -> None:
        self.processor = spm.SentencePieceProcessor(model_proto=tokenizer)
        bos, eos = self.processor.bos_id(), self.processor.eos_id()
        self.documents: list[Ids] = [np.array([bos, *ids, eos]) for ids in self.processor.encode(stories)]

    def chunks(self, seed: int, length: int) -> Iterator[Ids]:
        """Endless int64 (length + 1,) stretches of stories end to end, every epoch in a new order.

        The last token of a chunk is the first of the next, so that each is once an input and once a target.
        """
        rng = np.random.default_rng(seed)
        pending: Ids = np.zeros(0, np.int64)
        while True:
            for index in rng.permutation(len(self.documents)):
                pending = np.concatenate((pending, self.documents[index]))
                while len(pending) > length:
                    yield pending[: length + 1]
                    pending = pending[length:]

    def text_bytes(self, ids: Ids) -> int:
        """UTF-8 bytes of the text that the ids stand for."""
        return len(self.processor.decode(ids.tolist()).encode())
