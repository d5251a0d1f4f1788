"""Reads tiktoken's rank files: each line has a piece in base64, a space and its rank.

Source: tiktoken/load.py and tiktoken_ext/openai_public.py of github.com/openai/tiktoken. The file does not say how text
is cut into words, nor which special tokens there are. A published vocabulary is recognised by its number of ranks. For
any other, the file's name gives the pattern, and tokenizer_config.json beside it may name the special tokens.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path

from tinyllm.codegen.tokenizers.encode.rewrite import COMPOSE
from tinyllm.codegen.tokenizers.formats.special_tokens import Settings, read_settings
from tinyllm.codegen.tokenizers.formats.vocabulary import FILE_LIMIT, MAX_VOCABULARY, check_pieces, distinct
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.text import shown

START = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")
END_OF_TEXT = "<|endoftext|>"

# The special tokens of Llama 3: llama/tokenizer.py of github.com/meta-llama/llama3.
_LLAMA3 = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{n}|>" for n in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{n}|>" for n in range(5, 251)),
)
# The special tokens of Qwen: tokenization_qwen.py of huggingface.co/Qwen/Qwen-7B.
_QWEN = (END_OF_TEXT, "<|im_start|>", "<|im_end|>", *(f"<|extra_{n}|>" for n in range(205)))
_FILL_IN = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")


@dataclass(frozen=True)
class Known:
    """A published vocabulary: its number of ranks, its pattern and its special tokens by id.

    bos: the special token that begins a conversation. ends: the special tokens that end an answer, EOS first. nfc:
    whether text is put into NFC.
    """

    ranks: int
    pattern: str
    specials: dict[int, str]
    bos: str | None = None
    ends: tuple[str, ...] = (END_OF_TEXT,)
    nfc: bool = False


KNOWN = {
    "r50k_base": Known(50256, "gpt2", {50256: END_OF_TEXT}),
    "gpt2": Known(50256, "gpt2", {50256: END_OF_TEXT}),
    "p50k_base": Known(50280, "gpt2", {50256: END_OF_TEXT}),
    "cl100k_base": Known(
        100256,
        "cl100k",
        {100257: END_OF_TEXT, **dict(enumerate(_FILL_IN, 100258)), 100276: "<|endofprompt|>"},
    ),
    "o200k_base": Known(199998, "o200k", {199999: END_OF_TEXT, 200018: "<|endofprompt|>"}),
    "llama3": Known(
        128000,
        "llama3",
        dict(enumerate(_LLAMA3, 128000)),
        bos="<|begin_of_text|>",
        ends=("<|end_of_text|>", "<|eot_id|>"),
    ),
    "qwen": Known(151643, "qwen2", dict(enumerate(_QWEN, 151643)), ends=(END_OF_TEXT, "<|im_end|>"), nfc=True),
}
"""The published vocabularies by the name of the file, without .tiktoken."""


def is_tiktoken(start: bytes) -> bool:
    """Whether `start` begins with a piece in base64 and its rank."""
    return START.match(start) is not None


def read_tiktoken(path: Path) -> Tokenizer:
    """The tokenizer at `path`, with the special tokens that the files beside it name.

    Ids without a piece or a name become CONTROL pieces named "[PAD<id>]". Raises UserError for a damaged file and for a
    vocabulary whose pattern is not known.
    """
    ranks = _ranks(path, read_bytes(path, FILE_LIMIT))
    known = next((known for known in KNOWN.values() if known.ranks == len(ranks)), None)
    published = known is not None
    known = known or KNOWN.get(path.stem)
    if known is None:
        raise UserError(
            f"{path}: how this vocabulary of {len(ranks):,} ranks cuts text into words is not in the file;"
            f" rename it to NAME.tiktoken, its pattern being that of NAME: {', '.join(KNOWN)}"
        )
    settings = read_settings(path.parent)
    names = dict(known.specials) if published else {}
    names |= {token.token: token.content for token in settings.added}
    pieces, kinds = _pieces(path, ranks, names)
    check_pieces(path, pieces, kinds, byte_level=True, every_byte=True)
    return _tokenizer(known, settings, pieces, kinds)


def _tokenizer(known: Known, settings: Settings, pieces: tuple[bytes, ...], kinds: tuple[PieceKind, ...]) -> Tokenizer:
    controls = {piece.decode(): token for token, piece in enumerate(pieces) if kinds[token] is PieceKind.CONTROL}
    bos = controls.get(settings.bos or known.bos or "")
    ends = [controls.get(name) for name in ((settings.eos,) if settings.eos else known.ends) if name]
    return Tokenizer(
        pieces=pieces,
        kinds=kinds,
        ranks=tuple(range(len(pieces))),
        bos=bos,
        eos=next((token for token in ends if token is not None), None),
        stop_ids=distinct(bos, *ends, *settings.stop_ids(len(pieces))),
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        source="tiktoken",
        byte_level=True,
        pattern=known.pattern,
        whole_words=True,
        add_bos=bos is not None and (known.bos is not None if settings.add_bos is None else settings.add_bos),
        rewrites=(COMPOSE,) if known.nfc else (),
    )


def _ranks(path: Path, data: bytes) -> dict[int, bytes]:
    """The piece of each rank."""
    n_lines = data.count(b"\n")
    if n_lines > MAX_VOCABULARY:
        raise UserError(f"{path} has {n_lines:,} lines, expected at most {MAX_VOCABULARY:,}; it is no tokenizer")
    ranks: dict[int, bytes] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if not line:
            continue
        try:
            text, digits = line.split(b" ")
            piece = base64.b64decode(text, validate=True)
            rank = int(digits) if len(digits) < 10 else MAX_VOCABULARY
        except (ValueError, binascii.Error):
            raise UserError(
                f"{path}: line {number} is {shown(line)}, expected a piece in base64, a space and its rank;"
                " download it again"
            ) from None
        if not 0 <= rank < MAX_VOCABULARY or ranks.setdefault(rank, piece) is not piece:
            raise UserError(
                f"{path}: line {number} has the rank {shown(digits)}, expected one that is not there before,"
                f" below {MAX_VOCABULARY:,}; download it again"
            )
    return ranks


def _pieces(
    path: Path, ranks: dict[int, bytes], names: dict[int, str]
) -> tuple[tuple[bytes, ...], tuple[PieceKind, ...]]:
    size = max([*ranks, *names], default=-1) + 1
    # A published vocabulary leaves out few ids; the largest gap is between o200k_base's special tokens.
    if size > len(ranks) + len(names) + 64:
        raise UserError(
            f"{path}: ids go up to {size - 1}, but there are {len(ranks)} ranks and {len(names)} special tokens;"
            " download it again"
        )
    both = next((token for token in sorted(names) if token in ranks), None)
    if both is not None:
        raise UserError(f"{path}: {both} is a rank and a special token ({shown(names[both])}), expected one")
    pieces, kinds = [], []
    for token in range(size):
        name = names.get(token, f"[PAD{token}]")
        pieces.append(ranks[token] if token in ranks else name.encode())
        kinds.append(PieceKind.NORMAL if token in ranks else PieceKind.CONTROL)
    return tuple(pieces), tuple(kinds)
