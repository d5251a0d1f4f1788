"""Reads the special tokens from the files beside a Hugging Face tokenizer. All of these files are optional.

tokenizer_config.json: bos_token, eos_token and others by name, the flags of every added token, add_bos_token,
tokenizer_class and, for a LlamaTokenizer, whether it is legacy.
generation_config.json, config.json: the ids that end an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.codegen.tokenizers.formats.vocabulary import MAX_PIECE_LENGTH, MAX_VOCABULARY, add_control_pieces, distinct
from tinyllm.codegen.tokenizers.tokenizer import Strip, Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import read_json_object
from tinyllm.text import shown

CONFIG_LIMIT = 8 << 20
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
MAX_STOPS = 64
LLAMA_CLASSES = ("LlamaTokenizer", "LlamaTokenizerFast")
TAKEN_AS_THEY_ARE = ("phi3", "qwen2")


@dataclass(frozen=True)
class AddedToken:
    """A token that is taken out of the text before the tokenizer's model sees the text."""

    token: int
    content: str
    special: bool = False
    normalized: bool = True
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True)
class Settings:
    """The settings in the files of a folder; None or empty if the files do not have them.

    bos, eos: contents. specials: contents of all tokens with a role. added: the added tokens. bos_id: from config.json.
    llama_class: whether tokenizer_class is LlamaTokenizer, with or without "Fast".
    end_ids: the ids that end an answer, each list with the file and the field that it comes from. prefix_sections:
    False if text after a control token gets no dummy prefix of its own, whatever the tokenizer itself says.
    """

    path: Path
    bos: str | None = None
    eos: str | None = None
    specials: tuple[str, ...] = ()
    add_bos: bool | None = None
    llama_class: bool = False
    added: tuple[AddedToken, ...] = ()
    bos_id: int | None = None
    end_ids: tuple[tuple[str, tuple[int, ...]], ...] = ()
    prefix_sections: bool = True

    def adds_bos(self, by_post_processor: bool) -> bool:
        """Whether a conversation with a tokenizer.json begins with BOS.

        The post-processor decides, as in transformers 4 and 5, which both ignore add_bos_token beside a tokenizer.json.
        The exception is Llama's own class, which follows add_bos_token, as in transformers 4.
        """
        return self.add_bos if self.llama_class and self.add_bos is not None else by_post_processor

    def stop_ids(self, vocab_size: int) -> tuple[int, ...]:
        """The ids that end an answer. Raises UserError, naming file and field, if one is not in the vocabulary."""
        for field, tokens in self.end_ids:
            for token in tokens:
                if token >= vocab_size:
                    raise UserError(f"{field} holds {token}, expected 0 to {vocab_size - 1}; mend the file")
        return distinct(*(token for _, tokens in self.end_ids for token in tokens))


def read_settings(folder: Path) -> Settings:
    """The settings in `folder`. Raises UserError, naming file and field, if a value has the wrong type."""
    fields = _fields(folder / "tokenizer_config.json")
    names = {key: content for key in NAMED if (content := _content(fields, key)) is not None}
    extra = fields.get("additional_special_tokens", [])
    if not isinstance(extra, list):
        raise fields.refusal("additional_special_tokens", "a list of tokens")
    more = [content for item in extra if (content := _content_of(item)) is not None]
    add_bos = None if fields.get("add_bos_token") is None else fields.switch("add_bos_token", False)

    generation, config = (_fields(folder / name) for name in ("generation_config.json", "config.json"))
    ends = [(f"{file.path}: eos_token_id", _ids(file, "eos_token_id")) for file in (generation, config)]
    bos_ids = _ids(config, "bos_token_id")
    return Settings(
        path=fields.path,
        bos=names.get("bos_token"),
        eos=names.get("eos_token"),
        specials=tuple(dict.fromkeys([*names.values(), *more])),
        add_bos=add_bos,
        llama_class=_llama_class(fields),
        added=_added(fields),
        bos_id=bos_ids[0] if bos_ids else None,
        end_ids=tuple(end for end in ends if end[1]),
        prefix_sections=_prefixes_sections(fields, config),
    )


def _prefixes_sections(fields: Fields, config: Fields) -> bool:
    """The value of Settings.prefix_sections, as in transformers 5.

    transformers builds a LlamaTokenizer anew if it is not legacy, except for some values of model_type. Source:
    LlamaTokenizer.__init__ of src/transformers/models/llama/tokenization_llama.py and
    MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS of src/transformers/models/auto/tokenization_auto.py.
    """
    made_anew = _llama_class(fields) and config.get("model_type") not in TAKEN_AS_THEY_ARE
    return not made_anew or fields.switch("legacy", False)


