"""
Webhooks through the listener, as many as one thread of wrk sends, and at a fixed rate; beside a peer, and beside slow
clients.
"""
import hashlib
import hmac
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from cluster import PORT, Cluster  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SECRET, CLIENT, DIVISION = b"bench-webhook-secret", "6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11", 2256995
CONNECTIONS = 64
GOOD_FROM = "127.0.0.2"  # slow clients come from 127.0.0.1: limits are per address
MODES = {"slow headers": "-H", "slow body": "-B", "ranges": "-R", "slow read": "-X"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_requests(path, count, port, uri="/exact/hook"):
    """Signed notifications, each with a key of its own, as bytes of requests; the length of one."""
    rnd = random.Random()
    with open(path, "wb", buffering=1 << 20) as out:
        for _ in range(count):
            key = uuid.UUID(int=rnd.getrandbits(128))
            content = (f'{{"Topic":"Items","ClientId":"{CLIENT}","Division":{DIVISION},"Action":"Update","Key":"{key}",'
                       f'"ExactOnlineEndpoint":"https://start.exactonline.nl/api/v1/{DIVISION}/logistics/'
                       f'Items(guid\'{key}\')",'
                       '"EventCreatedOn":"2026-03-04T13:14:50.070"}').encode()
            body = b'{"Content":' + content + b',"HashCode":"' + hmac.new(SECRET, content,
                    hashlib.sha256).hexdigest().upper().encode() + b'"}'
            request = (b"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nX-Signature: "
                       b"%s\r\nContent-Length: %d\r\n\r\n"
                       % (uri.encode(), port, hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode(),
                          len(body)) + body)
            out.write(request)
    return len(request)


def make_cluster(directory, port):
    """Defaults of the server but for what preloading needs; fsync is on."""
    keys = pathlib.Path(directory) / "keys"
    keys.mkdir(mode=0o700)
    (keys / "key").write_text("k1:" + os.urandom(32).hex() + "\n")
    (keys / "key").chmod(0o600)
    cluster = Cluster(pathlib.Path(directory) / "pg", {"fsync": "on", "exact_databricks.key_file": keys / "key",
                                                       "exact_databricks.insecure_loopback": "on"})
    cluster.make()
    cluster.start()
    cluster.psql(f"""ALTER DATABASE postgres SET exact_databricks.listen_addresses = '127.0.0.1';
        ALTER DATABASE postgres SET exact_databricks.port = {port};
        CREATE EXTENSION exact_databricks;""")
    processes.wait_until("the listener runs",
                         lambda: cluster.value("SELECT count(*) FROM exact.workers WHERE state = 'running'") == "4", 30)
    cluster.psql(f"""INSERT INTO exact.app (name, client_id, base_url) VALUES ('erp', '{CLIENT}', 'http://127.0.0.1:1');
        SELECT exact.set_secret('app', 'erp', 'webhook_secret', '{SECRET.decode()}');
        INSERT INTO exact.division (division, app, enabled) VALUES ({DIVISION}, 'erp', true);
        SELECT exact.enable_entities({DIVISION}, 'items');""")
    return cluster


def counts(cluster):
    return {k: int(v or 0) for k, v in cluster.query("SELECT received, accepted, refused, unavailable, commits, "
                                                     "timeouts, over_limit FROM exact.listener")[0].items()}


def wrk(port, requests, length, seconds):
    done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s",
                           HERE / "webhooks.lua", f"http://127.0.0.1:{port}/"],
                          capture_output=True, text=True, env={**os.environ, "REQUESTS": str(requests),
                                                               "LENGTH": str(length)})
    if done.returncode or "requests in" not in done.stdout:
        raise processes.Failed(f"wrk ended with status {done.returncode}: {done.stdout}{done.stderr}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    answers, took, unit = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", done.stdout).groups()
    latency = dict(re.findall(r"^\s+(50|99)%\s+(\S+)\s*$", done.stdout, re.M))
    return {"answers": int(answers), "bad": int(bad.group(1)) if bad else 0,
            "seconds": float(took) * {"ms": 0.001, "s": 1, "m": 60}[unit],
            "p50": latency.get("50"), "p99": latency.get("99")}


