"""Slips are made in code and nowhere else, one place each."""
import pytest
from mutants import mutants

C = """/* a < b */
#define MOST 32
static int
f(int a)
{
	const char *text = "a < 2";

	a = 3;
	text = "b";
	a += 2;
	g(a);
	if (a > 1 && !done(a))
		return a - 1;
	return text[0] == 'x';
}
"""
SQL = """-- a < b
CREATE FUNCTION f(a int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM g(a);
	PERFORM h(a);
	IF a < 3 AND a IS NOT NULL THEN
		RETURN NOT EXISTS (SELECT FROM t WHERE at > now() - interval '10 minutes' AND b = 'x < y');
	END IF;
END
$$;
COMMENT ON FUNCTION f(int) IS 'a < b';
"""


@pytest.mark.parametrize("name, text, wanted, unwanted", [
    ("a.c", C, {(2, "32 → 33"), (8, "3 → 4"), (12, "> → >="), (12, "&& → ||"), (12, "! → nothing"),
                (12, "the condition is never true"), (13, "- 1 → nothing"), (14, "== → !="), (11, "without `g(a);`"),
                (10, "`a += 2;` after the next statement")}, {1, 6}),
    ("a.sql", SQL, {(4, "without `PERFORM g(a);`"), (4, "`PERFORM g(a);` after the next statement"), (6, "< → <="),
                    (6, "3 → 4"), (6, "AND → OR"), (6, "IS NOT NULL → IS NULL"), (6, "the condition is never true"),
                    (7, "NOT → nothing"), (7, "> → >="), (7, "10 → 11"), (7, "= → <>")}, {1, 11})])
def test_slips(name, text, wanted, unwanted):
    found = mutants(name, text)
    assert wanted <= {(mutant.line, mutant.change) for mutant in found}
    assert not unwanted & {mutant.line for mutant in found}
    assert (8, "`a = 3;` after the next statement") not in {(mutant.line, mutant.change) for mutant in found}
    for mutant in found:
        changed = mutant.of(text)
        assert changed != text
        assert next(number for number, (one, other) in enumerate(
            zip(text.split("\n"), changed.split("\n"), strict=False), 1) if one != other) == mutant.line
