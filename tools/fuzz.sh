#!/usr/bin/env bash
# Runs every fuzz target of the given packages for FUZZTIME each, one after the
# other: go test fuzzes one target of one package at a time.
#
#   FUZZTIME=10s tools/fuzz.sh ./...
set -euo pipefail

# go test -list prints a package's targets and then its "ok" line.
targets=$(go test -run='^$' -list='^Fuzz' "$@" |
	awk '/^Fuzz/ { names[n++] = $1 } $1 == "ok" { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }')
if [[ -z $targets ]]; then
	echo "no fuzz targets in $*"
	exit 0
fi

while read -r pkg name; do
	echo "fuzz $pkg $name"
	go test -run='^$' -fuzz="^$name\$" -fuzztime="${FUZZTIME:-10s}" "$pkg" </dev/null
done <<<"$targets"
