"""
The steps of the Dockerfile in directories: there is no Docker and no registry where the tests run. What is not known
here is an error, so that no step is left out in silence.
"""
import json
import re
import shlex
import shutil
import subprocess

from processes import Failed

KNOWN = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "CMD", "HEALTHCHECK"}


def stages(text):
    """{name: [base, [(instruction, argument)…]]} of a Dockerfile, in its order."""
    found, stage = {}, None
    text = re.sub(r"(?m)^\s*#.*\n", "", text)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line.strip():
            continue
        instruction, _, argument = line.strip().partition(" ")
        if instruction not in KNOWN:
            raise Failed(f"a step of the Dockerfile is not known: {line}")
        if instruction == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\w+)", argument).groups()
            stage = found.setdefault(name, [base, []])
        else:
            stage[1].append((instruction, argument.strip()))
    return found


class Image:
    """A stage whose steps were run in a Chroot."""

    def __init__(self, chroot, steps, context, images, env):
        self.chroot, self.env, self.user, self.place = chroot, dict(env), None, "/"
        self.cmd = self.health = None
        for instruction, argument in steps:
            getattr(self, "_" + instruction.lower())(argument, context, images)

    def command(self, *command):
        return self.chroot.command("sh", "-euc", 'cd "$0"; exec "$@"', self.place, *command, user=self.user,
                                   env=self.env)

    def _run(self, argument, *_):
        self.chroot.run("sh", "-euc", f"cd {shlex.quote(self.place)}; {argument}", user=self.user, env=self.env)

    def _copy(self, argument, context, images):
        words = argument.split()
        origin = context
        if words[0].startswith("--from="):
            origin = images[words.pop(0).partition("=")[2]].chroot.directory
        *sources, target = words
        into = self.chroot.directory / target.strip("/")
        for source in sources:
            path = origin / source.strip("/")
            if not path.exists():
                raise Failed(f"the Dockerfile copies {source}, which is not there")
            if path.is_dir():
                into.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-R", "--preserve=mode", f"{path}/.", f"{into}/"], check=True)
            elif target.endswith("/"):
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, into)
            else:
                shutil.copy(path, into)

    def _workdir(self, argument, *_):
        self.place = argument
        (self.chroot.directory / argument.strip("/")).mkdir(parents=True, exist_ok=True)

    def _env(self, argument, *_):
        self.env.update(word.split("=", 1) for word in shlex.split(argument))

    def _user(self, argument, *_):
        self.user = argument

    def _cmd(self, argument, *_):
        self.cmd = json.loads(argument)

    def _healthcheck(self, argument, *_):
        self.health = json.loads(argument[argument.index("CMD ") + 4:])


def build(text, context, bases):
    """{stage: its Image}; `bases` makes a Chroot and its variables for the name of an image."""
    images = {}
    for name, (base, steps) in stages(text).items():
        if base not in bases:
            raise Failed(f"the Dockerfile begins with {base}, for which there is no stand-in here")
        chroot, env = bases[base](name)
        images[name] = Image(chroot, steps, context, images, env)
    return images
