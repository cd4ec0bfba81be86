#!/bin/sh
# The key that encrypts credentials, made once, with the cluster, and the directory of secrets, which only a volume of
# Docker's own has already. Back up the volume of /etc/exact_databricks. Later: docker exec hub <this script>.
# In a shell of its own, as the entry point sources a script that is not executable.
(
    set -eu
    umask 077
    place=/etc/exact_databricks
    [ ! -s "$place/hub.key" ] || exit 0    # may be mounted for reading only
    [ -w "$place" ] || {
        echo "$place is not for user $(id -u) to write: chown $(id -u) its directory or volume on the host" >&2
        exit 1
    }
    mkdir -p "$place/secrets"
    echo "k$(date -u +%Y%m%d%H%M%S):$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')" >"$place/hub.key"
)
