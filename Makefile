# nsreactor's commands. make help lists them.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := help

# A go.work somewhere above must not decide what is built here.
export GOWORK := off

PKGS     ?= ./...
FUZZTIME ?= 10s
COUNT    ?= 6

GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# The modules of the repository, the main one first.
MODULES := $(patsubst ./%go.mod,./%,$(wildcard ./go.mod ./bench/go.mod ./tools/go.mod ./examples/grpc/go.mod))

# Tools run at the versions of tools/go.mod.
tool = go tool -modfile=$(CURDIR)/tools/go.mod

##@ Every day

.PHONY: check
check: lint bin/noskip ## lint, then the tests without the race detector: what to run before a commit
	@bin/noskip $(PKGS)

.PHONY: test
test: bin/noskip ## every test with the race detector, namespaces included; a skipped test fails
	@bin/noskip -race -count=1 $(PKGS)

.PHONY: demo
demo: ## one process that echoes in five namespaces
	@go run ./examples/echo -demo 5

.PHONY: fmt
fmt: ## format every Go file
	@$(tool) goimports -local github.com/nsreactor/nsreactor -w .
	@$(tool) gofumpt -w .

.PHONY: bench
bench: ## Go benchmarks, COUNT=6 times, into out/ for benchstat
	@mkdir -p out
	@file=out/bench-$$(git describe --always --dirty 2>/dev/null || echo unknown).txt; \
	go test -run='^$$' -bench=. -benchmem -count=$(COUNT) $(PKGS) | tee "$$file"; \
	printf '\nWritten to %s. Compare two with\n\tgo tool -modfile=tools/go.mod benchstat BEFORE AFTER\nWhole servers and their peers: cd bench && go run . --help\n' "$$file"

##@ What CI runs

.PHONY: ci
ci: ## what .ci/run and the workflow run: all of these in turn, with the time of each
	@for stage in tools lint lint-rules cross test fuzz-smoke check-iscsi check-grpc check-bench; do \
		printf '\n== %s\n' "$$stage"; start=$$SECONDS; \
		$(MAKE) "$$stage" || { echo "== $$stage failed after $$((SECONDS - start)) s"; exit 1; }; \
		took+="$$(printf '%6d s  %s' $$((SECONDS - start)) "$$stage")"$$'\n'; \
	done; \
	printf '\n== passed\n%s%6d s  in all\n' "$$took" $$SECONDS

.PHONY: tools
tools: bin/noskip ## build the linter (a minute or two the first time)
	@$(tool) golangci-lint version

.PHONY: lint
lint: ## vet for amd64 and arm64, tidy go.mod files, golangci-lint
	@for dir in $(MODULES); do ( cd "$$dir"; \
		echo "lint $$dir"; \
		GOOS=linux GOARCH=amd64 go vet ./...; \
		GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go vet ./...; \
		go mod tidy -diff; \
		$(tool) golangci-lint run ./... ); done

.PHONY: lint-rules
lint-rules: ## the tests of the tools: every import rule of .golangci.yml fires
	@cd tools && go test -count=1 ./...

.PHONY: cross
cross: ## build and vet for arm64 without cgo
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -buildvcs=false ./...
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go vet ./...

.PHONY: fuzz
fuzz: ## every fuzz target of every package for FUZZTIME=10s
	@FUZZTIME=$(FUZZTIME) tools/fuzz.sh $(PKGS)

.PHONY: fuzz-smoke
fuzz-smoke: ## every fuzz target for a thousand inputs
	@$(MAKE) fuzz FUZZTIME=1000x # a count: a run that its time cuts off may fail with "context deadline exceeded"

.PHONY: check-bench
check-bench: ## test the benchmark module: each command in its short form, and the structural figures
	cd bench && go vet ./... && go test -count=1 ./...

.PHONY: check-iscsi
check-iscsi: ## libiscsi's test suite and qemu against examples/iscsi-stub: every result is the expected one
	@go run ./examples/iscsi-stub/suite

.PHONY: check-grpc
check-grpc: bin/noskip ## test the gRPC example, a module of its own
	@cd examples/grpc && $(CURDIR)/bin/noskip -race -count=1 ./...

##@ Now and then

.PHONY: regress
regress: ## ratios and counts against the kept baseline, in some minutes; exits 1 on a regression
	cd bench && go run . regress

.PHONY: bench-all
bench-all: ## every measurement and the page docs/results: an hour or so on a quiet machine
	cd bench && go run . switch && go run . approaches && go run . peers && go run . parallel && go run . toolkit && go run . packets && go run . regress && go run . report

.PHONY: bench-peers
bench-peers: ## install the Debian packages that the benchmarks use: haproxy, strace, tgt, libiscsi-bin, qemu-utils, qemu-block-extra
	apt-get install -y --no-install-recommends haproxy strace tgt libiscsi-bin qemu-utils qemu-block-extra

.PHONY: bench-idle-vm
bench-idle-vm: ## idle connections beyond this machine's limit of descriptors, in an emulated machine
	cd bench && vm/run.sh

.PHONY: vuln
vuln: ## known vulnerabilities in what we call (needs vuln.go.dev)
	@for dir in $(filter-out ./tools/,$(MODULES)); do ( cd "$$dir"; go run $(GOVULNCHECK) ./... ); done

.PHONY: clean
clean: ## remove bin/ and out/
	rm -rf bin out

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "%s%s\n", (n++ ? "\n" : ""), substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Needs nothing beyond the standard library.
bin/noskip: tools/noskip/main.go
	@cd tools && go build -buildvcs=false -o ../bin/noskip ./noskip
