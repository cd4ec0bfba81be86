# What scripts/setup does, in two steps that each leave one short finding in FOUND. Sourced after common.sh.

missing_packages() {
    local p
    for p in $PACKAGES "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s ' "$p"
    done
}

# install_packages LOG [more packages]: only what is missing; the package lists are refreshed only then.
install_packages() {
    local log=$1 missing
    shift
    command -v dpkg-query >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 ||
        die "this machine has no apt-get: install PostgreSQL $PG_MAJOR with its server headers, pg_cron, libcurl,\
 OpenSSL, libmicrohttpd, Java 17 and Python 3.11 by hand, or use Debian 12"
    missing=$(missing_packages "$@")
    FOUND=present
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
        die "these packages are missing: ${missing% }. Run as root, or: apt-get install ${missing% }"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >"$log" 2>&1 ||
        die "apt-get update failed (is there a network, and may this user use sudo?)" "$log"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install $missing >>"$log" 2>&1 ||
        die "apt-get could not install: ${missing% }" "$log"
    missing=$(missing_packages "$@")
    [ -z "$missing" ] || die "still missing after apt-get install: ${missing% }" "$log"
    FOUND=installed
}

# install_analyzer LOG: cppcheck for the suite analysis, which goes without it, and says so, where it cannot be had.
install_analyzer() {
    [ -z "$(missing_packages cppcheck)" ] ||
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install cppcheck >>"$1" 2>&1 || :
}

# install_browser LOG: Chromium for t/207_listener_browser.pl, which goes without it, and says so.
install_browser() {
    [ -z "$(missing_packages chromium)" ] ||
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install chromium >>"$1" 2>&1 || :
}

jar_file() { local g a v s; IFS=: read -r g a v s <<<"$1"; printf '%s/jars/%s-%s.jar' "$CACHE" "$a" "$v"; }

jar_is_right() {
    local g a v s
    IFS=: read -r g a v s <<<"$1"
    [ -r "$(jar_file "$1")" ] && printf '%s  %s\n' "$s" "$(jar_file "$1")" | sha256sum --status --check -
}

# jars_ready [deep]: the checksums are computed after a download and when asked for, not at every start.
jars_ready() {
    local jar
    for jar in $JARS; do
        if [ "${1:-}" = deep ]; then jar_is_right "$jar" || return 1; else [ -s "$(jar_file "$jar")" ] || return 1; fi
    done
    [ "${1:-}" = deep ] || [ "$(cat "$CACHE/jars/.checked" 2>/dev/null)" = "$(echo $JARS)" ]
}

fetch_jars() {
    local log=$1 jar g a v s
    if jars_ready deep; then echo $JARS >"$CACHE/jars/.checked"; return 0; fi
    command -v mvn >/dev/null 2>&1 || install_packages "$log" maven
    for jar in $JARS; do
        jar_is_right "$jar" && continue
        IFS=: read -r g a v s <<<"$jar"
        rm -f "$(jar_file "$jar")"
        mvn -B -q -C "$JAR_PLUGIN:copy" -Dartifact="$g:$a:$v" -DoutputDirectory="$CACHE/jars" >>"$log" 2>&1 ||
            die "Maven could not fetch $g:$a:$v (is there a network? its own settings name repositories and proxies)" \
                "$log"
        jar_is_right "$jar" ||
            die "the checksum of $(jar_file "$jar") is not the expected $s; the file was not accepted"
    done
    echo $JARS >"$CACHE/jars/.checked"
}

# The files that say what the environment holds: every package by its version and the SHA-256 of its files.
LOCKS="$ROOT/simulator/requirements-build.txt $ROOT/simulator/requirements.txt"

# shellcheck disable=SC2086
locks_digest() { cat $LOCKS 2>/dev/null | sha256sum | cut -d' ' -f1; }

# make_python LOG: the environment is made anew when the files have changed, so that it holds nothing that they do not
# name. The first file has what builds the packages without a wheel; pip would fetch that without looking at a hash.
make_python() {
    local log=$1 lock digest
    for lock in $LOCKS; do
        [ -r "$lock" ] || die "${lock#"$ROOT/"} is missing: the tree is not complete"
    done
    digest=$(locks_digest)
    [ "$(cat "$CACHE/python/.requirements" 2>/dev/null)" = "$digest" ] && [ -x "$EXACT_DATABRICKS_PYTHON" ] && return 0
    /usr/bin/python3 -m venv --clear "$CACHE/python" >>"$log" 2>&1 ||
        die "cannot make a Python environment in $CACHE/python" "$log"
    for lock in $LOCKS; do
        "$EXACT_DATABRICKS_PYTHON" -m pip install --disable-pip-version-check -q --require-hashes --use-pep517 \
            --no-build-isolation -r "$lock" >>"$log" 2>&1 ||
            die "pip could not install what ${lock#"$ROOT/"} names (is there a network? pip's own settings name its\
 index; a file whose SHA-256 is not in the list is refused)" "$log"
    done
    echo "$digest" >"$CACHE/python/.requirements"
}

