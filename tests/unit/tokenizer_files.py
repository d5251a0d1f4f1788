"""Tiny tokenizers of the shapes that published models have, trained and written by Hugging Face tokenizers itself."""

from __future__ import annotations

import base64
import io
import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.codegen.tokenizers.encode.pretokenize import PATTERNS
from tinyllm.codegen.tokenizers.formats.byte_level import bytes_of

CORPUS = [
    "Once upon a time there was a small dog who liked the park.",
    "The dog said: I'll play, and the cat's friends said: we've played, they're here!",
    "they FOUND the Ball under a tree; that was a good day, 1234 of 567 days...",
    "Zoë wäre müde, naïve café, Ελλάδα, мир, 猫と犬, 😀😀",
    "in   the   park    there are   spaces\tand tabs\n\nand  lines\n",
] * 10
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LLAMA = ["<unk>", "<s>", "</s>"]
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PHI3 = ["<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>"]
Document = dict[str, Any]


def published(name: str) -> str:
    """The regular expression of a pattern."""
    return PATTERNS[name].published[0][-1]


def byte_level(pre_tokenizer: Any, specials: list[str], normalizer: Any = None, **options: Any) -> Tokenizer:
    """Byte-level BPE with these special tokens behind the vocabulary."""
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(specials)
    return tokenizer


def split_by(name: str, behavior: str = "isolated", invert: bool = False) -> Any:
    """A pre-tokenizer that splits by a published regex, then goes to bytes."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(published(name)), behavior=behavior, invert=invert),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def marked(normalizer: Any, pre_tokenizer: Any, fallback: bool = True, symbols: Sequence[str] = ()) -> Tokenizer:
    """BPE on characters, spaces being marks, with Llama's special tokens in front."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(split=pre_tokenizer is not None and pre_tokenizer.split)
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    texts = [*LLAMA, *(BYTES if fallback else []), *symbols, *model["vocab"]]
    vocabulary = {text: token for token, text in enumerate(texts)}
    merges = [(left, right) for left, right in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=fallback)
    )
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in LLAMA])
    begin_with(tokenizer, "<s>")
    return tokenizer


def begin_with(tokenizer: Tokenizer, name: str) -> None:
    """Let this special token go before every text."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{name} $A", pair=f"{name} $A {name} $B", special_tokens=[(name, tokenizer.token_to_id(name))]
    )


def prepend_and_replace() -> Any:
    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def train_sentencepiece(**options: Any) -> bytes:
    """A sentencepiece model file trained on the corpus, its normalizer nmt_nfkc."""
    model = io.BytesIO()
    defaults = {"hard_vocab_limit": False, "minloglevel": 2}
    SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, **(defaults | options))
    return model.getvalue()


def llama2c_bytes(path: Path) -> bytes:
    """llama2.c's form of a sentencepiece model with <s> and </s>."""
    pieces = SentencePieceProcessor(model_file=str(path))
    texts = [pieces.id_to_piece(token).replace("▁", " ").encode() for token in range(pieces.vocab_size())]
    for token in (pieces.bos_id(), pieces.eos_id()):
        texts[token] = b"\n%s\n" % texts[token]
    data = struct.pack("<I", max(map(len, texts)))
    for token, text in enumerate(texts):
        data += struct.pack("<fi", pieces.get_score(token), len(text)) + text
    return data


