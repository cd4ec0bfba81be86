"""
The install script as pgspot reads it: what a name, an operator or an object that somebody else made first could change
in it, or in a function of it.

Each part is read by itself, behind the search_path that CREATE EXTENSION gives it (the control file names pg_catalog),
so that views, checks and defaults, which are resolved then, need no qualified names. No finding is excepted. pgspot
sees no SQL in C: sql/privilege.sql asks the catalog for the search_path of every function.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from tree import Nothing, read

PATH = "SET search_path = pg_catalog, pg_temp; "  # on the first line, so that the others keep their numbers


def findings(tree):
    """None where pgspot cannot be had."""
    parts = sorted((tree / "install").glob("*.sql"))
    if not parts:
        raise Nothing("install/ has no part")
    tools = pathlib.Path(os.environ.get("EXACT_DATABRICKS_TOOLS", tree / "absent"))
    if not (tools / "pgspot").is_dir():
        return None
    with tempfile.TemporaryDirectory() as directory:
        for part in parts:
            statements = re.sub(r"(?m)^\\echo .*$", "", read(part))  # CREATE EXTENSION leaves these lines out as well
            (pathlib.Path(directory) / part.name).write_text(PATH + statements)
        done = subprocess.run([sys.executable, "-m", "pgspot", *[part.name for part in parts]], cwd=directory,
                              env={**os.environ, "PYTHONPATH": str(tools)}, capture_output=True, text=True)
    found, name = [], parts[0].name
    for line in (done.stdout + done.stderr).splitlines():
        header = re.fullmatch(r"(\w+\.sql): ?", line)
        if header:
            name = header.group(1)
        elif line.strip() and not re.match(r"(TOTAL:)? ?Errors: ", line):
            found.append(f"install/{name}: {line.strip()}")
    return found or ([f"pgspot ended with status {done.returncode}"] if done.returncode else [])
