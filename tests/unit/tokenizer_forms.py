"""Small tokenizers of every form, each beside the library that it must agree with, trained on the spot."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tiktoken
import tokenizers
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.codegen.tokenizers.encode.pretokenize import PATTERNS
from tinyllm.codegen.tokenizers.encode.rewrite import COMPOSE
from tinyllm.codegen.tokenizers.encode.unicode_classes import CLASSES, STARTS, CharClass
from tinyllm.codegen.tokenizers.formats.byte_level import LETTERS, bytes_of
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, PieceKind, Strip, Tokenizer

CORPUS = [
    "Once upon a time there was a small dog who liked the park. It's the dog's park, they'll say.",
    "The dog said: I WANT to play, and the cat said: so do I! 123 1234567 cats, 3.14 and 2024-11-22",
    "they found the ball under a tree; that was a good day...\n\n  \tThen\r\nit rained   and   rained.",
    "Zoë wäre müde, naïve café, Ελλάδα, мир, 猫と犬, 😀😀 HTMLParser getElementById",
    "in   the   park    there are   spaces\tand tabs // and /* comments */ ======== --------",
] * 20

MARK = "\u2581"


@dataclass(frozen=True)
class Form:
    """Our tokenizer, and what the library says of a text, with the names of control tokens as text or as tokens."""

    ours: Tokenizer
    theirs: Callable[[str], list[int]]
    theirs_special: Callable[[str], list[int]] | None = None


def _hugging_face(theirs: tokenizers.Tokenizer, tokens: list[AddedToken], **fields: Any) -> Form:
    """Our form of a tokenizer of Hugging Face, from what it says of itself."""
    theirs.add_special_tokens([token for token in tokens if token.special])
    theirs.add_tokens([token for token in tokens if not token.special])
    model = json.loads(theirs.to_str())["model"]
    byte_level = fields.get("byte_level", False)
    size = theirs.get_vocab_size()
    names = [theirs.id_to_token(token) for token in range(size)]
    added = {theirs.token_to_id(token.content): token for token in tokens}
    pieces, kinds = [], []
    for token, name in enumerate(names):
        piece, kind = name.replace(MARK, " ").encode(), PieceKind.NORMAL
        if token in added:
            piece, kind = name.encode(), PieceKind.CONTROL if added[token].special else PieceKind.USER_DEFINED
        elif name == "<unk>":
            kind = PieceKind.UNKNOWN
        elif model.get("byte_fallback") and name.startswith("<0x"):
            piece, kind = bytes([int(name[3:5], 16)]), PieceKind.BYTE
        elif byte_level:
            piece = bytes_of(name) or b""
        pieces.append(piece)
        kinds.append(kind)
    if model["type"] == "BPE":
        pairs = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
        ids = model["vocab"]
        fields |= {
            "algorithm": Algorithm.PAIRS,
            "merges": tuple((ids[left], ids[right], ids[left + right]) for left, right in pairs),
        }
    else:
        scores = [score for _, score in model["vocab"]]
        fields |= {
            "algorithm": Algorithm.UNIGRAM,
            "scores": (*scores, *[0.0] * (size - len(scores))),
            "wide_sums": True,
        }
    ours = Tokenizer(
        pieces=tuple(pieces),
        kinds=tuple(kinds),
        ranks=(),
        bos=None,
        eos=None,
        stop_ids=(),
        remove_extra_whitespaces=False,
        source="a test",
        user_defined_first=True,
        strips=tuple(
            (token, Strip(one.lstrip, one.rstrip)) for token, one in added.items() if one.lstrip or one.rstrip
        ),
        **({"add_dummy_prefix": False} | fields),
    )

    def encode(text: str, as_text: bool) -> list[int]:
        theirs.encode_special_tokens = as_text
        ids: list[int] = theirs.encode(text, add_special_tokens=False).ids
        return ids

    return Form(ours, lambda text: encode(text, True), lambda text: encode(text, False))


CONTROLS = [
    AddedToken("<|end|>", special=True, normalized=False),
    AddedToken("<|start|>", special=True, normalized=False),
]
ADDED = [
    AddedToken("<tag>", special=False, normalized=False),
    AddedToken("<|", special=False, normalized=False),
    AddedToken("end|>x", special=False, normalized=False, lstrip=True),
    AddedToken("<wide>", special=False, normalized=False, lstrip=True, rstrip=True),
    AddedToken("<|strip|>", special=True, normalized=False, rstrip=True),
]


def byte_level_bpe(pattern: str, added: list[AddedToken] | None = None, **fields: Any) -> Form:
    """As SmolLM, Llama 3 or Qwen 2 have it; trained, so merges that make one piece in two ways may lie apart."""
    unknown = {"unk_token": "<unk>", "fuse_unk": fields["fuses_unknown"]} if "fuses_unknown" in fields else {}
    theirs = tokenizers.Tokenizer(models.BPE(ignore_merges=fields.get("whole_words", False), **unknown))
    regexes = PATTERNS[pattern].published[0] if pattern else ()
    prefix = fields.pop("add_prefix_space", False)
    theirs.pre_tokenizer = (
        pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(regex), "isolated") for regex in regexes]
            + [pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)]
        )
        if not prefix
        else pre_tokenizers.ByteLevel(add_prefix_space=True)
    )
    if fields.pop("nfc", False):
        fields["rewrites"] = (COMPOSE,)
        theirs.normalizer = normalizers.NFC()
    theirs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=list(LETTERS.values()) if fields.pop("every_byte", True) else [],
        special_tokens=["<unk>"] if unknown else [],
        show_progress=False,
    )
    theirs.train_from_iterator(CORPUS, trainer)
    if prefix:
        fields |= {"add_dummy_prefix": True, "prefix_sections": True, "prefix_unless_space": True}
    return _hugging_face(theirs, CONTROLS + (added or []), byte_level=True, pattern=pattern, **fields)


def byte_fallback_bpe(form: str) -> Form:
    """As Llama 2: every way of cutting a piece is a merge, those of one piece together, longest left part first."""
    vocabulary = [f"<0x{byte:02X}>" for byte in range(256)]
    model = sentencepiece.SentencePieceProcessor(model_proto=trained_sentencepiece(model_type="bpe", vocab_size=420))
    words = [model.id_to_piece(n) for n in range(model.get_piece_size())]
    pieces = [word for word in words if not model.is_byte(words.index(word)) and not word.startswith("<")]
    ids = {piece: token for token, piece in enumerate(["<unk>", *vocabulary, *pieces])}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in sorted(range(1, len(piece)), reverse=form != "ascending")
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    theirs = tokenizers.Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fields: dict[str, Any] = {"add_dummy_prefix": True}
    if form.startswith("metaspace"):
        split, scheme = form == "metaspace split", "always" if form == "metaspace split" else "first"
        theirs.pre_tokenizer = pre_tokenizers.Metaspace(MARK, scheme, split)
        fields |= {"prefix_unless_space": True, "prefix_sections": split, "pattern": "spaces" if split else ""}
    else:
        theirs.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
        fields |= {"prefix_sections": True}
    return _hugging_face(theirs, CONTROLS + ADDED, **fields)


def unigram(split: bool) -> Form:
    """As tokenizers trains it, its scores doubles."""
    theirs = tokenizers.Tokenizer(models.Unigram())
    theirs.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always", split)
    theirs.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False),
    )
    return _hugging_face(
        theirs,
        CONTROLS + ADDED,
        add_dummy_prefix=True,
        prefix_unless_space=True,
        prefix_sections=True,
        pattern="spaces" if split else "",
    )


def tiktoken_ranks(pattern: str) -> Form:
    """Ranks as tiktoken has them, from a trained byte-level BPE."""
    trained = byte_level_bpe("llama3").ours
    pieces = [piece for piece, kind in zip(trained.pieces, trained.kinds, strict=True) if kind is PieceKind.NORMAL]
    ranks = {piece: rank for rank, piece in enumerate(sorted(pieces, key=lambda piece: len(piece) > 1))}
    specials = {"<|end|>": len(ranks), "<|start|>": len(ranks) + 1}
    theirs = tiktoken.Encoding(
        "a test", pat_str=PATTERNS[pattern].published[0][0], mergeable_ranks=ranks, special_tokens=specials
    )
    ours = Tokenizer(
        pieces=(*ranks, *(name.encode() for name in specials)),
        kinds=(PieceKind.NORMAL,) * len(ranks) + (PieceKind.CONTROL,) * 2,
        ranks=tuple(range(len(ranks) + 2)),
        bos=None,
        eos=None,
        stop_ids=(),
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        source="a test",
        byte_level=True,
        pattern=pattern,
        whole_words=True,
    )
    return Form(ours, theirs.encode_ordinary, lambda text: theirs.encode(text, allowed_special="all"))


def trained_sentencepiece(**options: Any) -> bytes:
    """A SentencePiece model file trained on the corpus."""
    model = io.BytesIO()
    defaults = {"normalization_rule_name": "identity", "hard_vocab_limit": False, "byte_fallback": True}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, minloglevel=2, **(defaults | options)
    )
    return model.getvalue()


def sentencepiece_form(**options: Any) -> Form:
    """SentencePiece's unigram or BPE, its normaliser's map included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.model"
        path.write_bytes(trained_sentencepiece(**options))
        return Form(read_tokenizer(path), sentencepiece.SentencePieceProcessor(model_file=str(path)).encode)


