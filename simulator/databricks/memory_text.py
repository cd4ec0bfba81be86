"""Functions of texts and dates that the engine-free mode knows: digests, parts, JSON, months."""

import calendar
import datetime
import hashlib
import json

from .memory_types import to_text

_DIGESTS = {0: "sha256", 224: "sha224", 256: "sha256", 384: "sha384", 512: "sha512"}


def text_function(name, runs):
    """(function of a row, type) of a call whose arguments are functions of a row; None: it is none of these."""
    made = {
        ("concat_ws", len(runs)): (_joined, "STRING"),
        ("sha2", 2): (_sha2, "STRING"),
        ("substr", 3): (_part, "STRING"),
        ("substring", 3): (_part, "STRING"),
        ("replace", 3): (_replaced, "STRING"),
        ("startswith", 2): (_begins, "BOOLEAN"),
        ("length", 1): (_length, "INT"),
        ("translate", 3): (_translated, "STRING"),
        ("add_months", 2): (_add_months, "DATE"),
        ("date_sub", 2): (_date_sub, "DATE"),
        ("sequence", 2): (_sequence, ["INT"]),
    }.get((name, len(runs)))
    if made is None or not runs:
        return None
    apply, kind = made
    return (lambda row: apply(*[run(row) for run in runs])), kind


def _joined(separator, *texts):
    return None if separator is None else to_text(separator).join(to_text(t) for t in texts if t is not None)


def _sha2(text, bits):
    if text is None or bits not in _DIGESTS:
        return None
    return hashlib.new(_DIGESTS[bits], to_text(text).encode()).hexdigest()


def _part(text, first, size):
    if None in (text, first, size):
        return None
    text = to_text(text)
    start = first - 1 if first > 0 else len(text) + first if first < 0 else 0
    return text[max(start, 0):max(start + size, 0)]


def _replaced(text, old, new):
    if None in (text, old, new):
        return None
    return to_text(text).replace(to_text(old), to_text(new)) if old else to_text(text)


def _begins(text, part):
    return None if None in (text, part) else to_text(text).startswith(to_text(part))


def _length(text):
    return None if text is None else len(to_text(text))


def _translated(text, old, new):
    if None in (text, old, new):
        return None
    pairs = {}
    for at, each in enumerate(to_text(old)):
        pairs.setdefault(ord(each), to_text(new)[at] if at < len(to_text(new)) else None)
    return to_text(text).translate(pairs)


def _add_months(date, months):
    """The same day of that month, or its last one."""
    if None in (date, months):
        return None
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    return datetime.date(year, month + 1, min(date.day, calendar.monthrange(year, month + 1)[1]))


def _date_sub(date, days):
    return None if None in (date, days) else date - datetime.timedelta(days=days)


def _sequence(first, last):
    """Whole numbers from the first to the last one."""
    if None in (first, last):
        return None
    return list(range(first, last + 1)) if first <= last else list(range(first, last - 1, -1))


def to_json(members, nulls):
    """An object of texts; without `nulls` those that are NULL are left out."""
    return json.dumps({n: v for n, v in members if nulls or v is not None}, ensure_ascii=False, separators=(",", ":"))
