"""What the tests reached: a figure for each folder of src/, and the branches that none of them took, by file."""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

# Their branches are those of a macro of PostgreSQL, not of the line.
OF_A_MACRO = re.compile(r"\b(ereport|elog|Assert|PG_TRY|PG_CATCH|PG_END_TRY|foreach|CHECK_FOR_INTERRUPTS|MemSet)\b")


def _counts(tree, path):
    """gcov's own account of one object."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", path], cwd=tree,
                          capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def collect(tree):
    """{file: ({line: count}, {line: [count of each branch]})} of all that was run, added up over the objects."""
    found = collections.defaultdict(lambda: (collections.Counter(), {}))
    data = sorted(tree.rglob("*.gcda"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for accounts in pool.map(lambda path: _counts(tree, path), data):
            for file in [file for account in accounts for file in account["files"]]:
                name = os.path.normpath(file["file"])
                if not re.match(r"src/.*\.c$", name):
                    continue
                lines, branches = found[name]
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] += line["count"]
                    new = [branch["count"] for branch in line["branches"]]
                    old = branches.get(number, [])
                    if len(new) >= len(old):  # a line of a macro may have others in another object
                        branches[number] = [a + b for a, b in zip(new, [*old, *[0] * (len(new) - len(old))])]
    return found


def _figures(files):
    """(reached, all) of lines and of branches."""
    lines = [count > 0 for counts, _ in files for count in counts.values()]
    branches = [count > 0 for _, taken in files for counts in taken.values() for count in counts]
    return sum(lines), len(lines), sum(branches), len(branches)


def _row(name, files):
    lines, all_lines, branches, all_branches = _figures(files)
    return (f"| {name} | {100 * lines / max(all_lines, 1):.1f} % of {all_lines:,} | "
            f"{100 * branches / max(all_branches, 1):.1f} % of {all_branches:,} |")


def report(tree, suites):
    """The table of the folders, then each file's lines with a branch that was never taken."""
    found = collect(tree)
    for name, (_, branches) in found.items():
        text = (tree / name).read_text().splitlines()
        for number in [n for n in branches if n > len(text) or OF_A_MACRO.search(text[n - 1])]:
            branches[number] = []
    for path in sorted((tree / "src").rglob("*.gcno")):  # objects that nothing ran have no counts at all
        found.setdefault(str(path.relative_to(tree).with_suffix(".c")), (collections.Counter(), {}))
    folders = collections.defaultdict(list)
    for name, counts in sorted(found.items()):
        folders[name.rpartition("/")[0]].append(counts)
    table = ["| folder | lines | branches |", "|---|---|---|",
             *[_row(folder, files) for folder, files in sorted(folders.items())], _row("all", list(found.values()))]
    out = [f"Coverage of the suites {' '.join(suites)}", "", *table, ""]
    for name, (lines, branches) in sorted(found.items()):
        text = (tree / name).read_text().splitlines()
        missed = [number for number, counts in sorted(branches.items()) if counts and lines[number] and 0 in counts]
        never = sorted(number for number, count in lines.items() if not count)
        out.append(f"{name}: {len(missed)} lines with a branch that no test takes, {len(never)} that none reaches")
        out += [f"  {name}:{number}: {text[number - 1].strip()}" for number in missed]
        out += [f"  {name}:{number}: (not reached) {text[number - 1].strip()}" for number in never]
    return table, "\n".join(out) + "\n"


def main(tree, target, *suites):
    table, text = report(pathlib.Path(tree), suites)
    pathlib.Path(target).write_text(text)
    print("\n".join(f"  {line}" for line in table))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
