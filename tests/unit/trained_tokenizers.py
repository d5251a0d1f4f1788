"""Tokenizers as people train them with Hugging Face tokenizers: every model behind every kind of step, on the spot."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import tinyllm.codegen.tokenizers as read

CORPUS = [
    "Once upon a time there was a small dog who liked the park. It's the dog's park, they'll say.",
    "The dog said: I WANT to play, and the cat said: so do I! 123 1234567 cats, 3.14 and 2024-11-22",
    "they found the ball under a tree; that was a good day...\n\n  \tThen\r\nit rained   and   rained.",
    "Zoë wäre müde, naïve café, Ελλάδα, мир, 猫と犬, 😀😀 HTMLParser getElementById don't can't",
    "in   the   park    there are   spaces\tand tabs // and /* comments */ ======== -------- a-b-c x_y",
] * 20
SPECIALS = ["[UNK]", "[CLS]", "[SEP]"]

N, P = normalizers, pre_tokenizers


def _model(kind: str, **options: Any) -> tuple[Any, Any]:
    """A model and its trainer."""
    common: dict[str, Any] = {"special_tokens": SPECIALS, "show_progress": False}
    if kind == "words":
        return models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=120, **common)
    if kind == "word pieces":
        model = models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=options.get("longest", 100))
        return model, trainers.WordPieceTrainer(vocab_size=260, **common)
    if kind == "unigram":
        return models.Unigram(), trainers.UnigramTrainer(vocab_size=160, unk_token="[UNK]", **common)
    suffix = options.pop("suffix", "")
    model = models.BPE(**({"end_of_word_suffix": suffix} if suffix else {}), **options)
    return model, trainers.BpeTrainer(vocab_size=260, **({"end_of_word_suffix": suffix} if suffix else {}), **common)


def trained(
    kind: str,
    pre_tokenizer: Any = None,
    normalizer: Any = None,
    decoder: Any = None,
    processor: Callable[[Tokenizer], Any] | None = None,
    **options: Any,
) -> Tokenizer:
    model, trainer = _model(kind, **options)
    tokenizer = Tokenizer(model)
    steps = pre_tokenizer if isinstance(pre_tokenizer, Sequence) else [pre_tokenizer]
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = steps[0] if len(steps) == 1 else P.Sequence(list(steps))
    if normalizer is not None:
        tokenizer.normalizer = N.Sequence(list(normalizer)) if isinstance(normalizer, Sequence) else normalizer
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(CORPUS, trainer)
    if processor is not None:
        tokenizer.post_processor = processor(tokenizer)
    return tokenizer


def _bert_processor(tokenizer: Tokenizer) -> Any:
    return processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))


def _cut(regex: str, behavior: str = "isolated", invert: bool = False) -> Any:
    return P.Split(Regex(regex), behavior, invert)


UNKNOWN = {"unk_token": "[UNK]"}
WORDS = P.Whitespace()
BERT = partial(trained, "word pieces", P.BertPreTokenizer(), decoder=decoders.WordPiece())

TRAINED: dict[str, Callable[[], Tokenizer]] = {
    # A model alone
    "bpe": partial(trained, "bpe"),
    "bpe with an unknown piece": partial(trained, "bpe", **UNKNOWN),
    "bpe with one for a run": partial(trained, "bpe", **UNKNOWN, fuse_unk=True),
    # Cuts
    "bpe, Whitespace": partial(trained, "bpe", WORDS),
    "bpe, Whitespace, unknown": partial(trained, "bpe", WORDS, **UNKNOWN),
    "bpe, Whitespace, one for a run": partial(trained, "bpe", WORDS, **UNKNOWN, fuse_unk=True),
    "bpe, Whitespace, whole words": partial(trained, "bpe", WORDS, ignore_merges=True),
    "bpe, WhitespaceSplit": partial(trained, "bpe", P.WhitespaceSplit(), **UNKNOWN),
    **{
        f"bpe, Punctuation {behavior}": partial(trained, "bpe", P.Punctuation(behavior))
        for behavior in ("isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous")
    },
    "bpe, Digits": partial(trained, "bpe", P.Digits()),
    "bpe, Digits one by one": partial(trained, "bpe", P.Digits(individual_digits=True)),
    "bpe, BertPreTokenizer": partial(trained, "bpe", P.BertPreTokenizer(), **UNKNOWN),
    "bpe, CharDelimiterSplit": partial(trained, "bpe", P.CharDelimiterSplit("-")),
    "bpe, Split at a text": partial(trained, "bpe", P.Split("the", "merged_with_previous")),
    "bpe, Split at a text, inverted": partial(trained, "bpe", P.Split("the", "contiguous", invert=True)),
    "bpe, Whitespace then Digits": partial(trained, "bpe", [WORDS, P.Digits(individual_digits=True)]),
    "bpe, Whitespace, Punctuation, Digits": partial(
        trained, "bpe", [P.WhitespaceSplit(), P.Punctuation("merged_with_next"), P.Digits()], **UNKNOWN
    ),
    **{
        f"bpe, own regex {number}": partial(trained, "bpe", _cut(regex, *options))
        for number, (regex, *options) in enumerate(
            [
                (r"\w+|[^\w\s]+|\s+",),
                (r" ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",),
                (r"[A-Z]?[a-z]+|\d", "removed", True),
                (r"\s+", "merged_with_next"),
                (r"[^\S\n]+|\n", "merged_with_previous"),
                (r"(?i:'s|'t|'re|'ll)|[\p{L}\p{M}]+|\p{N}", "contiguous"),
                (r"[\r\n]++$|[.!?]+(?=\s|$)", "isolated"),
            ]
        )
    },
    # Marks
    "bpe, Metaspace": partial(trained, "bpe", P.Metaspace(), decoder=decoders.Metaspace()),
    "bpe, Metaspace, unknown": partial(trained, "bpe", P.Metaspace(), decoder=decoders.Metaspace(), **UNKNOWN),
    "bpe, Metaspace first": partial(
        trained, "bpe", P.Metaspace(prepend_scheme="first", split=False), decoder=decoders.Metaspace(), **UNKNOWN
    ),
    "bpe, Metaspace then Digits": partial(
        trained, "bpe", [P.Metaspace(), P.Digits(individual_digits=True)], decoder=decoders.Metaspace()
    ),
    "bpe, Metaspace then Punctuation": partial(
        trained, "bpe", [P.Metaspace(split=False), P.Punctuation("contiguous")], decoder=decoders.Metaspace()
    ),
    "bpe, Digits then Metaspace": partial(
        trained, "bpe", [P.Digits(), P.Metaspace(prepend_scheme="never")], decoder=decoders.Metaspace()
    ),
    "unigram, WhitespaceSplit then Metaspace": partial(
        trained, "unigram", [P.WhitespaceSplit(), P.Metaspace()], decoder=decoders.Metaspace()
    ),
    # Bytes
    "bytes, own regex": lambda: bytes_behind([_cut(r"\p{L}+|\p{N}{1,2}|\s+|[^\s\p{L}\p{N}]")]),
    "bytes, own regex, then GPT-2's": lambda: bytes_behind([_cut(r"[0-9]")], use_regex=True),
    "bytes, Punctuation and Digits": lambda: bytes_behind([P.Punctuation(), P.Digits()], use_regex=True),
    "bytes, Whitespace": lambda: bytes_behind([WORDS]),
    "bytes, NFKC and Lowercase": lambda: bytes_behind([], [N.NFKC(), N.Lowercase()], use_regex=True),
    # Added tokens whose ids are pieces, which a normalizer may make
    "bytes, Lowercase, pieces among the added tokens": lambda: again(
        bytes_behind([], [N.Lowercase()], use_regex=True), "é", "aÃ", "the", "a"
    ),
    "bpe, an end of word, pieces among the added tokens": lambda: again(
        trained("bpe", WORDS, N.Lowercase(), decoder=decoders.BPEDecoder(), suffix="</w>"), "the</w>", "do", "g"
    ),
    "word pieces, pieces among the added tokens": lambda: again(BERT(N.BertNormalizer()), "the", "##e", "'"),
    "words, pieces among the added tokens": lambda: again(trained("words", WORDS, N.Lowercase()), "the", "dog"),
    "unigram, pieces among the added tokens": lambda: again(trained("unigram", WORDS, N.Lowercase()), "the", "a"),
    # Normalizers
    **{
        f"bpe, {name}": partial(trained, "bpe", WORDS, getattr(N, name)(), **UNKNOWN)
        for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt")
    },
    "bpe, NFKC and Lowercase": partial(trained, "bpe", P.WhitespaceSplit(), [N.NFKC(), N.Lowercase()], **UNKNOWN),
    "bpe, NFD, Lowercase and StripAccents": partial(
        trained, "bpe", P.WhitespaceSplit(), [N.NFD(), N.Lowercase(), N.StripAccents()], **UNKNOWN
    ),
    "bpe, StripAccents": partial(trained, "bpe", None, N.StripAccents()),
    "bpe, Strip": partial(trained, "bpe", None, N.Strip()),
    "bpe, Strip on the left": partial(trained, "bpe", None, N.Strip(left=True, right=False)),
    "bpe, Replace": partial(trained, "bpe", None, [N.Replace("the", "a longer text"), N.Replace("dog", "")]),
    "bpe, Replace by a regex": partial(trained, "bpe", None, [N.Replace(Regex(r"\s+"), " "), N.Strip()]),
    "bpe, Prepend": partial(trained, "bpe", WORDS, [N.Strip(), N.Prepend("go ")]),
    "bpe, NFKC before Metaspace": partial(
        trained, "bpe", P.Metaspace(), [N.NFKC(), N.Lowercase()], decoder=decoders.Metaspace(), **UNKNOWN
    ),
    "bpe, BertNormalizer": partial(trained, "bpe", P.BertPreTokenizer(), N.BertNormalizer(), **UNKNOWN),
    "bpe, NFC, NFKD and NFC again": partial(trained, "bpe", None, [N.NFC(), N.NFKD(), N.NFC()]),
    # Other models
    "words, Whitespace": partial(trained, "words", WORDS),
    "words, WhitespaceSplit, Lowercase": partial(trained, "words", P.WhitespaceSplit(), N.Lowercase()),
    "words, CharDelimiterSplit": partial(trained, "words", P.CharDelimiterSplit(" ")),
    "words, BERT's steps": partial(
        trained, "words", P.BertPreTokenizer(), N.BertNormalizer(), decoder=decoders.WordPiece()
    ),
    "word pieces, BERT uncased": lambda: BERT(N.BertNormalizer(), processor=_bert_processor),
    "word pieces, BERT cased": lambda: BERT(N.BertNormalizer(lowercase=False, strip_accents=None)),
    "word pieces, accents kept": lambda: BERT(N.BertNormalizer(lowercase=True, strip_accents=False)),
    "word pieces, WhitespaceSplit": partial(
        trained, "word pieces", P.WhitespaceSplit(), decoder=decoders.WordPiece(), longest=7
    ),
    "word pieces, Whitespace, NFKC": partial(trained, "word pieces", WORDS, N.NFKC(), decoder=decoders.WordPiece()),
    "bpe, an end of word": partial(trained, "bpe", WORDS, decoder=decoders.BPEDecoder(), suffix="</w>"),
    "bpe, an end of word, unknown": partial(
        trained, "bpe", P.BertPreTokenizer(), N.Lowercase(), decoder=decoders.BPEDecoder(), suffix="</w>", **UNKNOWN
    ),
    "unigram, Whitespace": partial(trained, "unigram", WORDS),
    "unigram": partial(trained, "unigram"),
    "unigram, NFKC, own regex": partial(trained, "unigram", _cut(r"\p{L}+|."), N.NFKC()),
}


def bytes_behind(cuts: list[Any], normalizer: list[Any] | None = None, use_regex: bool = False) -> Tokenizer:
    """Byte-level BPE behind these cuts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = P.Sequence([*cuts, P.ByteLevel(add_prefix_space=False, use_regex=use_regex)])
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = N.Sequence(normalizer)
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=P.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def again(tokenizer: Tokenizer, *texts: str) -> Tokenizer:
    """The tokenizer with pieces of it among the added tokens as well."""
    assert all(tokenizer.token_to_id(text) is not None for text in texts)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in texts])
    return tokenizer


