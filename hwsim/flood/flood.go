// Package flood is a test: every inlet of the shipped programs gets more than
// twice what it takes. It must shed the rest, count it, go on serving whom it is
// there for, and be as large afterwards as before (docs/inlets.md).
package flood
