"""
compose.yaml on the Dockerfile's images, without Docker: each image is a directory, each service a process in it. The
official images have stand-ins: a Debian, and one with a server, whose entry point makes a cluster where none is, runs
docker-entrypoint-initdb.d, then the command.
"""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import dockerfile
import requests
from chroot import Chroot
from processes import Failed, free_port, wait_until

DATA, KEYS = "/var/lib/postgresql/data", "/etc/exact_databricks"
STRANGER = 4321  # a user of whom the image knows nothing: docker run --user
STOP_SECONDS = 10  # docker stop waits as long, then it kills
KEY_FILE = "SELECT finding FROM exact.check() WHERE rule = 'key file' AND result = 'fail'"
ROWS = """SELECT format('%s records, %s versions, %s secrets, %s pairs of tokens', (SELECT count(*) FROM exact.record),
          (SELECT count(*) FROM exact.stage), (SELECT count(*) FROM exact.credential),
          (SELECT count(*) FROM exact.token))"""
ENTRY = r"""
    ulimit -l 64    # as much as many a container may lock
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        initdb -U postgres -A trust -E UTF8 >&2
        printf '%s\n' "port = $PORT" "unix_socket_directories = '/tmp'" >>"$PGDATA/postgresql.conf"
        pg_ctl -w -o "$TEMPORARY -c listen_addresses=''" start >&2
        for script in /docker-entrypoint-initdb.d/*; do
            if [ -x "$script" ]; then "$script"; else . "$script"; fi
        done
        pg_ctl -w stop >&2
    fi
    exec "$@"
"""


def build(base, tree, directory, log):
    """{stage of the Dockerfile: its Image}"""
    variables = {"PG_MAJOR": "15", "PGDATA": DATA,
                 "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin"}

    def server(name):
        system = base.copy(directory / f"image-{name}")
        system.sh(f"install -d -o postgres -g postgres -m 0700 {DATA}; mkdir -p /docker-entrypoint-initdb.d")
        return system, variables

    def slim(name):
        system, known = Chroot(directory / f"image-{name}", "bookworm", log), {}
        if os.environ.get("PIP_CERT"):      # this machine trusts an authority of its own
            shutil.copy(os.environ["PIP_CERT"], system.directory / "etc/machine.crt")
            known["PIP_CERT"] = "/etc/machine.crt"
        return system, known
    return dockerfile.build((tree / "Dockerfile").read_text(), tree, {
        "postgres:15-bookworm": server, "debian:bookworm-slim": slim})


