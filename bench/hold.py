"""
Holds as many connections of the listener as it gets from some addresses of this machine: each asks every 0.7 s, one
half /health, the other half what Exact Online asks of a new address, and is made anew as soon as it ends.

    python3 hold.py PORT LINES EACH [SECONDS]

127.1.0.1 is the first address. Prints a line "holds N" once a second; at the end asked, answered and made anew.
"""
import errno
import heapq
import itertools
import select
import signal
import socket
import sys
import time

PAUSE, AGAIN = 0.7, 0.1
REQUESTS = (b"GET /health HTTP/1.1\r\nHost: hub.example\r\n\r\n",
            b"POST /exact/hook HTTP/1.1\r\nHost: hub.example\r\nContent-Length: 0\r\n\r\n")


class Holder:
    def __init__(self, port, addresses, each):
        self.port, self.poll, self.open, self.due = port, select.epoll(), {}, []
        self.tie = itertools.count()
        self.asked = self.answered = self.anew = 0
        for n in range(len(addresses) * each):
            self.later(n * PAUSE / (len(addresses) * each), self.connect, addresses[n % len(addresses)])

    def later(self, seconds, what, who):
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.tie), what, who))

    def connect(self, address):
        s = socket.socket()
        s.setblocking(False)
        s.bind((address, 0))
        if s.connect_ex(("127.0.0.1", self.port)) not in (0, errno.EINPROGRESS):
            s.close()
            self.later(AGAIN, self.connect, address)
            return
        self.open[s.fileno()] = (s, address)
        self.poll.register(s, select.EPOLLIN)
        self.later(PAUSE, self.ask, s)

    def ask(self, s):
        if s.fileno() not in self.open:
            return
        try:
            s.send(REQUESTS[s.fileno() % 2])
            self.asked += 1
            self.later(PAUSE, self.ask, s)
        except BlockingIOError:
            self.later(0.005, self.ask, s)
        except OSError:
            self.lost(s.fileno())

    def lost(self, fd):
        s, address = self.open.pop(fd)
        s.close()
        self.anew += 1
        self.later(AGAIN, self.connect, address)

    def read(self, fd):
        try:
            data = self.open[fd][0].recv(4096)
        except OSError:
            data = b""
        self.answered += data.count(b"HTTP/1.1 200")
        if not data:
            self.lost(fd)

    def run(self, until):
        second = time.monotonic() + 1
        while time.monotonic() < until:
            while self.due and self.due[0][0] <= time.monotonic():
                _, _, what, who = heapq.heappop(self.due)
                what(who)
            for fd, _ in self.poll.poll(0.005):
                if fd in self.open:
                    self.read(fd)
            if time.monotonic() >= second:
                second += 1
                print(f"holds {len(self.open)}", flush=True)
        print(f"asked {self.asked} answered {self.answered} anew {self.anew}", flush=True)


def main(port, lines, each, seconds=3600.0):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    addresses = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(int(lines))]
    Holder(int(port), addresses, int(each)).run(time.monotonic() + float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
