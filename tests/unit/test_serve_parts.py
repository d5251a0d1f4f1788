"""What an answer is made of on its way to a client."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinyllm.host.serve.parts import StopAt

letters = st.text("ab", max_size=12)


@given(st.lists(letters, max_size=8), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_a_text_ends_before_the_first_stop_text_wherever_its_pieces_are_cut(
    pieces: list[str], stops: list[str]
) -> None:
    whole, stop, shown = "".join(pieces), StopAt(stops), ""
    ends = any(one in whole for one in stops)
    for piece in pieces:
        shown += stop.feed(piece)
        if stop.found:
            break
    shown += stop.rest()
    assert stop.found == ends
    if not ends:
        assert shown == whole
    else:
        assert whole.startswith(shown)
        assert any(whole.startswith(one, len(shown)) for one in stops)
        assert not any(one in shown for one in stops)
