# The hub on the official image of PostgreSQL (target hub), and its demo: both simulators and a client (target
# simulators). compose.yaml starts them; scripts/package runs these steps in directories, without Docker.
FROM postgres:15-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        gcc libc6-dev libcurl4-openssl-dev libmicrohttpd-dev libssl-dev make pkg-config zlib1g-dev \
        "postgresql-server-dev-$PG_MAJOR" \
    && rm -rf /var/lib/apt/lists/*
COPY Makefile exact_databricks.control /src/
COPY src /src/src
COPY install /src/install
WORKDIR /src
RUN make -j2 && make install DESTDIR=/built

FROM debian:bookworm-slim AS simulators
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates postgresql-client python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system exact
COPY simulator /exact_databricks/simulator
COPY scripts/lib /exact_databricks/scripts/lib
WORKDIR /exact_databricks
# Of what the simulators pin, all that they need without Spark; Debian's own aiohttp is too old for them.
RUN awk '/^[a-z]/ { kept = /^(aio|attrs|certifi|charset|frozenlist|idna|multidict|propcache|requests|typing|urllib3|yarl)/ } kept' \
        simulator/requirements.txt > /tmp/requirements.txt \
    && python3 -m venv /opt/python \
    && /opt/python/bin/pip install --no-cache-dir --require-hashes --no-deps -r /tmp/requirements.txt
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONIOENCODING=utf-8 EXACT_DATABRICKS_PYTHON=/opt/python/bin/python \
    PATH=/opt/python/bin:/usr/local/bin:/usr/bin:/bin
USER exact
CMD ["simulator/exact-online", "--help"]

FROM postgres:15-bookworm AS hub
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libcurl4 libmicrohttpd12 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres -m 0700 /etc/exact_databricks /etc/exact_databricks/secrets
COPY --from=build /built /
COPY docker/key.sh /docker-entrypoint-initdb.d/
USER postgres
# The user is named, as --user may be one whom the image does not know.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=12 CMD ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"]
CMD ["postgres", "-c", "shared_preload_libraries=exact_databricks", \
     "-c", "exact_databricks.key_file=/etc/exact_databricks/hub.key", \
     "-c", "exact_databricks.secrets_directory=/etc/exact_databricks/secrets"]
