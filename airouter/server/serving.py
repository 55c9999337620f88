"""Answers one request: carries its flow's waits out in the worker's loop, or in a thread while it
computes for long."""

import errno
import gc
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from select import POLLIN, POLLOUT
from typing import Any, Protocol

from airouter.domain.errors import RouterError
from airouter.flow.reply import Reply
from airouter.flow.waits import INFINITY, Call, Wait
from airouter.server.connection import Connection
from airouter.server.loop import READ, WRITE, Loop, Timer
from airouter.server.request import Request, whole_answer
from airouter.server.response import Response

_HEAVY = 64_000  # bytes of a request body that take milliseconds to parse
_HUGE = 1_000_000  # bytes
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EVENTS = {POLLIN: READ, POLLOUT: WRITE, POLLIN | POLLOUT: READ | WRITE}


class Threads(Protocol):
    def pool(self, place: str) -> Executor: ...


class _Watch:
    """One descriptor that a flow waits for."""

    __slots__ = ("call", "channel", "events", "fd", "serving")

    def __init__(
        self, serving: "Serving", channel: object, fd: int, events: int, call: Call | None
    ) -> None:
        self.serving, self.channel, self.fd = serving, channel, fd
        self.events, self.call = events, call

    def ready(self, _events: int) -> None:
        if self.call is not None:
            self.call.advance()
        self.serving.progressed()


