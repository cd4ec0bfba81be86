"""The files of a tree, for checks that read them: what git knows and what is new, never what a build made."""
import functools
import pathlib
import subprocess

MADE = {".git", ".build", "tmp_check", "tmp_check_iso", "output_iso", "results", "__pycache__", "finds"}
MADE_FILES = ("src/exports.map", "install/*_catalogue_data.sql", "exact_databricks--*.sql",
              "install/released/exact_databricks--*.sql")
MADE_SUFFIXES = {".o", ".so", ".bc", ".d", ".gcda", ".gcno", ".log", ".tmp", ".diffs", ".out"}


class Nothing(Exception):
    """A check found nothing to look at: it has fallen silent, which is a finding."""


def _made(path, name):
    return (MADE & set(path.relative_to(name).parts) or path.suffix in MADE_SUFFIXES
            or any(_matches(path, name, made) for made in MADE_FILES))


@functools.cache
def _of_git(tree):
    names = subprocess.run(["git", "-c", f"safe.directory={tree}", "-C", tree, "ls-files", "-z", "--cached", "--others",
                            "--exclude-standard"], capture_output=True, text=True, check=True).stdout
    return sorted({tree / name for name in names.split("\0") if name})


def _list(tree):
    """Every file of the tree; git is asked where the tree is a clone."""
    found = _of_git(tree) if (tree / ".git").exists() else sorted(tree.rglob("*"))
    return [path for path in found if path.is_file() and not _made(path, tree)]


def files(tree, *patterns):
    """The files that one of the patterns names (all without a pattern); raises Nothing when there are none."""
    found = [path for path in _list(tree) if not patterns or any(_matches(path, tree, pattern) for pattern in patterns)]
    if not found:
        raise Nothing(f"no file {' or '.join(patterns)} was found")
    return found


def _matches(path, tree, pattern):
    """As a shell does: src/**/*.c is every .c below src."""
    name = path.relative_to(tree)
    if "**" in pattern:
        top, _, last = pattern.partition("**/")
        return str(name).startswith(top) and name.match(last)
    return name.match(pattern) and len(name.parts) == len(pathlib.PurePath(pattern).parts)


def read(path):
    """Its text; nothing for what is no text."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""
