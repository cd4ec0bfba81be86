"""What the fetcher costs for many divisions that stand still while notifications come."""
import hashlib
import hmac
import json
import os
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from hub import Hub  # noqa: E402

SECONDS, NOTIFICATIONS = 20, 50     # and so many a second
SECRET = b"a secret of the bench"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def anonymous_mb(pid):
    line = next(r for r in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if r.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def configure(hub, divisions):
    """Paused, so that nothing is sent: what is left is what notifications cost."""
    hub.psql("INSERT INTO exact.app (name, client_id, base_url, redirect_uri) "
             "VALUES ('erp', 'x', 'http://127.0.0.1:9', 'https://hub.example.com/exact/callback')")
    hub.psql("INSERT INTO exact.division (division, app, enabled) "
             f"SELECT 1000 + n, 'erp', true FROM generate_series(1, {divisions}) AS n")
    hub.psql("INSERT INTO exact.division_state (division, state, reason) "
             "SELECT division, 'paused', 'bench' FROM exact.division")
    hub.psql("SELECT count(*) FROM exact.division d, exact.enable_entities(d.division, 'finance')")
    hub.psql(f"SELECT exact.set_secret('app', 'erp', 'webhook_secret', '{SECRET.decode()}'); ANALYZE")


def notification(number, divisions):
    content = json.dumps({
        "Topic": ("Items", "Accounts", "FinancialTransactions")[number % 3], "ClientId": "x",
        "Division": 1001 + number * 37 % divisions, "Action": "Update", "Key": f"00000000-0000-4000-8000-{number:012}",
        "ExactOnlineEndpoint": "", "EventCreatedOn": "2026-03-04T13:14:50.07"}, separators=(",", ":"))
    digest = hmac.new(SECRET, content.encode(), hashlib.sha256).hexdigest().upper()
    return f'{{"Content":{content},"HashCode":"{digest}"}}'


def measure(hub, divisions):
    """(cores, MB) of the fetcher while so many notifications a second come."""
    pid = int(hub.value("SELECT pid FROM exact._workers() WHERE role = 'fetcher'"))
    hub.psql("SELECT exact._wake('fetcher')")
    time.sleep(3)       # the first reading loads the definitions
    bodies = [notification(n, divisions) for n in range(SECONDS * NOTIFICATIONS)]
    begun, before = time.monotonic(), cpu_seconds(pid)
    hub.psql("".join(f"SELECT exact.receive_webhook(convert_to($a${body}$a$, 'UTF8'));"
                     f"SELECT pg_sleep(1.0 / {NOTIFICATIONS});\n" for body in bodies), seconds=600)
    figures = (cpu_seconds(pid) - before) / (time.monotonic() - begun), anonymous_mb(pid)
    taken = int(hub.value("SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NOT NULL AND reason IS NULL"))
    assert taken > len(bodies) * 0.9, taken
    return figures


def main(directory, results, divisions):
    hub = Hub(pathlib.Path(directory) / "hub", None, None)
    hub.create()
    configure(hub, divisions)
    feeds = int(hub.value("SELECT count(*) FROM exact._plan"))
    cores, memory = measure(hub, divisions)
    text = f"""| what | figure | target |
|---|---|---|
| CPU of the fetcher, {NOTIFICATIONS} notifications a second, {divisions} divisions with preset `finance`, {feeds} \
feeds | {cores * 100:.1f} % of a core | 10 % |
| its anonymous memory | {memory:.0f} MB | 96 MB |

The divisions are paused and no service is there: what is measured is the taking of notifications, each of another
division and topic, for which the plan is not read. Figures of {SECONDS} s.

{sections.made_by(f"bench/divisions {divisions}", hub.value("SHOW server_version"))}"""
    sections.write(results, "Many divisions", text)
    print(text)
    hub.cluster.stop()
    processes.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
