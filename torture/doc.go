// Package torture has no code of its own: its tests hurt the real programs, and
// a judge that shares no code with them says what is left. `make test` runs a
// part of them, with the same seed each time; `make torture` runs all of them
// at full size and prints what came of it.
//
// TORTURE_SEED is the seed of everything that is chosen at random, a number;
// TORTURE_SIZE is "small" or "full".
package torture
