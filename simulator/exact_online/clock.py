"""The simulator's clock and the service's way of writing time.

Exact Online writes every date as local wall-clock time of its server (Europe/Amsterdam unless set_zone() said
otherwise), encoded as if it were UTC:
`/Date(ms)/`. Such a number is called a wall time in this package; an instant is seconds since the epoch, as
time.time().
"""
import calendar
import datetime
import functools
import re
import time
from email.utils import formatdate

_zone = {"winter": 3600}
_DATE = re.compile(r"^/Date\((-?\d+)\)/$")
_ISO = re.compile(r"^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?(Z)?)?$")


class Clock:
    """Real time plus an offset that the control API moves; `skew` is how far the Date header is off; `paused` is the
    real time at which it was stopped, or None."""

    def __init__(self, offset=0.0):
        self.offset, self.paused, self.skew = offset, None, 0.0

    def now(self):
        """The current instant in seconds."""
        return (time.time() if self.paused is None else self.paused) + self.offset

    def advance(self, seconds):
        self.offset += seconds

    def pause(self, wanted):
        """Stop the clock, or let it go on from where it stands."""
        if wanted and self.paused is None:
            self.paused = time.time()
        elif not wanted and self.paused is not None:
            self.offset += self.paused - time.time()
            self.paused = None

    def wall(self):
        """The current wall time in milliseconds, on the steps that SQL Server's datetime can hold."""
        return wall_of(self.now())

    def http_date(self, skew=0.0):
        return formatdate(self.now() + self.skew + skew, usegmt=True)


@functools.lru_cache(maxsize=1000)
def _last_sunday(year, month):
    last = calendar.monthrange(year, month)[1]
    day = last - (datetime.date(year, month, last).weekday() + 1) % 7
    return calendar.timegm((year, month, day, 1, 0, 0))


def set_zone(name):
    """The zone of the site: Europe/Amsterdam, or Europe/London for .co.uk. One for the whole process."""
    _zone["winter"] = {"Europe/Amsterdam": 3600, "Europe/London": 0}[name]


def utc_offset(instant):
    """Offset of the site's zone in seconds at an instant (EU rule: summer time changes at 01:00 UTC)."""
    year = time.gmtime(instant).tm_year
    return _zone["winter"] + (3600 if _last_sunday(year, 3) <= instant < _last_sunday(year, 10) else 0)


def wall_of(instant):
    """Wall time in milliseconds of an instant, ending in 0, 3 or 7 like SQL Server's datetime."""
    ticks = round((instant + utc_offset(instant)) * 300)
    return ticks // 300 * 1000 + (ticks % 300 * 10 + 1) // 3


def instant_of(wall):
    """Instant in seconds of a wall time; in the repeated autumn hour the earlier (summer) reading."""
    seconds, winter = wall / 1000, _zone["winter"]
    summer = seconds - winter - 3600
    return summer if utc_offset(summer) == winter + 3600 else seconds - winter


def date_text(wall):
    """A wall time as the service's JSON writes it."""
    return None if wall is None else f"/Date({wall})/"


def wall_from_text(text):
    """Wall time in milliseconds of `/Date(ms)/`."""
    return int(text[6:-2])


def iso_of(wall):
    """A wall time as the service writes it in skip tokens and XML: no zone, fraction only when there is one."""
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=wall)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{wall % 1000:03d}".rstrip("0") if wall % 1000 else text


def parse_wall(text, zone_allowed=True):
    """Wall time of a written date; ValueError when it is none. A trailing Z is converted to local time."""
    found = _DATE.match(text)
    if found:
        return int(found.group(1))
    found = _ISO.match(text)
    if not found:
        raise ValueError(f"not a date: {text!r}")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    moment = datetime.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    wall = calendar.timegm(moment.timetuple()) * 1000 + int((fraction or "0").ljust(3, "0")[:3])
    if zone:
        if not zone_allowed:
            raise ValueError(f"a date has no zone here: {text!r}")
        return wall + utc_offset(wall / 1000) * 1000
    return wall


def instant_from_utc(text):
    """Instant of a UTC time such as 2027-10-31T00:59:50Z."""
    return parse_wall(text.removesuffix("Z"), zone_allowed=False) / 1000


def utc_iso(instant):
    """An instant for the control API, with milliseconds and Z."""
    return datetime.datetime.fromtimestamp(instant, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
