# make up    everything on this machine, and an example to paste
# make test  what CI runs

SHELL := /bin/bash
GO ?= go
export CGO_ENABLED ?= 0
UP_FLAGS ?=
BENCH_FLAGS ?=

.PHONY: up build images setup setup-run test check unit e2e conformance bench clean

up: setup-run build images
	@exec bin/roadstead up $$(printf -- '--import %s ' bin/images/*.tar) $(UP_FLAGS)

build:
	@mkdir -p bin
	@$(GO) build -trimpath -ldflags "-s -w" -o bin/roadstead ./cmd/roadstead

images:
	@mkdir -p bin/images
	@$(GO) run ./internal/exampleimages/cmd bin/images

test: setup check unit e2e

bench: setup build images
	bin/roadstead bench runtask
	$(GO) run ./test/bench $(BENCH_FLAGS)

setup-run:
	@scripts/setup run

setup:
	@scripts/setup test

# As the unit tests are built: on a new machine compiling is what takes long, and so all is compiled once for both.
check:
	@mkdir -p bin
	@fmt=$$(gofmt -l cmd internal test); if [ -n "$$fmt" ]; then echo "not formatted:"; echo "$$fmt"; exit 1; fi
	$(GO) build -o bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	CGO_ENABLED=1 $(GO) vet -race ./...
	CGO_ENABLED=1 GOFLAGS="$$($(GO) env GOFLAGS) -race" bin/staticcheck ./...

# check has vetted all; go test would do so again, dependencies included, for each of its configurations.
unit:
	CGO_ENABLED=1 $(GO) test -vet=off -race -count=1 -timeout 15m ./cmd/... ./internal/...

e2e:
	@[ -n "$$ROADSTEAD_ECS_AGENT" ] || echo "NOT RUN: test/e2e TestAmazonAgent; set ROADSTEAD_ECS_AGENT to a built Amazon ECS agent to try it"
	@[ -n "$$ROADSTEAD_E2E_SESSION_MANAGER_PLUGIN" ] || echo "NOT RUN: test/e2e TestExecPlugin; set ROADSTEAD_E2E_SESSION_MANAGER_PLUGIN to AWS's session-manager-plugin to try it"
	$(GO) test -vet=off -count=1 -timeout 10m ./test/...

# Of e2e, what any endpoint can be asked: see test/conformance/doc.go.
conformance: setup
	$(GO) test -vet=off -count=1 -timeout 10m ./test/conformance

clean:
	rm -rf bin
