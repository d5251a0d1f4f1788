"""The tables that the board's tokenizer reads, laid out for lookup without RAM, and their sizes.

Pieces lie in slots, sorted by length, and pieces of the same length by their bytes. So a binary search among the pieces
of a length finds a piece. A piece needs no offset, because its place follows from its slot. Two tables lead from a slot
to its id and back. Nothing is stored that follows from other tables:

- The kind of a piece follows from its bytes: a CONTROL piece has none, the UNKNOWN piece has those of U+FFFD.
- The rank of a merge is the id of the joined piece, if ids and ranks have the same order.
- A merge of a listed pair is stored as the joined piece and the length of its left part.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby, pairwise

from tinyllm.codegen.tokenizers.encode.encoder import decode_piece
from tinyllm.codegen.tokenizers.encode.pretokenize import PATTERNS, Pattern
from tinyllm.codegen.tokenizers.encode.rewrite import RewriteKind
from tinyllm.codegen.tokenizers.encode.unicode_classes import CLASSES, STARTS, CharClass
from tinyllm.codegen.tokenizers.encode.unicode_data import LOWER_CASE
from tinyllm.codegen.tokenizers.encode.unigram import path_scores
from tinyllm.codegen.tokenizers.normal_forms import Decompositions, combining_classes, compositions, decompositions
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, Strip, Tokenizer
from tinyllm.errors import UserError

MERGE_STRIDE = 16
"""How many slots share an entry of the table that leads to a slot's merges (Merges.base)."""
CLASS_BITS = 3
LONGEST_KEPT = 255
SMALLEST_SCORE, LARGEST_SCORE = 1e-30, 1e30
"""Absolute values of scores whose sums stay within the numbers that the board adds exactly."""


@dataclass(frozen=True)
class Group:
    """The pieces of one length in bytes.

    first: the first slot. n_sorted: how many pieces text may become. offset: where the bytes of the pieces begin.
    """

    length: int
    first: int
    n_sorted: int
    offset: int


@dataclass(frozen=True)
class Merges:
    """The merges of all slots, one after the other (Algorithm.PAIRS).

    left: the length of the left part, 0 if the slot has no merge; plus `last` for the last entry of a slot. ranks: the
    rank of each entry; () if (id of the joined piece) * most + (index among its slot's entries) gives the same order.
    base: the index of the first entry of every 16th slot. most: the largest number of entries of a slot.
    """

    left: tuple[int, ...]
    ranks: tuple[int, ...]
    base: tuple[int, ...]
    last: int
    most: int


@dataclass(frozen=True)
class Added:
    """An added token. token: its id, or None for a CONTROL piece, which only hides the names that overlap its own."""

    name: bytes
    token: int | None
    strip: Strip


