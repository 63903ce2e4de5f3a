// Package seeds plays lanes that a seed has drawn: who comes, how long each
// thing takes, and what breaks in which state. The shell, the core and the
// policy are the shipped ones, in virtual time; a gate, a disk, a reader, a
// camera, registers, an officer and a power switch are modelled at the shell's
// own interfaces, so that thousands of crossings a second can be tried.
//
// The sibling package world draws fewer lanes, with the shipped drivers, journal,
// outbox, client and register as well. A seed that breaks a rule here is shrunk to the fewest
// travellers and faults that still break it, and can be played again exactly.
package seeds
