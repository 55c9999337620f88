"""gunicorn's threaded worker with two ways of saving time: a thread keeps its client, and an
answer leaves in one piece."""

import errno
import select
import ssl
from contextlib import suppress
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from airouter.clock import Clock
from airouter.web.refused_by_parser import error_for, whole_answer

REST = 0.5  # seconds without new clients once the process has no file descriptors left
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
LINGER = 0.05  # seconds a thread waits for its client's next request before the client goes back to the common loop


class Response(wsgi.Response):  # type: ignore[misc]
    """Sends the head together with the first bytes of the body: one system call and one segment
    instead of two."""

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
    """gunicorn's configuration with its values as plain attributes: they do not change in a
    worker's life, and gunicorn looks some thirty of them up for each request, each through two
    calls."""

    def __init__(self, cfg: Any) -> None:
        self.__dict__.update(
            {name: getattr(cfg, name) for name in cfg.settings}, is_ssl=cfg.is_ssl, _cfg=cfg
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)


class Client(TConn):  # type: ignore[misc]
    """A client's connection. Waits for its first request without a selector, which would take a
    file descriptor."""

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
    """Handing a client from thread to loop and back costs a tenth of a millisecond, so a thread
    waits a moment for its client's next request, unless somebody else needs the thread."""

    cfg: Any
    _rest_until = 0.0

    def init_process(self) -> None:
        self.cfg = Snapshot(self.cfg)
        super().init_process()

    def accept(self, listener: Any) -> None:
        """A new client. One that cannot be accepted for lack of file descriptors waits in the
        listener's queue; without a rest its waiting would keep this loop spinning."""
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
        """What gunicorn cannot parse is answered as other errors are. Not logged with its text,
        which may hold a key."""
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
        """One request on an HTTP/1 connection; whether the connection can be used again."""
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
            # A 500 behind an answer that has begun would corrupt it.
            self.log.exception("Error handling request")
            util.close_graceful(conn.sock)
            raise StopIteration from None
        return not response.should_close()
