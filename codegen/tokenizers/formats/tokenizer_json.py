"""Reads Hugging Face's tokenizer.json with the models BPE, Unigram, WordLevel and WordPiece.

The file is read as data: nothing that it names is called. Fields: the serialisation of
github.com/huggingface/tokenizers. tokenizer_config.json beside it has the same effect as in transformers.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.encode.automaton import build_automata
from tinyllm.codegen.tokenizers.encode.regex import UnknownRegexError
from tinyllm.codegen.tokenizers.formats.special_tokens import AddedToken, Settings, added_token, read_settings
from tinyllm.codegen.tokenizers.formats.tokenizer_json_model import Words, bare_tokens, check_decoder, read_words
from tinyllm.codegen.tokenizers.formats.tokenizer_json_normalizer import read_normalizer
from tinyllm.codegen.tokenizers.formats.tokenizer_json_pre_tokenizer import read_pre_tokenizer
from tinyllm.codegen.tokenizers.formats.tokenizer_json_steps import MARK, Steps, first_special, flatten, read_decoder
from tinyllm.codegen.tokenizers.formats.vocabulary import MAX_VOCABULARY, check_pieces, distinct
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, PieceKind, Strip, Tokenizer
from tinyllm.errors import CheckpointWarning, UserError
from tinyllm.files import read_bytes
from tinyllm.text import shown

JSON_LIMIT = 40 << 20
LARGEST_SIGNIFICAND = (1 << 64) - 1
LARGEST_POWER = 308
KIND = {True: PieceKind.CONTROL, False: PieceKind.USER_DEFINED}


def is_tokenizer_json(start: bytes) -> bool:
    """Whether `start` begins like a JSON object."""
    return start.lstrip().startswith(b"{") and start.lstrip()[1:].lstrip()[:1] in (b'"', b"}", b"")


def read_tokenizer_json(path: Path) -> Tokenizer:
    """The tokenizer at `path`, with the special tokens that the files beside it name.

    Special tokens become CONTROL pieces. Other added tokens become USER_DEFINED pieces; but if the model has a piece of
    the same id, that piece stays (Tokenizer.shared). Warns (CheckpointWarning) of a special token that tokenizers finds
    only in normalised text. Raises UserError, naming the field, for a file that is damaged or contradicts itself, and
    for every model, step and token that cannot be followed exactly.
    """
    document = Fields(path, _read_object(path))
    steps = _read_steps(document)
    words = read_words(document, steps)
    check_decoder(document, steps, words)
    settings = read_settings(path.parent)
    before_text = first_special(document)
    specials = settings.specials if before_text is None else (*settings.specials, before_text)
    added = _added_tokens(document, words, settings, specials)
    shared = _shared(words, added)
    pieces, kinds = _pieces(path, words, [token for token in added if token.token not in shared])
    check_pieces(
        path,
        pieces,
        kinds,
        steps.byte_level,
        user_defined_first=True,
        drops_unknown=words.algorithm is Algorithm.PAIRS,
    )
    _warn_of_normalized(path, steps, added)
    _refuse_text_tokens(document, steps, [token for token in added if not token.special])
    if steps.byte_level:
        _refuse_special_bytes(document, words, [token for token in added if token.special])
    names = {token.content: token.token for token in added} | words.ids
    bos = names.get(settings.bos or "", settings.bos_id if before_text is None else names.get(before_text))
    stop_ids = settings.stop_ids(len(pieces))
    eos = names.get(settings.eos or "", next(iter(stop_ids), None))
    if bos is not None and bos >= len(pieces):
        raise UserError(f"{path.parent / 'config.json'}: bos_token_id is {bos}, expected 0 to {len(pieces) - 1}")
    add_bos = settings.adds_bos(before_text is not None)
    if add_bos and before_text is not None and names.get(before_text, -1) != bos:
        raise document.refusal("post_processor", "the BOS token before a text", "choose another tokenizer")
    return Tokenizer(
        pieces=pieces,
        kinds=kinds,
        ranks=(),
        bos=bos,
        eos=eos,
        stop_ids=distinct(bos, eos, *stop_ids),
        add_dummy_prefix=steps.add_dummy_prefix,
        remove_extra_whitespaces=steps.remove_extra_whitespaces,
        source="tokenizer.json",
        algorithm=words.algorithm,
        merges=_text_merges(path, words, kinds),
        scores=words.scores and words.scores + (max(words.scores),) * (len(pieces) - len(words.scores)),
        wide_sums=words.algorithm is Algorithm.UNIGRAM,
        byte_level=steps.byte_level,
        pattern=steps.pattern,
        whole_words=words.whole_words,
        fuses_unknown=words.fuses_unknown,
        add_bos=add_bos and bos is not None,
        prefix_sections=steps.prefix_sections and (steps.byte_level or settings.prefix_sections),
        prefix_unless_space=steps.prefix_unless_space,
        user_defined_first=True,
        shared=tuple((text, token) for token, text in shared.items()),
        strips=tuple(
            (token.token, Strip(token.lstrip, token.rstrip)) for token in added if token.lstrip or token.rstrip
        ),
        character_map=steps.character_map,
        plain_spaces=not (steps.byte_level or steps.marks),
        rewrites=steps.rewrites,
        cuts=steps.cuts,
        word_prefix=steps.word_prefix or words.algorithm is Algorithm.WORD_PIECES,
        word_suffix=words.word_suffix,
        longest_word=words.longest_word,
        joins=steps.joins and words.joins,
        bare=bare_tokens(pieces, kinds, words.joins) if steps.cleans_up else (),
    )


def _read_steps(document: Fields) -> Steps:
    """The steps around the model. Raises UserError, naming the first step that cannot be followed."""
    steps = read_normalizer(flatten(document, "normalizer", "normalizers"))
    steps = read_pre_tokenizer(document, flatten(document, "pre_tokenizer", "pretokenizers"), steps)
    try:
        patterns = [step.pattern for step in steps.rewrites if step.pattern] + [cut.pattern for cut in steps.cuts]
        build_automata(patterns)
    except UnknownRegexError as error:
        raise UserError(
            f"{document.path}: normalizer and pre_tokenizer have {error} together; choose another tokenizer"
        ) from None
    return read_decoder(document, steps)


def _read_object(path: Path) -> dict[str, Any]:
    def distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = set[str]()
            again = next(key for key, _ in pairs if key in keys or keys.add(key))  # type: ignore[func-returns-value]
            raise ValueError(f"{shown(again)} is there twice in an object")
        return found

    try:
        value = json.loads(read_bytes(path, JSON_LIMIT), object_pairs_hook=distinct_keys, parse_float=as_serde_reads)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a sound tokenizer.json ({error}); download or export it again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a JSON {type(value).__name__}, expected an object; download or export it again")
    return value


def as_serde_reads(text: str) -> float:
    """A JSON number as tokenizers reads it. Its parser is fast, and may slightly miss the nearest double.

    That can decide which of two cuts of a text has the larger sum of scores. Source: parse_decimal and f64_from_parts
    in src/de.rs of github.com/serde-rs/json.
    """
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    significand, scale = 0, int(exponent or 0)
    for place, digit in enumerate(whole + fraction):
        if 10 * significand + int(digit) > LARGEST_SIGNIFICAND:
            scale += max(len(whole) - place, 0)
            break
        significand = 10 * significand + int(digit)
        scale -= place >= len(whole)
    value = float(significand)
    while scale < -LARGEST_POWER and value:
        value /= 10.0**LARGEST_POWER
        scale += LARGEST_POWER
    if scale > LARGEST_POWER and value:
        raise ValueError(f"the number {shown(text)} is too large")
    power = float(f"1e{min(abs(scale), LARGEST_POWER)}")
    value = value * power if scale >= 0 else value / power
    return -value if text.startswith("-") else value


def _added_tokens(document: Fields, words: Words, settings: Settings, specials: Sequence[str]) -> list[AddedToken]:
    """Every added token of the file and of tokenizer_config.json, ids ascending; the latter overrides the former."""
    entries = document.get("added_tokens", [])
    if not isinstance(entries, list) or len(entries) > MAX_VOCABULARY:
        raise document.refusal("added_tokens", "a list of tokens", "export it again")
    added: dict[int, AddedToken] = {}
    for n, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UserError(f"{document.path}: added_tokens[{n}] is {shown(entry)}, expected an object")
        token = added_token(Fields(document.path, entry, f"added_tokens[{n}]."), entry.get("id"))
        if token.token in added:
            raise UserError(f"{document.path}: added_tokens[{n}].id is {token.token} again, expected distinct ids")
        added[token.token] = token
    for token in settings.added:
        if token.token in added and added[token.token].content != token.content:
            raise UserError(
                f"{settings.path}: added_tokens_decoder.{token.token} is {shown(token.content)},"
                f" {document.path.name} has {shown(added[token.token].content)}; use the files of one model"
            )
        added[token.token] = token
    by_content = {token.content: token for token in added.values()}
    for name in specials:
        if name in by_content:
            added[by_content[name].token] = replace(by_content[name], special=True)
        elif name in words.ids:
            added[words.ids[name]] = AddedToken(words.ids[name], name, special=True, normalized=False)
    ids: dict[str, int] = {}
    for token in added.values():
        if ids.setdefault(token.content, words.ids.get(token.content, token.token)) != token.token:
            raise UserError(
                f"{document.path}: the added token {shown(token.content)} has the ids {ids[token.content]} and"
                f" {token.token}, expected one; export it again"
            )
    return [added[token_id] for token_id in sorted(added)]


def _shared(words: Words, added: Sequence[AddedToken]) -> dict[int, bytes]:
    """The texts of the added tokens that are not special and whose ids the model gives too, ids ascending.

    Such a text is taken out before the model sees it. But the model can still give the piece: its bytes may differ from
    those of the text, a normalizer may make it, and nothing is taken out of a special token's name that a person types.
    """
    reachable = {token for token, kind in words.kinds.items() if kind is not PieceKind.UNREACHABLE}
    return {token.token: token.content.encode() for token in added if not token.special and token.token in reachable}


def _pieces(path: Path, words: Words, added: Sequence[AddedToken]) -> tuple[tuple[bytes, ...], tuple[PieceKind, ...]]:
    """The piece and the kind of each id, without gaps. added: without the tokens that share a piece."""
    pieces, kinds = dict(words.pieces), dict(words.kinds)
    for token in added:
        if kinds.get(token.token) is PieceKind.UNKNOWN:
            continue
        kinds[token.token] = KIND[token.special]
        pieces[token.token] = token.content.encode()
    if len(pieces) > MAX_VOCABULARY:
        raise UserError(f"{path}: {len(pieces):,} pieces, expected at most {MAX_VOCABULARY:,}; it is no tokenizer")
    odd = next((text for text, token in words.ids.items() if token not in pieces), None)
    if odd is not None:
        raise UserError(
            f"{path}: model.vocab[{shown(odd)}] is no added token and holds letters that stand for no byte;"
            " choose another tokenizer"
        )
    hole = next((token for token in range(len(pieces)) if token not in pieces), None)
    if hole is not None:
        raise UserError(f"{path}: no piece has the id {hole}, though there are {len(pieces)}; export it again")
    order = range(len(pieces))
    return tuple(pieces[token] for token in order), tuple(kinds[token] for token in order)


def _text_merges(path: Path, words: Words, kinds: Sequence[PieceKind]) -> tuple[tuple[int, int, int], ...]:
    """The merges between NORMAL pieces; no encoding gives the parts of other merges.

    Raises UserError for a merge with a special or byte token: a person's text must not become a special token.
    """
    merges = []
    for rank, merge in enumerate(words.merges):
        found = {kinds[token] for token in merge}
        if PieceKind.CONTROL in found or PieceKind.BYTE in found or PieceKind.UNKNOWN in found:
            raise UserError(
                f"{path}: model.merges[{rank}] holds a special or byte token, expected text alone;"
                " choose another tokenizer"
            )
        if found == {PieceKind.NORMAL}:
            merges.append(merge)
    return tuple(merges)


def _refuse_text_tokens(document: Fields, steps: Steps, texts: Sequence[AddedToken]) -> None:
    for token in texts:
        if steps.normalizers and token.normalized:
            raise _refused(document, token, "is looked for in normalized text")
        if steps.marks and MARK in token.content:
            raise _refused(document, token, "holds U+2581, which stands for a space here")


def _refuse_special_bytes(document: Fields, words: Words, specials: Sequence[AddedToken]) -> None:
    """Refuse a special token that stands for a byte: any byte may be in a person's text, which must not give it."""
    for token in specials:
        piece = words.pieces.get(token.token, b"")
        if len(piece) == 1 and words.kinds[token.token] is PieceKind.NORMAL:
            raise _refused(document, token, f"is special and stands for the byte 0x{piece[0]:02X} of any text")


def _refused(document: Fields, token: AddedToken, problem: str) -> UserError:
    return UserError(
        f"{document.path}: the added token {token.token} ({shown(token.content)}) {problem}, which cannot be"
        " followed; choose another tokenizer"
    )


def _warn_of_normalized(path: Path, steps: Steps, added: Sequence[AddedToken]) -> None:
    odd = [token.content for token in added if token.special and token.normalized]
    if odd and set(steps.normalizers) - {"NFC"}:
        warnings.warn(
            f"{path}: {len(odd)} special tokens, {shown(odd[0])} first, are marked as normalized; they are taken"
            " wherever their names stand in a chat template",
            CheckpointWarning,
            stacklevel=3,
        )
