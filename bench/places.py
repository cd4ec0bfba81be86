"""
Honest notifications, each over a connection of its own, while other addresses hold all the connections that they may
(hold.py): how many are answered, and how soon.
"""
import pathlib
import re
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
import webhooks  # noqa: E402

# addresses and connections of each: 512 may be open
HELD, RATE = ((0, 0), (4, 128), (8, 64), (64, 8)), 50
HONEST_FROM = "127.0.0.100"


def ask(port, request):
    """Was it answered 200?"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3, source_address=(HONEST_FROM, 0)) as s:
            s.sendall(request)
            return s.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def honest(port, requests, seconds):
    """RATE a second; answered, and the times in ms from the moment at which each was due."""
    good, took, begun = 0, [], time.monotonic()
    for n in range(RATE * seconds):
        due = begun + n / RATE
        time.sleep(max(due - time.monotonic(), 0))
        good += ask(port, requests[n])
        took.append(1000 * (time.monotonic() - due))
    return good, sorted(took)


def part(cluster, port, directory, lines, each, seconds):
    path = pathlib.Path(directory) / "requests"
    length = webhooks.write_requests(path, RATE * seconds, port)
    data = path.read_bytes()
    requests = [data[i:i + length] for i in range(0, len(data), length)]
    holder = subprocess.Popen([sys.executable, HERE / "hold.py", str(port), str(lines), str(each), str(seconds + 20)],
                              stdout=subprocess.PIPE, text=True)

    def held():
        return int(cluster.value("SELECT connections FROM exact.listener"))
    if lines:
        processes.wait_until("they hold what they may", lambda: held() > 400, 15)
    good, took = honest(port, requests, seconds)
    holder.terminate()
    asks = re.findall(r"holds (\d+)", holder.communicate()[0])
    processes.wait_until("they have gone", lambda: held() < 20, 15)
    return {"lines": lines, "each": each, "held": max(map(int, asks), default=0), "sent": len(took), "good": good,
            "p50": took[len(took) // 2], "p99": took[int(0.99 * (len(took) - 1))], "most": took[-1]}


def main(directory, results, seconds):
    port = webhooks.free_port()
    cluster = webhooks.make_cluster(directory, port)
    made_by = sections.made_by(f"bench/places {seconds}", cluster.value("SHOW server_version"))
    rows = [part(cluster, port, directory, *held, seconds) for held in HELD]
    over = cluster.value("SELECT over_limit FROM exact.listener")
    cluster.remove()
    table = "| others hold all they may | they hold | answered of sent | p50 | p99 | slowest | p99 to be |\n"
    table += "|---|---|---|---|---|---|---|\n" + "".join(
        f"| {r['lines']} addresses, {r['each']} each | {r['held']} | {r['good']:,} of {r['sent']:,} "
        f"| {r['p50']:.1f} ms | {r['p99']:.1f} ms | {r['most']:.1f} ms | 50 ms |\n" for r in rows)
    sections.write(results, "Places", f"""{table}
{RATE} signed notifications a second from an address that holds nothing, each over a connection of its own, measured
from the moment at which it was due. The others ask over each connection every 0.7 s and make it anew within 100 ms
when it ends (`bench/hold.py`). Connections that the listener closed for want of a place: {over}.

{made_by}""")
    print(table)
    processes.stop_all()
    return 0 if all(r["good"] == r["sent"] and r["p99"] <= 50 for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
