# Passage: every verb sets up what it needs. See README.md.
SHELL := /bin/bash
GO    := go
TAGS  := -tags customenv
VISION = . scripts/vision.env &&

.PHONY: setup build demo run sim chaos flood screenshots pages privacy picture bench test check fuzz images package clean

setup:
	@scripts/setup

# visiond alone links OpenCV; its flags stay out of everybody else's cache.
bin/visiond: $(shell find matcher -name '*.go') scripts/vision.env go.mod
	@mkdir -p bin
	$(VISION) $(GO) build $(TAGS) -o $@ ./matcher/cmd/visiond

build: setup bin/visiond
	$(GO) build -o bin/ $(shell ls -d kiosk/cmd/* hwsim/cmd/* 2>/dev/null | sed "s,^,./,") ./matcher/cmd/modelpack

# Device answers are due within milliseconds: they go before a machine's other
# work where that is allowed, as the systemd unit does for a real lane.
demo: build
	$(if $(filter 0,$(shell id -u)),nice -n -10) bin/hwsim demo $(if $(ONCE),--once) $(if $(LANES),--lanes $(LANES)) $(DEMOFLAGS)

# A real lane: make run CONFIG=/etc/passage/lane.toml
run: build
	bin/kioskd --config $(or $(CONFIG),examples/lane.toml)

# Lanes drawn by seeds, with everything that can break, in virtual time: a table
# of faults by states, and exit 0 only without a broken rule; then, for half as
# long, lanes with the shipped drivers, journal, client and register. SEED=n plays
# one of the first again, DRAWN=n one of the others; PLANTED=1 plants known bugs and
# sees each caught.
sim: setup
	$(if $(DRAWN),,@set -o pipefail; $(GO) test ./hwsim/world/seeds -count=1 -timeout 0 -v $(if $(PLANTED),-run 'TestPlanted$$' -planted,-run 'TestSeeds$$' $(if $(SEED),-seed $(SEED),-seconds $(or $(SECONDS),60) -workers $(shell nproc))) | grep -vE '^ *(=== |--- PASS)')
	$(if $(PLANTED)$(SEED),,@set -o pipefail; $(GO) test ./hwsim/world -count=1 -timeout 0 -v $(if $(DRAWN),-run 'TestDrawn$$' -seed $(DRAWN),-run 'TestDrawn(Discreet)?$$' -seconds $$(( ($(or $(SECONDS),60) + 1) / 2 ))) | grep -vE '^ *(=== |--- PASS)')

# Everything that can break, in every state of a lane; kill -9 of lane and
# register before every system call of the way that a record takes, and every
# call failing; then the shipped programs, killed at random for ten minutes while
# travellers cross, and, as root, the power of their computers cut. SECONDS=n shortens
# that, SEED=n repeats one.
chaos: build
	@set -o pipefail; $(GO) test ./hwsim/world -count=1 -run 'TestFaults$$' -v | grep -vE '^ *(=== |--- PASS)'
	@set -o pipefail; $(GO) test ./hwsim/chaos -count=1 -every 1 -v | grep -vE '^ *(=== |--- PASS)'
	$(if $(filter 0,$(shell id -u)),nice -n -10) bin/hwsim chaos --for $(or $(SECONDS),600)s $(if $(SEED),--seed $(SEED))

# Every inlet of the shipped programs gets more than twice what it takes
# (docs/inlets.md), ROUNDS=n times.
flood: setup
	@set -o pipefail; $(GO) test ./hwsim/flood -count=1 -timeout 0 -v -rounds $(or $(ROUNDS),20) | grep -vE '^ *=== '

# Travellers walk through lanes of the shipped programs; then every file, message,
# log, figure and byte of memory is searched for them. WALK=all for everybody.
privacy: build
	@set -o pipefail; $(GO) test ./hwsim/cmd/hwsim -count=1 -timeout 40m -run 'TestWalk$$' -v -walk $(or $(WALK),P01,P02,P03,P07,P10,P15,P16,P19,P48) | grep -vE '^=== '

bench: build
	scripts/bench $(or $(AREA),all)

# The gallery of docs/screenshots, on played lanes with drawn faces.
screenshots: setup
	@scripts/screenshots $(NAMES)

# Every page in Chromium, on played lanes: PARTS="traveller lane console crowd".
# PARTS=preview: a lane's live picture and its advice, on a demonstration.
pages: setup
	@scripts/pages $(PARTS)

# All tests. The lane's search runs at the end, by itself, and says what it counted.
test: setup bin/visiond
	$(GO) vet ./...
	$(GO) test -timeout 20m -skip '^TestSearch$$' ./...
	$(VISION) $(GO) vet $(TAGS) ./matcher/...
	@scripts/pages
	@echo; set -o pipefail; $(GO) test -count=1 -run '^TestSearch$$' -v ./kiosk/lane | grep -vE '^(=== |PASS)'

# docs/lane.dot and docs/lane.svg, from the rules by the exhaustive search.
picture:
	@command -v dot >/dev/null || $(if $(filter-out 0,$(shell id -u)),sudo )apt-get install -y -qq --no-install-recommends graphviz
	cd kiosk/lane && $(GO) test . -count=1 -run 'TestSearch$$' -update

# Quick checks before a commit: also that every row of docs/conformance.md has a
# test that passed. The race detector's memory does not fit into the sandbox.
check: setup bin/visiond
	@test -z "$$($(GO) run mvdan.cc/gofumpt@v0.9.2 -l $$(git ls-files '*.go' | grep -v '\.gen\.go'))" || { echo 'not gofumpted:'; $(GO) run mvdan.cc/gofumpt@v0.9.2 -l $$(git ls-files '*.go' | grep -v '\.gen\.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	@dead="$$($(GO) run golang.org/x/tools/cmd/deadcode@v0.38.0 -test ./... | grep -vE '\.gen\.go|\.(effect|event)$$')"; test -z "$$dead" || { echo "nobody calls:"; echo "$$dead"; exit 1; }
	@mkdir -p .cache; rm -f .cache/check.failed; set -o pipefail; { $(GO) test -race -short -json $$($(GO) list ./... | grep -v '/sandbox$$'); ended=$$?; $(GO) test -short -json ./matcher/sandbox || ended=1; (exit $$ended); } | tee .cache/check.json | sed -nE 's/^.*"Action":"(pass|fail)","Package":"([^"]*)","Elapsed":([0-9.]+).*/\1 \2 \3 s/p' || touch .cache/check.failed
	$(GO) test . -count=1 -run 'TestRan$$' -ran "$$PWD/.cache/check.json"
	@test ! -e .cache/check.failed

# Every fuzz target, a line each; SECONDS_EACH=600 for a night, AT_ONCE=n of them.
fuzz:
	@AT_ONCE=$(AT_ONCE) scripts/fuzz $(or $(SECONDS_EACH),20)

# 100,000 mutated images through the real, confined decoder.
images: setup bin/visiond
	@set -o pipefail; $(GO) test ./matcher -count=1 -run 'TestMutatedImages$$' -v -images $(or $(IMAGES),100000) | grep -vE '^=== '

# Debian packages. TRY=1 tries them on a clean Debian, OLD=REF upgrades from that
# commit's there; TWICE=1 builds them again and compares every byte.
package: build
	scripts/package $(if $(TWICE),--twice)
	$(if $(OLD),scripts/package --old $(OLD))
	$(if $(TRY),scripts/package --try)

clean:
	rm -rf bin
