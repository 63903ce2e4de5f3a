package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/kiosk/officer"
	"passage/kiosk/policy"
	"passage/kiosk/rollout"
)

// take has a keeper take a configuration, as the lane's client does when it was
// proven.
func take(t *testing.T, k *rollout.Keeper, number uint64, content string) error {
	t.Helper()
	v := rollout.Proven{Release: rollout.Release{Kind: rollout.Configuration, Number: number, Size: int64(len(content)), SHA256: rollout.Digest([]byte(content))}, Digest: rollout.Digest([]byte{byte(number)})}
	path, err := k.Fetch(v, func(int64) ([]byte, error) { return []byte(content), nil })
	if err != nil {
		t.Fatal(err)
	}
	k.Rest = func(context.Context) (func(), bool, bool) { return func() {}, true, true }
	k.Again = func(string) {}
	return k.Take(t.Context(), rollout.Offer{}, v, path)
}

// What the site has rolled out counts from the next start on, over the lane's own
// file; one that no longer goes with that file is given up, and the lane starts.
func TestBegin(t *testing.T) {
	dir := t.TempDir()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	site := "[fleet]\ndir = \"DIR\"\nroster_key = \"" + officer.FormatKey(public) + "\"\n"
	write(t, dir, "lane.toml", strings.ReplaceAll(whole+site, "DIR", dir))
	path := filepath.Join(dir, "lane.toml")
	conf, k, number, err := begin(path)
	if err != nil || k == nil || number != 0 || conf.Kiosk.Policy.EES != "full" {
		t.Fatalf("its own: release %d, %q, %v", number, conf.Kiosk.Policy.EES, err)
	}
	if err := take(t, k, 1, "[policy]\nees_mode = \"half\"\n"); !errors.Is(err, rollout.ErrRefused) {
		t.Errorf("a value that no lane takes: %v", err)
	}
	if err := take(t, k, 2, "[policy]\nees_mode = \"suspended\"\n[[policy.mode]]\nees_mode = \"off\"\nbasis = \"decision 7\"\n[timers]\ndecide = \"2s\"\n"); err != nil {
		t.Fatal(err)
	}
	conf, k, number, err = begin(path)
	if err != nil || number != 2 || conf.Kiosk.Policy.EES != "suspended" || len(conf.Kiosk.Policy.Modes) != 1 || conf.Kiosk.Rules.Decide != 2*time.Second {
		t.Fatalf("the site's: release %d, %+v, %v", number, conf.Kiosk.Policy, err)
	}
	for _, want := range []bool{true, false} {
		if closed, err := k.WasClosed(); err != nil || closed != want {
			t.Errorf("closed by an officer: %v, %v; want %v", closed, err, want)
		}
	}
	if err := run(cli{Config: path, CheckConfig: true}); err != nil {
		t.Errorf("its own file by itself: %v", err)
	}
	replace(t, dir, "[fleet]", "[timers]\nwait_db = \"1s\"\nreview_alarm = \"59s\"\nreview = \"60s\"\n[fleet]")
	if err := take(t, k, 3, "[timers]\nreview = \"30s\"\n"); !errors.Is(err, rollout.ErrRefused) {
		t.Errorf("one that does not go with the lane's own file: %v", err)
	}
	// The lane's own file is changed so that the release no longer goes with it.
	if err := take(t, k, 4, "[timers]\nreview_alarm = \"20s\"\nreview = \"30s\"\n"); err != nil {
		t.Fatal(err)
	}
	replace(t, dir, "wait_db", "take_doc = \"20s\"\ntake_doc_prompt = \"10s\"\nwait_db")
	if _, _, number, err = begin(path); err != nil || number != 4 {
		t.Errorf("a change that does no harm: release %d, %v", number, err)
	}
	if err := take(t, k, 5, "[timers]\ntake_doc_prompt = \"19s\"\n"); err != nil {
		t.Fatal(err)
	}
	replace(t, dir, "take_doc = \"20s\"", "take_doc = \"15s\"")
	conf, k, number, err = begin(path)
	if err != nil || number != 4 || conf.Kiosk.Rules.TakeDoc != 15*time.Second {
		t.Errorf("one that no longer goes with the lane's file: release %d, %v", number, err)
	}
	if st := k.Status()[0]; st.Number != 4 || !strings.Contains(st.Why, "take_doc") {
		t.Errorf("the lane reports %+v", st)
	}
	if conf.Kiosk.Policy.Direction != policy.Entry {
		t.Errorf("direction %q", conf.Kiosk.Policy.Direction)
	}
	// A memory that cannot be read is said so: nothing is begun on a guess.
	if err := os.WriteFile(filepath.Join(dir, "lane.db.releases", "releases.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := begin(path); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a damaged memory: %v", err)
	}
}
