"""One writer for each shared table: in C one room of src/state/, in the install script the files named here."""
import re

import c_text
from tree import Nothing, files, read

# table: (its room in src/state, the install files, without number, whose functions write it by the same rules)
TABLES = {
    "feed_state": ("feed_state", {"from_start", "verb"}),
    "dirty_key": ("dirty_key", {"from_start"}),
    "division_state": ("division_state", {"verb"}),
    "rate_limit": ("rate_limit", set()),
    "erasure": ("none", {"erase"}),
    "erasure_place": ("none", {"erase"}),
    "request": ("request", {"backfill", "erase", "plan", "replay", "retention", "verb", "views", "write_back"}),
    "backfill": ("backfill_state", {"backfill", "verb"}),
    "ledger_entry": ("ledger", {"ledger"}),
    "ledger_count": ("ledger", {"ledger"}),
    "service_state": ("service_state", set()),
    "target_state": ("target_state", {"verb"}),
    "rule_failure": ("judgement", {"judgement"}),
    "verdict": ("verdict", {"retention"}),
    "judgement": ("judgement", {"judgement"}),
    # no room in C: the rules are in SQL
    "counter": ("none", {"counter"}),
    "watched": ("none", {"watch"}),
    "light_log": ("none", {"watch"}),
    "unjudged": ("none", {"judgement"}),
    "dimension_state": ("none", {"judgement"}),
    "held_delete": ("none", {"absence", "decision", "retention"}),
    "held_key": ("none", {"absence", "decision"}),
    "absence": ("none", {"absence"}),
    "audit_anchor": ("none", {"audit_retention"}),
    "disk": ("none", {"disk"}),
    "volume_state": ("volume_state", set()),
    "dead_letter": ("dead_letter", {"dead_letter", "erase", "retention"}),
    "month_end_report": ("none", {"month_end"}),
    "installation": ("installation", {"binding", "restore"}),
}
WRITE = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?"
                   rf"exact\.({'|'.join(TABLES)})\b", re.I)
AUDIT = re.compile(r"\bexact\._audit\s*\(")


def _literals(text):
    """(text, [(offset, line)]) of each run of string literals; a macro between two of them stands as a blank."""
    joined, lines = "", []
    for token in c_text.tokens(text):
        if token.kind == "text":
            lines.append((len(joined), token.line))
            joined += c_text.literal(token.value)
        elif token.kind == "word" and joined:
            joined += " "
        elif joined:
            yield joined, lines
            joined, lines = "", []


def _found(text, pattern):
    """(line, match) of a pattern in the string literals of C."""
    for joined, lines in _literals(text):
        for match in pattern.finditer(joined):
            yield [line for offset, line in lines if offset <= match.start()][-1], match


def _plain(text):
    """SQL without its comments, line by line the same."""
    return re.sub(r"--[^\n]*", "", text)


def in_c(tree):
    """Only src/state/<table>.c writes the table."""
    found, seen = [], 0
    for path in files(tree, "src/**/*.c", "src/**/*.h", "src/**/*.sql"):
        name, text = str(path.relative_to(tree)), read(path)
        if path.suffix == ".sql":
            hits = [(text.count("\n", 0, match.start()) + 1, match) for match in WRITE.finditer(_plain(text))]
        else:
            hits = _found(text, WRITE)
        for line, match in hits:
            room = f"src/state/{TABLES[match.group(2).lower()][0]}"
            seen += 1
            if name.rpartition(".")[0] != room:
                found.append(f"{name}:{line} writes exact.{match.group(2)} ({match.group(1).split()[0]}), which "
                             f"{room}.c alone may do")
    return found if seen else ["no statement of src/ writes a shared table"]


def in_install(tree):
    """In the install script only the files of TABLES write a shared table, and each of them does."""
    found, used = [], set()
    for path in files(tree, "install/*.sql"):
        short = re.sub(r"^\d+_", "", path.stem)
        for number, line in enumerate(_plain(read(path)).splitlines(), 1):
            if re.match(r"\s*(GRANT|REVOKE|COMMENT|CREATE)\b", line):
                continue
            for match in WRITE.finditer(line):
                table = match.group(2).lower()
                used.add((table, short))
                if short not in TABLES[table][1]:
                    found.append(f"install/{path.name}:{number} writes exact.{table}, which "
                                 "scripts/lib/writers.py allows in "
                                 f"{' and '.join(sorted(TABLES[table][1]))} alone")
    if not used:
        raise Nothing("no statement of install/ writes a shared table")
    return found + [f"scripts/lib/writers.py:1 allows install/*_{short}.sql to write exact.{table}, which it does not"
                    for table, (_, allowed) in TABLES.items() for short in sorted(allowed)
                    if (table, short) not in used]


def audit(tree):
    """Events of the audit log are written from src/state/audit.c, which lists their names and keys."""
    found, seen = [], 0
    for path in files(tree, "src/**/*.c", "src/**/*.h", "src/**/*.sql"):
        name, text = str(path.relative_to(tree)), read(path)
        hits = _found(text, AUDIT) if path.suffix != ".sql" else [(text.count("\n", 0, match.start()) + 1, match)
                                                                   for match in AUDIT.finditer(_plain(text))]
        for line, _ in hits:
            seen += 1
            if name != "src/state/audit.c":
                found.append(f"{name}:{line} writes an audit event, which src/state/audit.c alone may do")
    return found if seen else ["no statement of src/ writes an audit event"]


CHECKS = [
    ("one room of src/state/ writes each shared table", in_c),
    ("the install script writes shared tables in few places", in_install),
    ("audit events are written in one place", audit),
]
