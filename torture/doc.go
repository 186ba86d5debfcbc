// Package torture has no code of its own: its tests hurt the real programs, and
// a judge that shares no code with them says what is left. `make test` runs a
// part of them, with the same seed each time; `make torture` runs all of them
// at full size and prints what came of it.
//
// Full size is each place of each command for kills and faults, 10,000 swaps,
// 1,000 flips, over 20,000 states of a recorded machine, of which ten are booted in
// OVMF until they have updated. Small size is a dozen places, 300 swaps, 40 flips,
// some hundred states of an update, a commit and a repair, of which one is booted
// once. Ten boots in place of more are a matter of time alone.
//
// TORTURE_SEED is the seed of everything that is chosen at random, a number;
// TORTURE_SIZE is "small" or "full".
package torture
