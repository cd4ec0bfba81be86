"""From the text that a SQL warehouse takes to the text that open-source Spark takes.

Spark's Delta catalog serves only `spark_catalog`, so the workspace's catalog is written as that one; volume paths
become local ones,
typed parameters become casts, and what open source has no grammar for (keys, CLUSTER BY AUTO, COMMENT ON COLUMN) is
taken out or put
differently. Literals and comments stay as they are.
"""

from .sql_text import literal_value, name_value, quote, read_name, skip_words, tokenize
from .unity import read_columns

_KEY_WORDS = (
    "not",
    "enforced",
    "deferrable",
    "initially",
    "deferred",
    "norely",
    "rely",
    "disable",
    "novalidate",
    "timeseries",
)
# Table properties that only Databricks knows or takes; open source refuses them.
_OWN_PROPERTIES = {
    "delta.tunefilesizesforrewrites",
    "delta.autooptimize.autocompact.enabled",
    "delta.workloadbasedcolumns.optimizerstatistics",
}


class Rewriter:
    def __init__(self, text, unity):
        self.text, self.unity, self.edits = text, unity, []
        self.constraints = []  # (table uses, [(name, kind, columns)]) taken out of CREATE TABLE

    def replace(self, start, end, by):
        self.edits.append((start, end, by))

    def result(self):
        out, at = [], 0
        for start, end, by in sorted(self.edits):
            if start >= at:
                out += [self.text[at:start], by]
                at = end
        return "".join(out + [self.text[at:]])

    def names(self, tokens, uses):
        """Writes the workspace's catalog as spark_catalog wherever a name of this statement begins with it."""
        catalog = self.unity.catalog
        names = ([uses.target] if uses.target else []) + uses.reads
        tables = {name.lower() for name in names if len(name.parts) >= 3 and name.lower()[0] == catalog}
        tables |= {name.lower()[:3] for name in names if len(name.parts) >= 3}
        firsts = {name.first for name in uses.schemas if len(name.parts) == 2}
        if uses.verb == "show" and len(tokens) > 3 and tokens[2].is_word("in", "from"):
            firsts.add(3) if tokens[1].is_word("schemas", "databases") else None
        at = 0
        while at < len(tokens):
            name = read_name(tokens, at)
            if name is None:
                at += 1
                continue
            whole = len(name.parts) >= 3 and name.lower()[:3] in tables
            if name.lower()[0] == catalog and (whole or name.first in firsts):
                self.replace(tokens[name.first].start, tokens[name.first].end, "`spark_catalog`")
            at = name.last
        self._change_feeds(tokens)
        for name in uses.files:
            token = tokens[name.last - 1]
            self.replace(token.start, token.end, quote(self.unity.local_path(name.parts[1])))

    def _change_feeds(self, tokens):
        for at, token in enumerate(tokens[:-2]):
            if (
                token.is_word("table_changes", "table_changes_by_path")
                and tokens[at + 1].text == "("
                and tokens[at + 2].kind == "string"
            ):
                literal = tokens[at + 2]
                inner = literal_value(literal)
                parts = tokenize(inner)
                name = read_name(parts, 0)
                if name and len(name.parts) == 3 and name.lower()[0] == self.unity.catalog:
                    new = "spark_catalog" + inner[parts[0].end:]
                    self.replace(literal.start, literal.end, "'" + new.replace("\\", "\\\\").replace("'", "\\'") + "'")

    def parameters(self, tokens, types):
        """Gives markers of typed parameters the cast that the service applies to their text."""
        for token in tokens:
            if token.kind == "parameter" and types.get(token.text[1:]):
                self.replace(token.start, token.end, f"CAST({token.text} AS {types[token.text[1:]]})")

    def statement(self, tokens, uses):
        if uses.kind == "create" and uses.target is not None and any(t.is_word("table") for t in tokens[:5]):
            self._create_table(tokens, uses)
        elif uses.verb == "comment" and len(tokens) > 5 and tokens[2].is_word("column"):
            self._comment_on_column(tokens)
        for at in range(len(tokens) - 2):
            if tokens[at].kind != "string" or tokens[at + 1].text != "=":
                continue
            key, value = literal_value(tokens[at]).lower(), tokens[at + 2].text.strip("'\"").lower()
            if key in _OWN_PROPERTIES or (key, value) == ("delta.isolationlevel", "writeserializable"):
                self._take_out_item(tokens, at, at + 3)

    def _take_out_item(self, tokens, first, last):
        """Removes tokens first..last of a list together with one comma."""
        if last < len(tokens) and tokens[last].text == ",":
            self.replace(tokens[first].start, tokens[last].end, "")
        else:
            start = tokens[first - 1].start if tokens[first - 1].text == "," else tokens[first].start
            self.replace(start, tokens[last - 1].end, "")

    def _create_table(self, tokens, uses):
        found, at = [], uses.target.last
        if at < len(tokens) and tokens[at].text == "(":
            item, depth = at + 1, 0
            for i in range(at, len(tokens)):
                depth += {"(": 1, ")": -1}.get(tokens[i].text, 0)
                if (tokens[i].text == "," and depth == 1) or depth == 0:
                    key = self._column_item(tokens, item, i)
                    if key:
                        found.append(key)
                    item = i + 1
                if depth == 0:
                    break
        for i in range(len(tokens) - 2):
            if tokens[i].is_word("cluster") and tokens[i + 1].is_word("by") and tokens[i + 2].is_word("auto"):
                self.replace(tokens[i].start, tokens[i + 2].end, "")
        if found:
            self.constraints.append((uses, found))

    def _column_item(self, tokens, first, last):
        """Takes a key out of one item of a column list; answers (name, kind, columns)."""
        at = next(
            (
                i
                for i in range(first, last - 1)
                if tokens[i].is_word("primary", "foreign") and tokens[i + 1].is_word("key")
            ),
            None,
        )
        if at is None:
            return None
        kind = "PRIMARY_KEY" if tokens[at].is_word("primary") else "FOREIGN_KEY"
        start, label = at, None
        if at - 2 >= first and tokens[at - 2].is_word("constraint"):
            start, label = at - 2, name_value(tokens[at - 1])
        if start == first:
            self._take_out_item(tokens, first, last)
            return label, kind, read_columns(tokens, at + 2)
        end = skip_words(tokens, at + 2, *_KEY_WORDS)
        self.replace(tokens[start].start, tokens[end - 1].end, "")
        return label, kind, [name_value(tokens[first])]

    def _comment_on_column(self, tokens):
        name = read_name(tokens, 3)
        if name is None or len(name.parts) < 2:
            return
        table = [quote(p) for p in name.parts[:-1]]
        if len(table) == 3 and name.lower()[0] == self.unity.catalog:
            table[0] = "`spark_catalog`"
        self.replace(tokens[0].start, tokens[name.last].end,
                     f"ALTER TABLE {'.'.join(table)} ALTER COLUMN {quote(name.parts[-1])} COMMENT")