def paced(program, port, seconds, requests, length):
    """1,000 a second from an address of their own."""
    return subprocess.Popen([program, GOOD_FROM, str(port), "1000", str(seconds), str(CONNECTIONS), str(requests),
                             str(length)],
                            stdout=subprocess.PIPE, text=True)


def rss_anon(pid):
    return int(re.search(r"RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def slow_clients(cluster, program, port, directory, seconds):
    """
    Each mode of slowhttptest with 1,000 connections beside 1,000 good requests a second: (mode, answers, kB that
    RssAnon grew).
    """
    rows, pid, requests = [], cluster.value("SELECT pid FROM exact.workers "
                                            "WHERE role = 'listener'"), pathlib.Path(directory) / "requests"
    for name, mode in MODES.items():
        length = write_requests(requests, 1000 * seconds, port)
        before, most = rss_anon(pid), 0
        target = f"http://127.0.0.1:{port}" + ("/exact/hook" if mode in ("-H", "-B") else "/health")
        slow = subprocess.Popen(["slowhttptest", mode, "-c", "1000", "-r", "200", "-i", "2", "-x", "24", "-p", "3",
                                 "-l", str(seconds + 2), "-u", target,
                                 *(["-t", "POST"] if mode == "-B" else [])], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        good = paced(program, port, seconds, requests, length)
        while good.poll() is None:
            most = max(most, rss_anon(pid))
            time.sleep(0.2)
        slow.terminate()
        slow.wait()
        rows.append((name, json.loads(good.stdout.read()), most - before))
        requests.unlink()
    return rows


def peer(cluster, directory, seconds):
    """adnanh/webhook: checks a signature, then runs psql once per request and answers when it has ended."""
    port, directory = free_port(), pathlib.Path(directory) / "peer"
    directory.mkdir()
    cluster.psql("CREATE TABLE public.peer (at timestamptz NOT NULL DEFAULT now(), content text NOT NULL)")
    script = directory / "store"
    script.write_text(f"""#!/bin/sh
exec {cluster.bin / 'psql'} -XqAt -v ON_ERROR_STOP=1 -h {cluster.socket} -p {PORT} -U postgres -d postgres \\
  -v body="$1" <<'END'
INSERT INTO public.peer (content) VALUES (:'body')
END
""")
    script.chmod(0o700)
    (directory / "hooks.json").write_text(json.dumps([{
        "id": "hook", "execute-command": str(script), "include-command-output-in-response": True,
        "pass-arguments-to-command": [{"source": "entire-payload"}],
        "trigger-rule": {"match": {"type": "payload-hmac-sha256", "secret": SECRET.decode(),
                                   "parameter": {"source": "header", "name": "X-Signature"}}}}]))
    server = subprocess.Popen([shutil.which("webhook"), "-hooks", directory / "hooks.json", "-ip", "127.0.0.1",
                               "-port", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    processes.wait_until("the peer listens", ready, 20)
    requests = directory / "requests"
    length = write_requests(requests, 2000 * seconds, port, "/hooks/hook")
    result = wrk(port, requests, length, seconds)
    server.terminate()
    server.wait()
    rows = int(cluster.value("SELECT count(*) FROM public.peer"))
    if result["bad"] or rows < result["answers"]:
        raise processes.Failed(f"the peer stored {rows} of {result['answers']} and refused {result['bad']}")
    cluster.psql("DROP TABLE public.peer")
    return result


def main(directory, seconds):
    port, requests = free_port(), pathlib.Path(directory) / "requests"
    program = pathlib.Path(directory) / "paced"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", program, HERE / "paced.c"], check=True)
    cluster = make_cluster(directory, port)
    made_by = sections.made_by(f"bench/webhooks {seconds}", cluster.value("SHOW server_version"))

    def stored():
        return int(cluster.value("SELECT count(*) FROM exact.inbox"))

    def at_a_rate():
        """1,000 a second: what the meter counted, and the rows that came."""
        before, size = stored(), write_requests(requests, 1000 * seconds, port)
        result = json.loads(paced(program, port, seconds, requests, size).communicate()[0])
        requests.unlink()
        return result, stored() - before

    at_rate, rows_at_rate = at_a_rate()
    before, rows = counts(cluster), stored()
    length = write_requests(requests, 20000 * seconds, port)
    most = wrk(port, requests, length, seconds)
    processes.wait_until("the last ones are stored", lambda: counts(cluster)["accepted"] == stored(), 10)
    flood = {k: v - before[k] for k, v in counts(cluster).items()}
    rows = stored() - rows
    requests.unlink()
    waiting = int(cluster.value("SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL"))
    behind, rows_behind = at_a_rate()
    processes.wait_until("the fetcher took them", lambda: cluster.value("SELECT EXISTS (SELECT FROM exact.inbox_work "
                                                                        "WHERE taken_at IS NULL)") == "f", 600)
    other = peer(cluster, directory, min(seconds, 15))
    slow = slow_clients(cluster, program, port, directory, seconds)
    lost = counts(cluster)["accepted"] - stored()
    cluster.remove()

    a_second = most["answers"] / most["seconds"]
    ok = (a_second >= 10000 and not most["bad"] and 0 <= rows - most["answers"] <= CONNECTIONS
          and rows == flood["accepted"] and lost == 0
          and at_rate["p99"] <= 10000 and at_rate["sent"] == at_rate["good"] == rows_at_rate
          and behind["sent"] == behind["good"] == rows_behind
          and all(a["p99"] <= 50000 and kb <= 32 * 1024 and a["good"] == a["sent"] for _, a, kb in slow))
    table = f"""| what | figure | target |
|---|---|---|
| at 1,000 a second, {seconds} s: latency p50, p99, p99.9 | {at_rate['p50'] / 1000:.1f} ms, \
{at_rate['p99'] / 1000:.1f} ms, {at_rate['p999'] / 1000:.1f} ms | p99 10 ms |
| of these: sent, answered 200, rows stored | {at_rate['sent']:,}, {at_rate['good']:,}, {rows_at_rate:,} | equal |
| signed, unique webhooks a second, {seconds} s, wrk with 1 thread and {CONNECTIONS} keep-alive connections \
| {a_second:,.0f} | 10,000 |
| of these: answers read by wrk, other than 200, answered 200 by the listener, rows stored \
| {most['answers']:,}, {most['bad']}, {flood['accepted']:,}, {rows:,} | rows = answers |
| their latency, p50 and p99 (a closed loop: {CONNECTIONS} always wait) | {most['p50']}, {most['p99']} | |
| webhooks in one transaction, on average | {flood['received'] / max(flood['commits'], 1):.0f} | |
| 1,000 a second right behind the flood, while the fetcher takes the {waiting:,} that wait: p50, p99, p99.9 \
| {behind['p50'] / 1000:.1f} ms, {behind['p99'] / 1000:.1f} ms, \
{behind['p999'] / 1000:.1f} ms | |
| adnanh/webhook running `psql` for each request, same wrk: a second, latency p50 and p99 \
| {other['answers'] / other['seconds']:,.0f}, {other['p50']}, {other['p99']} | |
""" + "".join(f"| {name}: 1,000 connections of slowhttptest beside 1,000 good webhooks a second: p99, answered 200 of "
              "sent, growth of RssAnon | "
              f"{a['p99'] / 1000:.1f} ms, {a['good']:,} of {a['sent']:,}, {kb / 1024:.1f} MB | 50 ms, all, 32 MB |\n"
              for name, a, kb in slow)
    text = f"""{table}
Defaults of the server, `fsync = on`; the rest of the hub runs besides: the fetcher takes what is stored. The requests
are signed beforehand and read from a file, so that wrk's thread only sends (`bench/webhooks.lua`); at its end up to
{CONNECTIONS} are under way that it does not count. wrk cannot keep a rate: `bench/paced.c` sends each request when it
is due and counts from then, so a stall counts for all behind it. The peer checks an HMAC of the body, runs `psql` with
one INSERT for each request and answers when that has ended.

{made_by}"""
    sections.write(pathlib.Path(directory) / "RESULTS.md", "Notifications", text)
    print(text)
    processes.stop_all()
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
