"""Processes of their own that need not import torch again: forked from one that did.

``Popen`` takes what ``subprocess.Popen`` takes for ``[python, "-m" or "-c" or script, ...]`` and
gives the same face. Its process is a real one: it is signalled, killed and waited for like any.
What is about starting, importing, or variables that libraries read on import wants a cold one.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

PRELOADED = (
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "sklearn.metrics",
    "scipy.stats",
    "torch.distributed",
    "imgtrain.cli",
    "imgtrain.commands.train",
    "imgtrain.training",
    "imgtrain.predictor",
)

_nursery = None


class Popen:
    """A Python process, started at once.

    Args:
        arguments: ``[sys.executable, "-m", module, ...]``, ``"-c", code`` or a script's path.
        cwd: Its folder.
        env: All its variables.
        stdout: ``subprocess.PIPE``, ``subprocess.DEVNULL``, or None for this process's own.
        stderr: The same.
        text: Whether pipes carry text.
    """

    def __init__(self, arguments, *, cwd=None, env=None, stdout=None, stderr=None, text=False):
        global _nursery  # noqa: PLW0603  # one a process, started when first needed
        if _nursery is None or _nursery.pid != os.getpid():
            _nursery = _Nursery()
        ends, self.returncode = [], None
        self.args, self.stdin = list(map(str, arguments)), None
        self.stdout, ours = _pipe(stdout, 1, text)
        ends.append(ours)
        self.stderr, ours = _pipe(stderr, 2, text)
        ends.append(ours)
        asked = {
            "argv": self.args[1:],
            "cwd": os.fspath(cwd or os.getcwd()),  # noqa: PTH109  # a test may have changed it
            "env": dict(os.environ if env is None else env),
        }
        self.pid, self._ended = _nursery.fork(asked, ends)
        for handle in ends:
            if handle > 2:  # not this process's own
                os.close(handle)

    def poll(self):
        """The exit code, or None while it runs."""
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            said = self._ended.recv(16)
            self._ended.close()
            self.returncode = int(said) if said else -signal.SIGKILL
        return self.returncode

    def wait(self, timeout=None):
        """The exit code, once there is one."""
        if self.poll() is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.poll()
        return self.returncode

    def send_signal(self, number):
        """Signal it, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """All that it says, after its end."""
        said = {}

        def read(name, file):
            said[name] = file.read()

        readers = [
            threading.Thread(target=read, args=(name, file), daemon=True)
            for name, file in (("out", self.stdout), ("err", self.stderr))
            if file is not None
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        for file in (self.stdout, self.stderr):
            if file is not None:
                file.close()
        return said.get("out"), said.get("err")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.communicate()


def run(arguments, *, timeout=120, check=False, **more):
    """Like ``subprocess.run`` with ``capture_output`` and ``text``."""
    pipe = subprocess.PIPE
    child = Popen(arguments, stdout=pipe, stderr=pipe, text=True, **more)
    try:
        out, err = child.communicate(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    if check and child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args, out, err)
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def _pipe(wanted, number, text):
    """Our end as a file, the child's end as a handle."""
    if wanted is None:
        return None, number
    if wanted == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_WRONLY)
    read, write = os.pipe()
    return os.fdopen(read, "r" if text else "rb", encoding="utf-8" if text else None), write


class _Nursery:
    """The process that imports once and forks on demand; it ends with this one."""

    def __init__(self):
        self.pid = os.getpid()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import warm; "
        keep = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{code}warm.serve({theirs.fileno()})"],
            pass_fds=[theirs.fileno()],
            env=keep,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        atexit.register(self._end)

    def fork(self, asked, ends):
        """The new process's number, and a socket that will tell its exit code."""
        ended, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe()
        with os.fdopen(write, "wb") as file:  # the request may be longer than a packet
            socket.send_fds(self._line, [b"fork"], [read, tells.fileno(), *ends])
            file.write(json.dumps(asked).encode())
        os.close(read)
        tells.close()
        return int(self._line.recv(16)), ended

    def _end(self):
        self._line.close()
        self._process.wait()


def serve(number):
    """The nursery's side: import, then fork whoever is asked for, and tell how each ended."""
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    line = socket.socket(fileno=number)
    wakes, woken = socket.socketpair()
    wakes.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tellers = {}
    while True:
        ready, _, _ = select.select([line, wakes], [], [])
        if wakes in ready:
            wakes.recv(4096)
            _reap(tellers)
        if line in ready:
            said, handles, _, _ = socket.recv_fds(line, 16, 8)
            if not said:
                for pid in tellers:
                    os.kill(pid, signal.SIGKILL)
                return
            read, tells, *ends = handles
            with os.fdopen(read, "rb") as file:
                asked = json.loads(file.read())
            pid = os.fork()
            if pid == 0:
                line.close()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(tells)
                for other in tellers.values():
                    other.close()
                _become(asked, ends)
            tellers[pid] = socket.socket(fileno=tells)
            for handle in ends:
                os.close(handle)
            line.send(str(pid).encode())


def _reap(tellers):
    while tellers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with tellers.pop(pid) as teller:
            teller.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(asked, ends):
    """In the new process: be the one that was asked for, and end as it would."""
    for place, handle in enumerate(ends, 1):
        os.dup2(handle, place)
        os.close(handle)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.path[:0] = [p for p in asked["env"].get("PYTHONPATH", "").split(os.pathsep) if p]
    if "TMPDIR" in asked["env"]:
        import tempfile

        tempfile.tempdir = None
    for file in (sys.stdout, sys.stderr):
        file.reconfigure(line_buffering=True)
    code = _ran(*asked["argv"])
    threading._shutdown()
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except OSError:
            code = code or 120
    os._exit(code)


def _ran(kind, *rest):
    """Run it as Python's own command line does; returns the exit code."""
    import runpy

    sys.argv = list(rest if kind == "-m" else (kind, *rest[kind == "-c" :]))
    try:
        if kind == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.path.insert(0, "")
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  # what was asked for
        else:
            sys.path.insert(0, str(Path(kind).parent))
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001  # as Python itself does at the top
        traceback.print_exc()
        return 1
    return 0