FORMS: dict[str, Callable[[], Form]] = {
    **{
        f"byte-level {name}": partial(byte_level_bpe, name)
        for name in ("gpt2", "smollm", "llama3", "qwen2", "o200k", "tekken")
    },
    "byte-level qwen2 with normal form C": lambda: byte_level_bpe("qwen2", nfc=True),
    "byte-level without a pattern": lambda: byte_level_bpe(""),
    "byte-level with whole words": lambda: byte_level_bpe("llama3", ADDED, whole_words=True),
    "byte-level with a prefix": lambda: byte_level_bpe("gpt2", ADDED, add_prefix_space=True),
    "byte-level without every byte": lambda: byte_level_bpe("gpt2", ADDED, every_byte=False),
    "byte-level with an unknown piece": lambda: byte_level_bpe("llama3", every_byte=False, fuses_unknown=False),
    "byte-level with one for a run": lambda: byte_level_bpe("gpt2", every_byte=False, fuses_unknown=True),
    "byte fallback": lambda: byte_fallback_bpe("prepend"),
    "byte fallback, shortest first": lambda: byte_fallback_bpe("ascending"),
    "byte fallback, metaspace": lambda: byte_fallback_bpe("metaspace first"),
    "byte fallback, metaspace split": lambda: byte_fallback_bpe("metaspace split"),
    "tiktoken cl100k": lambda: tiktoken_ranks("cl100k"),
    "tiktoken o200k": lambda: tiktoken_ranks("o200k"),
    "unigram": lambda: unigram(False),
    "unigram split": lambda: unigram(True),
    "sentencepiece unigram": lambda: sentencepiece_form(model_type="unigram", vocab_size=420),
    "sentencepiece unigram with unknowns": lambda: sentencepiece_form(
        model_type="unigram", vocab_size=150, byte_fallback=False, character_coverage=0.98,
        user_defined_symbols=["<tag>", "ab", "z", "字é", "▁▁"],
    ),
    "sentencepiece bpe, nmt_nfkc": lambda: sentencepiece_form(
        model_type="bpe", vocab_size=420, normalization_rule_name="nmt_nfkc", user_defined_symbols=["<tag>", "ﬁ"],
    ),
    "sentencepiece unigram, nfkc_cf, all spaces": lambda: sentencepiece_form(
        model_type="unigram", vocab_size=420, normalization_rule_name="nfkc_cf", remove_extra_whitespaces=False,
        user_defined_symbols=["<tag>"],
    ),
    "sentencepiece bpe, symbols with spaces": lambda: sentencepiece_form(
        model_type="bpe", vocab_size=420, user_defined_symbols=["<IS MAN>", "  ", "the  p", "▁▁▁", " x"],
    ),
    "sentencepiece unigram, nmt_nfkc, symbols with spaces": lambda: sentencepiece_form(
        model_type="unigram", vocab_size=420, normalization_rule_name="nmt_nfkc",
        user_defined_symbols=["<IS MAN>", "    ", "the  p", "▁▁", " x"],
    ),
}  # fmt: skip


