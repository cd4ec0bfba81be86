# Functions shared by scripts/setup, scripts/demo, scripts/check and scripts/kills. Sourced by bash, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The versions that the whole flow is tested with. The engine's Python packages are pinned in
# simulator/requirements.txt, those of the text suite in scripts/requirements.txt, servers of other versions in
# scripts/requirements-servers.txt, what bench/bulk measures beside the hub in scripts/requirements-bench.txt.
PG_MAJOR=15
PACKAGES="postgresql-$PG_MAJOR postgresql-server-dev-$PG_MAJOR postgresql-$PG_MAJOR-cron libcurl4-openssl-dev libssl-dev
          libmicrohttpd-dev zlib1g-dev libkrb5-dev pkg-config gcc libc6-dev make clang-14 libclang-rt-14-dev perl
          libipc-run-perl openjdk-17-jre-headless python3 python3-venv ca-certificates"
JARS="io.delta:delta-spark_4.0_2.13:4.4.0:49e899667168b9412f83cbe894ce264107d7b896d6c5e12edca4e216845c1104
      io.delta:delta-storage:4.4.0:c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc"
JAR_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
PG_BIN=/usr/lib/postgresql/$PG_MAJOR/bin
PG_SHARE=/usr/share/postgresql/$PG_MAJOR

if [ "$(id -u)" = 0 ]; then
    RUN_USER=${EXACT_DATABRICKS_USER:-exactdb}
    CACHE=${EXACT_DATABRICKS_CACHE:-/var/cache/exact_databricks}
else
    RUN_USER=$(id -un)
    CACHE=${EXACT_DATABRICKS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exact_databricks}
fi
export EXACT_DATABRICKS_PYTHON=$CACHE/python/bin/python
export EXACT_DATABRICKS_JARS=$CACHE/jars
export EXACT_DATABRICKS_TOOLS=$CACHE/tools
export EXACT_DATABRICKS_SERVERS=$CACHE/servers
export EXACT_DATABRICKS_PEERS=$CACHE/peers

# die MESSAGE [LOG]: one plain sentence, the last lines of the log that explains it, exit status 1.
die() {
    printf '\n%s: %s\n' "$(basename "$0")" "$1" >&2
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        printf 'The last lines of %s:\n' "$2" >&2
        tail -n 20 "$2" | sed 's/^/  | /' >&2
    fi
    exit 1
}

# as_root COMMAND…: as the administrator, by sudo for an ordinary user.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        if [ -t 0 ]; then sudo -- "$@"; else sudo -n -- "$@"; fi
    else
        return 126
    fi
}

# as_user COMMAND…: as the ordinary user, whom root makes when absent; PostgreSQL refuses to run as root.
AS_USER=()
as_user() { "${AS_USER[@]}" "$@"; }

make_user() {
    [ "$(id -u)" = 0 ] || return 0
    id -u "$RUN_USER" >/dev/null 2>&1 || useradd --system --create-home --shell /usr/sbin/nologin "$RUN_USER" ||
        die "cannot make the user $RUN_USER, who runs the servers (PostgreSQL refuses root)"
    AS_USER=(setpriv "--reuid=$RUN_USER" "--regid=$(id -g "$RUN_USER")" --init-groups
             env "HOME=$(getent passwd "$RUN_USER" | cut -d: -f6)" "USER=$RUN_USER")
}