@dataclass(frozen=True)
class VocabularyTables:
    """The emitted tables. slots: the id in each slot; texts: its bytes; token_slots: the slot of each id.

    ranks: by slot, or () if ids serve as ranks. scores: by slot, the bits of a float, or of a double if wide_scores.
    unknown_score: the bits of an unknown character's score, a double. user_defined: the ids of pieces that are found in
    the normalised text, longest piece first. kept: texts that normalisation does not change. class_runs: (first code
    point << 3) + CharClass.
    """

    tokenizer: Tokenizer
    slots: tuple[int, ...]
    texts: tuple[bytes, ...]
    token_slots: tuple[int, ...]
    groups: tuple[Group, ...]
    ranks: tuple[int, ...]
    merges: Merges | None
    scores: tuple[int, ...]
    wide_scores: bool
    unknown_score: int
    user_defined: tuple[int, ...]
    kept: tuple[bytes, ...]
    added: tuple[Added, ...]
    class_runs: tuple[int, ...]

    @property
    def longest(self) -> int:
        """Bytes of the longest piece that text may become; at least 1."""
        longest = max((group.length for group in self.groups if group.n_sorted), default=1)
        return max(longest - self.tokenizer.joins, 1)

    @property
    def pattern(self) -> Pattern | None:
        return PATTERNS[self.tokenizer.pattern] if self.tokenizer.pattern else None

    @property
    def decompositions(self) -> dict[str, Decompositions]:
        """The decompositions that the tokenizer's normal forms need, by their names in the C tables."""
        kinds = {step.kind for step in self.tokenizer.rewrites}
        found = {}
        if kinds & {RewriteKind.NFC, RewriteKind.NFD}:
            found["canonical"] = decompositions(compatibility=False)
        if kinds & {RewriteKind.NFKC, RewriteKind.NFKD}:
            found["compatibility"] = decompositions(compatibility=True)
        return found

    @property
    def lowers(self) -> bool:
        """Whether a rewrite converts text to lower case."""
        return any(step.kind is RewriteKind.LOWERCASE for step in self.tokenizer.rewrites)

    @property
    def token_bytes(self) -> int:
        """sizeof(tl_token_t)."""
        return integer_bytes(self.tokenizer.vocab_size)

    @property
    def n_ranks(self) -> int:
        """Ranks of Algorithm.PIECES and PAIRS are below this."""
        if self.merges is None or self.merges.ranks:
            return max(self.tokenizer.vocab_size, len(self.tokenizer.merges))
        return self.tokenizer.vocab_size * self.merges.most

    def scratch(self, text_max: int) -> int:
        """Bytes of RAM that the encoder needs for a text of at most `text_max` bytes."""
        length = 1 if self.longest < 256 else 2
        if self.tokenizer.algorithm is Algorithm.UNIGRAM:
            each = 1 + 2 * length + (8 if self.wide_scores else 4)
        elif self.tokenizer.algorithm is Algorithm.WORDS:
            each = 1
        elif self.tokenizer.algorithm is Algorithm.WORD_PIECES:
            each = 1 + length
        else:
            each = 1 + length + integer_bytes(self.n_ranks)
        return each * (text_max + 2 + self.tokenizer.word_prefix + self.tokenizer.word_suffix)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of each table in flash."""
        token, n = self.token_bytes, self.tokenizer.vocab_size
        merges = self.merges or Merges((), (), (), 0, 0)
        sizes = {
            "text": sum(map(len, self.texts)) + 1,
            "ids": 2 * token * n,
            "lengths": 16 * (len(self.groups) + 1),
            "ranks": token * len(self.ranks),
            "merges": (1 if merges.last <= 0x80 else 2) * len(merges.left)
            + integer_bytes(len(merges.left)) * len(merges.base)
            + integer_bytes(self.n_ranks) * len(merges.ranks),
            "scores": (8 if self.wide_scores else 4) * len(self.scores),
            "bytes": 256 * token if self.tokenizer.byte_ids else 0,
            "user_defined": token * (len(self.user_defined) + 1),
            "kept": sum(1 + len(text) for text in self.kept) + 1 if self.kept else 0,
            "added": sum(len(added.name) + 12 for added in self.added),
            "classes": 4 * len(self.class_runs),
            "normal_forms": sum(table.n_bytes for table in self.decompositions.values())
            + (compositions().n_bytes + 4 * len(combining_classes()) if self.decompositions else 0),
            "lower_case": 12 * len(LOWER_CASE) if self.lowers else 0,
            "rewrites": sum(16 + len(step.content) for step in self.tokenizer.rewrites),
            "automata": sum(4 + len(automaton.table) for automaton in self.tokenizer.automata[1])
            + (4 * len(self.tokenizer.automata[0].starts) if self.tokenizer.automata[1] else 0),
            "cuts": 8 * len(self.tokenizer.cuts),
            "bare": token * (len(self.tokenizer.bare) + 1),
            "character_map": len(self.tokenizer.character_map) - 3 if self.tokenizer.character_map else 0,
        }
        return {name: size for name, size in sizes.items() if size}


def integer_bytes(n: int) -> int:
    """Bytes of the smallest of uint16_t and uint32_t that holds 0..n-1 and one more value, which means none."""
    return 2 if n <= 0xFFFF else 4


@lru_cache(maxsize=4)
def lay_out(tokenizer: Tokenizer) -> VocabularyTables:
    """The tables of a tokenizer. Raises UserError for a score or a piece that boards cannot work with."""
    user_defined = [] if tokenizer.user_defined_first else list(tokenizer.user_defined_ids.items())
    folds = tokenizer.character_map or tokenizer.remove_extra_whitespaces
    kept = tokenizer.kept_texts if folds else ()
    if any(len(piece) > LONGEST_KEPT for piece in kept):
        raise UserError(
            f"the tokenizer has a user-defined piece of {max(map(len, kept))} bytes beside a normaliser, boards take"
            f" {LONGEST_KEPT}; use another tokenizer (--tokenizer)"
        )
    found = _found(tokenizer)
    texts = [_text(tokenizer, token) for token in range(tokenizer.vocab_size)]
    slots = sorted(range(tokenizer.vocab_size), key=lambda token: (len(texts[token]), _order(found, texts, token)))
    groups, first, offset = [], 0, 0
    for length, members in groupby(slots, key=lambda token: len(texts[token])):
        ids = list(members)
        groups.append(Group(length, first, sum(token in found for token in ids), offset))
        first, offset = first + len(ids), offset + length * len(ids)
    token_slots = [0] * len(slots)
    for slot, token in enumerate(slots):
        token_slots[token] = slot
    scores, wide, unknown = _scores(tokenizer, slots, texts)
    return VocabularyTables(
        tokenizer=tokenizer,
        slots=tuple(slots),
        texts=tuple(texts[token] for token in slots),
        token_slots=tuple(token_slots),
        groups=tuple(groups),
        ranks=_ranks(tokenizer, slots),
        merges=_merges(tokenizer, slots) if tokenizer.algorithm is Algorithm.PAIRS else None,
        scores=scores,
        wide_scores=wide,
        unknown_score=unknown,
        user_defined=tuple(token for _, token in user_defined),
        kept=kept,
        added=_added(tokenizer),
        class_runs=_class_runs(tokenizer),
    )


def _found(tokenizer: Tokenizer) -> set[int]:
    """The ids of the pieces that are looked up by their bytes."""
    found = set(tokenizer.normal_ids.values())
    if tokenizer.algorithm is Algorithm.UNIGRAM and not tokenizer.user_defined_first:
        found |= set(tokenizer.user_defined_ids.values())
    return found


def _order(found: set[int], texts: list[bytes], token: int) -> tuple[bool, bytes, int]:
    return (True, b"", token) if token not in found else (False, texts[token], token)


def _text(tokenizer: Tokenizer, token: int) -> bytes:
    """The bytes that the token decodes to; a bare token keeps its space."""
    space = b" " if token in tokenizer.bare else b""
    return space + decode_piece(tokenizer, token)


def _ranks(tokenizer: Tokenizer, slots: list[int]) -> tuple[int, ...]:
    """The ranks by slot, or () if the pieces that merges make have the same order by id as by rank."""
    if tokenizer.algorithm is not Algorithm.PIECES:
        return ()
    joined = (token for piece, token in tokenizer.normal_ids.items() if _n_symbols(tokenizer, piece) > 1)
    ranks = [tokenizer.ranks[token] for token in sorted(joined)]
    if all(rank < following for rank, following in pairwise(ranks)):
        return ()
    return tuple(tokenizer.ranks[token] for token in slots)


def _n_symbols(tokenizer: Tokenizer, piece: bytes) -> int:
    return len(piece) if tokenizer.byte_level else len(piece.decode())


def _merges(tokenizer: Tokenizer, slots: list[int]) -> Merges:
    rows: dict[int, list[tuple[int, int]]] = {}
    for pair, rank in sorted(tokenizer.pair_ranks.items(), key=lambda entry: entry[1]):
        rows.setdefault(tokenizer.normal_ids[b"".join(pair)], []).append((len(pair[0]), rank))
    # With ids ascending, all ranks of a piece must come before any rank of the next one.
    spans = [(rows[token][0][1], rows[token][-1][1]) for token in sorted(rows)]
    ordered = all(end < start for (_, end), (start, _) in pairwise(spans))
    last = 0x80 if all(length < 0x80 for row in rows.values() for length, _ in row) else 0x8000
    left: list[int] = []
    ranks: list[int] = []
    base: list[int] = []
    for slot, token in enumerate(slots):
        if slot % MERGE_STRIDE == 0:
            base.append(len(left))
        row = rows.get(token, [(0, 0)])
        left += [length for length, _ in row[:-1]] + [row[-1][0] | last]
        ranks += [rank for _, rank in row]
    most = max(map(len, rows.values()), default=1)
    ordered = ordered and most * tokenizer.vocab_size < 1 << 32
    return Merges(tuple(left), () if ordered else tuple(ranks), tuple(base), last, most)


def _scores(tokenizer: Tokenizer, slots: list[int], texts: list[bytes]) -> tuple[tuple[int, ...], bool, int]:
    if tokenizer.algorithm is not Algorithm.UNIGRAM:
        return (), False, 0
    by_text, unknown = path_scores(tokenizer)
    found = _found(tokenizer)
    scores = [by_text[texts[token][tokenizer.joins :]] if token in found else 0.0 for token in slots]
    for score in (*scores, unknown):
        if score and not SMALLEST_SCORE <= abs(score) <= LARGEST_SCORE:
            raise UserError(
                f"the tokenizer has a piece of score {score:g}, boards add {SMALLEST_SCORE:g} to {LARGEST_SCORE:g};"
                " use another tokenizer (--tokenizer)"
            )
    wide = any(struct.unpack("<f", struct.pack("<f", score))[0] != score for score in scores)
    form = "<Q<d" if wide else "<I<f"
    bits = tuple(struct.unpack(form[:2], struct.pack(form[2:], score))[0] for score in scores)
    return bits, wide, struct.unpack("<Q", struct.pack("<d", unknown))[0]


def _added(tokenizer: Tokenizer) -> tuple[Added, ...]:
    """The added tokens, longest name first; none if no USER_DEFINED piece is taken out of the unnormalised text."""
    if not tokenizer.user_defined_first or not tokenizer.user_defined_ids:
        return ()
    strips = dict(tokenizer.strips)
    names = [Added(name, token, strips.get(token, Strip())) for name, token in tokenizer.user_defined_ids.items()]
    names += [Added(name, None, Strip()) for name in tokenizer.control_ids if name]
    return tuple(sorted(names, key=lambda added: -len(added.name)))


def _class_runs(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The runs of character classes; classes that the pattern does not tell apart are merged."""
    if not tokenizer.pattern or PATTERNS[tokenizer.pattern].at_spaces:
        return ()
    same = {CharClass.UPPER: CharClass.LETTER, CharClass.LOWER: CharClass.LETTER, CharClass.MARK: CharClass.OTHER}
    same = {} if PATTERNS[tokenizer.pattern].cased else same
    runs: list[int] = []
    before = None
    for start, kind in zip(STARTS, CLASSES, strict=True):
        kind = same.get(kind, kind)
        if kind != before:
            runs.append(start << CLASS_BITS | kind)
        before = kind
    return tuple(runs)
