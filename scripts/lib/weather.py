"""The weather of a storm: which forms the two simulators draw, at which shares, and which of them were met.

Calm is what the hub's other tests start with: the simulators' defaults, and the old forms that services.py names.
"""
import json
from dataclasses import dataclass, field

from services import Databricks, ExactOnline

SERVICES = {"exact": ExactOnline, "databricks": Databricks}


@dataclass
class Weather:
    share: float = 0.0                          # 0 is calm, 1 draws each form at its full rate
    sides: tuple = ("exact", "databricks")      # whose weather it is
    forms: dict = field(default_factory=dict)   # {side: {form: share}}: drawn besides
    given: dict = field(default_factory=dict)   # {side: [NAME=VALUE]}: settings at the start

    @property
    def blows(self):
        return any(map(self.reaches, SERVICES))

    def options(self, side):
        """What a simulator is started with."""
        found = []
        if self.share and side in self.sides:
            found += ["--weather", self.share]
        if self.forms.get(side):
            found += ["--set", "weather_forms=" + json.dumps(self.forms[side])]
        for text in self.given.get(side, ()):
            found += ["--set", text]
        return found

    def reaches(self, side):
        """Whether a simulator's answers have forms that calm has not."""
        return bool((self.share and side in self.sides) or self.forms.get(side) or self.given.get(side))

    def calm(self, side):
        """Whether a simulator is started with the old forms that the hub stands."""
        return not (self.share and side in self.sides)

    @staticmethod
    def end(exact, databricks):
        """
        No form is drawn any more. What Exact Online has chosen for its data stays: they do not change by themselves.
        """
        if exact.get("weather")["weather"] or exact.get("weather")["asked"]:
            chosen = {name: value for name, value in exact.get("weather")["chosen"].items()
                      if name != "visible_after_max"}
            exact.post("config", weather=0, weather_forms={}, **chosen)
        databricks.post("config", weather=0, weather_forms={})


def known(text):
    """[(entry, [option, …])] of the lines of simulator/weather_known.md: options of scripts/storm in backquotes."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| ")]
    return [(row[0], row[1].strip("`").split()) for row in rows if row[1].startswith("`--")]


def parse_form(text):
    """(side, form, share) of [exact:|databricks:]FORM[=SHARE]; ValueError."""
    side, colon, rest = text.partition(":")
    name, equals, share = (rest if colon else text).partition("=")
    if (colon and side not in SERVICES) or not name:
        raise ValueError("SIDE:FORM=SHARE, for instance exact:omit=0.1")
    return side if colon else "exact", name, float(share) if equals else 1.0


def met(services):
    """[(service, entry, form, how often)] of all forms, those that were never met too."""
    return [(service.NAME, form["entry"], form["name"], form["met"]) for service in services
            for form in service.get("weather")["forms"]]


def report(services):
    """Two lines a service: what was met, what was not."""
    lines = []
    for service in services:
        forms = met([service])
        yes = [f"{name} {n}" for _, _, name, n in sorted(forms, key=lambda f: -f[3]) if n]
        no = [name for _, _, name, n in forms if not n]
        lines += [f"met            {service.NAME}: {len(yes)} of {len(forms)} forms: {', '.join(yes)}",
                  f"never met      {service.NAME}: {', '.join(no) or 'none'}"]
    return lines
