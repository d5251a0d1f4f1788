"""The steps of a tokenizer.json around its model: normalizer, pre-tokenizer, post-processor and decoder.

Each is an object with a type, or a Sequence of such objects. Those that published Llama-family tokenizers have are
brought into the terms of Tokenizer; any other is refused by its name, for the ids would not be the same.
Source: the serialisation of github.com/huggingface/tokenizers, tokenizers/src/{normalizers,pre_tokenizers,processors}.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.encode.normalize import CharacterMap
from tinyllm.codegen.tokenizers.encode.pretokenize import DIGIT_REGEX, GPT2_REGEX, PATTERNS, find_pattern
from tinyllm.codegen.tokenizers.encode.unicode_classes import WHITE_SPACE
from tinyllm.codegen.tokenizers.formats.character_map import check_character_map
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK
from tinyllm.errors import UserError
from tinyllm.text import shown

MARK = SPACE_MARK.decode()
MAX_STEPS = 16
RUN_OF_SPACES = " {2,}"
NEXT_LINE = "\u0085".encode()
WRITTEN_FOR_TIKTOKEN = "cl100k"
"""Its regex means something else to tokenizers."""


@dataclass(frozen=True)
class Steps:
    """What happens to a text before the model, in the terms of Tokenizer.

    byte_level, or else spaces become marks. normalizers: the types of the normalizer's steps; the other fields are
    those of Tokenizer.
    """

    byte_level: bool = False
    marks: bool = False
    normalizers: tuple[str, ...] = ()
    pattern: str = ""
    nfc: bool = False
    character_map: bytes = b""
    add_dummy_prefix: bool = False
    prefix_sections: bool = False
    prefix_unless_space: bool = False
    remove_extra_whitespaces: bool = False


def read_steps(document: Fields) -> Steps:
    """The steps of the tokenizer.json `document`. Raises UserError, naming the first that cannot be followed."""
    steps = _normalizer(flatten(document, "normalizer", "normalizers"))
    steps = _pre_tokenizer(flatten(document, "pre_tokenizer", "pretokenizers"), steps)
    if not steps.byte_level and not steps.marks:
        raise document.refusal(
            "pre_tokenizer", "ByteLevel, or Metaspace, or a normalizer that turns spaces into marks", "choose another"
        )
    decoders = {step.get("type") for step in flatten(document, "decoder", "decoders")}
    if decoders and ("ByteLevel" in decoders) is not steps.byte_level:
        raise document.refusal(
            "decoder", f"{'' if steps.byte_level else 'no '}ByteLevel, as the pre_tokenizer has it", "export it again"
        )
    return steps


def first_special(document: Fields) -> str | None:
    """The name of the token that the post-processor puts before a text, None where it puts none there."""
    for step in flatten(document, "post_processor", "processors"):
        kind = step.get("type")
        if kind == "ByteLevel":
            continue
        if kind != "TemplateProcessing":
            raise step.refusal("type", "TemplateProcessing or ByteLevel", "choose another tokenizer")
        single = step.get("single", [])
        if not isinstance(single, list) or len(single) > MAX_STEPS:
            raise step.refusal("single", f"a list of up to {MAX_STEPS} items")
        names = [_template_item(step, item) for item in single]
        if names.count(None) != 1 or names.index(None) > 1:
            raise step.refusal("single", "at most one special token before the text, then the text")
        return names[0]
    return None


def flatten(parent: Fields, key: str, inner: str) -> list[Fields]:
    """The steps under `key`, those of a Sequence (which has them under `inner`) one by one."""
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


def pattern_name(step: Fields, regexes: tuple[str, ...]) -> str:
    """The name of the pattern published as these regular expressions, one applied after another."""
    name = find_pattern(regexes)
    if name is None or name == WRITTEN_FOR_TIKTOKEN:
        found = ", then ".join(shown(regex) for regex in regexes)
        known = ", ".join(name for name in PATTERNS if name != WRITTEN_FOR_TIKTOKEN)
        raise UserError(
            f"{step.path}: {step.prefix[:-1]} splits by {found}, expected the published regex of one of {known};"
            " choose another tokenizer"
        )
    return name


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


def _normalizer(sequence: list[Fields]) -> Steps:
    steps = Steps(normalizers=tuple(str(step.get("type")) for step in sequence))
    prepends = strips = folds = False
    for step in sequence:
        kind = step.get("type")
        if kind == "NFC" and step is sequence[0]:
            steps = replace(steps, nfc=True)
        elif kind == "Precompiled" and step is sequence[0]:
            steps = replace(steps, character_map=_character_map(step))
        elif kind == "Prepend" and step.get("prepend") == MARK and not prepends:
            prepends = True
        elif kind == "Replace" and (step.inner("pattern"), step.get("content")) == ({"String": " "}, MARK):
            steps = replace(steps, marks=True)
        elif kind == "Strip" and not step.switch("strip_left", True) and step.switch("strip_right", True):
            strips = True
        elif kind == "Replace" and step.inner("pattern") == {"Regex": RUN_OF_SPACES} and strips:
            if step.get("content") not in (" ", MARK):
                raise step.refusal("content", "a space or the mark U+2581", "choose another tokenizer")
            folds = True
        elif kind == "Replace":
            raise step.refusal("pattern", "spaces, to be replaced by U+2581", "choose another tokenizer")
        else:
            known = "NFC first, Precompiled first, Prepend U+2581, Replace, Strip on the right before a Replace of runs"
            raise step.refusal("type", f"a known normalizer in its place ({known})", "choose another tokenizer")
    whole = not prepends or steps.marks
    if not whole or strips is not folds or (folds and (steps.marks or not _maps_white_space(steps.character_map))):
        raise sequence[-1].refusal("type", "a known sequence of normalizers", "choose another tokenizer")
    return replace(steps, add_dummy_prefix=prepends, prefix_sections=prepends, remove_extra_whitespaces=folds)


def _maps_white_space(character_map: bytes) -> bool:
    """Whether no white space but spaces (and the control character NEL) is left for Strip to find."""
    found = CharacterMap(character_map)
    others = set(WHITE_SPACE) - {b" ", NEXT_LINE}
    return bool(character_map) and all(found.longest(space, 0)[1] in (b"", b" ") for space in others)


def _pre_tokenizer(sequence: list[Fields], steps: Steps) -> Steps:
    regexes: list[str] = []
    for step in sequence:
        kind = step.get("type")
        if steps.byte_level:
            raise step.refusal("type", "nothing behind ByteLevel", "choose another tokenizer")
        if kind == "ByteLevel" and not steps.marks:
            prefix = step.switch("add_prefix_space", True)
            if step.switch("use_regex", True):
                regexes.append(GPT2_REGEX)
            if prefix and sequence[0] is not step:
                raise step.refusal("add_prefix_space", "false behind another step", "choose another tokenizer")
            steps = replace(
                steps, byte_level=True, add_dummy_prefix=prefix, prefix_sections=prefix, prefix_unless_space=prefix
            )
        elif kind == "Split":
            regexes.append(_split(step))
        elif kind == "Digits":
            if not step.switch("individual_digits", False):
                raise step.refusal("individual_digits", "true", "choose another tokenizer")
            regexes.append(DIGIT_REGEX)
        elif kind == "Metaspace" and len(sequence) == 1 and not steps.marks:
            steps = _metaspace(step, steps)
        else:
            known = "ByteLevel, Split and Digits before it, or Metaspace alone"
            raise step.refusal("type", f"a known pre-tokenizer in its place ({known})", "choose another tokenizer")
    if regexes and not steps.byte_level:
        raise sequence[-1].refusal("type", "ByteLevel at the end", "choose another tokenizer")
    if steps.byte_level and steps.character_map:
        raise sequence[-1].refusal("type", "Metaspace behind a Precompiled normalizer", "choose another tokenizer")
    if regexes:
        steps = replace(steps, pattern=pattern_name(sequence[0], tuple(regexes)))
    return steps


def _split(step: Fields) -> str:
    pattern = step.inner("pattern")
    behavior, invert = step.get("behavior"), step.switch("invert", False)
    # Every known pattern covers all of a text, so that keeping the matches alone keeps everything.
    if (behavior, invert) not in (("Isolated", False), ("Removed", True)):
        raise step.refusal("behavior", "Isolated, or Removed and inverted", "choose another tokenizer")
    regex = pattern.get("Regex")
    if set(pattern) != {"Regex"} or not isinstance(regex, str):
        raise step.refusal("pattern", "a Regex", "choose another tokenizer")
    return regex


def _metaspace(step: Fields, steps: Steps) -> Steps:
    if step.get("replacement") != MARK:
        raise step.refusal("replacement", "U+2581", "choose another tokenizer")
    scheme = step.get("prepend_scheme", "always" if step.switch("add_prefix_space", True) else "never")
    if scheme not in ("always", "first", "never"):
        raise step.refusal("prepend_scheme", "always, first or never")
    if steps.remove_extra_whitespaces and scheme != "always":
        raise step.refusal("prepend_scheme", "always behind a Strip", "choose another tokenizer")
    return replace(
        steps,
        marks=True,
        add_dummy_prefix=scheme != "never",
        prefix_sections=scheme == "always",
        prefix_unless_space=True,
        pattern="spaces" if step.switch("split", True) else "",
    )


def _character_map(step: Fields) -> bytes:
    text = step.get("precompiled_charsmap", "")
    try:
        if isinstance(text, str):
            return check_character_map(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise UserError(
            f"{step.path}: {step.prefix}precompiled_charsmap is not sound ({error}); export the tokenizer again"
        ) from error
    raise step.refusal("precompiled_charsmap", "text in base64")