# install_engine LOG: Spark, Delta and the Python packages of the simulators, in the cache outside the tree.
install_engine() {
    local log=$1
    mkdir -p "$CACHE/jars" 2>/dev/null ||
        die "cannot make the cache directory $CACHE (set EXACT_DATABRICKS_CACHE to another one)"
    FOUND=cached
    if [ "$(cat "$CACHE/python/.requirements" 2>/dev/null)" != "$(locks_digest)" ] || ! jars_ready; then
        [ -w "$CACHE" ] ||
            die "the cache $CACHE is not complete and not for this user to write (set EXACT_DATABRICKS_CACHE)"
        [ "$(df --output=avail -k "$CACHE" | tail -1)" -gt 1500000 ] || [ -x "$EXACT_DATABRICKS_PYTHON" ] ||
            die "less than 1.5 GB is free for the cache in $CACHE"
        exec 9>"$CACHE/.lock"
        flock 9
        make_python "$log"
        fetch_jars "$log"
        exec 9>&-
        FOUND=installed
    fi
    "$EXACT_DATABRICKS_PYTHON" -c 'import pyspark, aiohttp' 2>>"$log" ||
        die "the Python environment in $CACHE/python does not work; remove it and run again" "$log"
    FOUND="$FOUND ($(du -sm --exclude=chroot "$CACHE" | cut -f1) MB)"
}

# install_beside LOG LIST DIRECTORY MENDER [pip's options]: the Python packages that a list names, in a directory of the
# cache; MENDER DIRECTORY changes them there. Fails where they cannot be had: what needs them goes without, and says so.
install_beside() {
    local log=$1 list=$ROOT/scripts/$2 directory=$3 mender=$4 digest new status=1
    shift 4
    digest=$(sha256sum <"$list" | cut -d' ' -f1)
    FOUND=cached
    [ "$(cat "$directory/.requirements" 2>/dev/null)" != "$digest" ] || return 0
    [ -w "$CACHE" ] || return 1
    new=$(mktemp -d "$directory.XXXXXX") || return 1
    chmod 755 "$new"
    if "$EXACT_DATABRICKS_PYTHON" -m pip install --disable-pip-version-check -q --require-hashes --target "$new" "$@" \
        -r "$list" >>"$log" 2>&1 && "$mender" "$new"; then
        echo "$digest" >"$new/.requirements"
        rm -rf "$directory"
        mv -T "$new" "$directory" && FOUND=installed && status=0
    fi
    rm -rf "$new"
    return $status
}

# install_tools LOG: ruff and others for the text suite.
install_tools() {
    install_beside "$1" requirements.txt "$EXACT_DATABRICKS_TOOLS" true || FOUND="ruff cannot be had"
}

# install_servers LOG: PostgreSQL of other versions, for the suite servers and scripts/matrix.
install_servers() {
    install_beside "$1" requirements-servers.txt "$EXACT_DATABRICKS_SERVERS" mend_servers --no-deps ||
        FOUND="those of other versions cannot be had"
}

# install_peers LOG: what bench/bulk measures beside the hub.
install_peers() {
    install_beside "$1" requirements-bench.txt "$EXACT_DATABRICKS_PEERS" true ||
        die "pip could not install what scripts/requirements-bench.txt names (is there a network?)" "$1"
}

# The programs of the tests are packed as plain files; a flag was written down that the compilers of Debian 12 do not
# know.
mend_servers() {
    local pgxs
    for pgxs in "$1"/*/pginstall*/lib/pgxs "$1"/*/pginstall*/lib/postgresql/pgxs; do
        [ -d "$pgxs" ] || continue
        chmod 755 "$pgxs"/src/test/regress/pg_regress "$pgxs"/src/test/isolation/* "$pgxs"/config/install-sh &&
            sed -i 's/ -Wmissing-variable-declarations//' "$pgxs/src/Makefile.global" || return 1
    done
}