def character_map() -> bytes:
    """SentencePiece's nmt_nfkc, out of a model that was trained with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nmt_nfkc.model"
        path.write_bytes(train_sentencepiece(vocab_size=100))
        return read_tokenizer(path).character_map


def unigram(normalizer: Any, pre_tokenizer: Any, specials: list[str], fallback: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = [tuple(entry) for entry in model["vocab"]] + [(text, 0.0) for text in BYTES if fallback]
    tokenizer.model = models.Unigram(vocabulary, model["unk_id"], fallback)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def gpt2() -> Tokenizer:
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])


def gpt2_with_prefix() -> Tokenizer:
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), ["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    return tokenizer


def llama3() -> Tokenizer:
    tokenizer = byte_level(
        split_by("llama3"), ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], ignore_merges=True
    )
    begin_with(tokenizer, "<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), tokenizer.post_processor])
    return tokenizer


def smollm() -> Tokenizer:
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return byte_level(pre_tokenizers.Sequence([digits, words]), CHATML)


def phi3() -> Tokenizer:
    tokenizer = marked(prepend_and_replace(), None)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False, rstrip=True) for name in PHI3])
    return tokenizer


def with_text_tokens() -> Tokenizer:
    """Added tokens that are text: runs of spaces, one that swallows the space before it, one inside another."""
    tokenizer = gpt2()
    tokenizer.add_tokens(
        [
            AddedToken("    ", normalized=False),
            AddedToken("<mask>", normalized=False, lstrip=True),
            AddedToken("the p", normalized=False),
            AddedToken("the", normalized=False, rstrip=True),
        ]
    )
    return tokenizer


def with_pieces_again() -> Tokenizer:
    """Added tokens that are text of which there is a piece already, or may be.

    "é" is the piece of the byte 0xE9, "Ã©" that of the text é. Where a person types the name of the special token, the
    model sees "the" in it.
    """
    tokenizer = gpt2()
    tokenizer.add_special_tokens(["<|the|>"])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("é", "Ã©", "  ", "\n", "the", "he")])
    return tokenizer


def qwen2() -> Tokenizer:
    tokenizer = byte_level(split_by("qwen2"), CHATML, normalizers.NFC())
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False)])
    return tokenizer


def with_symbols() -> Tokenizer:
    """As a sentencepiece model with spaces in its user-defined symbols is converted; one of them is left a piece."""
    tokenizer = marked(prepend_and_replace(), None, symbols=["<IS MAN>", "    ", "the park"])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("<IS MAN>", "    ")])
    return tokenizer


def with_marked_pieces_again() -> Tokenizer:
    """Added tokens whose ids are pieces of a Llama: a word, parts of one, names of bytes."""
    tokenizer = marked(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("park", "he", "<0x41>", "<0xE9>", "a")])
    return tokenizer


def t5() -> Tokenizer:
    normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(character_map()),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    tokenizer = unigram(normalizer, pre_tokenizers.Metaspace(), ["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return tokenizer


REPLICAS: dict[str, Callable[[], Tokenizer]] = {
    "GPT-2": gpt2,
    "GPT-2 with a prefix space": gpt2_with_prefix,
    "GPT-2 with text among the added tokens": with_text_tokens,
    "GPT-2 with pieces among the added tokens": with_pieces_again,
    "Llama 2": lambda: marked(prepend_and_replace(), None),
    "Llama 2 without byte fallback": lambda: marked(prepend_and_replace(), None, fallback=False),
    "Llama 2 as Metaspace": lambda: marked(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "Mistral": lambda: marked(None, pre_tokenizers.Metaspace(prepend_scheme="always", split=False)),
    "Metaspace with words": lambda: marked(None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True)),
    "Metaspace without prefix": lambda: marked(None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False)),
    "Phi-3": phi3,
    "Llama 2 with spaces in symbols": with_symbols,
    "Llama 2 with pieces among the added tokens": with_marked_pieces_again,
    "Llama 3": llama3,
    "GPT-4": lambda: byte_level(split_by("llama3", "removed", invert=True), ["<|endoftext|>"]),
    "GPT-4o": lambda: byte_level(split_by("o200k"), ["<|endoftext|>"]),
    "Qwen2": qwen2,
    "SmolLM": smollm,
    "T5": t5,
    "Unigram with byte fallback": lambda: unigram(prepend_and_replace(), None, LLAMA, fallback=True),
    "Unigram with words": lambda: unigram(None, pre_tokenizers.Metaspace(prepend_scheme="first"), LLAMA),
}


def write_tokenizer(folder: Path, tokenizer: Tokenizer, **files: Document) -> Path:
    """tokenizer.json in the folder, and other files of it by the name without .json."""
    return write_document(folder, json.loads(tokenizer.to_str()), **files)


def write_document(folder: Path, document: Document, **files: Document) -> Path:
    """The same of a tokenizer.json that stands here as data."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, "tokenizer": document}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "tokenizer.json"


LLAMA_JSON: Document = json.loads(marked(prepend_and_replace(), None).to_str())
"""The tokenizer.json of a Llama 2."""


def template(document: Document, bos: bool) -> Document:
    """The file with a post-processor that puts BOS before a text, or with none."""
    return document if bos else document | {"post_processor": None}


def rank_file(ranks: dict[bytes, int]) -> bytes:
    """A tiktoken file."""
    return b"".join(base64.b64encode(piece) + b" %d\n" % rank for piece, rank in ranks.items())


def ranks_of(tokenizer: Tokenizer) -> dict[bytes, int]:
    """The pieces of a byte-level tokenizer by rank: the bytes, then what the merges make."""
    model = json.loads(tokenizer.to_str())["model"]
    pieces = [bytes_of(text) for text in model["vocab"]]
    return {piece: rank for rank, piece in enumerate(pieces) if piece is not None}
