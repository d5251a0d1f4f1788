"""Reads the model of a tokenizer.json: its vocabulary, and its merges or scores. Every entry is checked.

Source: tokenizers/src/models/{bpe,unigram,wordlevel,wordpiece}/serialization.rs of github.com/huggingface/tokenizers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.encode.word_pieces import CONTINUES
from tinyllm.codegen.tokenizers.formats.byte_level import BYTES, LETTERS, bytes_of
from tinyllm.codegen.tokenizers.formats.tokenizer_json_steps import Steps
from tinyllm.codegen.tokenizers.formats.vocabulary import MAX_VOCABULARY, byte_value
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK, Algorithm, PieceKind
from tinyllm.errors import UserError
from tinyllm.text import shown

MAX_MERGES = 1 << 21
LONGEST_WORD = 1 << 16
WITHOUT_SPACE = (b" .", b" ?", b" !", b" ,", b" ' ", b" n't", b" 'm", b" 's", b" 've", b" 're")
"""WordPiece's decoder removes the space of a piece that begins with one of these."""
Merge = tuple[int, int, int]


@dataclass(frozen=True)
class Words:
    """The model, without the added tokens.

    ids: the id of each text of the file. pieces, kinds: those of each id, except the texts of a byte-level model with
    letters that stand for no byte; these must be added tokens. unknown: the id of the UNKNOWN piece.
    joins: whether decoding may put a space before each piece. The other fields are those of Tokenizer.
    """

    algorithm: Algorithm
    ids: dict[str, int]
    pieces: dict[int, bytes]
    kinds: dict[int, PieceKind]
    unknown: int | None
    merges: tuple[Merge, ...] = ()
    scores: tuple[float, ...] = ()
    whole_words: bool = False
    fuses_unknown: bool = True
    word_suffix: bool = False
    longest_word: int = 0
    joins: bool = True


def read_words(document: Fields, steps: Steps) -> Words:
    """The model of the tokenizer.json `document`. Raises UserError, naming the field that is wrong."""
    model = Fields(document.path, document.inner("model"), "model.")
    kind = model.get("type", "BPE" if "merges" in model.values else None)
    if kind == "BPE":
        return _bpe(model, steps)
    if kind == "Unigram":
        return _unigram(model, steps)
    if kind == "WordLevel":
        return _words(model, steps)
    if kind == "WordPiece":
        return _word_pieces(model, steps)
    raise model.refusal("type", "BPE, Unigram, WordLevel or WordPiece", "choose another tokenizer")


def _bpe(model: Fields, steps: Steps) -> Words:
    if model.get("dropout"):
        raise model.refusal("dropout", "none: it is for training", "remove it")
    if model.get("continuing_subword_prefix"):
        raise model.refusal("continuing_subword_prefix", "none", "choose another tokenizer")
    ids = _vocabulary(model)
    fallback, fuses = model.switch("byte_fallback", False), model.switch("fuse_unk", False)
    unknown = None
    if steps.byte_level and not LETTERS.keys() <= {BYTES.get(text) for text in ids}:
        unknown = _unknown(model, ids)
        if fallback:
            raise model.refusal("byte_fallback", "false, as the pre_tokenizer is ByteLevel", "choose another tokenizer")
    elif not steps.byte_level:
        if steps.character_map or steps.remove_extra_whitespaces:
            raise model.refusal("type", "Unigram behind a Precompiled normalizer", "choose another tokenizer")
        unknown = _unknown(model, ids)
    whole_words = model.switch("ignore_merges", False)
    suffix = _suffix(model, steps, whole_words)
    pieces, kinds = _pieces(model, ids, steps, unknown, fallback and not steps.byte_level, suffix)
    return Words(
        Algorithm.PAIRS,
        ids,
        pieces,
        kinds,
        unknown,
        _merges(model, ids),
        whole_words=whole_words,
        fuses_unknown=fuses or unknown is None,
        word_suffix=bool(suffix),
        joins=not suffix,
    )


def _suffix(model: Fields, steps: Steps, whole_words: bool) -> str:
    """The suffix of the last piece of a word, "" for none. It becomes a space, so no word may hold a space already."""
    suffix = model.get("end_of_word_suffix") or ""
    if not isinstance(suffix, str):
        raise model.refusal("end_of_word_suffix", "a text", "export it again")
    if suffix and (steps.marks or steps.byte_level or whole_words or not steps.drops_spaces):
        raise model.refusal(
            "end_of_word_suffix",
            "none, unless the pre_tokenizer drops spaces (Whitespace, WhitespaceSplit, BertPreTokenizer)",
            "choose another tokenizer",
        )
    return suffix


