"""A Debian of its own in a directory, made by mmdebstrap; for root, in a mount namespace that ends with the command."""
import os
import pathlib
import shutil
import subprocess

from processes import Failed

# What a package manager and a server keep for themselves.
_VOLATILE = ("dev", "proc", "sys", "run", "tmp", "var/cache", "var/lib/apt", "var/lib/dpkg", "var/lib/postgresql",
             "var/log", "var/tmp", "etc/resolv.conf")


class Chroot:
    def __init__(self, directory, suite, log, packages=()):
        """A minimal system of a suite and these packages."""
        self.directory, self.suite, self.log = pathlib.Path(directory), suite, pathlib.Path(log)
        include = [f"--include={','.join(packages)}"] if packages else []
        self._do(["mmdebstrap", "--variant=minbase", *include, "--skip=cleanup/apt/lists", suite, str(directory)],
                 {**os.environ, "TMPDIR": "/tmp"})
        self._prepare()

    def copy(self, directory):
        """The same system in another directory."""
        other = object.__new__(Chroot)
        other.directory, other.suite, other.log = pathlib.Path(directory), self.suite, self.log
        subprocess.run(["cp", "-a", "--one-file-system", self.directory, directory], check=True)
        other._prepare()
        return other

    def _prepare(self):
        shutil.copy("/etc/resolv.conf", self.directory / "etc" / "resolv.conf")
        for command in (["mount", "-t", "proc", "proc", self.directory / "proc"],
                        ["mount", "--rbind", "/dev", self.directory / "dev"]):
            subprocess.run(command, check=True)
        rule = self.directory / "usr" / "sbin" / "policy-rc.d"  # nothing starts because it was installed
        rule.write_text("#!/bin/sh\nexit 101\n")
        rule.chmod(0o755)

    def command(self, *command, user=None, env=()):
        """The command line that runs this inside, with none of the outer variables but for proxies."""
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        known = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/",
                 "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **proxies, **dict(env)}
        groups = "--clear-groups" if isinstance(user, int) else "--init-groups"  # a number may be nobody's
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", groups] if user else []
        return ["chroot", str(self.directory), "env", "-i", *(f"{name}={value}" for name, value in known.items()),
                *become, *map(str, command)]

    def run(self, *command, **how):
        """What the command printed; a failure names the log."""
        return self._do(self.command(*command, **how))

    def sh(self, script, **how):
        return self.run("sh", "-euc", script, **how)

    def _do(self, command, env=None):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", env=env)
        with open(self.log, "a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}")
        if done.returncode:
            raise Failed(f"in the Debian {self.suite} of {self.directory.name}, `{' '.join(command[-3:])[:200]}` "
                         f"ended with status {done.returncode}", self.log)
        return done.stdout

    def files(self):
        """Every path but for what is volatile."""
        return paths(self.directory, _VOLATILE)


def paths(directory, volatile=()):
    """Every path below a directory but for what is volatile."""
    found = set()
    for at, folders, names in os.walk(directory):
        place = os.path.relpath(at, directory)
        inside = "" if place == "." else place + "/"
        folders[:] = [name for name in folders if inside + name not in volatile]
        found |= {inside + name for name in (*folders, *names) if inside + name not in volatile}
    return found


def differences(before, after):
    """What two lists of files() differ in, as a sentence; nothing when they agree."""
    found = [f"{words}: {', '.join(sorted(paths))}" for words, paths in (
        ("files are left behind", after - before), ("files are gone that were there before", before - after)) if paths]
    return "; ".join(found)
