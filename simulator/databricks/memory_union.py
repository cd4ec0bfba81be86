"""UNION ALL in the engine-free mode: the rows of several queries, one behind the other."""

import dataclasses

from .refusals import refuse


def run_union(select, context, late, run):
    """(columns, rows) as memory_eval.run_select gives them, which is `run`: under the first query's columns."""
    columns, first = run(dataclasses.replace(select, union=[]), context, True)
    parts = [first]
    for further in select.union:
        others, rows = run(further, context, True)
        if len(others) != len(columns):
            raise refuse("NUM_COLUMNS_MISMATCH",
                         "UNION can only be performed on inputs with the same number of columns.")
        parts.append(rows)

    def finish():
        return [row for rows in parts for row in rows()]

    return columns, (finish if late else finish())
