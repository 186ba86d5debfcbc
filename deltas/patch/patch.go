// Package patch makes bytes out of others and a payload. It is what hosts need of
// a delta; package diff makes the payloads.
package patch

// Bounds of one patch, in bytes, and so of the memory that Apply needs.
const (
	OutputMost    = 4 << 20
	ReferenceMost = 8 << 20
)

// Method says what a payload is.
type Method uint8