def document(name: str) -> dict[str, Any]:
    """The tokenizer.json of one of TRAINED."""
    found: dict[str, Any] = json.loads(TRAINED[name]().to_str())
    return found


def read_trained(name: str) -> read.Tokenizer:
    """One of TRAINED as it is read here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        path.write_text(json.dumps(document(name)))
        return read.read_tokenizer(path)


HAND_PICKED = [
    "",
    " ",
    "the dog",
    "The  DOG's 3 balls, 12345 cats; don't!\n\n  Zoë  wäre\t\u00a0müde \u3000 ",
    "  leading and trailing  ",
    "ﬁ ½ ² ① Ⅷ ㎏ ｆｕｌｌ ﾊﾝｶｸ 각 각 é e\u0301 e\u0323\u0301 Å Å İI ıi ſ ς Σ ẞß ǅ ㍿ ﷺ",
    "a-b--c_d - -x- ##ing #a ##",
    "[UNK] [CLS][SEP] [ unk ]",
    "猫と犬 の 公園。、！ 中文，标点",
    "\u0301 \u0301a\u0903b \u200d\u200c\u200b\ufeff\ufffd \x00\x01\x7f\x85\x9f",
    "𝔸𝕓𝒞 😀👨\u200d👩\u200d👧 \U0001d15e \u1e9b\u0323 \u0345\u03b9 \u0f73\u0f71",
    "www.example.com/a?b=c&d=e+f user@host (x)[y]{z} <tag> $5 £6 ^~`|",
    "x" * 60 + " " + "the" * 12,
    "\r\n\n\r \r\r\n . .. ... !?",
    "\u32ff \ua7f2 \u061d\u09fd \u1df6 \u0897a\u0301 \U00011938 \U0001e030",
]
"""Texts with what steps are about: spaces, signs, marks, cases, digits, forms, characters new to a library."""
