"""A whole conversation as token ids, for a template that the host renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinyllm.codegen.chat.plan import encode_sections
from tinyllm.codegen.chat.render import Message, render
from tinyllm.codegen.tokenizers.encode.sections import cut_sections
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer


def conversation_ids(
    template: str, tokenizer: Tokenizer, messages: Sequence[Message], generate: bool = True
) -> list[int]:
    """Token ids of a whole conversation as the template writes it. Raises as render.render does.

    These are the ids of transformers' apply_chat_template, except that a control token's name in a message stays text.
    """
    hidden = _Hidden(tokenizer, "".join(message.content for message in messages))
    safe = [replace(message, content=hidden.hide(message.content)) for message in messages]
    text = render(template, safe, *special_names(tokenizer), generate).encode("utf-8", "surrogatepass")
    sections = cut_sections(tokenizer, text, special=True)
    return encode_sections(tokenizer, (replace(section, text=hidden.show(section.text)) for section in sections), True)


def special_names(tokenizer: Tokenizer) -> tuple[str | None, str | None]:
    """BOS and EOS as a template writes them, None if the vocabulary has none."""
    bos, eos = tokenizer.bos, tokenizer.eos
    return (
        None if bos is None else tokenizer.pieces[bos].decode("utf-8", "replace"),
        None if eos is None else tokenizer.pieces[eos].decode("utf-8", "replace"),
    )


class _Hidden:
    """Keeps the names of control tokens in messages apart from those that the template writes.

    While the template is rendered, each name in a message is replaced by a private use character that no message has.
    """

    def __init__(self, tokenizer: Tokenizer, said: str) -> None:
        names = [name.decode("utf-8", "replace") for name in tokenizer.control_ids if name]
        unused = (chr(code) for code in range(0xF0000, 0xFFFFE) if chr(code) not in said)
        self._stand_ins = dict(zip([name for name in names if name in said], unused, strict=False))

    def hide(self, text: str) -> str:
        for name, character in self._stand_ins.items():
            text = text.replace(name, character)
        return text

    def show(self, text: bytes) -> bytes:
        for name, character in self._stand_ins.items():
            text = text.replace(character.encode(), name.encode())
        return text