class Serving:
    """Belongs to the loop. While a thread computes, the loop leaves the flow alone."""

    def __init__(
        self,
        loop: Loop,
        threads: Threads,
        connection: Connection,
        request: Request,
        response: Response,
        reply: Reply,
    ) -> None:
        self._loop, self._threads = loop, threads
        self._connection, self._request, self._response = connection, request, response
        self._reply, self._exchange = reply, reply.exchange
        self._watches: list[_Watch] = []
        self._timer = Timer(self._due)
        self._parked = False  # in a wait
        self._relay: Callable[[], bytes] | None = None  # of that wait
        self._in_thread = False
        self._paused = False  # until the client has taken more
        self._left = False  # the client has
        self._ended = False
        self._asked_for_body = not request.expects_continue or request.body.complete

    # What happens meanwhile -----------------------------------------------------------------------

    def body_came(self) -> None:
        body = self._request.body
        if self._parked and (body.complete or body.problem is not None or body.full):
            self.resume()

    def client_left(self) -> None:
        body = self._request.body
        if not self._connection.closed and not body.complete:
            self.body_came()  # it may still read why its request was not served
            return
        self._left = True
        self._exchange.leave()
        if self._parked:
            self.resume()
        elif self._paused:
            self._end(keep=False)

    def drained(self) -> None:
        if self._paused:
            self._paused = False
            self.resume()

    def _due(self) -> None:
        now = self._loop.now()
        for call in self._exchange.calls:
            if now >= call.expires:
                call.expire(now)
        self.resume()

    def progressed(self) -> None:
        """A call has advanced, or what woke the flow."""
        if self._relay is None or not self._parked:
            self.resume()
            return
        self._parked = False
        try:
            data = self._relay()
            if data:
                self._parked = self._sent(data)
            else:
                self.resume()
        except BaseException as end:
            self._stopped(end)

    # Advancing the flow ---------------------------------------------------------------------------

    def resume(self) -> None:
        """Advance the flow up to its next wait, or as far as the client takes its bytes."""
        if self._ended or self._in_thread or self._paused:
            return
        self._parked = False
        # A stream that has begun is relayed here.
        if (not self._response.sent or self._reply.place != "loop") and (
            place := self._place()
        ) != "loop":
            self._in_thread = True
            self._forget_all()
            self._threads.pool(place).submit(self._compute)
            return
        try:
            while True:
                item = next(self._reply.items)
                goes_on = self._parked_in(item) if isinstance(item, Wait) else self._sent(item)
                if not goes_on:
                    return
        except BaseException as end:  # whatever it is, what the request holds is released
            self._stopped(end)

    def _place(self) -> str:
        body, place = self._request.body, self._reply.place
        if not body.complete and body.problem is None:
            return "loop"  # it only waits for it
        if place == "loop" and body.size > _HEAVY:
            return "pool"
        return place

    def _compute(self) -> None:
        """In a thread of the pool."""
        try:
            item = next(self._reply.items)
        except BaseException as end:
            self._loop.call(partial(self._computed, end))
        else:
            self._loop.call(partial(self._computed, item))

    def _computed(self, item: Any) -> None:
        self._in_thread = False
        try:
            if isinstance(item, BaseException):
                raise item
            if self._parked_in(item) if isinstance(item, Wait) else self._sent(item):
                self.resume()
        except BaseException as end:
            self._stopped(end)

    def _sent(self, item: bytes) -> bool:
        """Send bytes; whether the flow can go on at once."""
        self._connection.send(self._response.frame(item))
        if self._connection.closed:
            self._end(keep=False)
            return False
        if self._connection.congested:
            self._paused = True
            self._forget_all()
            return False
        return True

    def _parked_in(self, wait: Wait) -> bool:
        """Begin a wait; whether the flow can go on at once, because its client has left."""
        if not self._asked_for_body:
            self._asked_for_body = True
            self._connection.send(_CONTINUE)
        if self._exchange.left:
            return True
        self._parked, self._relay = True, wait.relay
        self._watch(wait)
        return False

    def _watch(self, wait: Wait) -> None:
        until, at, watches = wait.until, 0, self._watches
        calls = self._exchange.calls
        if len(calls) == len(watches) == 1 and wait.wake is None:  # the next chunk of a stream
            call, known = calls[0], watches[0]
            if known.call is call and known.channel is call.channel and known.events == call.events:
                self._loop.at(self._timer, min(until, call.expires))
                return
        for call in calls:
            if call.finished:
                continue
            until = min(until, call.expires)
            events = call.events
            if events:
                self._keep(at, call.channel, call.fileno(), events, call)
                at += 1
        if wait.wake is not None:
            self._keep(at, wait.wake, wait.wake.fileno(), POLLIN, None)
            at += 1
        while len(watches) > at:
            self._loop.forget(watches.pop().fd)
        self._loop.at(self._timer, until)
        if not self._request.body.complete:
            self._connection.read_on()

    def _keep(self, at: int, channel: object, fd: int, events: int, call: Call | None) -> None:
        """Have the descriptor watched as the `at`th; for each chunk of a stream it is already."""
        watches = self._watches
        if at < len(watches):
            known = watches[at]
            if known.channel is channel and known.call is call:
                if known.events != events:
                    known.events = events
                    self._loop.change(fd, _EVENTS[events], known.ready)
                return
            for old in watches[at:]:
                self._loop.forget(old.fd)
            del watches[at:]
        watch = _Watch(self, channel, fd, events, call)
        watches.append(watch)
        self._loop.watch(fd, _EVENTS[events], watch.ready)

    def _forget_all(self) -> None:
        for watch in self._watches:
            self._loop.forget(watch.fd)
        self._watches.clear()
        self._loop.at(self._timer, INFINITY)

    # The end --------------------------------------------------------------------------------------

    def _stopped(self, end: BaseException) -> None:
        if self._ended:
            return
        response, keep, last = self._response, False, b""
        if isinstance(end, StopIteration) and response.started:
            try:
                last = response.end()
            except Exception as error:  # a header that cannot be sent
                self._stopped(error)
                return
            self._connection.send(last)
            keep = response.keep_alive and self._request.body.complete
        elif response.sent or _is_cut(end):
            if not _is_cut(end):
                self._log("the response had begun", end)
            self._connection.close()
        else:
            self._log("nothing was answered", end)
            self._connection.send(
                whole_answer(RouterError("Internal error in the router; see its log for details."))
            )
        self._end(keep=keep)

    def _end(self, *, keep: bool) -> None:
        if self._ended:
            return
        self._ended = True
        self._forget_all()
        self._timer.cancel()
        try:
            self._reply.close()
        except Exception as error:
            self._log("closing its answer", error)
        if self._left:
            self._connection.close()
        else:
            self._connection.done(keep=keep)
        if self._request.body.size > _HUGE:
            # An error may hold it in a reference cycle, which counts as few objects only.
            self._reply = self._request = self._response = None  # type: ignore[assignment]
            gc.collect(1)

    def _log(self, when: str, error: BaseException) -> None:
        logging.getLogger(__name__).error("unhandled error in a request (%s)", when, exc_info=error)


def _is_cut(error: BaseException) -> bool:
    """Whether the application wants the connection to break: that is how a client learns that what
    it was sent is incomplete."""
    return isinstance(error, OSError) and error.errno == errno.ECONNRESET
