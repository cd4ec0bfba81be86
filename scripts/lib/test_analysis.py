"""A finding is told, unless analysis.txt explains it; an explanation that nothing needs is told as well."""
import shutil

import analysis
import pytest
from tree import Nothing

WRONG = """#include <stddef.h>
int f(int n);

int
f(int n)
{
	int		   *p = n > 3 ? &n : NULL;

	return *p;
}
"""
LINE = "src/base/a.c  {}  {}  it is called with more than three\n"


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "src/base").mkdir(parents=True)
    (tmp_path / "scripts/lib").mkdir(parents=True)
    (tmp_path / "src/base/a.c").write_text(WRONG)
    (tmp_path / "scripts/lib/cppcheck.h").write_text("")
    (tmp_path / analysis.EXPLAINED).write_text("# none\n")
    return tmp_path


@pytest.mark.parametrize("tool, check, word", [
    (lambda tree: analysis.gcc(tree, []), "null-dereference", "NULL"),
    (analysis.cppcheck, "nullPointer", "null")])
def test_finding(tree, tool, check, word):
    found = tool(tree)
    if found is None:
        pytest.skip("cppcheck cannot be had")
    told = analysis.judge(tree, found)
    assert len(told) == 1 and told[0].startswith(f"src/base/a.c:9 {check}: "), told
    (tree / analysis.EXPLAINED).write_text(LINE.format(check, word.split()[0]))
    assert analysis.judge(tree, found) == []
    (tree / analysis.EXPLAINED).write_text(LINE.format("another-check", word.split()[0]))
    assert len(analysis.judge(tree, found)) == 2


def test_no_reason(tree):
    (tree / analysis.EXPLAINED).write_text("src/base/a.c  null-dereference  p  because\n")
    with pytest.raises(Nothing):
        analysis.judge(tree, analysis.gcc(tree, []))


def test_file_that_does_not_compile(tree):
    shutil.copy(tree / "src/base/a.c", tree / "src/base/b.c")
    (tree / "src/base/b.c").write_text("int x(\n")
    with pytest.raises(Nothing):
        analysis.gcc(tree, [])
