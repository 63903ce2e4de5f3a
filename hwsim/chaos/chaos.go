// Package chaos kills a process between two of its system calls, or has a call
// fail: at the n-th that anything outside the process could notice. What a
// killed process leaves behind changes only by such calls, so that killing before each
// of them in turn covers every moment of a write path.
package chaos
