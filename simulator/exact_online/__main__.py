"""Starts the simulator: python3 -m simulator.exact_online --help"""
import asyncio
import logging
import signal
import ssl
import sys

import aiohttp
from aiohttp import web

from .server import Simulator, application
from .settings import parse_arguments

LONGEST_LINE = 262_144      # of a request: the service's own limit of 6000 characters is checked and answered later


async def serve(settings):
    """Run until SIGINT or SIGTERM."""
    simulator = Simulator(settings)
    runner = web.AppRunner(application(simulator), access_log=None, max_line_size=LONGEST_LINE, max_field_size=65536,
                           keepalive_timeout=120, shutdown_timeout=1, handle_signals=False)
    await runner.setup()
    tls = None
    if settings.tls_cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(settings.tls_cert, settings.tls_key)
    site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls, backlog=512)
    await site.start()
    port = runner.addresses[0][1]
    scheme = "https" if tls else "http"
    simulator.base_url = settings.base_url or f"{scheme}://{settings.host}:{port}"
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.weather:
        print(f"weather {settings.weather:g} seed {settings.seed}", file=sys.stderr, flush=True)
    print(f"ready {scheme}://{settings.host}:{port}", flush=True)
    await stop.wait()
    simulator.faults.remove()
    await simulator.sender.close()
    await runner.cleanup()


def main():
    # Before 3.9 a runner hands shutdown_timeout to each connection, which ends without an answer and without a word.
    if tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 9):
        raise SystemExit(f"exact-online: aiohttp {aiohttp.__version__} is too old: install 3.9 or later, as "
                         "simulator/requirements.txt has it")
    logging.basicConfig(level=logging.WARNING, format="exact-online: %(message)s")
    settings = parse_arguments()
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        raise SystemExit(f"exact-online: cannot listen on {settings.host}:{settings.port}: "
                         f"{error.strerror or error}") from None


if __name__ == "__main__":
    main()
