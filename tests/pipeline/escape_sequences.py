"""What keys and terminals send beside text: escape sequences of every form that ECMA-48 has, as strategies."""

from __future__ import annotations

from hypothesis import strategies as st

ESC = b"\x1b"
KEYS = {
    "up": b"\x1b[A",
    "home": b"\x1b[1~",
    "delete": b"\x1b[3~",
    "control and right": b"\x1b[1;5C",
    "F1 of xterm": b"\x1bOP",
    "F1 of xterm with Shift, long ago": b"\x1bO2P",
    "F1 of Linux's console": b"\x1b[[A",
    "F12": b"\x1b[24~",
    "Alt and up in rxvt": b"\x1b\x1b[A",
    "Alt and b": b"\x1bb",
    "Alt and e with an acute accent": b"\x1b\xc3\xa9",
    "Alt and an emoji": b"\x1b\xf0\x9f\x99\x82",
    "Alt and Backspace": b"\x1b\x7f",
    "pasting begins": b"\x1b[200~",
    "the cursor's place": b"\x1b[24;80R",
    "what a terminal is": b"\x1b[?64;1;2c",
    "a mode": b"\x1b[?2026;2$y",
    "a colour, ended by BEL": b"\x1b]11;rgb:0000/0000/0000\x07",
    "a colour, ended by ST": b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\",
    "a title with an emoji": b"\x1b]0;\xf0\x9f\x99\x82 title\x07",
    "a capability (DCS)": b"\x1bP1+r544e=787465726d\x1b\\",
    "an APC": b"\x1b_Gi=31;OK\x1b\\",
    "a PM": b"\x1b^private\x1b\\",
    "an SOS": b"\x1bXtext\x1b\\",
    "an ASCII charset": b"\x1b(B",
    "colours of pasted text": b"\x1b[38;5;208m",
}


def characters(first: int, last: int, most: int = 6, least: int = 0) -> st.SearchStrategy[bytes]:
    return st.lists(st.integers(first, last), min_size=least, max_size=most).map(bytes)


def one_of(characters: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from([character.encode() for character in characters])


def joined(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


# ESC [ [ is the beginning of a key on Linux's console.
_control = joined(
    st.just(ESC + b"["), characters(0x30, 0x3F), characters(0x20, 0x2F, 2), characters(0x40, 0x7E, 1, 1)
).filter(lambda sequence: sequence != b"\x1b[[")
_single_shift = joined(st.just(ESC + b"O"), characters(0x30, 0x3F, 2), characters(0x40, 0x7E, 1, 1))
_escape = joined(st.just(ESC), characters(0x20, 0x2F, 2, 1), characters(0x30, 0x7E, 1, 1))
_string = joined(
    st.just(ESC),
    one_of("P]X^_"),
    st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), max_size=12).map(str.encode),
    st.sampled_from([b"\x07", b"\x1b\\"]),
)
_alt = st.characters(min_codepoint=0x30, exclude_characters="[OP]X^_\x7f", exclude_categories=("Cs", "Cc")).map(
    lambda character: ESC + character.encode()
)
SEQUENCES = st.sampled_from(list(KEYS.values())) | _control | _single_shift | _escape | _string | _alt
"""Whole sequences, each recognised whatever follows it."""

CUT = SEQUENCES.flatmap(lambda sequence: st.integers(1, len(sequence)).map(lambda length: sequence[:length]))
"""The beginning of a sequence, which a line end cuts; a lone ESC among them."""
