#!/usr/bin/env bash
# Measures the memory of idle connections where they may be as many as one likes: in a
# virtual machine that is emulated in software, since the limit on descriptors of this
# machine may be far below 100,000 and root's to raise only.
#
#   bench/vm/run.sh [OUT [FLAGS OF bench peers...]]
#
# Its clock counts instructions instead of time (-icount): a nanosecond each, and it jumps
# when nothing is to be done. So the guest does not notice that it is emulated, and no
# time limit of the benchmark strikes because of that; but nothing in it tells how
# long anything takes on a real machine. Memory is not a matter of time.
#
# gnet-one is gnet with one engine for all namespaces, which accepts by other means: see
# cmd/gnetecho.
#
# Needs these packages of Debian: qemu-system-x86 busybox-static cpio gcc libc6-dev. The
# kernel is Debian's too, from apt, unless KERNEL names another one that has serial ports and
# initramfs built in. Environment: MEMORY of the machine (default 8G; 100,000 connections
# need less than half), LIMIT in seconds (default 3600), HUGE_PAGES (transparent ones:
# madvise by default, always or never), KERNEL.
set -euo pipefail

out=$(realpath -m "${1:-results}")
kernel=${KERNEL:+$(realpath "$KERNEL")}
shift || true
[ $# -gt 0 ] || set -- --idle 10000,100000 --idle-in 1000 \
	--servers c-never,nsr-any,nsr-namespace,gonet,gnet,nbio,netpoll \
	--also "gnet-one=c-never=/servers/gnetecho -engines 1"
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
qemu=
# clean_up ends the machine, if it runs, and takes the folder away.
clean_up() {
	if [ -n "$qemu" ] && kill "$qemu" 2>/dev/null; then
		wait "$qemu" || true
	fi
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# find_kernel downloads Debian's kernel for virtual machines, or takes $KERNEL.
find_kernel() {
	if [ -n "$kernel" ]; then
		cp "$kernel" "$dir/vmlinuz"
		return
	fi
	local package
	package=$(apt-cache depends --important linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
	[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64: apt-get update?" >&2; exit 1; }
	mkdir "$dir/kernel"
	(cd "$dir/kernel" && apt-get -o APT::Sandbox::User=root -qq download "$package" && dpkg-deb -x ./*.deb .)
	mv "$dir"/kernel/boot/vmlinuz-* "$dir/vmlinuz"
	rm -rf "$dir/kernel"
}

# build_programs makes programs that need no libraries.
build_programs() {
	mkdir -p "$root/servers"
	for program in load echo; do
		gcc -O2 -static -pthread -o "$root/servers/$program" "c/$program.c"
	done
	for program in nsr gonet gnetecho nbioecho netpollecho; do
		CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -o "$root/servers/$program" "./cmd/$program"
	done
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -o "$root/bin/bench" .
}

# answer makes a command that always says the same: what the benchmark notes down about
# where it was built, asked here because there is no git, gcc or go in the machine.
answer() {
	printf '#!/bin/sh\ncat <<"END"\n%s\nEND\n' "$2" >"$root/bin/$1"
	chmod +x "$root/bin/$1"
}

# build_root makes the machine's file system.
build_root() {
	mkdir -p "$root/bin"
	cp "$(command -v busybox)" "$root/bin/busybox"
	install -m 755 vm/init "$root/init"
	build_programs
	answer gcc "$(gcc --version)"
	answer go "$(go list -m github.com/panjf2000/gnet/v2 github.com/lesismal/nbio github.com/cloudwego/netpoll golang.org/x/sys)"
	local commit
	commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
	[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit+=-dirty
	sed "s/COMMIT/$commit/" >"$root/bin/git" <<-"END"
		#!/bin/sh
		case $1 in rev-parse) echo COMMIT ;; esac # its status: nothing that is not said already
	END
	chmod +x "$root/bin/git"
	printf 'exec bench peers --parts idle --no-build --programs /servers --server-cpu=-1 --load-cpu=-1 --nice=0 --out /out' >"$root/command"
	printf ' %q' "$@" >>"$root/command"
	(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$dir/initramfs"
}

root=$dir/root
find_kernel
build_root "$@"

# One CPU: with a clock of instructions there is no parallelism to be had.
timeout --kill-after=10 "${LIMIT:-3600}" nice -n 19 qemu-system-x86_64 \
	-accel tcg -icount shift=0,sleep=off -cpu qemu64,+rdrand -smp 1 -m "${MEMORY:-8G}" \
	-nodefaults -display none -no-reboot -serial stdio -serial "file:$dir/sent" \
	-kernel "$dir/vmlinuz" -initrd "$dir/initramfs" \
	-append 'console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 transparent_hugepage='"${HUGE_PAGES:-madvise}" </dev/null &
qemu=$!
wait "$qemu" || { echo "the machine did not end well, or not within ${LIMIT:-3600} s" >&2; exit 1; }
qemu=

[ -s "$dir/sent" ] || { echo "the machine sent nothing: see what it said above" >&2; exit 1; }
mkdir -p "$out"
base64 -di "$dir/sent" | tar -xz -C "$out" --no-same-owner
echo "copied to $out"
