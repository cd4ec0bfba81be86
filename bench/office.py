"""What a warehouse costs an office: two hubs beside each other in real time, one that stops its warehouse itself and
one that leaves it to its auto stop, as each hub did before there was `stop_warehouse`."""
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from hub import Hub, simulators  # noqa: E402
from truth import Comparison  # noqa: E402

OFFICE_HOURS = 10
QUARTER = 15  # minutes
START, MERGE = 3, 1.5  # seconds: a serverless warehouse starts; a MERGE into a small table runs


class Side:
    def __init__(self, directory, name, stop, window):
        directory = pathlib.Path(directory) / name
        directory.mkdir(parents=True)
        self.name, self.stop = name, stop
        exact, databricks = simulators(directory, ("--records", 2000, "--divisions", 2, "--fast"),
                                       ("--engine", "none", "--slots", 2, "--start-seconds", START))
        self.hub = hub = Hub(directory / "hub", exact, databricks, settings={
            "exact_databricks.sync_interval": "1min", "exact_databricks.merge_interval": "1s"})
        databricks.post("privileges", grant=[{"privilege": "CAN MANAGE", "object": databricks.info["warehouse_id"]}])
        hub.create()
        hub.configure(workspace_row={"stop_warehouse": stop})
        hub.authorize()
        hub.enable()
        hub.wait_loaded()
        databricks.post("faults", action="slow", seconds=MERGE, statement="MERGE INTO", times=1000000)
        hub.psql(f"UPDATE exact.workspace SET merge_interval = '{window} min'")
        self.made = 0

    def asleep(self):
        return self.hub.databricks.get("info")["warehouse_state"] == "STOPPED"

    def fall_asleep(self):
        """Where its auto stop ends it the workspace's clock goes on: the idle time is on the meter."""
        if self.stop == "never":
            self.hub.databricks.post("clock", advance=700)
        self.hub.wait_for("the warehouse sleeps", self.asleep, 120, 2)

    def meter(self):
        return self.hub.databricks.get("info")["meter"]

    def change(self, due, seed):
        if due > self.made:
            self.made += len(self.hub.exact.random(due - self.made, seed=seed + self.made, deletes=0.02))


def work(sides, hours, rate, window):
    """Changes evenly over the hours, then none until the last window was delivered: [(meter, statements, rows)]"""
    for side in sides:
        side.hub.databricks.post("meter")
    begun = time.monotonic()
    before = [counts(side) for side in sides]
    while (passed := time.monotonic() - begun) < hours * 3600:
        for side in sides:
            side.change(int(rate * passed / 3600), 7)
        time.sleep(5)
    for side in sides:
        side.hub.wait_for("the last window", side.hub.loaded, window * 60 + 300, 5)
        side.fall_asleep()
    return [(side.meter(), *(now - then for now, then in zip(counts(side), old)))
            for side, old in zip(sides, before)]


def counts(side):
    row = side.hub.query("SELECT count(*) AS statements, coalesce(sum(rows) FILTER (WHERE kind = 'current'), 0) "
                         "AS rows FROM exact.statement_log")[0]
    return row["statements"], row["rows"]


def main(directory, results, hours, rate, window, idle):
    sides = [Side(directory, "own", "own", window), Side(directory, "never", "never", window)]
    for side in sides:
        side.fall_asleep()
    made_by = sections.made_by(f"bench/office {hours:g} {rate} {window:g} {idle:g}",
                               sides[0].hub.value("SHOW server_version"))
    measured = work(sides, hours, rate, window)
    for side in sides:
        side.hub.databricks.post("meter")
    time.sleep(idle * 60)
    quiet = [side.meter() for side in sides]
    cost = [side.hub.query("SELECT sum(wake_ups) AS wake_ups, sum(seconds) AS seconds FROM exact.cost")[0]
            for side in sides]
    each = [meter["seconds"] / max(meter["wake_ups"], 1) for meter, *_ in measured]
    # a warehouse that did not sleep in between runs all day
    hourly = [seconds * 60 / QUARTER if meter["wake_ups"] > 1 else float(meter["seconds"]) / hours
              for seconds, (meter, *_) in zip(each, measured)]
    a_day = [round(seconds * OFFICE_HOURS / 60, 1) for seconds in hourly]
    names = ["`stop_warehouse = 'own'`", "auto stop of 10 minutes, as before"]
    text = "| | " + " | ".join(names) + " |\n|---|---|---|\n"
    for what, values in (
            (f"wake-ups in {hours:g} h", [meter["wake_ups"] for meter, *_ in measured]),
            ("seconds that are paid for", [round(meter["seconds"]) for meter, *_ in measured]),
            ("seconds of a wake-up", [round(seconds, 1) for seconds in each]),
            (f"minutes a day of {OFFICE_HOURS} h with a delivery every {QUARTER} minutes, by that", a_day),
            ("DBU a day (2X-Small: 4 an hour)", [round(minutes / 60 * 4, 1) for minutes in a_day]),
            ("statements", [statements for _, statements, _ in measured]),
            ("versions delivered", [rows for *_, rows in measured]),
            (f"wake-ups in {idle:g} minutes without a change", [meter["wake_ups"] for meter in quiet]),
            ("`exact.cost`, first load included: wake-ups, seconds",
             [f"{row['wake_ups']}, {row['seconds']}" for row in cost])):
        text += f"| {what} | " + " | ".join(map(str, values)) + " |\n"
    text += f"""
Two hubs beside each other in real time, {rate} changes an hour, `merge_interval` {window:g} min, engine-free
workspace: the warehouse starts in {START} s, a MERGE takes {MERGE} s, two run at once. Seconds by the simulator's
meter, from the start of the warehouse to its stop. At the end both workspaces were compared with the books.

{made_by}"""
    for side in sides:
        equal = Comparison(side.hub.exact, side.hub.databricks, side.hub.schema).run()
        if equal.differences:
            raise processes.Failed(f"{side.name}: {equal}")
    sections.write(results, "An office's warehouse", text)
    print(text)
    processes.stop_all()
    return 0 if a_day[0] <= 30 and quiet[0]["wake_ups"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]),
                  float(sys.argv[6])))
