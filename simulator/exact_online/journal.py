"""What happened: the calls that were made, and every row version that was served in a fully sent answer."""
import collections
import itertools
import re

from .clock import utc_iso

MOST_CALLS = 200_000
_STAMP = re.compile(rb'"Timestamp":"\d+",?')


class Journal:
    """`n` counts calls, and row versions in the order in which they were read from the data."""

    def __init__(self, settings):
        self.settings = settings
        self.calls = collections.deque(maxlen=MOST_CALLS)
        self.call_numbers = itertools.count(1)
        self.row_numbers = itertools.count(1)
        # (division, resource): [(n, key, JSON of the fields without braces or None, instant, document)]
        self.served = {}
        self.statuses = collections.Counter()
        self.resources = collections.Counter()
        self.rows = 0

    def call(self, entry):
        """Record a finished call: a dictionary with at, method, path, query, status, ms, division, rows, app, fault."""
        entry["n"] = next(self.call_numbers)
        self.calls.append(entry)
        self.statuses[str(entry["status"])] += 1
        if entry.get("resource"):
            self.resources[entry["resource"]] += 1
        self.rows += entry.get("rows") or 0

    def note(self, page, division, resource, key, text, at, document=None):
        """Put a row on a page's list of rows read; they count as served when `sent(page)` is called. `document`: key
        of the
        header with whose lines in one answer it came (a header that was asked for with its lines, or such a line)."""
        if self.settings.keep_served:
            page.append((division, resource, next(self.row_numbers), key, text, at, document))

    def sent(self, page):
        """The answer that holds these rows was sent in full."""
        for division, resource, *version in page:
            self.served.setdefault((division, resource), []).append(tuple(version))

    def versions(self, division, resource, decode):
        """Served row versions of one resource in reading order; `same` tells that only Timestamp differs from the
        one before."""
        last, found = {}, []
        for n, key, text, at, document in sorted(self.served.get((division, resource), ()),
                                                 key=lambda version: version[0]):
            content = None if text is None else _STAMP.sub(b"", text, count=1)
            found.append({"n": n, "key": key, "row": None if text is None else decode(b"{" + text + b"}"),
                          "deleted": text is None,
                          "same": key in last and last[key] == content, "document": document, "at": utc_iso(at)})
            last[key] = content
        return found

    def since(self, n):
        """Calls with a number above n."""
        return [call for call in self.calls if call["n"] > n]

    def summary(self):
        return {"calls": sum(self.statuses.values()), "statuses": dict(self.statuses),
                "resources": dict(self.resources), "rows": self.rows,
                "served": {f"{division} {resource}": len(rows) for (division, resource), rows in self.served.items()}}
