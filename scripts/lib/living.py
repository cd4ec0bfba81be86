"""Watches that the hub never takes a living record for a deleted one, not even for a moment."""
import threading

from cluster import SqlError
from command import say
from services import ExactOnline
from truth_rules import RESOURCES, key_of

EVERY = 2.0     # seconds


def living_keys(exact, division, entity):
    """Keys of the records that Exact Online holds, in the form of _key."""
    return {key_of(entity, record["row"]) for record in exact.truth(division, RESOURCES[entity].resource)
            if not record["deleted"]}


def dead_keys(exact, division, entity):
    """Keys of the records that were deleted in Exact Online."""
    records = exact.truth(division, RESOURCES[entity].resource)
    return {record["key"].lower() for record in records if record["deleted"]} - living_keys(exact, division, entity)


def decide(hub):
    """
    What is held, as an operator decides who looks the records up in Exact Online: what is gone there may go, else all
    of them stay. How many questions there were.
    """
    held = hub.query("SELECT h.id, h.division, h.entity, array_agg(r.key) AS keys FROM exact.held_delete AS h "
                     "JOIN exact.held AS r ON r.id = h.id WHERE h.state = 'held' GROUP BY h.id ORDER BY h.id")
    for question in held:
        division, entity = question["division"], question["entity"]
        gone = set(question["keys"]) <= dead_keys(hub.exact, division, entity)
        hub.psql(f"SELECT exact.{'approve' if gone else 'reject'}({question['id']})")
        say(f"held           {len(question['keys'])} deletes of {entity} in division {division}: "
            f"{'approved' if gone else 'rejected'}")
    return len(held)


class Living(threading.Thread):
    """`wrong`: (division, entity, key) of records that were deleted in the hub while they lived in Exact Online."""

    def __init__(self, hub):
        super().__init__(daemon=True)
        self.hub, self.exact = hub, ExactOnline(hub.exact.url)
        self.wrong, self.looks, self.problem = set(), 0, None
        self._known, self._ended = set(), threading.Event()

    def run(self):
        try:
            while not self._ended.wait(EVERY):
                self.look()
        except Exception as error:  # shown by whoever waits for the end
            self.problem = error

    def end(self):
        self._ended.set()
        self.join(60)
        if self.problem:
            raise self.problem
        self.look()
        return self.wrong

    def look(self):
        try:
            rows = self.hub.psql("SELECT division, entity, key FROM exact.record WHERE deleted",
                                 arguments=("-F", " ")).splitlines()
        except SqlError:    # the server is in recovery
            return
        self.looks += 1
        dead = {(int(division), entity, key) for division, entity, key in map(str.split, rows)}
        fresh, self._known = dead - self._known, dead
        for division, entity in {(division, entity) for division, entity, _ in fresh}:
            lives = living_keys(self.exact, division, entity)
            self.wrong |= {entry for entry in fresh if entry[:2] == (division, entity) and entry[2] in lives}

    def __str__(self):
        return f"{self.looks} looks: " + ("no living record was deleted" if not self.wrong else
                                          f"{len(self.wrong)} living records were deleted, first {min(self.wrong)}")
