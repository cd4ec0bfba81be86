"""The types of src/ by name, for typedefs.list, from which pgindent knows where a pointer's star belongs."""
import pathlib
import re
import sys

from tree import Nothing, files, read

NAMED = re.compile(
    r"^(?:typedef\b[^;{]*\{.*?^\}\s*(\w+);|typedef\b[^;{]*?\(\*(\w+)\)\s*\([^;]*\);|typedef\b[^;{(]*?(\w+);)",
                   re.M | re.S)


def names(tree):
    """Every type that a .c or .h of src/ names by typedef, sorted as pgindent's list is."""
    found = {next(name for name in match.groups() if name)
             for path in files(tree, "src/**/*.h", "src/**/*.c") for match in NAMED.finditer(read(path))}
    if not found:
        raise Nothing("no typedef was found in src/")
    return sorted(found)


if __name__ == "__main__":
    TREE = pathlib.Path(__file__).resolve().parents[2]
    (TREE / "typedefs.list").write_text("\n".join(names(TREE)) + "\n")
    sys.exit(0)
