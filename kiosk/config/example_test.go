package config

import "testing"

// The example in the repository is a valid configuration.
func TestExampleFile(t *testing.T) {
	if _, err := Load("../../examples/lane.toml"); err != nil {
		t.Error(err)
	}
}
