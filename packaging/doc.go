// Package packaging has no code of its own: beside it lies what makes packages
// and containers of the programs, and its tests hold what these promise.
package packaging
