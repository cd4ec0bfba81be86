"""The catalog of an installed extension as text: two installations are the same when their texts are.

    catalog.py [--code]     of a new installation, in a cluster of its own

Each line names an object and one of its properties (catalog.sql), a seeded table by the digest of its rows; the lines
are sorted and hold no oid. Columns have no position: an update adds new ones at the end. With --code the sources of
functions are compared as code: white space, comments and literals in two parts make no difference.
"""
import argparse
import pathlib
import re
import sys
import tempfile

from cluster import Cluster

QUERY = pathlib.Path(__file__).with_suffix(".sql")
ROWS = """SELECT count(*) AS number, md5(string_agg(r.row, E'\\n' ORDER BY r.row COLLATE "C")) AS digest
FROM (SELECT to_jsonb(t)::text AS row FROM {} AS t) AS r"""
_PIECE = re.compile(r"""(?P<gap> \s+ | --[^\n]* | /\*.*?\*/ ) | (?P<literal> [eE]?'(?:[^']|'')*' )
                        | "(?:[^"]|"")*" | [\w$.]+ | [^\w\s]""", re.S | re.X)


def as_code(source):
    """A source without white space and comments; a literal in two parts ('a' and 'b' on two lines) is one."""
    pieces, literal = [], False
    for found in _PIECE.finditer(source):
        piece = found.group()
        if found.lastgroup == "gap":
            continue
        if found.lastgroup == "literal" and literal and source[found.start() - 1].isspace():
            pieces[-1] = pieces[-1][:-1] + piece[1:]
        else:
            pieces.append(piece)
        literal = found.lastgroup == "literal"
    return " ".join(pieces)


def catalog(cluster, database="postgres", code=False):
    """The catalog of the extension in a database of a Cluster."""
    lines = []
    for row in cluster.query(QUERY.read_text(), database):
        value = row["value"]
        if row["object"].startswith("rows of "):
            rows = cluster.query(ROWS.format(value), database)[0]
            row["property"], value = "rows", f"{rows['number']} {rows['digest']}"
        elif code and row["property"] == "source":
            value = as_code(value)
        value = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        lines.append(f"{row['object']}: {row['property']}: {value}\n")
    return "".join(sorted(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--code", action="store_true", help="compare sources of functions as code")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(pathlib.Path(directory) / "cluster")
        try:
            cluster.make()
            cluster.start()
            cluster.psql("CREATE EXTENSION exact_databricks")
            sys.stdout.write(catalog(cluster, code=arguments.code))
        finally:
            cluster.remove()


if __name__ == "__main__":
    main()
