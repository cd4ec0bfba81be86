"""Call limits per app and division, and the block after too many errors on one endpoint."""
import collections

from .clock import utc_offset


class Limits:
    """Counts calls in minutes and UTC days; a limit of 0 is off. The one app of the simulator is implied in keys.

    A minute is one of the clock, or the 60 seconds from the first call on (setting minute_window)."""

    def __init__(self, settings, the_clock, weather):
        self.settings, self.clock, self.weather = settings, the_clock, weather
        self.closed = {}        # division: instant until which a minute that was full blocks it
        self.counted = 0
        self.growth = {}        # key of an error block: how long the next one lasts
        self.minutes, self.days = {}, {}
        self.errors = {}        # (user, division, endpoint): instants of errors in the last hour
        self.blocked = {}       # same key: instant at which the block ends
        self.refused = collections.Counter()
        self.most_in_a_minute = collections.Counter()

    @staticmethod
    def _count(table, division, window):
        at, used = table.get(division, (window, 0))
        return used if at == window else 0

    def _minute(self, division, now):
        """(begin of the minute in seconds, calls in it)."""
        if self.settings.minute_window == "first_call":
            begin, used = self.minutes.get(division, (now, 0))
            if not begin <= now < begin + 60:
                begin, used = now, 0
            self.weather.met("first_call_window")
        else:
            begin = now // 60 * 60
            used = self._count(self.minutes, division, begin)
        if not used and self.settings.other_calls:
            used = self.settings.other_calls
            self.weather.met("other_calls")
        return begin, used

    def take(self, division, rng=None):
        """Count one call. (None, headers of the answer) when it is allowed, else ('minute' or 'day', headers of the
        429)."""
        now, s = self.clock.now(), self.settings
        day = int(now // 86400)
        begin, used_minute = self._minute(division, now)
        used_day = self._count(self.days, division, day)
        closed = self.closed.get(division, 0)
        if s.minute_limit and (used_minute >= s.minute_limit or now < closed):
            self.refused["minute"] += 1
            if now >= closed:
                self.closed[division] = closed = begin + s.minute_block
            if s.minute_block != 60:
                self.weather.met("long_minute_block")
            return "minute", self._refusal(self._minute_headers(0, begin),
                                           self._day_headers(max(s.day_limit - used_day, 0), day))
        if s.day_limit and used_day >= s.day_limit:
            self.refused["day"] += 1
            return "day", self._refusal(self._day_headers(0, day),
                                        self._minute_headers(max(s.minute_limit - used_minute, 0), begin))
        if rng is not None and s.minute_limit and self.weather.draw(rng, "early_429", s.early_429):
            self.refused["early"] += 1
            return "early", self._refusal(self._minute_headers(s.minute_limit - used_minute, begin),
                                          self._day_headers(s.day_limit - used_day, day))
        self.minutes[division], self.days[division] = (begin, used_minute + 1), (day, used_day + 1)
        self.most_in_a_minute[division] = max(self.most_in_a_minute[division], used_minute + 1)
        headers = {}
        if s.day_limit:
            headers.update(self._day_headers(s.day_limit - used_day - 1, day))
        if s.minute_limit:
            headers.update(self._minute_headers(s.minute_limit - used_minute - 1, begin))
        return None, headers

    def _refusal(self, own, other):
        """Headers of a 429: of the limit that was reached, of both, or none at all."""
        form = self.settings.limit_headers
        if form != "own":
            self.weather.met("limit_headers")
        return own if form == "own" else {} if form == "none" else {**own, **other}

    def _reset(self, instant):
        """A reset as the setting writes it; milliseconds since the epoch are the documented form."""
        form, now = self.settings.reset_form, self.clock.now()
        if form != "milliseconds":
            self.weather.met("reset_form")
        if form == "seconds":
            return str(int(instant))
        shift = {"local": utc_offset(now), "past": -2 * 86400, "far": 20 * 365 * 86400}.get(form, 0)
        return str(int((instant + shift) * 1000))

    def _left(self, left):
        return str(-left - 1 if self.settings.reset_form == "negative" else left)

    def _limit(self, limit):
        return str(limit + self.counted % 7 * 10 if self.settings.reset_form == "changing" else limit)

    def _minute_headers(self, left, begin):
        self.counted += 1
        return {"X-RateLimit-Minutely-Limit": self._limit(self.settings.minute_limit),
                "X-RateLimit-Minutely-Remaining": self._left(left),
                "X-RateLimit-Minutely-Reset": self._reset(begin + 60)}

    def _day_headers(self, left, day):
        return {"X-RateLimit-Limit": self._limit(self.settings.day_limit), "X-RateLimit-Remaining": self._left(left),
                "X-RateLimit-Reset": self._reset((day + 1) * 86_400)}

    def is_blocked(self, key):
        """Whether too many errors block this (user, division, endpoint); a call meanwhile makes the block an hour
        again."""
        if not self.settings.error_limit or key not in self.blocked:
            return False
        now = self.clock.now()
        if now >= self.blocked[key]:
            del self.blocked[key]
            self.errors.pop(key, None)
            return False
        self.blocked[key] = now + self._block(key)
        self.refused["errors"] += 1
        return True

    def _block(self, key):
        """How long a block lasts from now on: an hour, or each time longer."""
        if self.settings.error_block == "hour":
            return 3600
        self.weather.met("error_block")
        self.growth[key] = min(self.growth.get(key, 1800) * 2, 86400)
        return self.growth[key]

    def error(self, key, status):
        """Count an error answer if its status counts; the one above the limit within an hour starts a block."""
        now = self.clock.now()
        if status not in self.settings.error_statuses:
            self.weather.met("error_statuses")
            return
        seen = self.errors.setdefault(key, collections.deque())
        seen.append(now)
        while seen and seen[0] <= now - 3600:
            seen.popleft()
        if self.settings.error_limit and len(seen) > self.settings.error_limit:
            self.blocked[key] = now + self._block(key)

    def summary(self):
        """For the control API: what was refused, the busiest minute, errors of the last hour, blocks."""
        now = self.clock.now()

        def name(key):
            return " ".join(str(part) for part in key)
        return {"refused": dict(self.refused), "most_in_a_minute": {str(k): v for k,
                                                                    v in self.most_in_a_minute.items()},
                "errors_last_hour": {name(k): sum(at > now - 3600 for at in v) for k, v in self.errors.items()},
                "blocked": {name(k): round(until - now) for k, until in self.blocked.items() if until > now}}