def _words(model: Fields, steps: Steps) -> Words:
    ids, unknown = _closed_vocabulary(model, steps)
    pieces, kinds = _pieces(model, ids, steps, unknown, fallback=False)
    return Words(Algorithm.WORDS, ids, pieces, kinds, unknown)


def _word_pieces(model: Fields, steps: Steps) -> Words:
    """Pieces as word_pieces.py expects them: with a space in front if they begin a word, else without."""
    ids, unknown = _closed_vocabulary(model, steps)
    if model.get("continuing_subword_prefix") != CONTINUES.decode():
        raise model.refusal("continuing_subword_prefix", CONTINUES.decode(), "choose another tokenizer")
    if steps.marks or not steps.drops_spaces:
        raise model.refusal(
            "type",
            "BPE, Unigram or WordLevel, as the pre_tokenizer does not drop spaces (Whitespace, BertPreTokenizer)",
            "choose another tokenizer",
        )
    longest = model.get("max_input_chars_per_word", 100)
    if not isinstance(longest, int) or isinstance(longest, bool) or not 0 < longest <= LONGEST_WORD:
        raise model.refusal("max_input_chars_per_word", f"1 to {LONGEST_WORD:,}", "choose another tokenizer")
    pieces, kinds = _pieces(model, ids, steps, unknown, fallback=False)
    for token, piece in pieces.items():
        if kinds[token] is PieceKind.NORMAL:
            goes_on = piece.startswith(CONTINUES) and len(piece) > len(CONTINUES)
            pieces[token] = piece[len(CONTINUES) :] if goes_on else b" " + piece
        if kinds[token] is PieceKind.NORMAL and b" " in piece:
            kinds[token] = PieceKind.UNREACHABLE
    return Words(Algorithm.WORD_PIECES, ids, pieces, kinds, unknown, longest_word=longest, joins=False)


def _closed_vocabulary(model: Fields, steps: Steps) -> tuple[dict[str, int], int]:
    """The vocabulary of a model that needs an unknown piece, and the id of that piece."""
    if steps.byte_level:
        raise model.refusal("type", "BPE, as the pre_tokenizer is ByteLevel", "choose another tokenizer")
    ids = _vocabulary(model)
    unknown = _unknown(model, ids)
    if unknown is None:
        raise model.refusal("unk_token", "a text of the vocabulary", "export it again")
    return ids, unknown


def check_decoder(document: Fields, steps: Steps, words: Words) -> None:
    """Raise UserError if a WordPiece decoder would remove its prefix from a piece that does not continue a word."""
    if steps.continues is None:
        return
    if words.algorithm is Algorithm.WORD_PIECES:
        sound = steps.continues == CONTINUES.decode()
    else:
        begin = steps.continues.encode("utf-8", "surrogatepass")
        normal = (token for token, kind in words.kinds.items() if kind is PieceKind.NORMAL)
        sound = not any(words.pieces[token].startswith(begin) for token in normal)
    if not sound:
        raise Fields(document.path, document.inner("decoder"), "decoder.").refusal(
            "prefix", "what the model's pieces that go on begin with, and no other", "mend the file"
        )


def bare_tokens(pieces: Sequence[bytes], kinds: Sequence[PieceKind], joins: bool) -> tuple[int, ...]:
    """The ids, ascending, of the pieces from which WordPiece's decoder removes the space in front.

    joins: whether decoding puts a space before each piece; else pieces hold their space themselves. Source: cleanup in
    tokenizers/src/decoders/wordpiece.rs of github.com/huggingface/tokenizers.
    """
    texts = (b" " + piece if joins else piece for piece in pieces)
    return tuple(
        token
        for token, text in enumerate(texts)
        if kinds[token] in (PieceKind.NORMAL, PieceKind.USER_DEFINED) and text.startswith(WITHOUT_SPACE)
    )


def _unigram(model: Fields, steps: Steps) -> Words:
    entries = model.get("vocab")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_VOCABULARY:
        raise model.refusal("vocab", f"a list of 1 to {MAX_VOCABULARY:,} pairs", "export it again")
    if steps.byte_level:
        raise model.refusal("type", "BPE, as the pre_tokenizer is ByteLevel", "choose another tokenizer")
    ids: dict[str, int] = {}
    scores = []
    for token, entry in enumerate(entries):
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise _refused(model, f"vocab[{token}]", entry, "a text and its score")
        text, score = entry
        if not isinstance(score, (int, float)) or isinstance(score, bool) or not abs(score) < 1e30:
            raise _refused(model, f"vocab[{token}]", entry, "a finite score")
        if ids.setdefault(text, token) != token:
            raise _refused(model, f"vocab[{token}]", entry, f"another text than that of {ids[text]}")
        scores.append(float(score))
    unknown = model.get("unk_id")
    if not isinstance(unknown, int) or isinstance(unknown, bool) or not 0 <= unknown < len(entries):
        raise model.refusal("unk_id", f"0 to {len(entries) - 1}", "choose another tokenizer")
    pieces, kinds = _pieces(model, ids, steps, unknown, model.switch("byte_fallback", False))
    return Words(Algorithm.UNIGRAM, ids, pieces, kinds, unknown, (), tuple(scores))


