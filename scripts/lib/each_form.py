"""Each form of the weather alone, in a small storm of its own: which of them the hub stands. scripts/storm --each."""
import contextlib
import dataclasses
import io
import pathlib

from cluster import SqlError
from command import say
from processes import Failed
from services import Databricks, ExactOnline
from weather import Weather


def share_of(rate):
    """How often a form comes when it comes alone: a form of the whole run surely, one of single answers often."""
    return 1.0 if rate >= 0.3 else min(0.2, rate * 10)


def forms(directory, sides):
    """[(side, entry, name, share)] of the forms that the weather draws."""
    found = []
    for side, service in (("exact", ExactOnline), ("databricks", Databricks)):
        if side not in sides:
            continue
        running = service.start(directory / f"list {side}", *(("--engine", "none") if side == "databricks" else ()))
        found += [(side, form["entry"], form["name"], share_of(float(form["rate"])))
                  for form in running.get("weather")["forms"]
                  if form["rate"] and not (form["entry"] == "books" and form["rate"] == 1)]  # those are there in calm
        running.stop()
    return found


def each(plan, directory, blow):
    """Runs `blow(plan, directory)`, true when all was equal, with one form after the other; how many were not stood."""
    directory, unstood = pathlib.Path(directory), 0
    for number, (side, entry, name, share) in enumerate(forms(directory, plan.weather.sides)):
        alone = dataclasses.replace(plan, weather=Weather(forms={side: {name: share}}))
        words = io.StringIO()
        with contextlib.redirect_stdout(words):
            try:
                equal, why = blow(alone, directory / str(number)), ""
            except (Failed, SqlError) as failure:
                equal, why = False, str(failure).splitlines()[0]
        lines = words.getvalue().splitlines()
        met = next((line for line in lines if line.startswith("met ") and f"{name} " in line), "")
        bad = [line for line in lines if line.startswith("  ") and ": " in line][:1]
        unstood += not equal
        say(f"{entry:<5} {side}:{name}={share:g}  {'met' if met else 'not met'}, "
            f"{'equal' if equal else why or 'differs'}{'' if equal else ''.join(bad)[:160]}")
    return unstood
