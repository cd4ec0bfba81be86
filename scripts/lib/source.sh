# PostgreSQL built from Debian's source packages, as nobody packages it: with assertions, with other blocks, with
# little. Each is made once, in a directory of the cache. Sourced after common.sh and setup.sh.

SOURCE_ROWS="15-assert 15-blocks 15-bare 18-assert"
SOURCE_PACKAGES="bzip2 bison flex liblz4-dev libicu-dev libreadline-dev zlib1g-dev libssl-dev valgrind"

# source_server NAME: the directory that it is in.
source_server() { printf '%s/source/%s' "$CACHE" "$1"; }

# configure_of NAME: how it differs from what a distribution builds. USE_VALGRIND tells memcheck of each piece of memory
# that palloc gives, see scripts/valgrind; it costs little without.
configure_of() {
    local most="--with-openssl --with-lz4 --with-icu"
    case $1 in
        *-assert) echo "$most --enable-cassert --enable-debug CPPFLAGS=-DUSE_VALGRIND" ;;
        *-blocks) echo "$most --with-blocksize=32 --with-wal-blocksize=32" ;;
        *-bare) echo "--without-readline --without-zlib" ;;
    esac
}

# fetch_source MAJOR DIR: the original source, which apt fetches and checks with lists of its own. Debian's patches stay
# out: they write the directories of its packages into the makefiles.
fetch_source() {
    local suite=bookworm apt
    [ "$1" = 15 ] || suite=sid
    mkdir -p "$2/lists/partial" "$2/tree" || return 1
    echo "deb-src http://deb.debian.org/debian $suite main" >"$2/sources.list"
    apt="-q -o Dir::Etc::SourceList=$2/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$2/lists
         -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086
    (cd "$2" && apt-get $apt update && apt-get $apt source --download-only "postgresql-$1") &&
        tar -xf "$2"/postgresql-*.orig.tar.* -C "$2/tree" --strip-components=1
}

# make_source_server NAME: nothing when it is there already. Only the fetching is done by root: the ordinary user builds
# and installs, so that nothing can land outside the directory.
make_source_server() {
    local place made
    place=$(source_server "$1") made=$(source_server "$1").made
    [ ! -e "$place/.ready" ] || return 0
    [ "$(id -u)" = 0 ] || { echo "a server from source needs root, for apt"; return 1; }
    # shellcheck disable=SC2086
    install_packages "$WORK/packages.log" $SOURCE_PACKAGES
    rm -rf "$place" "$made"
    fetch_source "${1%%-*}" "$made" && mkdir "$place" && chown -R "$RUN_USER": "$place" "$made" || return 1
    # shellcheck disable=SC2016,SC2046
    as_user sh -euc 'cd "$1/tree"; place=$2; shift 2
        ./configure --prefix="$place" --enable-tap-tests "$@"
        make -s -j2
        make -s install
        for extension in hstore pg_stat_statements; do make -s -C "contrib/$extension" install; done
        cp src/tools/valgrind.supp "$place/"' - "$made" "$place" $(configure_of "$1") || return 1
    rm -rf "$made"
    chown -R root: "$place"
    touch "$place/.ready"
}

# made_server SERVER: what a server needs that is made once and is no other Debian.
made_server() {
    case $1 in *-*) make_source_server "$1" ;; esac
}

# private_server SERVER DIR TREE: PRIVATE_BIN, the programs of a copy into which the extension may be installed. TREE is
# a copy of ours that the user can read.
private_server() {
    case $1 in
        *-*) as_user mkdir -p "${2%/*}" && as_user cp -r "$(source_server "$1")" "$2" && PRIVATE_BIN=$2/bin ;;
        *.*) PRIVATE_BIN=$(as_user python3 "$3/scripts/lib/servers.py" "$2" "$1") && [ -n "$PRIVATE_BIN" ] ;;
        *)
            PG_BIN=/usr/lib/postgresql/$1/bin PG_SHARE=/usr/share/postgresql/$1
            private_postgres "$2" ;;
    esac
}
