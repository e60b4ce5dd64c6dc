"""A real HTTP server on loopback that serves files, and misbehaves as it is told to."""

import contextlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """What is served, how, and what was asked.

    ``files`` maps a path to its bytes; ``moods`` maps a path to what happens to the next requests
    for it, one after the other (after the last, it behaves): a status (500, 429, 404), or
    ("cut", n), ("redirect", to), ("trickle", n, seconds), ("silent", seconds), ("held", n, event)
    that sends the rest when the event is set, "no range", "no length".
    """

    def __init__(self, url):
        self.url = url
        self.files = {}
        self.moods = {}
        self.tags = {}
        self.always = {}
        self.headers = {}
        self.asked = []

    def publish(self, files, below=""):
        """Serve ``{name: bytes}`` as ``/below/name``."""
        self.files |= {f"{below}/{name}" if below else f"/{name}": b for name, b in files.items()}

    def mood_of(self, path):
        waiting = self.moods.get(path)
        return waiting.pop(0) if waiting else self.always.get(path)

    def paths(self):
        return [path for path, *_ in self.asked]


class Handler(BaseHTTPRequestHandler):
    """Answers one request in the mood that the site is in."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.answer(self.server.site)

    def answer(self, site):
        mood = site.mood_of(self.path)
        kind, *more = mood if isinstance(mood, tuple) else (mood,)
        data = site.files.get(self.path)
        if kind == "silent":
            time.sleep(more[0])
            self.close_connection = True
        elif kind == "redirect":
            self.empty(site, 302, {"Location": more[0]})
        elif isinstance(kind, int) or data is None:
            self.empty(site, kind or 404, site.headers.get(self.path, {}))
        else:
            self.file(site, kind, more, data)

    def empty(self, site, status, headers):
        site.asked.append((self.path, self.headers.get("Range"), status))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def first_byte(self, site, kind):
        wanted, tag = self.headers.get("Range"), site.tags.get(self.path)
        if not wanted or kind == "no range" or self.headers.get("If-Range", tag) != tag:
            return 0
        return int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])

    def file(self, site, kind, more, data):
        start = self.first_byte(site, kind)
        if start and start >= len(data):
            self.empty(site, 416, {"Content-Range": f"bytes */{len(data)}"})
            return
        status = 206 if start else 200
        site.asked.append((self.path, self.headers.get("Range"), status))
        self.send_response(status)
        if self.path in site.tags:
            self.send_header("ETag", site.tags[self.path])
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if kind == "no length":
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.body(kind, more, data[start:])

    def body(self, kind, more, data):
        if kind == "cut":
            self.wfile.write(data[: more[0]])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
        elif kind == "held":
            self.wfile.write(data[: more[0]])
            self.wfile.flush()
            assert more[1].wait(60)
            self.wfile.write(data[more[0] :])
        elif kind == "trickle":
            for i in range(0, len(data), more[0]):
                self.wfile.write(data[i : i + more[0]])
                self.wfile.flush()
                time.sleep(more[1])
        else:
            self.wfile.write(data)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        """Clients leave: that is what these tests are about."""


@contextlib.contextmanager
def serving():
    """A ``Site`` on a free port."""
    site = Site("")
    server = _Quiet(("127.0.0.1", 0), Handler)
    server.site = site
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