class Composed:
    """The services of compose.yaml; the volumes are directories of the hub's image, and stay between up() and up()."""

    def __init__(self, images, tree, log):
        self.hub, self.simulator, self.log = images["hub"], images["simulators"], log
        self.services, self.port = compose(tree), free_port()
        self.server, self.processes = None, []
        self.replaced = {}      # the ports of compose.yaml may be taken on this machine
        for name in ("exact-online", "databricks-workspace"):
            words = self.services[name]["command"]
            self.replaced[words[words.index("--port") + 1]] = str(free_port())
        self.keys = self.hub.chroot.directory / KEYS.strip("/")

    def up(self, user=None):
        """The hub, then what waits for its health and does not run yet."""
        self.hub.user = user or "postgres"
        self.server = self._start(self.hub, ["env", f"PORT={self.port}", "TEMPORARY=" + shlex.join(self.hub.cmd[1:]),
                                             "bash", "-eEo", "pipefail", "-c", ENTRY, "entry", *self.hub.cmd])
        wait_until("the health check of the image is content", self.healthy, 90)
        if self.processes:
            return
        for name in ("exact-online", "databricks-workspace"):
            words = self.services[name]["command"]
            self.processes.append(self._start(self.simulator, [self.replaced.get(word, word) for word in words]))
        for port in self.replaced.values():
            wait_until(f"the simulator at {port} answers", lambda port=port: answers(port), 60)

    def healthy(self):
        if self.server.poll() is not None:
            raise Failed(f"the hub ended with status {self.server.returncode}", self.log)
        return subprocess.run(self.hub.command("env", f"PGPORT={self.port}", *self.hub.health)).returncode == 0

    def demo(self):
        """What the service demo says: its first line, and the seconds that it took."""
        demo, began = self.services["demo"], time.monotonic()
        words = [re.sub(r":(\d+)$", lambda found: ":" + self.replaced[found.group(1)], word)
                 for word in demo["command"]]
        said = self.run(self.simulator, "env", *(f"{name}={value}" for name, value in demo["environment"].items()),
                        f"PGPORT={self.port}", *words)
        return said.strip().splitlines(), time.monotonic() - began

    def sql(self, text):
        return self.run(self.hub, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                        "-U", "postgres", "-c", text).strip()

    def stop(self):
        """As docker stop with the official image: SIGINT, and within 10 s it has ended. The seconds that it took."""
        began = time.monotonic()
        self.server.send_signal(signal.SIGINT)
        try:
            self.server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"the hub still runs {STOP_SECONDS} s after it was stopped", self.log) from None
        return time.monotonic() - began

    def down(self):
        """The volumes stay, what the simulators remember does not."""
        took = self.stop()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(STOP_SECONDS)
        self.processes = []
        return took

    def key_of_image(self, user=None):
        """(status, words) of the script that makes the key."""
        command = self.hub.chroot.command("/docker-entrypoint-initdb.d/key.sh", user=user or "postgres")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout.strip()

    def run(self, image, *command):
        done = subprocess.run(image.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        with open(self.log, "a") as out:
            out.write(done.stdout)
        if done.returncode:
            raise Failed(f"in the image, {' '.join(command)[:200]} ended with status {done.returncode}", self.log)
        return done.stdout

    def _start(self, image, command):
        with open(self.log, "a") as out:
            return subprocess.Popen(image.command(*command), stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def prove(base, tree, directory, step):
    """Every step of the Dockerfile, and what people do with compose.yaml."""
    log = directory / "images.log"
    images = build(base, tree, directory, log)
    step("Dockerfile", f"every step of {', '.join(images)}")
    composed = Composed(images, tree, log)
    hub = images["hub"].chroot

    # a directory of the host in the place of the volume of keys has nothing of what the image holds there
    shutil.rmtree(composed.keys)
    composed.keys.mkdir(mode=0o755)
    status, words = composed.key_of_image()
    expect(status and "chown" in words, f"a directory that is not the server's to write is not told: {words}", log)
    hub.run("chown", "postgres:", KEYS)

    composed.up()
    key = composed.keys / "hub.key"
    first = key.read_text()
    expect(re.fullmatch(r"k\d{14}:[0-9a-f]{64}\n", first) and not key.stat().st_mode & 0o77,
           "the image's key is none, or others may read it", log)
    said, _ = composed.demo()
    step("compose.yaml: up", said[0])

    said, _ = composed.demo()
    step("compose.yaml: the demo again", f"{said[0]}, {said[1]}")
    stopped = composed.down()
    composed.up()
    said, _ = composed.demo()
    expect(key.read_text() == first, "the second start made another key", log)
    step("compose.yaml: up again", f"stopped in {stopped:.1f} s, volumes kept; {said[1]}")

    real_hub(composed)
    lost_key(composed, key, step)
    stranger(composed, step)


def real_hub(composed):
    """The demo leaves a hub alone that works with Exact Online itself."""
    app = composed.sql("UPDATE exact.app AS a SET base_url = NULL FROM exact.app AS b WHERE b.name = a.name "
                       "RETURNING b.base_url")
    try:
        composed.demo()
    except Failed:
        expect("a hub of Exact Online" in composed.log.read_text()[-3000:], "the demo failed for another reason",
               composed.log)
    else:
        raise Failed("the demo took the place of a hub that is not its own", composed.log)
    composed.sql(f"UPDATE exact.app SET base_url = '{app}'")


def lost_key(composed, key, step):
    """The volume of keys is lost and found: the hub says so, keeps what it has, and goes on."""
    composed.stop()
    first = key.read_text()
    key.unlink()
    composed.up()
    before, finding = composed.sql(ROWS), composed.sql(KEY_FILE)
    expect("does not exist" in finding, f"check() does not tell that the key is lost: {finding}", composed.log)
    status, words = composed.key_of_image()
    expect(status == 0, f"no new key can be made: {words}", composed.log)
    another = composed.sql(KEY_FILE)
    expect("is not in key file" in another, f"with a new key alone check() says {another!r}", composed.log)
    expect(composed.sql(ROWS) == before, "rows were lost with the key", composed.log)
    key.write_text(first + key.read_text())
    goes_on(composed)
    step("compose.yaml: the key is lost", f"{finding}; {another}; put back, the hub goes on with {before}")


def stranger(composed, step):
    """docker run --user: the volumes belong to a user whom the image does not know."""
    composed.stop()
    chroot = composed.hub.chroot
    chroot.run("chown", "-R", f"{STRANGER}:{STRANGER}", DATA)
    composed.up(user=STRANGER)
    finding = composed.sql(KEY_FILE)
    expect("cannot be opened" in finding, f"check() does not tell of a key of somebody else: {finding}", composed.log)
    chroot.run("chown", "-R", f"{STRANGER}:{STRANGER}", KEYS)
    goes_on(composed)
    composed.down()
    step("compose.yaml: --user", f"{finding}; after chown the hub works as user {STRANGER}")


def goes_on(composed):
    composed.sql("SELECT pg_reload_conf()")
    request = composed.sql("SELECT exact.sync_now()")
    told = composed.sql(f"SELECT exact.wait({request}, '3 min')")
    expect(told == "done" and composed.sql(KEY_FILE) == "", f"the hub does not go on: {told}", composed.log)


def expect(good, words, log):
    if not good:
        raise Failed(words, log)


def compose(tree):
    """compose.yaml as docker-compose reads it, which refuses what is no compose file: {service: its settings}"""
    made = subprocess.run(["docker-compose", "-f", tree / "compose.yaml", "config"], capture_output=True, text=True)
    if made.returncode:
        raise Failed(f"docker-compose refuses compose.yaml: {made.stderr}")
    # the YAML module came with docker-compose
    return json.loads(subprocess.run(
        ["/usr/bin/python3", "-c", "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"],
        input=made.stdout, capture_output=True, text=True, check=True).stdout)["services"]


def answers(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/_control/info", timeout=5).ok
    except requests.RequestException:
        return False