def _llama_class(fields: Fields) -> bool:
    return fields.get("tokenizer_class") in LLAMA_CLASSES


def added_token(fields: Fields, token: object) -> AddedToken:
    """The added token with the id `token` that these fields describe. Raises UserError if it is not supported."""
    content = fields.get("content")
    if not isinstance(content, str) or not 0 < len(content) <= MAX_PIECE_LENGTH or not _is_text(content):
        raise fields.refusal("content", f"a text of 1 to {MAX_PIECE_LENGTH} characters")
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < MAX_VOCABULARY:
        raise UserError(
            f"{fields.path}: {fields.prefix}id is {shown(token)}, expected 0 to {MAX_VOCABULARY - 1}; mend the file"
        )
    if fields.switch("single_word", False):
        raise fields.refusal("single_word", "false: tokens that must be whole words cannot be followed")
    special = fields.switch("special", False)
    return AddedToken(
        token,
        content,
        special,
        fields.switch("normalized", not special),
        fields.switch("lstrip", False),
        fields.switch("rstrip", False),
    )


def follow_settings(tokenizer: Tokenizer, settings: Settings) -> Tokenizer:
    """The settings applied to a tokenizer from another file of the folder.

    Special tokens whose ids follow directly after the tokenizer's vocabulary become CONTROL pieces.
    """
    added = sorted((token for token in settings.added if token.special), key=lambda token: token.token)
    behind = [token for token in added if token.token >= tokenizer.vocab_size]
    if [token.token for token in behind] == list(range(tokenizer.vocab_size, tokenizer.vocab_size + len(behind))):
        tokenizer = add_control_pieces(tokenizer, tuple(token.content.encode() for token in behind))
    bos, eos = (
        _control(tokenizer, name, default)
        for name, default in ((settings.bos, tokenizer.bos), (settings.eos, tokenizer.eos))
    )
    add_bos = tokenizer.add_bos if settings.add_bos is None else settings.add_bos
    return replace(
        tokenizer,
        bos=bos,
        eos=eos,
        stop_ids=distinct(bos, eos, *settings.stop_ids(tokenizer.vocab_size)),
        add_bos=add_bos and bos is not None,
        prefix_sections=tokenizer.prefix_sections and settings.prefix_sections,
        strips=tuple(
            (token.token, Strip(token.lstrip, token.rstrip))
            for token in settings.added
            if (token.lstrip or token.rstrip) and tokenizer.control_ids.get(token.content.encode()) == token.token
        ),
    )


def _control(tokenizer: Tokenizer, name: str | None, default: int | None) -> int | None:
    return default if name is None else tokenizer.control_ids.get(name.encode("utf-8", "surrogatepass"), default)


def _is_text(content: str) -> bool:
    """Whether a text holds no lone surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in content)


def _fields(path: Path) -> Fields:
    return Fields(path, read_json_object(path, CONFIG_LIMIT) if path.exists() else {})


def _added(fields: Fields) -> tuple[AddedToken, ...]:
    added: dict[int, AddedToken] = {}
    entries: dict[str, Any] = fields.inner("added_tokens_decoder")
    for key, value in entries.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10) or not isinstance(value, dict):
            entry = f"{shown(key)}: {shown(value)}"
            raise UserError(
                f"{fields.path}: added_tokens_decoder holds {entry}, expected objects by token id; mend the file"
            )
        prefix, token = f"added_tokens_decoder.{key}.", int(key)
        found = added_token(Fields(fields.path, value, prefix), token)
        if found.token in added:
            raise UserError(f"{fields.path}: {prefix[:-1]} is there twice, expected once; mend the file")
        added[found.token] = found
    return tuple(added.values())


def _content(fields: Fields, key: str) -> str | None:
    value = fields.get(key)
    content = _content_of(value)
    if value is not None and content is None:
        raise fields.refusal(key, "a token's text or an object with its content")
    return content or None


def _content_of(value: object) -> str | None:
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def _ids(fields: Fields, key: str) -> tuple[int, ...]:
    value = fields.get(key, [])
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    if len(values) > MAX_STOPS or not all(
        isinstance(token, int) and not isinstance(token, bool) and 0 <= token < MAX_VOCABULARY for token in values
    ):
        raise fields.refusal(key, f"a token id or a list of up to {MAX_STOPS}")
    return tuple(values)
