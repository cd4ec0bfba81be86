"""Call limits per app and division, and the block after too many errors on one endpoint."""
import collections


class Limits:
    """Counts calls in clock minutes and UTC days; a limit of 0 is off. The one app of the simulator is implied in keys."""

    def __init__(self, settings, the_clock):
        self.settings, self.clock = settings, the_clock
        self.minutes, self.days = {}, {}
        self.errors = {}        # (user, division, endpoint): instants of errors in the last hour
        self.blocked = {}       # same key: instant at which the block ends
        self.refused = collections.Counter()
        self.most_in_a_minute = collections.Counter()

    @staticmethod
    def _count(table, division, window):
        at, used = table.get(division, (window, 0))
        return used if at == window else 0

    def take(self, division):
        """Count one call. (None, headers of the answer) when it is allowed, else ('minute' or 'day', headers of the 429)."""
        now = self.clock.now()
        minute, day = int(now // 60), int(now // 86400)
        used_minute, used_day = self._count(self.minutes, division, minute), self._count(self.days, division, day)
        s = self.settings
        if s.minute_limit and used_minute >= s.minute_limit:
            self.refused["minute"] += 1
            return "minute", self._minute_headers(0, minute)
        if s.day_limit and used_day >= s.day_limit:
            self.refused["day"] += 1
            return "day", self._day_headers(0, day)
        self.minutes[division], self.days[division] = (minute, used_minute + 1), (day, used_day + 1)
        self.most_in_a_minute[division] = max(self.most_in_a_minute[division], used_minute + 1)
        headers = {}
        if s.day_limit:
            headers.update(self._day_headers(s.day_limit - used_day - 1, day))
        if s.minute_limit:
            headers.update(self._minute_headers(s.minute_limit - used_minute - 1, minute))
        return None, headers

    def _minute_headers(self, left, minute):
        return {"X-RateLimit-Minutely-Limit": str(self.settings.minute_limit), "X-RateLimit-Minutely-Remaining": str(left),
                "X-RateLimit-Minutely-Reset": str((minute + 1) * 60_000)}

    def _day_headers(self, left, day):
        return {"X-RateLimit-Limit": str(self.settings.day_limit), "X-RateLimit-Remaining": str(left),
                "X-RateLimit-Reset": str((day + 1) * 86_400_000)}

    def is_blocked(self, key):
        """Whether too many errors block this (user, division, endpoint); a call meanwhile makes the block an hour again."""
        if not self.settings.error_limit or key not in self.blocked:
            return False
        now = self.clock.now()
        if now >= self.blocked[key]:
            del self.blocked[key]
            self.errors.pop(key, None)
            return False
        self.blocked[key] = now + 3600
        self.refused["errors"] += 1
        return True

    def error(self, key):
        """Count an error answer; the one above the limit within an hour starts a block of an hour."""
        now = self.clock.now()
        seen = self.errors.setdefault(key, collections.deque())
        seen.append(now)
        while seen and seen[0] <= now - 3600:
            seen.popleft()
        if self.settings.error_limit and len(seen) > self.settings.error_limit:
            self.blocked[key] = now + 3600

    def summary(self):
        """For the control API: what was refused, the busiest minute, errors of the last hour, blocks."""
        now = self.clock.now()

        def name(key):
            return " ".join(str(part) for part in key)
        return {"refused": dict(self.refused), "most_in_a_minute": {str(k): v for k, v in self.most_in_a_minute.items()},
                "errors_last_hour": {name(k): sum(at > now - 3600 for at in v) for k, v in self.errors.items()},
                "blocked": {name(k): round(until - now) for k, until in self.blocked.items() if until > now}}
