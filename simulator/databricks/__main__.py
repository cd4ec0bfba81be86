"""Command line of the Databricks simulator."""

import argparse
import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from .engine_memory import MemoryEngine
from .engine_spark import SparkEngine
from .server import Workspace
from .settings import Settings
from .sql_text import quote


def read_arguments():
    d = Settings()
    parser = argparse.ArgumentParser(
        prog="databricks-workspace",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="A Databricks workspace on this machine: OAuth, SQL statements on real Spark and Delta tables, "
                    "query history, files, "
        "warehouses, Unity Catalog reads. Prints 'ready http://HOST:PORT' once statements can be executed. "
        "GET /_control/info names the credentials.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free port")
    parser.add_argument("--engine", choices=("spark", "none"), default="spark",
                        help="none: an interpreter in memory for the statements of the hub, without Java")
    parser.add_argument(
        "--data", help="directory for tables and volumes; without it a temporary one that is removed at the end"
    )
    parser.add_argument("--jars", default=os.environ.get("EXACT_DATABRICKS_JARS"),
                        help="directory with delta-spark and delta-storage (environment: EXACT_DATABRICKS_JARS)")
    parser.add_argument("--heap", default="1g", help="heap of the Java process")
    parser.add_argument(
        "--seed", type=int, default=1, help="of statement ids, made-up credentials, drawn forms and weather"
    )
    parser.add_argument("--catalog", default=d.catalog, help="name of the one catalog")
    parser.add_argument(
        "--schema", default=d.schema, help="schema that the owner has made and granted, as docs/setup.md says"
    )
    parser.add_argument("--warehouse", default=d.warehouse_id, help="id of the one warehouse")
    parser.add_argument("--client-id", default=d.client_id, help="the service principal's id")
    parser.add_argument("--client-secret", help="its secret; made up from the seed when not given")
    parser.add_argument("--pat", help="personal access token; made up from the seed when not given")
    parser.add_argument(
        "--token-lifetime", type=float, default=d.token_lifetime, help="seconds an OAuth token is good for"
    )
    parser.add_argument("--expires-in-string", action="store_true", help="answer expires_in as a string")
    parser.add_argument("--start-seconds", type=float, default=d.start_seconds,
                        help="above 0: the warehouse is stopped at first and takes so long to start")
    parser.add_argument("--slots", type=int, default=d.slots, help="statements executed at once")
    parser.add_argument(
        "--history-delay", type=float, default=d.history_delay, help="seconds by which the query history lags"
    )
    parser.add_argument(
        "--status-lag", type=float, default=d.status_lag, help="seconds by which the state of a statement lags"
    )
    parser.add_argument(
        "--chunk-rows", type=int, default=d.chunk_rows, help="rows of a result chunk; 0: drawn for each statement"
    )
    parser.add_argument(
        "--weather", type=float, default=d.weather, help="0 to 1: all forms at low rates, drawn by the seed"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of POST /_control/config; may be repeated",
    )
    parser.add_argument("--grant", action="append", default=[], metavar="'PRIVILEGE ON OBJECT'",
                        help="a privilege that the principal has besides those of docs/setup.md; may be repeated")
    return parser.parse_args()


def make_settings(arguments):
    rng = random.Random(arguments.seed)
    made_up = [f"dose{rng.getrandbits(128):032x}", f"dapi{rng.getrandbits(128):032x}"]
    settings = Settings(
        catalog=arguments.catalog.lower(),
        schema=arguments.schema.lower(),
        warehouse_id=arguments.warehouse,
        client_id=arguments.client_id,
        client_secret=arguments.client_secret or made_up[0],
        pat=arguments.pat or made_up[1],
        token_lifetime=arguments.token_lifetime,
        expires_in_string=arguments.expires_in_string,
        start_seconds=arguments.start_seconds,
        slots=arguments.slots,
        history_delay=arguments.history_delay,
        status_lag=arguments.status_lag,
        chunk_rows=arguments.chunk_rows,
    )
    settings.update({"weather": arguments.weather, "chunk_rows": arguments.chunk_rows})
    settings.set_texts(arguments.set)
    return settings


def read_grants(texts):
    """(privilege, object) pairs of PRIVILEGE ON OBJECT texts. Raises ValueError."""
    found = []
    for text in texts:
        privilege, on, target = text.partition(" ON ")
        if not on or not privilege.strip() or not target.strip():
            raise ValueError(f"--grant takes 'PRIVILEGE ON OBJECT', not {text!r}")
        found.append((privilege.strip(), target.strip()))
    return found


async def serve(arguments, data, progress):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    settings, grants = make_settings(arguments), read_grants(arguments.grant)

    def make_engine(unity):
        return (
            MemoryEngine(unity, settings)
            if arguments.engine == "none"
            else SparkEngine(unity, settings, data, arguments.jars, arguments.heap)
        )

    workspace = Workspace(settings, data, arguments.seed, make_engine, arguments.engine)
    workspace.unity.privileges.grant(grants)
    workspace.weather.settle()
    starting = loop.run_in_executor(workspace.statements.threads, workspace.engine.start, progress)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    runner = web.AppRunner(workspace.application(), access_log=None, shutdown_timeout=1.0)
    try:
        if starting.done():
            await starting
            await workspace.statements.direct(
                f"CREATE SCHEMA IF NOT EXISTS {quote(settings.catalog)}.{quote(settings.schema)}"
            )
            await runner.setup()
            site = web.TCPSite(runner, arguments.host, arguments.port)
            await site.start()
            port = site._server.sockets[0].getsockname()[1]
            progress(
                f"workspace ready, engine {arguments.engine}, data in {data}, seed {arguments.seed}, weather "
                f"{settings.weather:g}"
            )
            print(f"ready http://{arguments.host}:{port}", flush=True)
            await stop.wait()
        else:
            starting.cancel()
    finally:
        await workspace.statements.stop()
        await runner.cleanup()
        workspace.engine.stop()


def main():
    # Before 3.9 a runner hands shutdown_timeout to each connection, which ends without an answer and without a word.
    if tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 9):
        raise SystemExit(f"databricks-workspace: aiohttp {aiohttp.__version__} is too old: install 3.9 or later, as "
                         "simulator/requirements.txt has it")
    arguments = read_arguments()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("py4j", "aiohttp"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    began, temporary = time.monotonic(), None

    def progress(text):
        print(f"[{time.monotonic() - began:5.1f} s] {text}", file=sys.stderr, flush=True)

    if arguments.data is None:
        arguments.data = temporary = tempfile.mkdtemp(prefix="databricks-workspace-")
    data = Path(arguments.data).resolve()
    data.mkdir(parents=True, exist_ok=True)
    code = 0
    try:
        asyncio.run(serve(arguments, data, progress))
    except (RuntimeError, OSError, ValueError) as error:
        print(f"databricks-workspace: {error}", file=sys.stderr)
        code = 1
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads may still hang in the ended engine


if __name__ == "__main__":
    main()
