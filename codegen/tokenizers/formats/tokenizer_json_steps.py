"""The steps of a tokenizer.json around its model: normalizer, pre-tokenizer, post-processor and decoder.

Each is an object with a type, or a Sequence of such objects. They become fields of Tokenizer. A step that cannot be
followed exactly is refused by its name, because the ids would differ.
Source: the serialisation of github.com/huggingface/tokenizers, tokenizers/src/{normalizers,pre_tokenizers,processors}.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.encode.automaton import build_automata
from tinyllm.codegen.tokenizers.encode.cut import Cut, cut_spans
from tinyllm.codegen.tokenizers.encode.regex import Node, UnknownRegexError, literal, read_regex
from tinyllm.codegen.tokenizers.encode.rewrite import Rewrite
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK
from tinyllm.errors import UserError
from tinyllm.text import shown

MARK = SPACE_MARK.decode()
MAX_STEPS = 16
CONCATENATING = ("BPEDecoder", "ByteFallback", "Fuse", "Metaspace")
"""Decoders that join pieces without a space between them."""


@dataclass(frozen=True)
class Steps:
    """The steps before the model, in the terms of Tokenizer, and how pieces become text again.

    marks: whether spaces become marks; never together with byte_level. normalizers: the types of the normalizer's
    steps. joins: whether decoding puts a space before each piece. continues: the prefix that the decoder WordPiece
    removes from a piece, None for another decoder. cleans_up: whether decoding removes the space before punctuation.
    The other fields are those of Tokenizer.
    """

    byte_level: bool = False
    marks: bool = False
    normalizers: tuple[str, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    cuts: tuple[Cut, ...] = ()
    pattern: str = ""
    word_prefix: bool = False
    character_map: bytes = b""
    add_dummy_prefix: bool = False
    prefix_sections: bool = False
    prefix_unless_space: bool = False
    remove_extra_whitespaces: bool = False
    joins: bool = False
    continues: str | None = None
    cleans_up: bool = False

    @property
    def drops_spaces(self) -> bool:
        """Whether the cuts leave no space in any word."""
        alphabet, automata = build_automata([cut.pattern for cut in self.cuts])
        text = " a  b - 1 "
        spans = [(0, len(text))]
        for cut, automaton in zip(self.cuts, automata, strict=True):
            spans = [part for span in spans for part in cut_spans(cut, automaton, alphabet.read(text), *span)]
        return bool(self.cuts) and not any(" " in text[start:end] for start, end in spans)


def read_decoder(document: Fields, steps: Steps) -> Steps:
    """The steps with the decoder's added. Raises UserError for a decoder that does not match the steps."""
    decoders = flatten(document, "decoder", "decoders")
    kinds = {step.get("type") for step in decoders}
    if decoders and ("ByteLevel" in kinds) is not steps.byte_level:
        raise document.refusal(
            "decoder", f"{'' if steps.byte_level else 'no '}ByteLevel, as the pre_tokenizer has it", "export it again"
        )
    if steps.byte_level or steps.marks:
        return steps
    if not decoders:
        return replace(steps, joins=True)
    first = decoders[0]
    if kinds == {"WordPiece"}:
        return replace(
            steps, joins=True, continues=str(first.get("prefix", "##")), cleans_up=first.switch("cleanup", True)
        )
    odd = next((step for step in decoders if step.get("type") not in CONCATENATING), None)
    if odd is not None:
        raise odd.refusal("type", f"WordPiece, {', '.join(CONCATENATING)}, or no decoder", "choose another tokenizer")
    return steps


def first_special(document: Fields) -> str | None:
    """The name of the token that the post-processor puts before a text, None if it puts none there.

    Raises UserError for a post-processor that is not supported.
    """
    for step in flatten(document, "post_processor", "processors"):
        kind = step.get("type")
        if kind == "ByteLevel":
            continue
        if kind in ("BertProcessing", "RobertaProcessing"):
            begins = step.get("cls")
            if not isinstance(begins, list) or len(begins) != 2 or not isinstance(begins[0], str):
                raise step.refusal("cls", "a text and its id")
            return begins[0]
        if kind != "TemplateProcessing":
            raise step.refusal(
                "type",
                "TemplateProcessing, BertProcessing, RobertaProcessing or ByteLevel",
                "choose another tokenizer",
            )
        single = step.get("single", [])
        if not isinstance(single, list) or len(single) > MAX_STEPS:
            raise step.refusal("single", f"a list of up to {MAX_STEPS} items")
        names = [_template_item(step, item) for item in single]
        if names.count(None) != 1 or names.index(None) > 1:
            raise step.refusal("single", "at most one special token before the text, then the text")
        return names[0]
    return None


def flatten(parent: Fields, key: str, inner: str) -> list[Fields]:
    """The list of steps under `key`. A Sequence is replaced by its steps, which it has under `inner`."""
    if parent.get(key) is None:
        return []
    step = Fields(parent.path, parent.inner(key), f"{parent.prefix}{key}.")
    steps = [step]
    if step.get("type") == "Sequence":
        items = step.get(inner, [])
        if not isinstance(items, list) or len(items) > MAX_STEPS or not all(isinstance(item, dict) for item in items):
            raise step.refusal(inner, f"a list of up to {MAX_STEPS} objects")
        steps = [Fields(step.path, item, f"{step.prefix}{inner}[{n}].") for n, item in enumerate(items)]
    for step in steps:
        if not isinstance(step.get("type"), str):
            raise step.refusal("type", "the name of a step")
    return steps


def pattern_of(step: Fields) -> Node:
    """The pattern of a Split or a Replace. Raises UserError for a regex that no automaton can follow."""
    pattern = step.inner("pattern")
    ((kind, text),) = pattern.items() if len(pattern) == 1 else ((None, None),)
    if kind not in ("String", "Regex") or not isinstance(text, str) or not text:
        raise step.refusal("pattern", "a String or a Regex", "choose another tokenizer")
    try:
        node = read_regex(text) if kind == "Regex" else literal(text)
        build_automata([node])
    except UnknownRegexError as error:
        raise UserError(
            f"{step.path}: {step.prefix}pattern is {shown(text)}: {error}; write it without that, or choose another"
            " tokenizer"
        ) from None
    return node


def _template_item(step: Fields, item: object) -> str | None:
    """The name of a special token, None for the text itself."""
    if isinstance(item, dict) and len(item) == 1:
        ((kind, value),) = item.items()
        if kind == "Sequence":
            return None
        if kind == "SpecialToken" and isinstance(value, dict) and isinstance(value.get("id"), str):
            name: str = value["id"]
            return name
    raise step.refusal("single", "items that are a SpecialToken or a Sequence")
