# Passage: every verb sets up what it needs. See README.md.
SHELL := /bin/bash
GO    := go
TAGS  := -tags customenv
VISION = . scripts/vision.env &&

.PHONY: setup build demo screenshots test check fuzz clean

setup:
	@scripts/setup

# visiond alone links OpenCV; its flags stay out of everybody else's cache.
bin/visiond: $(shell find matcher -name '*.go') scripts/vision.env go.mod
	@mkdir -p bin
	$(VISION) $(GO) build $(TAGS) -o $@ ./matcher/cmd/visiond

build: setup bin/visiond
	$(GO) build -o bin/ $(shell ls -d kiosk/cmd/* hwsim/cmd/* 2>/dev/null | sed "s,^,./,") ./matcher/cmd/modelpack

demo: build
	bin/hwsim demo $(if $(ONCE),--once) $(DEMOFLAGS)

screenshots: build
	scripts/screenshots

test: setup bin/visiond
	$(GO) vet ./...
	$(GO) test -timeout 20m ./...
	$(VISION) $(GO) vet $(TAGS) ./matcher/...
	@echo; $(GO) test -count=1 -run 'TestSearch$$' -v ./kiosk/lane | grep -E 'search_test|^ok|^FAIL|^---'

# Quick checks before a commit.
check: setup bin/visiond
	@test -z "$$($(GO) run mvdan.cc/gofumpt@v0.9.2 -l $$(git ls-files '*.go' | grep -v '\.gen\.go'))" || { echo 'not gofumpted:'; $(GO) run mvdan.cc/gofumpt@v0.9.2 -l $$(git ls-files '*.go' | grep -v '\.gen\.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	$(GO) test -race -short ./...

fuzz:
	@for t in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9]*' $$t/*_test.go | sed 's/func //'); do \
	    echo "$$t $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(SECONDS_EACH),20)s $$t || exit 1; done; done

clean:
	rm -rf bin
