#!/bin/sh
# Prints the part of the install script that fills exact.catalogue and exact.catalogue_field, from the tables beside it.
# Usage: install/catalogue/build.sh > 12_catalogue_data.sql
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
LC_ALL=C exec awk -F '\t' -f "$here/build.awk" "$here/mapping.tsv" "$here/entities.tsv" "$here/fields.tsv"
