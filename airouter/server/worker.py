"""gunicorn's threaded worker with two optimisations: a thread keeps its connection for the next
request, and a response is sent in one write."""

import errno
import select
import ssl
from contextlib import suppress
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from airouter.api.refused_by_parser import error_for, whole_answer
from airouter.domain.clock import Clock

REST = 0.5  # seconds without accepting connections once file descriptors have run out
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
# Seconds a thread waits for the next request on its connection before it returns the connection to
# the event loop.
LINGER = 0.05


class Response(wsgi.Response):  # type: ignore[misc]
    """Sends the headers together with the first bytes of the body, in one system call and one TCP
    segment."""

    _head = b""
    headers_sent: bool

    def send_headers(self) -> None:
        if not self.headers_sent:
            lines = [
                *self.default_headers(),
                *(f"{name}: {value}\r\n" for name, value in self.headers),
                "\r\n",
            ]
            self._head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        self.sock.sendall(self._taken() + data)

    def close(self) -> None:
        self.send_headers()
        end = self._taken() + (b"0\r\n\r\n" if self.chunked else b"")
        if end:
            self.sock.sendall(end)

    def _taken(self) -> bytes:
        head, self._head = self._head, b""
        return head


class Snapshot:
    """gunicorn's configuration with its values as plain attributes. They do not change during a
    worker's lifetime, and gunicorn reads about thirty of them per request, each through two
    calls."""

    def __init__(self, cfg: Any) -> None:
        self.__dict__.update(
            {name: getattr(cfg, name) for name in cfg.settings}, is_ssl=cfg.is_ssl, _cfg=cfg
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)


class Client(TConn):  # type: ignore[misc]
    """A client connection. Waits for its first request without a selector, which would need a file
    descriptor."""

    sock: Any
    data_ready: bool

    def wait_for_data(self, timeout: float) -> bool:
        if not self.data_ready:
            poller = select.poll()
            with suppress(OSError, ValueError):  # closed meanwhile
                poller.register(self.sock.fileno(), select.POLLIN)
                self.data_ready = bool(poller.poll(timeout * 1000))
        return bool(self.data_ready)


class Worker(ThreadWorker):  # type: ignore[misc]
    """Handing a connection from a thread to the event loop and back costs a tenth of a millisecond,
    so a thread briefly waits for the next request itself, unless other requests need the thread."""

    cfg: Any
    _rest_until = 0.0

    def init_process(self) -> None:
        self.cfg = Snapshot(self.cfg)
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Accept a connection. If file descriptors have run out, it stays in the listener's backlog
        and accepting pauses, since the loop would otherwise spin."""
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._rest_until = Clock.monotonic() + REST
                self.set_accept_enabled(False)
                self.log.warning("No file descriptors left (ulimit -n): new clients wait.")
            elif error.errno not in _GONE:
                raise
            return
        self.nr_conns += 1
        self.enqueue_req(Client(self.cfg, sock, address, listener.getsockname()))

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled and Clock.monotonic() >= self._rest_until)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer requests that gunicorn cannot parse with the usual error format. The request's
        text is not logged, since it may contain a key."""
        if isinstance(exc, ssl.SSLError):
            super().handle_error(req, client, addr, exc)
            return
        error = error_for(exc)
        if error.blame == "client":
            self.log.warning("Invalid request from ip=%s: %s", (addr or ("",))[0], error.code)
        else:
            self.log.exception("Error handling request %s", getattr(req, "path", ""))
        with suppress(OSError):
            util.write_nonblock(client, whole_answer(error))

    def handle(self, conn: Any) -> Any:
        while True:
            again = super().handle(conn)
            if again is not True or not self._next_comes(conn):
                return again

    def _next_comes(self, conn: Any) -> bool:
        if not self.alive or self.tpool._work_queue.qsize() or conn.parser.unreader.buf.getvalue():
            return False
        poller = select.poll()
        poller.register(conn.sock.fileno(), select.POLLIN)
        return bool(poller.poll(LINGER * 1000)) and bool(self.alive)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Serve one request on an HTTP/1 connection; returns whether the connection is reusable."""
        response, environ = wsgi.create(
            req, conn.sock, conn.client, conn.server, self.cfg, response_class=Response
        )
        environ["wsgi.multithread"] = True
        self.nr += 1
        if not self.alive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        try:
            body = self.wsgi(environ, response.start_response)
            try:
                for item in body:
                    response.write(item)
                response.close()
            finally:
                if hasattr(body, "close"):
                    body.close()
        except OSError:
            raise
        except (Exception, SystemExit):
            if not response.headers_sent:
                raise
            # A 500 appended to a response that has started would corrupt it.
            self.log.exception("Error handling request")
            util.close_graceful(conn.sock)
            raise StopIteration from None
        return not response.should_close()
