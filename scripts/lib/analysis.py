"""What gcc's analyzer and cppcheck say of src/, but for what analysis.txt explains."""
import collections
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tree import Nothing, files, read

EXPLAINED = "scripts/lib/analysis.txt"
Finding = collections.namedtuple("Finding", "file line check message")
OF_GCC = re.compile(r"^(src/[^:]+):(\d+):\d+: warning: (.*?)(?: \[CWE-\d+\])? \[-Wanalyzer-([\w-]+)\]$", re.M)
OF_CPPCHECK = re.compile(r"^(src/[^:]+):(\d+): (\w+): (.*)$", re.M)


def _run(tree, command):
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return done.returncode, done.stdout + done.stderr


def gcc(tree, flags):
    """Every .c of src/, two at a time."""
    def one(path):
        status, text = _run(tree, ["gcc", "-fanalyzer", "-O1", "-c", "-o", "/dev/null", "-Isrc", '-DEXACT_VERSION="0"',
                                   *flags, str(path.relative_to(tree))])
        if status:
            raise Nothing(f"gcc could not read {path.relative_to(tree)}: {text[-300:]}")
        return text
    with ThreadPoolExecutor(2) as threads:
        text = "\n".join(threads.map(one, files(tree, "src/**/*.c")))
    return [Finding(name, int(line), check, message) for name, line, message, check in OF_GCC.findall(text)]


def cppcheck(tree):
    """None where it cannot be had."""
    if shutil.which("cppcheck") is None:
        return None
    status, text = _run(tree, ["cppcheck", "-q", "-j2", "--enable=warning,portability", "--std=c11", "--library=posix",
                               "-Isrc", '-DEXACT_VERSION="0"', "--include=scripts/lib/cppcheck.h",
                               "--suppress=preprocessorErrorDirective", "--template={file}:{line}: {id}: {message}",
                               "src"])
    if status:
        raise Nothing(f"cppcheck ended with status {status}: {text[-300:]}")
    return [Finding(name, int(line), check, message) for name, line, check, message in OF_CPPCHECK.findall(text)]


def explained(tree):
    """[(line, file, check, word)] of analysis.txt; a reason is obligatory."""
    found = []
    for number, line in enumerate(read(tree / EXPLAINED).splitlines(), 1):
        if line and not line.startswith("#"):
            name, check, word, reason = (line.split(None, 3) + [""] * 4)[:4]
            if len(reason.split()) < 4:
                raise Nothing(f"{EXPLAINED}:{number} gives no reason")
            found.append((number, name, check, word))
    return found


def judge(tree, found, complete=True):
    """The findings that nothing explains, and the explanations that nothing needs."""
    used, problems = set(), []
    for each in found:
        fits = [number for number, name, check, word in explained(tree)
                if (name, check) == (each.file, each.check) and word in each.message]
        used.update(fits)
        if not fits:
            problems.append(f"{each.file}:{each.line} {each.check}: {each.message}")
    if complete:
        problems += [f"{EXPLAINED}:{number} explains what nothing finds: take the line away"
                     for number, *_ in explained(tree) if number not in used]
    return problems