@cache
def form(name: str) -> Form:
    """One of FORMS, made once."""
    return FORMS[name]()


KNOWN = "".join(
    chr(code)
    for start, end, kind in zip(STARTS, STARTS[1:], CLASSES, strict=False)
    if kind is not CharClass.OTHER
    for code in (start, (start + end) // 2, end - 1)
)
"""Characters of every script and class at the ends of their runs. Those that Unicode has since assigned are left out:
libraries differ in which version they know."""

FRAGMENTS = [
    *" \t\r\n'/▁.,!?azAZ019éßéÉ½²٣ǅﬁﬀ字ʰſ𝔸😀\u00a0\u3000\u2028\x85\u0301\u0903\u200d\x00",
    *("'s", "'LL", "'ſ", "  ", " \n ", "\r\n\r\n", "123", "the", " the park", "aaaaa", "=====", "HTMLParser", "<0x41>"),
    *("<tag>", "<|", "<|end|>", "<|start|>", "<|end|>x", "end|>x", "<wide>", " <wide> ", "<|strip|> \n", "ab"),
    *("<IS MAN>", "the  p", " x", "▁▁▁"),
]
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(FRAGMENTS), st.text(st.sampled_from(KNOWN), max_size=3), st.text("aeth '\n1", max_size=6)
    ),
    max_size=14,
).map("".join)
"""Texts of words that merge, marks that have a meaning, and letters, digits and white space of every script."""


def large_vocabulary() -> Tokenizer:
    """32,000 pieces, random but for what makes them whole: bytes, letters, and each piece two others joined."""
    random = np.random.default_rng(7)
    control, raw = [b"<unk>", b"<s>", b"</s>"], [bytes([byte]) for byte in range(256)]
    pieces = [bytes([byte]) for byte in b" etaoinshrdlucmfwypvbgkjqxz.,!?'"]
    seen = {*pieces}
    while len(control) + len(raw) + len(pieces) < 32_000:
        # Short ones join more often, so that texts are full of merges.
        left, right = (pieces[int(len(pieces) * random.random() ** 3)] for _ in range(2))
        joined = left + right
        if joined not in seen and len(joined) < 12:
            seen.add(joined)
            pieces.append(joined)
    n_before = len(control) + len(raw)
    kinds = [PieceKind.UNKNOWN, *[PieceKind.CONTROL] * 2, *[PieceKind.BYTE] * 256, *[PieceKind.NORMAL] * len(pieces)]
    return Tokenizer(
        pieces=(*control, *raw, *pieces),
        kinds=tuple(kinds),
        ranks=tuple(max(token - n_before + 1, 0) for token in range(len(kinds))),
        bos=1,
        eos=2,
        stop_ids=(1, 2),
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        source="random",
    )
