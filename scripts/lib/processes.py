"""Child processes that never outlive this one: PostgreSQL and the simulators.

Every child gets a signal when its parent dies, orphans of children (a JVM, a daemon) are adopted by this process, and
stop_all() ends whatever is still below it.
"""
import atexit
import collections
import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import typing

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something the user must know in one sentence; `log` is a file whose end explains it."""

    def __init__(self, message, log=None):
        super().__init__(message)
        self.log = log


def die_with_parent(sign):
    """For subprocess.Popen(preexec_fn=…): the child gets `sign` when this process dies."""
    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, sign, 0, 0, 0)
        os.setpgid(0, 0)  # Ctrl-C reaches this process alone, which then ends its children in order
    return prepare


def descendants(pid=None):
    """Process ids of all living descendants of `pid` (default: this process)."""
    children = collections.defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text(errors="replace")
            except OSError:
                continue
            state, parent = stat[stat.rindex(")") + 2:].split()[:2]
            if state != "Z":
                children[int(parent)].append(int(entry))
    found, todo = [], [pid or os.getpid()]
    while todo:
        for child in children[todo.pop()]:
            found.append(child)
            todo.append(child)
    return found


def stop_all(grace=10.0):
    """Ends every descendant: SIGTERM, then SIGKILL after `grace` seconds."""
    for sign, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + seconds
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        while time.monotonic() < deadline:
            _reap()
            if not descendants():
                return
            time.sleep(0.05)


def _reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class _Popen(subprocess.Popen):
    """Remembers the children whose status somebody waits for."""
    own: typing.ClassVar[set] = set()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.own.add(self.pid)


def _bury_orphans():
    """
    Adopted processes that have ended: while nobody asks for their status they look alive, to a new postmaster for one.
    """
    before = set()
    while True:
        dead = set()
        for entry in os.listdir("/proc"):
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text(errors="replace") if entry.isdigit() else ""
            except OSError:
                continue
            if stat and stat[stat.rindex(")") + 2:].split()[:2] == ["Z", str(os.getpid())]:
                dead.add(int(entry))
        for pid in (dead & before) - _Popen.own:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        before = dead
        time.sleep(0.4)


_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
subprocess.Popen = _Popen
threading.Thread(target=_bury_orphans, daemon=True).start()
atexit.register(stop_all)


def wait_until(what, probe, seconds, every=None):
    """
    The first true value of probe(); Failed naming `what` after `seconds`. Without `every` it asks the more seldom the
    longer it waits, from ten times to twice a second.
    """
    begun = time.monotonic()
    while True:
        value = probe()
        if value:
            return value
        waited = time.monotonic() - begun
        if waited > seconds:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(every or min(max(waited / 10, 0.1), 0.5))


class Server:
    """A child that says `ready <address>` on its standard output; all else it says goes to a log file."""

    def __init__(self, name, command, log, env=None):
        self.name, self.log = name, pathlib.Path(log)
        self.address = None
        self._ready = threading.Event()
        with open(self.log, "ab") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                                            env={**os.environ, **(env or {})},
                                            preexec_fn=die_with_parent(signal.SIGTERM))
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, seconds):
        """Its address, once it is ready."""
        self._ready.wait(seconds)
        if not self.address:
            try:
                code = self.process.wait(1)
            except subprocess.TimeoutExpired:
                code = None
            self.stop()
            raise Failed(f"{self.name} ended with status {code}" if code is not None else f"{self.name} was not ready "
                         f"within {seconds:g} s", self.log)
        return self.address

    def _read(self):
        with open(self.log, "ab") as out:
            for line in self.process.stdout:
                if line.startswith(b"ready ") and not self.address:
                    self.address = line.split()[1].decode()
                    self._ready.set()
                out.write(line)
                out.flush()
        self._ready.set()

    def alive(self):
        return self.process.poll() is None

    def stop(self, grace=15):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                for pid in [*descendants(self.process.pid), self.process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.process.wait(5)


def free_port():
    """A port of this machine that nobody listens at now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]
