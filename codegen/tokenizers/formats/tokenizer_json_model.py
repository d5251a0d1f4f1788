"""The model of a tokenizer.json: its vocabulary, merges or scores, each entry checked.

Source: tokenizers/src/models/{bpe,unigram}/serialization.rs of github.com/huggingface/tokenizers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.formats.byte_level import BYTES, LETTERS, bytes_of
from tinyllm.codegen.tokenizers.formats.tokenizer_json_steps import Steps
from tinyllm.codegen.tokenizers.formats.vocabulary import MAX_VOCABULARY, byte_value
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK, Algorithm, PieceKind
from tinyllm.errors import UserError
from tinyllm.text import shown

MAX_MERGES = 1 << 21
Merge = tuple[int, int, int]


@dataclass(frozen=True)
class Words:
    """The model, without the added tokens.

    ids: of each text as the file has it. pieces, kinds: of each id but those, of a byte-level model, whose texts hold
    other letters than those for bytes; they must be added tokens. unknown: the id of the UNKNOWN piece.
    merges, scores, whole_words, fuses_unknown: as in Tokenizer.
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


def read_words(document: Fields, steps: Steps) -> Words:
    """The model of the tokenizer.json `document`. Raises UserError, naming the field."""
    model = Fields(document.path, document.inner("model"), "model.")
    kind = model.get("type", "BPE" if "merges" in model.values else None)
    if kind == "BPE":
        return _bpe(model, steps)
    if kind == "Unigram":
        return _unigram(model, steps)
    raise model.refusal("type", "BPE or Unigram", "choose another tokenizer")


def _bpe(model: Fields, steps: Steps) -> Words:
    if model.get("dropout"):
        raise model.refusal("dropout", "none: it is for training", "remove it")
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise model.refusal(key, "none", "choose another tokenizer")
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
        if not fallback and (unknown is None or not fuses or steps.pattern):
            raise model.refusal("byte_fallback", "true, or unk_token and fuse_unk", "choose another tokenizer")
    pieces, kinds = _pieces(model, ids, steps, unknown, fallback and not steps.byte_level)
    merges = _merges(model, ids)
    return Words(
        Algorithm.PAIRS,
        ids,
        pieces,
        kinds,
        unknown,
        merges,
        whole_words=model.switch("ignore_merges", False),
        fuses_unknown=fuses or unknown is None or not steps.byte_level,
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
    """The ids by text, each once and none beyond what a vocabulary may have."""
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
    model: Fields, ids: dict[str, int], steps: Steps, unknown: int | None, fallback: bool
) -> tuple[dict[int, bytes], dict[int, PieceKind]]:
    pieces: dict[int, bytes] = {}
    kinds: dict[int, PieceKind] = {}
    bytes_found = 0
    for text, token in ids.items():
        piece, kind = bytes_of(text) if steps.byte_level else _marked(model, text), PieceKind.NORMAL
        if piece is None:
            continue
        value = None if steps.byte_level else byte_value(piece)
        if value is not None:
            bytes_found += 1
            if fallback:
                piece, kind = bytes([value]), PieceKind.BYTE
        elif not steps.byte_level and " " in text:
            kind = PieceKind.UNREACHABLE  # A text's spaces have become marks.
        if token == unknown:
            kind = PieceKind.UNKNOWN
        pieces[token], kinds[token] = piece, kind
    if not steps.byte_level and bytes_found != (256 if fallback else 0):
        raise model.refusal("byte_fallback", f"what the {bytes_found} byte pieces in vocab ask for", "export it again")
    return pieces, kinds


def _marked(model: Fields, text: str) -> bytes:
    try:
        return text.encode().replace(SPACE_MARK, b" ")
    except UnicodeEncodeError:
        where = f"{model.path}: {model.prefix}vocab[{text[:20]!r}]"
        raise UserError(f"{where} holds half a character, expected text; export it again") from None


def _merges(model: Fields, ids: dict[str, int]) -> tuple[Merge, ...]:
    """Each merge as the ids of its two parts and of what they make, which is always longer than either."""
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


def _refused(model: Fields, where: str, found: Any, expected: str) -> UserError:
    return UserError(f"{model.path}: {model.prefix}{where} is {shown(found)}, expected {expected}; export it again")
