"""
The second half of scripts/package: the Debian package is built in one Debian, installed, used and removed in another.
"""
import argparse
import json
import os
import pathlib
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time

import dockerfile
import installed
import requests
from chroot import Chroot
from command import run, say, seconds_text
from hub import simulators
from processes import Failed, free_port, wait_until

TOOLS = ("build-essential", "ca-certificates", "fakeroot", "lintian")


class Packages:
    def __init__(self, given):
        self.tree, self.directory = pathlib.Path(given.tree), pathlib.Path(given.directory)
        self.suites, self.base = given.what, None
        self.began = time.monotonic()

    def step(self, name, text):
        took, self.began = time.monotonic() - self.began, time.monotonic()
        say(f"  {name + ' ':.<34} {text} ({seconds_text(took)})")

    def run(self):
        self.exact, self.databricks = simulators(self.directory, ("--records", 500, "--divisions", 2),
                                                 ("--engine", "none"))
        for suite in self.suites:
            if suite == "images":
                self.images()
            else:
                packages, major = self.build(suite)
                self.use(suite, packages, major)
        say(f"{len(self.suites)} passed, 0 failed")
        return 0

    def build(self, suite):
        """The .deb files, judged by lintian and by the package's own test; the server's major version."""
        control = (self.tree / "debian" / "control.in").read_text()
        needs = re.findall(r"^ ([a-z0-9-]+)", re.search(r"^Build-Depends:\n((?: .*\n)+)", control, re.M).group(1), re.M)
        needs = ["debhelper" if need == "debhelper-compat" else need for need in needs]
        builder = Chroot(self.directory / f"{suite}-build", suite, self.directory / f"{suite}-build.log",
                         (*TOOLS, *needs))
        self.step(f"{suite}: a Debian that builds", f"{len(needs)} packages that a build needs")
        source = builder.directory / "build" / "exact-databricks"
        shutil.copytree(self.tree, source, symlinks=True)
        subprocess.run(["chown", "-R", "0:0", source], check=True)
        written = (source / "debian" / "control").read_text()
        builder.sh("cd /build/exact-databricks; pg_buildext updatecontrol; dpkg-buildpackage -b -us -uc -j2")
        if suite == "bookworm" and written != (source / "debian" / "control").read_text():
            raise Failed("debian/control is not what debian/control.in makes of it: run pg_buildext updatecontrol")
        found = sorted((builder.directory / "build").glob("postgresql-*_*.deb"))
        packages = [path for path in found if "-dbgsym_" not in path.name]
        major = builder.run("/usr/share/postgresql-common/supported-versions").split()[-1]
        self.step(f"{suite}: built", ", ".join(path.name for path in packages))
        told = builder.sh("lintian --allow-root --fail-on error /build/*.deb")
        self.step(f"{suite}: lintian", f"0 errors, {len(re.findall('^W:', told, re.M))} warnings")
        builder.run("apt-get", "-qy", "--no-install-recommends", "install", f"/build/{packages[0].name}")
        told = builder.sh("cd /build/exact-databricks; debian/tests/installcheck")
        passed = len(re.findall(r"^(?:test\s.*\.\.\. ok\b|ok \d+)", told, re.M))
        if passed < len(list((self.tree / "sql").glob("*.sql"))):
            raise Failed(f"only {passed} regress tests ran against the installed package", builder.log)
        self.step(f"{suite}: debian/tests", f"{passed} regress tests against the installed package")
        return packages, major

    def use(self, suite, packages, major):
        """Installed on a server, with a hub on it; afterwards nothing of it may be left."""
        debian = self.server(suite, major)
        if suite == "bookworm" and "images" in self.suites:
            self.base = debian.copy(self.directory / f"{suite}-server")
        before = debian.files()
        self.step(f"{suite}: a Debian with a server", f"postgresql-{major}")
        shutil.copy(packages[0], debian.directory / "tmp")
        debian.run("apt-get", "-qy", "--no-install-recommends", "install", f"/tmp/{packages[0].name}")
        own = len(debian.files() - before)
        log = debian.directory / f"var/log/postgresql/postgresql-{major}-main.log"
        port = free_port()
        debian.sh(f"""
            install -d -o postgres -g postgres -m 0700 /etc/exact_databricks
            echo k1:{secrets.token_hex(32)} > /etc/exact_databricks/hub.key
            chown postgres: /etc/exact_databricks/hub.key; chmod 0600 /etc/exact_databricks/hub.key
            printf '%s\\n' "port = {port}" "shared_preload_libraries = 'exact_databricks'" \\
                "exact_databricks.key_file = '/etc/exact_databricks/hub.key'" \\
                "exact_databricks.insecure_loopback = on" "exact_databricks.sync_interval = '10s'" \\
                > /etc/postgresql/{major}/main/conf.d/exact_databricks.conf""")
        self.start(debian, major, log)
        self.step(f"{suite}: installed", f"{own} files and folders, the server runs with the library preloaded")
        client = debian.command("psql", "-p", port, user="postgres")
        hub = installed.InstalledHub(self.directory / f"{suite}-hub", self.exact, self.databricks, database="postgres",
                                     schema=f"exact_{suite}", cluster=installed.Installed(client, log))
        objects = installed.objects(hub)
        self.step(f"{suite}: data flows", installed.flows(hub))
        left = installed.removed(hub, objects)
        if left:
            raise Failed(f"DROP EXTENSION left {', '.join(left)}", log)
        debian.run("pg_ctlcluster", major, "main", "stop")
        debian.sh(f"rm -r /etc/exact_databricks /etc/postgresql/{major}/main/conf.d/exact_databricks.conf; "
                  f"apt-get -qy purge --autoremove postgresql-{major}-exact-databricks")
        self.start(debian, major, log)
        debian.run("pg_ctlcluster", major, "main", "stop")
        changed = sorted(debian.files() ^ before)
        if changed:
            raise Failed(f"the purged package leaves these files more or less than before: {', '.join(changed)}")
        self.step(f"{suite}: removed", f"no object in the database, {len(before)} files as before")

    def server(self, suite, major):
        debian = Chroot(self.directory / suite, suite, self.directory / f"{suite}.log", ("ca-certificates",))
        debian.run("apt-get", "-qy", "--no-install-recommends", "install", f"postgresql-{major}", "openssl")
        return debian

    def images(self):
        """
        The Dockerfile's steps and compose.yaml's commands, with stand-ins for the official images: a Debian, and one
        with a server, whose entry point makes a cluster, runs docker-entrypoint-initdb.d, then the command.
        """
        log = self.directory / "images.log"
        variables = {"PG_MAJOR": "15", "PGDATA": "/var/lib/postgresql/data",
                     "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin"}

        self.base = self.base or self.server("bookworm", 15)

        def server(name):
            system = self.base.copy(self.directory / f"image-{name}")
            system.sh("install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data; "
                      "mkdir -p /docker-entrypoint-initdb.d")
            return system, variables

        def slim(name):
            system, known = Chroot(self.directory / f"image-{name}", "bookworm", log), {}
            if os.environ.get("PIP_CERT"):      # this machine trusts an authority of its own
                shutil.copy(os.environ["PIP_CERT"], system.directory / "etc/machine.crt")
                known["PIP_CERT"] = "/etc/machine.crt"
            return system, known
        images = dockerfile.build((self.tree / "Dockerfile").read_text(), self.tree, {
            "postgres:15-bookworm": server, "debian:bookworm-slim": slim})
        self.step("Dockerfile", f"every step of {', '.join(images)}")
        services, port = compose(self.tree), free_port()
        hub, simulator = images["hub"], images["simulators"]
        temporary = " ".join(shlex.quote(word) for word in hub.cmd[1:])
        self.inside(hub, "sh", "-euc", f"""
            initdb -U postgres -A trust -E UTF8 >&2
            printf '%s\\n' "port = {port}" "unix_socket_directories = '/tmp'" >> $PGDATA/postgresql.conf
            pg_ctl -w -o "{temporary} -c listen_addresses=''" start >&2
            for script in /docker-entrypoint-initdb.d/*; do "$script"; done
            pg_ctl -w stop >&2""", log=log)
        key = hub.chroot.directory / "etc/exact_databricks/hub.key"
        if not re.fullmatch(r"k1:[0-9a-f]{64}\n", key.read_text()) or key.stat().st_mode & 0o77:
            raise Failed("the image's key is none, or others may read it", log)
        processes = [self.background(hub, hub.cmd, log)]
        wait_until("the health check of the image is content", lambda: subprocess.run(
            hub.command("env", f"PGPORT={port}", *hub.health)).returncode == 0, 60)
        replaced = {}
        for name in ("exact-online", "databricks-workspace"):
            words = services[name]["command"]
            replaced[words[words.index("--port") + 1]] = str(free_port())
            processes.append(self.background(simulator, [replaced.get(word, word) for word in words], log))
        demo = services["demo"]
        words = [re.sub(r":(\d+)$", lambda found: ":" + replaced[found.group(1)], word) for word in demo["command"]]
        for url in words[-2:]:
            wait_until(f"{url} answers", lambda url=url: answers(url + "/_control/info"), 60)
        said = self.inside(simulator, "env", *(f"{name}={value}" for name, value in demo["environment"].items()),
                           f"PGPORT={port}", *words, log=log)
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        self.step("compose.yaml", said.splitlines()[0])

    @staticmethod
    def inside(image, *command, log):
        done = subprocess.run(image.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        with open(log, "a") as out:
            out.write(done.stdout)
        if done.returncode:
            raise Failed(f"in the image, {' '.join(command)[:200]} ended with status {done.returncode}", log)
        return done.stdout

    @staticmethod
    def background(image, command, log):
        with open(log, "a") as out:
            return subprocess.Popen(image.command(*command), stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @staticmethod
    def start(debian, major, log):
        try:
            debian.run("pg_ctlcluster", major, "main", "start")
        except Failed as failure:
            raise Failed(f"the server does not start: {failure}", log) from None
        wait_until("the server accepts connections", lambda: "online" in debian.run("pg_lsclusters"), 30)


def compose(tree):
    """compose.yaml as docker-compose reads it, which refuses what is no compose file: {service: its settings}"""
    made = subprocess.run(["docker-compose", "-f", tree / "compose.yaml", "config"], capture_output=True, text=True)
    if made.returncode:
        raise Failed(f"docker-compose refuses compose.yaml: {made.stderr}")
    # the YAML module came with docker-compose
    return json.loads(subprocess.run(
        ["/usr/bin/python3", "-c", "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"],
        input=made.stdout, capture_output=True, text=True, check=True).stdout)["services"]


def answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def main():
    parser = argparse.ArgumentParser(prog="scripts/package", description=__doc__)
    parser.add_argument("--directory", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tree", required=True, help=argparse.SUPPRESS)
    parser.add_argument("what", nargs="*", default=["bookworm", "images"], metavar="SUITE or images")
    given = parser.parse_args()
    return run("package", Packages(given).run)


if __name__ == "__main__":
    sys.exit(main())