def _vocabulary(model: Fields) -> dict[str, int]:
    """The ids by text. Raises UserError for an id that occurs twice or exceeds the limit of a vocabulary."""
    ids = model.inner("vocab")
    if not 0 < len(ids) <= MAX_VOCABULARY:
        raise model.refusal("vocab", f"an object of 1 to {MAX_VOCABULARY:,} ids", "export it again")
    texts: dict[int, str] = {}
    for text, token in ids.items():
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < MAX_VOCABULARY:
            raise _refused(model, f"vocab[{shown(text)}]", token, "a token id")
        if texts.setdefault(token, text) is not text:
            raise _refused(model, f"vocab[{shown(text)}]", token, f"not that of {shown(texts[token])}")
    return ids


def _unknown(model: Fields, ids: dict[str, int]) -> int | None:
    name = model.get("unk_token")
    if name is None:
        return None
    if not isinstance(name, str) or name not in ids:
        raise model.refusal("unk_token", "a text of the vocabulary", "export it again")
    return ids[name]


def _pieces(
    model: Fields, ids: dict[str, int], steps: Steps, unknown: int | None, fallback: bool, suffix: str = ""
) -> tuple[dict[int, bytes], dict[int, PieceKind]]:
    pieces: dict[int, bytes] = {}
    kinds: dict[int, PieceKind] = {}
    bytes_found = 0
    for text, token in ids.items():
        piece, kind = bytes_of(text) if steps.byte_level else _encoded(model, text), PieceKind.NORMAL
        if piece is not None and steps.marks:
            piece = piece.replace(SPACE_MARK, b" ")
        if piece is None:
            continue
        value = None if steps.byte_level else byte_value(piece)
        if value is not None:
            bytes_found += 1
            if fallback:
                piece, kind = bytes([value]), PieceKind.BYTE
        elif (steps.marks or suffix) and " " in text:
            kind = PieceKind.UNREACHABLE  # The spaces of a text have become marks, or lie outside of the words.
        elif suffix and text.endswith(suffix):
            piece = piece[: -len(suffix.encode())] + b" "
        if token == unknown:
            kind = PieceKind.UNKNOWN
        pieces[token], kinds[token] = piece, kind
    if not steps.byte_level and bytes_found != (256 if fallback else 0):
        raise model.refusal("byte_fallback", f"what the {bytes_found} byte pieces in vocab ask for", "export it again")
    return pieces, kinds


def _encoded(model: Fields, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        entry = f"{model.path}: {model.prefix}vocab[{text[:20]!r}]"
        raise UserError(f"{entry} holds half a character, expected text; export it again") from None


def _merges(model: Fields, ids: dict[str, int]) -> tuple[Merge, ...]:
    """Each merge as the ids of its two parts and of the joined piece, which is longer than either part."""
    entries = model.get("merges")
    if not isinstance(entries, list) or len(entries) > MAX_MERGES:
        raise model.refusal("merges", f"a list of up to {MAX_MERGES:,} pairs", "export it again")
    merges: dict[tuple[int, int], int] = {}
    for rank, entry in enumerate(entries):
        parts: Any = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise _refused(model, f"merges[{rank}]", entry, "two texts")
        tokens = [ids.get(text) for text in (*parts, "".join(parts))]
        left, right, joined = tokens
        if left is None or right is None or joined is None:
            missing = shown([*parts, "".join(parts)][tokens.index(None)])
            raise _refused(model, f"merges[{rank}]", entry, f"texts of the vocabulary, which has no {missing}")
        if joined in (left, right):
            raise _refused(model, f"merges[{rank}]", entry, "two texts that make a longer one")
        if merges.setdefault((left, right), joined) != joined or len(merges) <= rank:
            raise _refused(model, f"merges[{rank}]", entry, "a pair that is not there before")
    return tuple((left, right, joined) for (left, right), joined in merges.items())


def _refused(model: Fields, field: str, found: Any, expected: str) -> UserError:
    return UserError(f"{model.path}: {model.prefix}{field} is {shown(found)}, expected {expected}; export it again")
