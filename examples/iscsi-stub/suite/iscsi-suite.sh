#!/usr/bin/env bash
# iscsi-suite.sh PORTAL IQN LUN [PORTAL2]
#
# Runs libiscsi's iscsi-test-cu against a target, one process a test, so that a hang, a
# crash or a target that dies costs one test. It destroys what is on the LUN. PORTAL2 is
# a second way to it, which SCSI.MultipathIO needs and nothing else.
#
# In the environment:
#   OUT=dir                    for results.tsv (test, result, milliseconds, why) and a log of each
#                              test that did not pass; a new temporary one by default
#   TESTS='SCSI.* iSCSI.*'     globs of FAMILY.SUITE.TEST; these two families are all tests
#   NOTESTS=''                 globs of what to leave out
#   URLARGS='?header_digest=crc32c'   CHAP='user%secret'
#   T=30                       seconds a test may take
#   NETNS=name                 of a network namespace to run the initiator in
#   BIN=iscsi-test-cu
#
# CUnit counts a test that skips itself as passed. Here it is a SKIP. Exits 0 if tests ran,
# whatever their results, and 3 if none could.
set -u
(($# >= 3)) || { sed -n '2,/^set/{/^#/p}' "$0"; exit 3; }
portal=$1 iqn=$2 lun=$3 portal2=${4:-}
BIN=${BIN:-iscsi-test-cu} T=${T:-30} OUT=${OUT:-$(mktemp -d)} NOTESTS=${NOTESTS:-} TESTS=${TESTS:-'SCSI.* iSCSI.*'}
in=()
[[ -n ${NETNS:-} ]] && in=(ip netns exec "$NETNS")
mkdir -p "$OUT" && : >"$OUT/results.tsv"
url() { echo "iscsi://${CHAP:+$CHAP@}$1/$iqn/$lun${URLARGS:-}"; }
matches() { # text globs
	local text=$1 glob
	shift
	# shellcheck disable=SC2048,SC2053 # they are several, and globs
	for glob in $*; do [[ $text == $glob ]] && return 0; done
	return 1
}

# judge says what became of a test, by its exit code and its log.
judge() { # code log
	local code=$1 log=$2 ran failed
	ran=$(awk '$1 == "tests" { print $3 }' "$log") failed=$(awk '$1 == "tests" { print $5 }' "$log")
	if ((code == 124 || code == 137)); then
		echo TIMEOUT
	elif ((code > 128 && code < 160)); then
		echo CRASH
	elif ((${ran:-0} == 0)); then
		echo NOLOGIN
	elif ((${failed:-1} != 0)); then
		echo FAIL
	elif body "$log" | grep -a '\[SKIPPED\]' | grep -qv 'Skipping assert\|restrictions on this LUN'; then
		echo SKIP
	else
		echo PASS
	fi
}

# body is what a test itself printed. What the tool does afterwards it says on the line with the
# test's result.
body() { awk '/^  Test: / { p = 1 } p && /^(passed|FAILED)/ { exit } p { print } p && /\.\.\.(passed|FAILED)/ { exit }' "$1"; }

# reason is the first word of why a test has not passed.
reason() { # result log
	local why
	why=$(body "$2" | grep -a -m1 -E '\[FAILED\]|\[SKIPPED\]' | sed 's/.*\(\[[A-Z]*\]\)/\1/')
	[[ -z $why && $1 == NOLOGIN ]] && why=$(tail -n 1 "$2")
	[[ -z $why ]] && why=$(grep -a -m1 -E '^ +[0-9]+\. ' "$2" | tr -s ' ')
	tr '\t' ' ' <<<"$why" | cut -c 1-150
}

run() { # test
	local test=$1 log="$OUT/$1.log" urls result begin code
	urls=("$(url "$portal")")
	[[ $test == SCSI.MultipathIO.* && -n $portal2 ]] && urls+=("$(url "$portal2")")
	begin=$EPOCHREALTIME
	"${in[@]}" timeout -k 2 "$T" "$BIN" --dataloss --allow-sanitize -v -V -t "$test" "${urls[@]}" >"$log" 2>&1 </dev/null
	code=$?
	result=$(judge $code "$log")
	printf '%s\t%s\t%d\t' "$test" "$result" $(((${EPOCHREALTIME/[.,]/} - ${begin/[.,]/}) / 1000))
	if [[ $result == PASS ]]; then
		echo
		rm "$log"
	else
		reason "$result" "$log"
	fi
}

set -f # globs are for matches, not for files
while read -r test; do
	matches "$test" "$TESTS" && ! matches "$test" "$NOTESTS" && run "$test" >>"$OUT/results.tsv"
done < <("$BIN" --list | awk -F. 'NF == 3 && ($1 == "SCSI" || $1 == "iSCSI")')

awk -F'\t' '{ n[$2]++ } END { for (r in n) printf "%s %d  ", r, n[r]; print "" }' "$OUT/results.tsv"
echo "$OUT/results.tsv"
grep -q -v -P '\tNOLOGIN\t' "$OUT/results.tsv" || { echo "no test ran: is there a target at $(url "$portal")?" >&2; exit 3; }
