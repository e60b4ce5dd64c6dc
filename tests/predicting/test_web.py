"""Addresses: a real server on this machine that answers well, badly, slowly, too much."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imgtrain.predicting.web import Limits, Web

BODY = b"\x89PNG...a picture, as far as the one who fetches it knows"


class Unruly(BaseHTTPRequestHandler):
    """Each path misbehaves in its own way."""

    def do_GET(self):
        kind = self.path.strip("/").partition("-")[0]
        getattr(self, f"do_{kind}", self.do_missing)()

    def do_missing(self):
        self._head(404)

    def do_good(self):
        self._send(BODY)

    def do_moved(self):
        self._head(301, Location="/good")

    def do_loop(self):
        self._head(302, Location=f"{self.path}-")

    def do_outside(self):
        self._head(302, Location="file:///etc/hostname")

    def do_page(self):
        self._send(b"<!doctype html>", **{"Content-Type": "text/html; charset=utf-8"})

    def do_said(self):
        self._head(200, **{"Content-Length": "99999999999"})

    def do_huge(self):
        self._head(200)
        for _ in range(100):
            self.wfile.write(bytes(10_000))

    def do_cut(self):
        self._head(200, **{"Content-Length": "1000"})
        self.wfile.write(BODY)

    def do_silent(self):
        time.sleep(1)

    def do_trickle(self):
        self._head(200)
        for _ in range(40):
            self.wfile.write(b".")
            self.wfile.flush()
            time.sleep(0.05)

    def _send(self, body, **headers):
        self._head(200, **{"Content-Length": str(len(body))}, **headers)
        self.wfile.write(body)

    def _head(self, code, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


class Quiet(ThreadingHTTPServer):
    """Does not wait for those that it still answers."""

    daemon_threads = True

    def handle_error(self, *_):
        """A client that has heard enough leaves."""


@pytest.fixture(scope="module")
def server():
    found = Quiet(("127.0.0.1", 0), Unruly)
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture(scope="module")
def web():
    with Web(Limits(silence=0.4, whole=0.6, size=200_000)) as found:
        yield found


@pytest.mark.parametrize("kind", ["good", "moved"])
def test_what_is_there_is_fetched(server, web, kind):
    """To the byte, also from where it has moved to."""
    assert web.read(f"{server}/{kind}") == BODY


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "404 Not Found"),
        ("page", "no picture but text/html"),
        ("huge", "more than 200,000 bytes"),
        ("said", "more than 200,000 bytes"),
        ("loop", "more than 5 redirects"),
        ("outside", "unsupported protocol"),
        ("cut", "peer closed connection"),
        ("silent", "no answer within 0.4 s"),
        ("trickle", "not all of it came within 0.6 s"),
    ],
)
def test_what_goes_wrong_is_said(server, web, kind, reason):
    """One sentence in an ``OSError``, soon."""
    with pytest.raises(OSError, match=reason):
        web.read(f"{server}/{kind}")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9/x.png", "refused"),
        ("http://[bad", "Invalid|not known"),
        ("http:///x.png", "missing"),
    ],
)
def test_nobody_there_is_said(web, address, reason):
    """A closed door, and what is no address at all."""
    with pytest.raises(OSError, match=reason):
        web.read(address)
