package outbox

import "crypto/rand"

// crand fills b; crypto/rand never fails on the platforms we run on.
func crand(b []byte) { _, _ = rand.Read(b) }
