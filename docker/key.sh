#!/bin/sh
# The key that encrypts credentials, made once, with the cluster. Back up the volume of /etc/exact_databricks.
set -eu
key=/etc/exact_databricks/hub.key
umask 077
[ -s "$key" ] || echo "k1:$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')" >"$key"
