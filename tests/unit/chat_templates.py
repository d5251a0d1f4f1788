"""Chat templates as they are published with the models, and small tokenizers with the control tokens that they name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinyllm.codegen.chat.render import Message
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Strip, Tokenizer

CONTROL = re.compile(r"<[|/]?\w+\|?>")
"""A control token's name. In a message it is text to a plan, as it is to nobody who encodes a whole rendering."""

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + "
    "'<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
PHI3 = (
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\n{% elif m.role == 'user' %}"
    "User: {{ m.content }}\n{% else %}Bot: {{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Bot:{% endif %}"
)
"""Without any control token."""


@dataclass(frozen=True)
class Family:
    """A template, its vocabulary's control tokens by name, and which of them are BOS, EOS and the end of an answer.

    end: None if the template does not end an answer. strips_right: of all control tokens but BOS and EOS.
    """

    template: str
    controls: tuple[str, ...]
    bos: str | None
    eos: str
    end: str | None
    strips_right: bool = False


FAMILIES = {
    "llama 2": Family(LLAMA2, ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "llama 3": Family(
        LLAMA3,
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|eot_id|>",
    ),
    "zephyr": Family(ZEPHYR, ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "phi 3": Family(
        PHI3,
        ("<s>", "<|endoftext|>", "<|assistant|>", "<|user|>", "<|system|>", "<|end|>"),
        "<s>",
        "<|endoftext|>",
        "<|end|>",
        strips_right=True,
    ),
    "chatml": Family(
        CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), None, "<|endoftext|>", "<|im_end|>"
    ),
    "plain": Family(PLAIN, ("<s>", "</s>"), "<s>", "</s>", None),
}  # fmt: skip

JOINED = (
    "he", "ll", "in", "er", "or", "is", "at", "en", "ou", "th", "ass", "ist", "ant", "us", "sys", "tem", "##", "INST",
    "The", " t", " a", " w", " s", "  ", " [", ">\n", "\n\n", "e ", ". ", " ass", "\n<",
)  # fmt: skip
"""Pieces of more than one byte."""


def small_tokenizer(family: Family) -> Tokenizer:
    """Byte-pair encoding over all bytes and some longer pieces; with a dummy prefix if BOS is "<s>"."""
    pieces = [bytes([byte]) for byte in range(256)]
    pieces += [text.encode() for text in JOINED]
    n_text = len(pieces)
    pieces += [name.encode() for name in family.controls]
    ids = {name: n_text + index for index, name in enumerate(family.controls)}
    strip = Strip(right=True)
    return Tokenizer(
        pieces=tuple(pieces),
        kinds=(PieceKind.NORMAL,) * n_text + (PieceKind.CONTROL,) * len(ids),
        ranks=tuple(range(len(pieces))),
        bos=ids.get(family.bos or ""),
        eos=ids[family.eos],
        stop_ids=tuple(dict.fromkeys((ids[family.eos], ids[family.end or family.eos]))),
        add_dummy_prefix=family.bos == "<s>",
        remove_extra_whitespaces=False,
        source="test",
        byte_level=True,
        strips=tuple((ids[name], strip) for name in family.controls[2:]) if family.strips_right else (),
    )


def messages_of(said: tuple[str, ...], system: str | None = None) -> tuple[Message, ...]:
    messages = [Message("assistant" if index % 2 else "user", text) for index, text in enumerate(said)]
    return tuple(messages if system is None else [Message("system", system), *messages])
