"""A board as tests talk to it: ask, compare with the reference, restart, type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.arithmetic.sampler_settings import SAMPLING, SETTINGS
from tinyllm.errors import UserError
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.answer import Answer, collect
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.link.frame_port import BAUD
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import HelloReply, Setting, token_digest
from tinyllm.host.link.serial_port import open_port
from tinyllm.host.link.settings import apply_settings, encode_setting
from tinyllm.host.link.text_voice import Terminal
from tinyllm.host.link.wire_log import WireLog
from tinyllm.host.prove.expected_answers import Answers, Expected, expected_of

RECOVERY_SECONDS = 20.0
"""How long a board may take to be there again."""

AT_THE_START: dict[Setting, int] = {setting: row.start for setting, row in SETTINGS.items()} | {Setting.TEMPERATURE: 0}
"""The settings of a board that has just started, but greedy."""


class BoardUnderTest:
    """A connection to a board and what is known of it. `link` is the connection, `wire` what went over it last.

    `figures` are words for the table at the end of the test run: token_digest, per_token.
    """

    def __init__(self, request: BoardRequest, connection: Connection) -> None:
        """Connect; errors as Link."""
        self.request = request
        self.connection = connection
        self.wire = WireLog()
        self.figures: dict[str, str] = {}
        self.link: Link = connection.open(self.wire)
        self._settings = dict(AT_THE_START)

    @property
    def name(self) -> str:
        """The board's, with the emulator if that is not its usual one."""
        return f"{self.hello.board} in {self.request.emulator}" if self.request.emulator else self.hello.board

    @property
    def hello(self) -> HelloReply:
        """Who the board said it is when it was asked last."""
        return self.link.hello

    @cached_property
    def expected(self) -> Expected:
        """The reference of the model that the board runs. UserError if that is not the one that was named."""
        return expected_of(self.link, self.request.model, self.request.options)

    # --- Talking ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """A new conversation, greedy, with the other settings as a board has them at its start; connects if needed.

        Failure if the board is not there again within RECOVERY_SECONDS.
        """
        self._settings = dict(AT_THE_START)
        try:
            self._begin()
        except BoardGone:
            self.reconnect()

    def set(self, **settings: float) -> None:
        """Change settings, by name and in units as on the command line, and begin a new conversation."""
        for name, value in settings.items():
            self._settings[Setting[name.upper()]] = encode_setting(Setting[name.upper()], value)
        self._begin()

    def ask(self, prompt: str | Sequence[int], max_tokens: int = 64) -> Answer:
        """Append a prompt, text or token ids, to the conversation and collect the answer; errors as Link.prompt."""
        return collect(self.link.prompt(prompt, max_tokens))

    def expect(self, *prompts: str, max_tokens: int = 64) -> Answers:
        """What the reference answers to the prompts of one conversation, with the board's present settings."""
        sampling = SamplerSettings(**{SETTINGS[setting].name: self._settings[setting] for setting in SAMPLING})
        return self.expected.answers(prompts, max_tokens, sampling, self._settings[Setting.SEED])

    def conversation_digest(self, *parts: Sequence[int]) -> int:
        """The digest that a board reports of a conversation of these token ids."""
        return token_digest(token for part in parts for token in part)

    # --- The board itself ---------------------------------------------------------------------------------------------

    @property
    def can_restart(self) -> bool:
        """Whether the board is a process of this computer."""
        return self.connection.process is not None

    def cut_power(self) -> None:
        """End the board at once. UserError if somebody would have to pull the plug."""
        if self.connection.process is None:
            raise UserError(f"{self.link.name}: only the host board and virtual boards can be switched off from here.")
        self.connection.process.kill()

    def restart(self) -> None:
        """Cut the power, start again and connect, with the settings as they were; errors as cut_power and Link."""
        self.cut_power()
        self.reconnect()

    def reconnect(self) -> None:
        """Close the connection and open it again; a board that ended is started."""
        self.link.close()
        self.link = self.connection.reopen(self.wire, RECOVERY_SECONDS)
        self._begin()

    @contextmanager
    def typing(self) -> Iterator[Terminal]:
        """The board's text voice, as a person has it; afterwards the program voice again, in the same conversation."""
        name = self.link.name
        self.link.close()
        with open_port(name, BAUD) as port:
            yield Terminal(name, port)
        self.link = self.connection.reopen(self.wire, RECOVERY_SECONDS)

    def close(self) -> None:
        """Say BYE and close the port."""
        self.link.close()

    def _begin(self) -> None:
        apply_settings(self.link, self._settings)
