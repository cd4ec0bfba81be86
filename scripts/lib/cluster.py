"""A PostgreSQL cluster of its own: made, started, asked and ended by scripts and tests.

The programs come from $EXACT_DATABRICKS_PG_BIN, the extension is installed there. Connections go through a socket in a
directory that only the owner may enter, so the cluster is open to nobody else.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from processes import Failed, die_with_parent, wait_until

PORT = 54417  # a name in the socket directory, no network port


class SqlError(Exception):
    """An error of the server: sqlstate, message, detail, hint, and the whole text as psql printed it."""

    def __init__(self, text):
        self.text = text.strip()
        head = re.search(r"(?:ERROR|FATAL|PANIC):  (?:(\w{5}): )?(.*)", text)
        self.sqlstate, self.message = (head.group(1), head.group(2)) if head else (None, self.text)
        self.detail = self._part("DETAIL")
        self.hint = self._part("HINT")
        super().__init__(self.text)

    def _part(self, name):
        found = re.search(rf"^{name}:  (.*(?:\n(?![A-Z]+:  ).*)*)", self.text, re.M)
        return found.group(1) if found else None


def literal(value):
    """A value as an SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


class Cluster:
    def __init__(self, directory, settings=None, programs=None):
        self.bin = pathlib.Path(programs or os.environ.get("EXACT_DATABRICKS_PG_BIN", "/usr/lib/postgresql/15/bin"))
        self.directory = pathlib.Path(directory)
        self.data, self.log = self.directory / "data", self.directory / "postgresql.log"
        self.socket = pathlib.Path(tempfile.mkdtemp(prefix="socket."))  # of mode 0700; a socket's path must be short
        self.settings = {"listen_addresses": "", "port": PORT, "unix_socket_directories": self.socket,
                         "max_worker_processes": 16,
                         "shared_preload_libraries": "exact_databricks", "log_line_prefix": "%m [%p] %q%a ",
                         "fsync": "off",
                         "timezone": "UTC", "log_timezone": "UTC", **(settings or {})}
        self.client = [self.bin / "psql", "-h", self.socket, "-p", str(PORT), "-U", "postgres"]
        self.process = None

    def make(self, *options):
        """By initdb; `options` are more of its own."""
        self.directory.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                               *os.environ.get("EXACT_DATABRICKS_LOCALE", "--locale=C.UTF-8").split(), "-N", *options],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            self.log.write_bytes(done.stdout)
            raise Failed("initdb could not make a cluster", self.log)
        self.write_settings()

    def write_settings(self, **changed):
        """Sets settings (None removes one) in a file of its own; takes effect at the next start or reload."""
        for name, value in changed.items():
            name = name.replace("__", ".")
            if value is None:
                self.settings.pop(name, None)
            else:
                self.settings[name] = value
        lines = [f"{name} = {literal(str(value).replace(chr(92), chr(92) * 2))}\n" for name,
                 value in self.settings.items()]
        (self.data / "run.conf").write_text("".join(lines))
        main = self.data / "postgresql.conf"
        if "run.conf" not in main.read_text():
            with main.open("a") as out:
                out.write("include 'run.conf'\n")

    def start(self, seconds=60):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.bin / "postgres", "-D", self.data], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log,
                                            preexec_fn=die_with_parent(signal.SIGQUIT))

        def ready():
            if self.process.poll() is not None:
                raise Failed(f"PostgreSQL ended at its start with status {self.process.returncode}", self.log)
            return subprocess.run([self.bin / "pg_isready", "-q", "-U", "postgres", "-d", "postgres", "-h", self.socket,
                                   "-p", str(PORT)]).returncode == 0
        wait_until("PostgreSQL accepts connections", ready, seconds)

    def stop(self, mode="fast", seconds=60):
        """Ends the cluster; mode as pg_ctl's: smart, fast, immediate."""
        if self.process and self.process.poll() is None:
            self.process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT,
                                      "immediate": signal.SIGQUIT}[mode])
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise Failed(f"PostgreSQL did not end within {seconds} s of a {mode} shutdown", self.log) from None

    def remove(self):
        """Ends it at once and removes its files but for the log."""
        self.stop("immediate")
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

    def kill(self):
        """SIGKILL of the postmaster; its children notice and end, as after a power cut without a disk fault."""
        self.process.kill()
        self.process.wait()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def psql(self, text, database="postgres", seconds=120, arguments=()):
        """The raw output of psql for a script; SqlError with the server's words."""
        done = subprocess.run([*self.client, "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose",
                               "-d", database, *arguments], input=text, capture_output=True, text=True,
                              timeout=seconds, env={**os.environ, "PGAPPNAME": "hub script", "PGTZ": "UTC"})
        if done.returncode:
            raise SqlError(done.stderr)
        return done.stdout

    def query(self, text, database="postgres", seconds=120):
        """The rows of one query as dictionaries."""
        out = self.psql(f"SELECT coalesce(json_agg(to_json(q)), '[]') FROM ({text}\n) q", database, seconds)
        return json.loads(out)

    def value(self, text, database="postgres", seconds=120):
        """The first column of the first row, as text; None when there is no row or it is null."""
        rows = self.psql(text, database, seconds, ("-P", "null=\u2400")).split("\n")[:-1]
        return rows[0] if rows and rows[0] != "\u2400" else None

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""
