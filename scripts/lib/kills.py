"""kill -9 of the hub's workers and of PostgreSQL, as a crash or the memory killer would."""
import os
import signal
import time

from cluster import SqlError
from processes import Failed, wait_until

BACK_WITHIN = 30.0  # seconds until work goes on
WORKERS = ("fetcher", "loader", "listener")


def _started(hub):
    try:
        hub.cluster.start(20)
        return True
    except Failed:
        return False


def _pid(hub, role):
    try:
        return hub.value(f"SELECT pid FROM exact.workers WHERE role = '{role}' AND state = 'running'")
    except SqlError:  # the server is in recovery
        return None


def kill(hub, victim):
    """
    SIGKILL of a worker, after which PostgreSQL restarts everything, or of the postmaster, which is started again at
    once; when it died. PostgreSQL has noticed the death of a worker when this returns.
    """
    if victim == "postmaster":
        hub.cluster.kill()
        died = time.time()
        # as an init system would: started again, as soon as the orphans have let go of the shared memory
        wait_until("PostgreSQL starts again", lambda: _started(hub), BACK_WITHIN)
    else:
        pid = wait_until(f"the {victim} runs", lambda: _pid(hub, victim), BACK_WITHIN)
        os.kill(int(pid), signal.SIGKILL)
        died = time.time()
        wait_until(f"PostgreSQL notices that the {victim} died", lambda: _pid(hub, victim) != pid, BACK_WITHIN)
    return died


def working(hub, roles):
    """True when all of these workers run; False also while the server recovers."""
    try:
        names = ", ".join(f"'{role}'" for role in roles)
        return int(hub.value("SELECT count(*) FROM exact.workers WHERE state = 'running' "
                             f"AND role IN ({names})")) == len(roles)
    except SqlError:
        return False
