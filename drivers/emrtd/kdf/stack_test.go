package kdf

import (
	"bytes"
	"crypto/sha1"
	"testing"
	"unsafe"
)

// What the hash works on is not left on the stack.
func TestSecretLeavesNothing(t *testing.T) {
	const information = "X16T4711<2911126631" + "12345"
	want := sha1.Sum([]byte(information))
	found := func(hash func(string) []byte) (left bool) {
		grow()
		if !bytes.Equal(hash(information), want[:]) {
			t.Fatal("another secret")
		}
		return bytes.Contains(below(), []byte(information[:19]))
	}
	if !found(func(s string) []byte { h := sha1.Sum([]byte(s)); return h[:] }) {
		t.Skip("this build leaves the search nothing to see of a plain hash, either")
	}
	if found(Secret) {
		t.Error("the information lies on the stack")
	}
}

//go:noinline
func grow() { overwriteStack() }

// below is what lies on the stack below its caller.
//
//go:noinline
func below() []byte {
	var here byte
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&here), -6<<10)), 6<<10))
}
