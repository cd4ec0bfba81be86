"""Faults that the control API injects: which requests they meet, how often, and what then happens to the answer."""
import asyncio
import itertools
import re
from urllib.parse import unquote

from . import odd_bytes

ACTIONS = {  # action: arguments it takes
    "status": {"status", "body", "headers", "html"}, "reset_before": set(), "reset_after": set(), "delay": {"seconds"},
    "delay_after": {"seconds"}, "hang": set(), "slow_body": {"bytes_per_second"}, "truncate": {"at"}, "html": {"body"},
    "malformed": set(), "wrong_division": {"division"}, "evil_next": {"next", "host", "division"}, "deferred": set(),
    "null_collections": set(),
    "omit": {"share", "keys", "empty", "where"}, "loop_next": set(), "next_value": {"value"},
    "spoil_row": {"field", "value", "twice", "raw"},
    "status_after": {"status", "body", "headers", "html"}, "maintenance": {"seconds", "form"},
    "gateway": {"status", "errorcode", "oauth"},
    "moved_page": set(), "accept_only": {"seconds"}, "slow_headers": {"seconds"}, "interim": {"count"},
    "close_idle": set(), "no_refresh_token": set(),
    "cut_handshake": set(), "redirect": {"to", "status"}, "skew": {"seconds"}, "monster": {"kind"},
    "odd_bytes": {"kind", "status"}, "late": {"seconds"}, "invalid": {"field", "text"}, "drop_field": {"field"},
    "colleague": {"fields", "when"}, "repeat": set()}
NEEDED = {"status": {"status"}, "delay": {"seconds"}, "delay_after": {"seconds"}, "slow_body": {"bytes_per_second"},
          "status_after": {"status"},
          "maintenance": {"seconds"}, "redirect": {"to"}, "skew": {"seconds"}, "monster": {"kind"},
          "odd_bytes": {"kind"}, "late": {"seconds"}, "invalid": {"field"}, "drop_field": {"field"},
          "colleague": {"fields"}}
MAINTENANCE = ("503", "502", "504", "html", "redirect", "chunked", "empty", "no_content", "gzip", "charset")
MONSTERS = ("bytes", "nesting", "number", "members")
ONE_OF = {"where": ("rows", "lines", "both"), "form": MAINTENANCE, "when": ("before", "after", "lost")}
KIND_OF = {"monster": MONSTERS, "odd_bytes": odd_bytes.KINDS}
COMMON = {"path", "method", "action", "times", "skip"}


class Fault:
    """One injected fault. `skip` matching requests pass first, then `times` are met (-1 = all)."""

    def __init__(self, number, wanted):
        action = wanted.get("action")
        if action not in ACTIONS:
            raise ValueError(f"action is one of {', '.join(ACTIONS)}")
        unknown = set(wanted) - COMMON - ACTIONS[action]
        if unknown:
            raise ValueError(f"{action} takes no {', '.join(sorted(unknown))}")
        missing = NEEDED.get(action, set()) - set(wanted)
        if missing:
            raise ValueError(f"{action} needs {', '.join(sorted(missing))}")
        for name in set(wanted) & set(ONE_OF):
            if wanted[name] not in ONE_OF[name]:
                raise ValueError(f"{name} is one of {', '.join(ONE_OF[name])}")
        if action in KIND_OF and wanted["kind"] not in KIND_OF[action]:
            raise ValueError(f"kind is one of {', '.join(KIND_OF[action])}")
        self._numbers(wanted)
        if action == "omit" and len({"share", "keys", "empty"} & set(wanted)) > 1:
            raise ValueError("omit takes share, keys or empty, one of them")
        if action == "spoil_row" and "raw" in wanted and {"value", "twice"} & set(wanted):
            raise ValueError("spoil_row: raw contradicts value and twice")
        try:
            self.pattern = re.compile(wanted.get("path", ""), re.I)
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from None
        self.id, self.action = number, action
        self.method = (wanted.get("method") or "").upper()
        self.times, self.skip = int(wanted.get("times", 1)), int(wanted.get("skip", 0))
        self.arguments = {name: wanted[name] for name in ACTIONS[action] if name in wanted}
        self.wanted = wanted
        self.hits = 0
        self.removed = asyncio.Event()

    @staticmethod
    def _numbers(wanted):
        """Refuse shares outside 0 to 1 and seconds and statuses that are no numbers."""
        for name in ("share", "seconds", "bytes_per_second", "status", "count", "at", "times", "skip"):
            value = wanted.get(name)
            if value is not None and (isinstance(value, bool)
                                      or not isinstance(value, (int, float))) and not str(value).lstrip("-").isdigit():
                raise ValueError(f"{name} takes a number, not {value!r}")
        if not 0 <= wanted.get("share", 0) <= 1:
            raise ValueError("share is a share between 0 and 1")

    def meets(self, method, target):
        """Whether this request is met; counts it."""
        if self.method and self.method != method:
            return False
        if not (self.pattern.search(target) or self.pattern.search(unquote(target))):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times == 0:
            return False
        if self.times > 0:
            self.times -= 1
        self.hits += 1
        return True

    def public(self):
        return {"id": self.id, **self.wanted, "times": self.times, "skip": self.skip, "hits": self.hits}


class Faults:
    """All faults, oldest first; the first that meets a request is applied."""

    def __init__(self):
        self.numbers = itertools.count(1)
        self.faults = {}

    def add(self, wanted):
        fault = Fault(next(self.numbers), wanted)
        self.faults[fault.id] = fault
        return fault

    def remove(self, number=None):
        """Remove one fault or all; requests that hang on it are let go. How many were removed."""
        gone = [f for f in self.faults.values() if number in (None, f.id)]
        for fault in gone:
            fault.removed.set()
            del self.faults[fault.id]
        return len(gone)

    def match(self, method, target):
        for fault in self.faults.values():
            if fault.meets(method, target):
                return fault
        return None
