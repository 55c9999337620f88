"""gunicorn's threaded worker with two ways of saving time: a thread keeps its client, and an answer leaves in one piece."""

import select
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.workers.gthread import ThreadWorker

LINGER = 0.05  # seconds a thread waits for its client's next request before the client goes back to the common loop


class Response(wsgi.Response):  # type: ignore[misc]
    """Sends the head together with the first bytes of the body: one system call and one segment instead of two."""

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
    """gunicorn's configuration with its values as plain attributes: they do not change in a worker's life, and gunicorn looks
    some thirty of them up for each request, each through two calls."""

    def __init__(self, cfg: Any) -> None:
        self.__dict__.update(
            {name: getattr(cfg, name) for name in cfg.settings}, is_ssl=cfg.is_ssl, _cfg=cfg
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)


class Worker(ThreadWorker):  # type: ignore[misc]
    """Handing a client from thread to loop and back costs a tenth of a millisecond, so a thread waits a moment for its
    client's next request, unless somebody else needs the thread."""

    cfg: Any

    def init_process(self) -> None:
        self.cfg = Snapshot(self.cfg)
        super().init_process()

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
