"""The common form of a tokenizer from any file format, and the enumerations that its C tables share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from tinyllm.codegen.tokenizers.encode.automaton import Alphabet, Automaton, build_automata
from tinyllm.codegen.tokenizers.encode.cut import Cut
from tinyllm.codegen.tokenizers.encode.rewrite import Rewrite

SPACE_MARK = "\u2581".encode()
"""SentencePiece's mark for a space."""


class PieceKind(IntEnum):
    """What a vocabulary entry is; the values are emitted into the C tables."""

    NORMAL = 0
    """Text that merges may produce. It decodes to its bytes."""
    CONTROL = 1
    """BOS, EOS, padding or a mark of a chat. A user's text never becomes one. It decodes to nothing."""
    BYTE = 2
    """One raw byte, the fallback for characters outside the vocabulary."""
    UNKNOWN = 3
    """Stands for text that cannot be encoded at all."""
    USER_DEFINED = 4
    """Text that is always taken whole, before any merge, and never merges. It decodes to its bytes."""
    UNREACHABLE = 5
    """Text that no encoding gives, such as SentencePiece's symbols with plain spaces. It decodes to its bytes."""


class Algorithm(IntEnum):
    """How a word becomes pieces; the values are emitted into the C tables."""

    PIECES = 0
    """Byte-pair encoding: two neighbours merge if their joined bytes are a NORMAL piece; the lowest rank goes first
    (SentencePiece, tiktoken)."""
    PAIRS = 1
    """Byte-pair encoding: only the listed pairs merge, in the order of the list (Hugging Face tokenizers, GPT-2)."""
    UNIGRAM = 2
    """The cut into pieces whose scores have the largest sum (Kudo, arXiv 1804.10959)."""
    WORDS = 3
    """A word is one piece or unknown (Hugging Face's WordLevel)."""
    WORD_PIECES = 4
    """The longest piece that the word begins with, then the longest that continues it, and so on (WordPiece)."""


@dataclass(frozen=True)
class Strip:
    """Whether an added token swallows the white space before it (left) and after it (right)."""

    left: bool = False
    right: bool = False


