"""The tokenizer of a model: trained on its text with sentencepiece, or taken from another model's files.

Ids come from codegen/tokenizers/encode/encoder.py, which computes what boards compute. So a model is trained on the ids
that it gets on a board.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sentencepiece as spm
from numpy.typing import NDArray

from tinyllm.codegen.checkpoints import inspect_checkpoint
from tinyllm.codegen.tokenizers.encode.encoder import decode, decode_piece, encode
from tinyllm.codegen.tokenizers.formats.find import IN_A_FOLDER, find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.models.training.pairs import Conversation

USER, ASSISTANT = "<|user|>", "<|assistant|>"
CALLED, RESULT, END_OF_RESULT = "</call>", "<result>", "</result>"
CONTROL = (USER, ASSISTANT, "<call>", CALLED, RESULT, END_OF_RESULT)
"""The control pieces of a chat model, beside `<s>` and `</s>`."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% else %}{{ '<|assistant|>' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

SETTINGS_FILE = "tokenizer_config.json"
LARGEST_FILE = 64 << 20


class Document(NamedTuple):
    """A story or conversation. ids: int64 (tokens,). learned: bool (tokens,), which of them the model must predict."""

    ids: NDArray[np.int64]
    learned: NDArray[np.bool_]


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer. files: its files, by their names in a Hugging Face folder.

    chat: whether it has the control pieces of a conversation.
    """

    tokenizer: Tokenizer
    files: dict[str, bytes]

    @property
    def size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def chat(self) -> bool:
        return all(name.encode() in self.tokenizer.control_ids for name in CONTROL)

    @property
    def ends(self) -> tuple[int, int]:
        """The ids of BOS and EOS."""
        assert self.tokenizer.bos is not None and self.tokenizer.eos is not None
        return self.tokenizer.bos, self.tokenizer.eos

    def story(self, text: str) -> Document:
        """BOS, the text, EOS. All tokens are learned."""
        bos, eos = self.ends
        ids = np.array([bos, *encode(self.tokenizer, text), eos])
        return Document(ids, np.ones(len(ids), np.bool_))

    def conversation(self, conversation: Conversation) -> Document:
        """BOS, then for each turn `<|user|>` prompt `<|assistant|>` answer EOS.

        An answer and its EOS are learned, except from a `<result>` to its `</result>`: the board writes that part. The
        name of a control piece becomes that piece in an answer, and plain text in a prompt.
        """
        bos, eos = self.ends
        control = self.tokenizer.control_ids
        ids, learned = [bos], [False]
        for turn in conversation.turns:
            asked = [control[USER.encode()], *encode(self.tokenizer, turn.prompt), control[ASSISTANT.encode()]]
            answer = [*encode(self.tokenizer, turn.answer, special=True), eos]
            ids += asked + answer
            learned += [False] * len(asked) + self._said(answer)
        return Document(np.array(ids), np.array(learned))

    def opening(self, text: str) -> list[int]:
        """The ids that the model continues: for a chat model a turn up to its answer, else BOS and the text."""
        if not self.chat:
            return [self.ends[0], *encode(self.tokenizer, text)]
        user, assistant = (self.tokenizer.control_ids[name.encode()] for name in (USER, ASSISTANT))
        return [self.ends[0], user, *encode(self.tokenizer, text), assistant]

    def text(self, ids: Iterable[int]) -> str:
        """The text for people: control pieces of CONTROL, such as `<call>`, are shown by name."""
        shown = {self.tokenizer.control_ids.get(name.encode()): name.encode() for name in CONTROL}
        parts = [shown.get(token) or decode_piece(self.tokenizer, token) for token in ids]
        return b"".join(parts).decode("utf-8", "replace")

    def text_bytes(self, ids: Sequence[int]) -> int:
        """UTF-8 bytes of the text of the ids."""
        return len(decode(self.tokenizer, ids))

    def _said(self, answer: Sequence[int]) -> list[bool]:
        """Which tokens of an answer the model writes itself: all but results."""
        begin, end = (self.tokenizer.control_ids[name.encode()] for name in (RESULT, END_OF_RESULT))
        said, inside = [], False
        for token in answer:
            inside = inside or token == begin
            said.append(not inside)
            inside = inside and token != end
        return said


def train_vocabulary(texts: Iterable[str], size: int, chat: bool, algorithm: str = "bpe") -> Vocabulary:
    """Train a SentencePiece model of `size` pieces on texts, with byte fallback; every digit is a piece of its own.

    Ids 0, 1, 2 are unknown, BOS, EOS; for a chat model CONTROL follows. A chat model's text gets no space in front and
    keeps its spaces, so that a turn has the same ids at every place. A story model has the options of llama2.c's
    tinystories.py. algorithm: "bpe" or "unigram". Raises UserError if the text is too small for the vocabulary.
    """
    model = io.BytesIO()
    # Names of control pieces are not text, so pieces must not be learned from them.
    names = re.compile("|".join(map(re.escape, CONTROL))) if chat else None
    lines = (line for text in texts for part in (names.split(text) if names else [text]) for line in part.split("\n"))
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=algorithm,
            vocab_size=size,
            self_test_sample_size=0,
            character_coverage=1.0,
            num_threads=1,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            byte_fallback=True,
            unk_surface=" \u2047 ",
            normalization_rule_name="identity",
            control_symbols=list(CONTROL) if chat else [],
            add_dummy_prefix=not chat,
            remove_extra_whitespaces=not chat,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError(_why(str(error), size)) from None
    settings: dict[str, Any] = {
        "tokenizer_class": "LlamaTokenizer",
        "legacy": False,
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    if chat:
        flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
        first = 3
        settings["added_tokens_decoder"] = {
            str(token): {"content": name} | flags for token, name in enumerate(CONTROL, first)
        }
        settings["chat_template"] = CHAT_TEMPLATE
    files = {
        "tokenizer.model": model.getvalue(),
        SETTINGS_FILE: (json.dumps(settings, indent=2) + "\n").encode(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return Vocabulary(read_tokenizer(Path(folder) / "tokenizer.model"), files)


def _why(message: str, size: int) -> str:
    """The advice for an error of sentencepiece about a text that is too small for the vocabulary."""
    if most := re.search(r"value <= (\d+)", message):
        return f"the text gives no vocabulary of {size} pieces, at most {most[1]}; give more text, or --vocab {most[1]}"
    if least := re.search(r"required_chars\D+(\d+) vs (\d+)", message):
        return (
            f"a vocabulary of {size} pieces is too small for the text's own characters; give --vocab {least[2]} or more"
        )
    return f"the text is too small for a vocabulary of {size} pieces; give more text, or a smaller --vocab"


def tokenizer_of(model: Path) -> tuple[Path, Tokenizer]:
    """The tokenizer of a checkpoint and its path. Raises UserError if its size is not the model's vocabulary size."""
    size = inspect_checkpoint(model).config.vocab_size
    path = find_tokenizer(model, size)
    tokenizer = read_tokenizer(path)
    if tokenizer.vocab_size != size:
        raise UserError(f"{path}: {tokenizer.vocab_size} pieces, the model has {size} rows; expected as many")
    return path, tokenizer


def vocabulary_of(model: Path) -> Vocabulary:
    """The tokenizer of a checkpoint, for a new model that shares it.

    Raises UserError for a GGUF file, because no file of a Hugging Face folder could hold its tokenizer, and for a
    tokenizer without BOS or EOS. Errors also as tokenizer_of.
    """
    path, tokenizer = tokenizer_of(model)
    if path == model:
        raise UserError(f"{model}: its tokenizer lies inside; give the model as a Hugging Face folder")
    if tokenizer.bos is None or tokenizer.eos is None:
        raise UserError(f"{path}: it has no BOS or no EOS; give a model whose texts begin and end with one")
    name = path.name if model.is_dir() and path.name in IN_A_FOLDER else "tokenizer.model"
    files = {name: read_bytes(path, LARGEST_FILE)}
    if model.is_dir() and (model / SETTINGS_FILE).is_file():
        files[SETTINGS_FILE] = read_bytes(model / SETTINGS_FILE, LARGEST_FILE)
    return Vocabulary(tokenizer, files)
