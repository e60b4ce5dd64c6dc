"""A server on loopback that speaks the Hugging Face hub's protocol, as far as weights need it.

A large file's address answers HEAD and GET with a redirect that tells commit, size and SHA-256; the
bytes lie elsewhere and come in ranges, too.
"""

import contextlib
import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class SmallHub:
    """``files`` maps ``owner/repository/name`` to bytes, ``moods`` a repository to a misdeed.

    Moods: a status; ``silent``: no answer; ``cut``: half of the bytes, from the first each time;
    ``other``: other bytes than announced, as many.
    """

    def __init__(self, url):
        self.url, self.files, self.moods, self.asked = url, {}, {}, []
        self.elsewhere = url.replace("127.0.0.1", "localhost")  # for clients, another host


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.respond()

    def do_GET(self):
        self.respond()

    def respond(self):
        hub = self.server.hub
        hub.asked.append((self.command, self.path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if self.path.startswith("/cdn/"):
                self.bytes_of(hub, self.path.removeprefix("/cdn/"))
            else:
                self.address_of(hub, self.path[1:].replace("/resolve/main/", "/"))

    def address_of(self, hub, key):
        mood = hub.moods.get(key.rpartition("/")[0])
        if mood == "silent":
            time.sleep(20)
            self.close_connection = True
        elif isinstance(mood, int):
            self.empty(mood, {})
        elif key not in hub.files:
            self.empty(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            data = hub.files[key]
            self.empty(
                302,
                {
                    "Location": f"{hub.elsewhere}/cdn/{key}",
                    "X-Repo-Commit": COMMIT,
                    "X-Linked-Size": str(len(data)),
                    "X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"',
                },
            )

    def bytes_of(self, hub, key):
        data, mood = hub.files[key], hub.moods.get(key.rpartition("/")[0])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked and mood != "cut" else 0
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if self.command == "HEAD":
            return
        if mood == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(bytes(len(data)) if mood == "other" else data[first:])

    def empty(self, status, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()


@contextlib.contextmanager
def small_hub():
    """The hub, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.hub = SmallHub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
