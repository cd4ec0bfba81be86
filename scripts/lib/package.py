"""
The second half of scripts/package: the Debian package is built in one Debian, installed, used and removed in another.
"""
import argparse
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import time

import images
import installed
from chroot import Chroot, differences, paths
from command import run, say, seconds_text
from hub import simulators
from processes import Failed, free_port, wait_until

# What nothing needs goes, also when something only recommends it (libidn2 by libc6, once another package brought it).
PURGE = ("apt-get", "-qy", "-o", "APT::AutoRemove::RecommendsImportant=false", "-o",
         "APT::AutoRemove::SuggestsImportant=false", "purge", "--autoremove")
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
        written, before = (source / "debian" / "control").read_text(), paths(source)
        builder.sh("cd /build/exact-databricks; pg_buildext updatecontrol; dpkg-buildpackage -b -us -uc -j2")
        if suite == "bookworm" and written != (source / "debian" / "control").read_text():
            raise Failed("debian/control is not what debian/control.in makes of it: run pg_buildext updatecontrol")
        found = sorted((builder.directory / "build").glob("postgresql-*_*.deb"))
        packages = [path for path in found if "-dbgsym_" not in path.name]
        major = builder.run("/usr/share/postgresql-common/supported-versions").split()[-1]
        self.step(f"{suite}: built", ", ".join(path.name for path in packages))
        builder.sh("cd /build/exact-databricks; fakeroot debian/rules clean")
        changed = differences(before, paths(source))
        if changed:
            raise Failed(f"after debian/rules clean, {changed}", builder.log)
        told = re.findall(r"^W: (.*)", builder.sh("lintian --allow-root --fail-on error /build/*.deb"), re.M)
        self.step(f"{suite}: lintian", "; ".join([f"0 errors, {len(told)} warnings", *told]))
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
        if not (debian.directory / "etc/ssl/certs/ca-certificates.crt").exists():
            raise Failed("with what the package depends on, no certificate of a service can be checked", debian.log)
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
        debian.run("apt-get", "-qy", "--reinstall", "install", f"/tmp/{packages[0].name}")
        hub.sync()
        self.step(f"{suite}: installed over itself", "the hub went on beside it")
        left = installed.removed(hub, objects)
        if left:
            raise Failed(f"DROP EXTENSION left {', '.join(left)}", log)
        debian.run("pg_ctlcluster", major, "main", "stop")
        debian.run("rm", "-r", "/etc/exact_databricks", f"/etc/postgresql/{major}/main/conf.d/exact_databricks.conf")
        debian.run(*PURGE, f"postgresql-{major}-exact-databricks")
        self.start(debian, major, log)
        debian.run("pg_ctlcluster", major, "main", "stop")
        changed = differences(before, debian.files())
        if changed:
            raise Failed(f"after the package was purged, {changed}", debian.log)
        self.step(f"{suite}: removed", f"no object in the database, {len(before)} files as before")

    def server(self, suite, major):
        debian = Chroot(self.directory / suite, suite, self.directory / f"{suite}.log")
        debian.run("apt-get", "-qy", "--no-install-recommends", "install", f"postgresql-{major}", "openssl")
        # what nothing needs goes now, not with the package that is tried
        debian.run(*PURGE)
        return debian

    def images(self):
        self.base = self.base or self.server("bookworm", 15)
        images.prove(self.base, self.tree, self.directory, self.step)

    @staticmethod
    def start(debian, major, log):
        try:
            debian.run("pg_ctlcluster", major, "main", "start")
        except Failed as failure:
            raise Failed(f"the server does not start: {failure}", log) from None
        wait_until("the server accepts connections", lambda: "online" in debian.run("pg_lsclusters"), 30)


def main():
    parser = argparse.ArgumentParser(prog="scripts/package", description=__doc__)
    parser.add_argument("--directory", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tree", required=True, help=argparse.SUPPRESS)
    parser.add_argument("what", nargs="*", default=["bookworm", "images"], metavar="SUITE or images")
    given = parser.parse_args()
    return run("package", Packages(given).run)


if __name__ == "__main__":
    sys.exit(main())