# in_memory: TMPDIR becomes a file system in memory if there is room for all that a check makes, unless one is given:
# hundreds of clusters come and go, and a quarter of their time goes into files.
in_memory() {
    local of=/dev/shm
    [ -z "${TMPDIR:-}" ] && [ "$(stat -f -c %T $of 2>/dev/null)" = tmpfs ] && [ -k $of ] &&
        ! findmnt -n -o OPTIONS $of | grep -qw noexec &&
        [ "$(df --output=avail -k $of | tail -1)" -gt 8000000 ] &&
        [ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" -gt 16000000 ] && export TMPDIR=$of
    return 0
}

# make_workspace: WORK, a new directory of the run user; it holds all that this run makes and is removed at the end.
make_workspace() {
    make_user
    umask 022
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/exact_databricks.XXXXXX") || die "cannot make a temporary directory"
    chmod 755 "$WORK"
    [ "$(id -u)" != 0 ] || chown "$RUN_USER": "$WORK"
    as_user test -w "$WORK" ||
        die "the user $RUN_USER cannot reach ${TMPDIR:-/tmp}: set TMPDIR to a directory that every user may enter"
    [ "$(df --output=avail -k "$WORK" | tail -1)" -gt 1000000 ] || die "less than 1 GB is free in ${TMPDIR:-/tmp}"
}

# run_python SCRIPT ARGUMENTS…: a script of the copied tree, with the simulators' packages and the private PostgreSQL.
# Waits for its own orderly end: it gets Ctrl-C by itself, and TERM is handed on to it.
run_python() {
    local child status script=$WORK/tree/scripts/lib/$1
    shift
    "${AS_USER[@]}" env -C "$WORK" -u PYTHONDONTWRITEBYTECODE EXACT_DATABRICKS_PG_BIN="$PRIVATE_BIN" \
        EXACT_DATABRICKS_PYTHON="$EXACT_DATABRICKS_PYTHON" \
        EXACT_DATABRICKS_JARS="$EXACT_DATABRICKS_JARS" TMPDIR="$WORK" \
        PYTHONPYCACHEPREFIX="$WORK/pycache" PYTHONIOENCODING=utf-8 \
        "$EXACT_DATABRICKS_PYTHON" "$script" "$@" </dev/null &
    child=$!
    trap 'kill -TERM $child 2>/dev/null' TERM
    trap : INT
    while kill -0 "$child" 2>/dev/null; do wait "$child"; done
    wait "$child"
    status=$?
    trap - INT TERM
    return $status
}

# copy_tree DIR: the files of the working tree (what git knows and what is new, never what it ignores) into DIR.
copy_tree() {
    as_user mkdir -p "$1"
    if git -c safe.directory="$ROOT" -C "$ROOT" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        (cd "$ROOT" && git -c safe.directory="$ROOT" ls-files -z --cached --others --exclude-standard |
            while IFS= read -r -d '' f; do [ -e "$f" ] && printf '%s\0' "$f"; done |
            tar --null --files-from=- -cf - )
    else
        tar -C "$ROOT" --exclude=./.git -cf - .
    fi | as_user tar -C "$1" -xf - || die "cannot copy the tree to $1"
}

# private_postgres DIR: a relocated view of the installed PostgreSQL, in which `make install` needs no root and leaves
# the machine's own installation alone. The programs find their directories relative to themselves, so they are copied
# and all else is linked.
private_postgres() {
    as_user bash -s "$1" "$PG_BIN" "$PG_SHARE" <<'END' || die "cannot make a private copy of PostgreSQL in $1"
set -e
bin=$1$(echo "$2" | sed 's,^/usr,,') lib=$(dirname "$2")/lib share=$1$(echo "$3" | sed 's,^/usr,,')
mylib=$(dirname "$bin")/lib
mkdir -p "$mylib/bitcode" "$share/extension"
cp -rL "$2" "$bin"
for f in "$lib"/*; do [ "${f##*/}" = bitcode ] || ln -s "$f" "$mylib/"; done
for f in "$3"/*; do [ "${f##*/}" = extension ] || ln -s "$f" "$share/"; done
for f in "$3"/extension/*; do case ${f##*/} in exact_databricks*) ;; *) ln -s "$f" "$share/extension/" ;; esac; done
rm -f "$mylib"/exact_databricks*
ln -s /usr/include "$1/include"
for d in /usr/lib/*-linux-gnu*; do ln -s "$d" "$1/lib/"; done
END
    PRIVATE_BIN=$1${PG_BIN#/usr}
}

# copy_clusters: from here on initdb of the private PostgreSQL makes a cluster once and then copies it (initdb.pl).
copy_clusters() {
    as_user mv "$PRIVATE_BIN/initdb" "$PRIVATE_BIN/initdb.made" &&
        as_user tee "$PRIVATE_BIN/initdb" <"$ROOT/scripts/lib/initdb.pl" >/dev/null &&
        as_user chmod 755 "$PRIVATE_BIN/initdb" || die "cannot put initdb.pl into $PRIVATE_BIN"
}

# build TREE PRIVATE_BIN LOG [make arguments]: makes and installs the extension for that PostgreSQL.
build() {
    local tree=$1 bin=$2 log=$3
    shift 3
    { as_user make -C "$tree" -j2 PG_CONFIG="$bin/pg_config" "$@" &&
      as_user make -C "$tree" install PG_CONFIG="$bin/pg_config" "$@"; } >"$log" 2>&1
}

# seconds_since EPOCH_WITH_FRACTION: for progress lines, "9 s".
seconds_since() {
    awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { s = b - a; if (s < 10) printf "%.1f s", s; else printf "%d s", s }'
}
