"""The queue of requests for the one board: one thread answers them in turn."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import deque

from tinyllm.errors import TinyllmError
from tinyllm.host.link.errors import BoardGone, LostFrame
from tinyllm.host.link.messages import HelloReply
from tinyllm.host.serve.conversations import Conversations
from tinyllm.host.serve.errors import ApiError, api_error, no_board
from tinyllm.host.serve.parts import Begun, End, Failed, Part, Text
from tinyllm.host.serve.request_body import Body

LOGGER = logging.getLogger("tinyllm")
END_SECONDS = 5.0
"""How long the board's thread may take to end."""


class Job:
    """A request and its answer: the board's thread posts the parts, the request's event loop takes them."""

    def __init__(self, body: Body, board_queue: BoardQueue) -> None:
        self.body = body
        self.left = False
        self._ended = False
        self._lock = threading.RLock()  # A signal may end the job while its own thread holds the lock.
        self._queue = board_queue
        self._loop = asyncio.get_running_loop()
        self._parts: asyncio.Queue[Part] = asyncio.Queue()

    def post(self, part: Part) -> bool:
        """Hand a part to the event loop; False if the job was left. Called by the board's thread."""
        with self._lock:
            if self.left:
                return False
            self._ended = isinstance(part, End | Failed)
        if part != Text(""):
            self._hand_over(part)
        return True

    def _hand_over(self, part: Part) -> None:
        try:
            self._loop.call_soon_threadsafe(self._parts.put_nowait, part)
        except RuntimeError:
            LOGGER.debug("the event loop has ended before its answer")

    async def part(self) -> Part:
        """The next part; End is the last. Raises ApiError if the answer failed."""
        part = await self._parts.get()
        if isinstance(part, Failed):
            raise part.error
        return part

    def leave(self, why: ApiError | None = None) -> None:
        """Take no more parts: end the board's answer, or stop waiting for it. why: the error that `part` then raises.

        Does nothing after the end. Called by any thread but the board's.
        """
        with self._lock:
            if self._ended or self.left:
                return
            self.left = True
        self._queue.remove(self)
        if why is not None:
            self._hand_over(Failed(why))


class BoardQueue:
    """Answers jobs in the order of their arrival. most_waiting: how many may wait while one is answered."""

    def __init__(self, conversations: Conversations, most_waiting: int) -> None:
        self._conversations = conversations
        self._most_waiting = most_waiting
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._lost = False
        self._thread = threading.Thread(target=self._work, name="board", daemon=True)
        self._thread.start()

    @property
    def hello(self) -> HelloReply:
        """The board's last reply to HELLO."""
        return self._conversations.board.hello

    @property
    def length(self) -> int:
        """How many requests are being answered or wait."""
        with self._changed:
            return len(self._waiting) + (self._current is not None)

    @property
    def leaving(self) -> bool:
        """Whether the board is still ending the answer of a client that has gone."""
        with self._changed:
            return self._current is not None and self._current.left

    def submit(self, body: Body) -> Job:
        """Put a request into the queue. Raises ApiError if the queue is full or has ended."""
        job = Job(body, self)
        with self._changed:
            if self._ended:
                raise _ending()
            if len(self._waiting) >= self._most_waiting:
                full = f"The board answers one request at a time, and {self._most_waiting} may wait. Try again later."
                raise ApiError(429, full, code="queue_full")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def remove(self, job: Job) -> None:
        """Take a job out of the queue, or end its answer if it has begun. Called by any thread but the board's."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
            if job is self._current:
                self._conversations.board.link.stop()

    def end(self) -> None:
        """End every answer and the board's thread. Called by any thread but the board's."""
        with self._changed:
            self._ended = True
            jobs = [*self._waiting, *([self._current] if self._current else [])]
            self._waiting.clear()
            self._changed.notify()
        for job in jobs:
            job.leave(_ending())

    def join(self) -> None:
        """Wait until the board's thread has ended. Call `end` before."""
        self._thread.join(END_SECONDS)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._answer(job)
            except TinyllmError as error:
                job.post(Failed(api_error(error)))
            except ApiError as error:
                job.post(Failed(error))
            except Exception:
                LOGGER.exception("a request failed by a bug")
                job.post(Failed(ApiError(500, "tinyllm has a bug; the server's log has the traceback.")))

    def _next(self) -> Job | None:
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if self._ended:
                return None
            self._current = self._waiting.popleft()
            return self._current

    def _answer(self, job: Job) -> None:
        """Stream an answer. Reconnect first if the board was lost; if it is lost before Begun, try once more."""
        for last_try in (False, True):
            posted = False
            try:
                if self._lost:
                    self._conversations.reconnect()
                    self._lost = False
                for part in self._conversations.answer(job.body, secrets.randbits(32)):
                    if not job.post(part):
                        break
                    posted = posted or isinstance(part, Begun)
                return
            except (BoardGone, LostFrame) as gone:
                self._lost = True
                if posted or last_try:
                    raise
                LOGGER.info("%s", gone)
            except TinyllmError as error:
                if self._lost:
                    job.post(Failed(no_board(error)))
                    return
                raise
            finally:
                if job.left and not self._lost:
                    self._conversations.leave()


def _ending() -> ApiError:
    return ApiError(503, "the server ends.", code="server_ends")