@dataclass(frozen=True)
class Tokenizer:
    """How text becomes tokens and back, pieces stored as plain bytes.

    pieces: bytes of each token id. SentencePiece's space mark U+2581 is already a space. A BYTE piece is one byte; a
        byte-level piece is the bytes that it stands for. A CONTROL piece keeps its name, such as b"<s>".
    kinds: PieceKind of each id.
    ranks: merge order of each id (Algorithm.PIECES): the adjacent pair whose joined piece has the LOWEST rank merges
        first, leftmost on a tie. () for the other algorithms.
    bos, eos: token ids, None if the vocabulary has none. stop_ids: sampling one of these ends an answer.
    add_dummy_prefix: encoding first puts a space before a text that is not empty, as SentencePiece does.
    remove_extra_whitespaces: encoding trims spaces at both ends and folds runs of them, as SentencePiece does if its
        model says so.
    source: the file format, for `inspect` ("llama2.c tok.bin", "sentencepiece", "tokenizer.json", ...).
    algorithm: how a word becomes pieces.
    merges: (left id, right id, joined id) in the order of their ranks (Algorithm.PAIRS), else ().
    scores: one for each id (Algorithm.UNIGRAM), else (). Values of float32, or of doubles if wide_sums.
    wide_sums: scores are added in double precision, as Hugging Face does; else in single, as SentencePiece does.
    byte_level: words are first cut into bytes, not characters. A byte that is no NORMAL piece becomes the UNKNOWN
        piece. If there is none, the byte is dropped before anything merges.
    fuses_unknown: a run of symbols that are no pieces becomes one UNKNOWN piece; else each symbol becomes one.
    pattern: how text is cut into words before that, a name in `pretokenize.PATTERNS`; "" for no cut.
    whole_words: a word that is a NORMAL piece is taken whole, whatever the merges say (ignore_merges).
    add_bos: a conversation begins with BOS.
    prefix_sections: the dummy prefix goes before each text between added tokens, not only before the first.
    prefix_unless_space: a text that begins with a space gets no dummy prefix.
    user_defined_first: USER_DEFINED pieces are taken out of the unnormalised text, so that each of them ends a section
        (Hugging Face's added tokens); else out of the normalised text (SentencePiece).
    shared: (text, id) of each added token whose id also belongs to a piece of the model. The text is taken out like
        that of a USER_DEFINED piece (user_defined_first), and the piece keeps its kind. Their bytes may differ: "é" is
        such a text, and also the letter by which byte-level vocabularies write the byte 0xE9.
    plain_spaces: U+2581 is a character like any other; spaces and U+2581 do not replace each other.
    rewrites: the steps that change a text first.
    cuts: the steps that cut the text into words before `pattern` does.
    word_prefix: encoding puts a space before each word. word_suffix: encoding puts a space after each word; it forms
        one symbol with the word's last character (BPE's end_of_word_suffix).
    longest_word: the most characters of a word that is looked up (WORD_PIECES); a longer word is unknown.
    joins: decoding puts a space before each piece, which itself holds none (Hugging Face without a decoder).
    bare: ids, ascending, that decode without the space that their text begins with.
    strips: (id, sides) of each CONTROL or USER_DEFINED piece that swallows white space.
    character_map: SentencePiece's compiled normaliser (a Darts double array, then its replacements), b"" for none.
    unreachable_symbols: SentencePiece's user-defined symbols with plain spaces. No piece matches them, because every
        space of a text becomes a mark first. But normalisation does not change them.

    There is at most one UNKNOWN piece, and exactly one if text may need it (no byte level and no BYTE pieces). NORMAL
    and USER_DEFINED pieces are not empty, and valid UTF-8 unless byte_level. Pieces of one kind are distinct, and
    those of both kinds too unless user_defined_first. There are all 256 BYTE pieces or none.
    """

    pieces: tuple[bytes, ...]
    kinds: tuple[PieceKind, ...]
    ranks: tuple[int, ...]
    bos: int | None
    eos: int | None
    stop_ids: tuple[int, ...]
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    source: str
    algorithm: Algorithm = Algorithm.PIECES
    merges: tuple[tuple[int, int, int], ...] = ()
    scores: tuple[float, ...] = ()
    wide_sums: bool = False
    byte_level: bool = False
    fuses_unknown: bool = True
    pattern: str = ""
    whole_words: bool = False
    add_bos: bool = True
    prefix_sections: bool = False
    prefix_unless_space: bool = False
    user_defined_first: bool = False
    shared: tuple[tuple[bytes, int], ...] = ()
    strips: tuple[tuple[int, Strip], ...] = ()
    plain_spaces: bool = False
    rewrites: tuple[Rewrite, ...] = ()
    cuts: tuple[Cut, ...] = ()
    word_prefix: bool = False
    word_suffix: bool = False
    longest_word: int = 0
    joins: bool = False
    bare: tuple[int, ...] = ()
    character_map: bytes = b""
    unreachable_symbols: tuple[bytes, ...] = ()

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    def __hash__(self) -> int:
        """Hash few fields only: tokenizers are keys of caches, and hashing all fields would take milliseconds."""
        return hash((self.vocab_size, self.source, self.bos, self.eos, self.stop_ids))

    @cached_property
    def unknown(self) -> int | None:
        """The id of the UNKNOWN piece, if there is one."""
        return self.kinds.index(PieceKind.UNKNOWN) if PieceKind.UNKNOWN in self.kinds else None

    @cached_property
    def normal_ids(self) -> dict[bytes, int]:
        """The id of each NORMAL piece."""
        return self._ids(PieceKind.NORMAL)

    @cached_property
    def user_defined_ids(self) -> dict[bytes, int]:
        """The id of each text that is taken whole (USER_DEFINED pieces and shared ids), longest text first."""
        ids = self._ids(PieceKind.USER_DEFINED) | dict(self.shared)
        return dict(sorted(ids.items(), key=lambda entry: -len(entry[0])))

    @cached_property
    def kept_texts(self) -> tuple[bytes, ...]:
        """Texts that the character map and the folding of spaces do not change, longest first."""
        symbols = () if self.user_defined_first else self.user_defined_ids
        # If there is no character map, nothing folds the spaces of a marked symbol.
        marked = {piece.replace(b" ", SPACE_MARK) for piece in symbols} if self.character_map else set()
        kept = marked | {*self.unreachable_symbols}
        return tuple(sorted(kept, key=lambda text: (-len(text), text)))

    @cached_property
    def control_ids(self) -> dict[bytes, int]:
        """The id of each CONTROL piece by its name, longest name first."""
        return dict(sorted(self._ids(PieceKind.CONTROL).items(), key=lambda entry: -len(entry[0])))

    @cached_property
    def byte_ids(self) -> tuple[int, ...]:
        """The id of each byte 0..255, or () if the vocabulary has no byte fallback."""
        ids = self._ids(PieceKind.BYTE)
        return tuple(ids[bytes([byte])] for byte in range(256)) if ids else ()

    @cached_property
    def dropped_bytes(self) -> bytes:
        """The bytes that are dropped from a word before its symbols merge."""
        if not self.byte_level or self.unknown is not None:
            return b""
        return bytes(byte for byte in range(256) if bytes([byte]) not in self.normal_ids)

    @property
    def drops_unknown(self) -> bool:
        """Whether a symbol that is no piece is dropped before any merge."""
        merges = self.algorithm in (Algorithm.PIECES, Algorithm.PAIRS)
        return merges and not self.byte_level and self.unknown is None and not self.byte_ids

    @property
    def space_first(self) -> bool:
        """Whether decoding a text from its start gives a leading space that the text did not have."""
        return self.add_dummy_prefix or self.word_prefix or self.joins

    @cached_property
    def automata(self) -> tuple[Alphabet, tuple[Automaton, ...]]:
        """The automata of the rewrites' patterns, then of the cuts'. Raises UnknownRegexError if they are too large."""
        patterns = [step.pattern for step in self.rewrites if step.pattern] + [cut.pattern for cut in self.cuts]
        return build_automata(patterns)

    @cached_property
    def splits_at_spaces(self) -> bool:
        """Whether no piece holds a space after another character. Then no merge crosses such a place in a text."""
        # A dropped character may stand between two spaces, which then become neighbours.
        return not (self.word_suffix or self.drops_unknown) and not any(
            b" " in piece.lstrip(b" ") for piece in (*self.normal_ids, *self.user_defined_ids)
        )

    @cached_property
    def pair_ranks(self) -> dict[tuple[bytes, bytes], int]:
        """The rank of each listed pair of NORMAL pieces that makes a NORMAL piece (Algorithm.PAIRS)."""
        normal = {token: piece for piece, token in self.normal_ids.items()}
        return {
            (normal[left], normal[right]): rank
            for rank, (left, right, joined) in reversed(list(enumerate(self.merges)))
            if left in normal and right in normal and joined in normal
        }

    @cached_property
    def word_cache(self) -> dict[bytes, list[bytes]]:
        """The pieces of words that were encoded before."""
        return {}

    def _ids(self, kind: PieceKind) -> dict[bytes, int]:
        return {piece: token for token, piece in enumerate(self.pieces) if self.kinds[token] is kind}
