package main

import (
	"context"
	"fmt"
	"time"

	"github.com/proa-os/proa/bench/workbench"
)

// bench is the workbench and what was measured on it.
type bench struct {
	workbench.Bench
	root  string        // tar archive
	full  time.Duration // of a build from packages
	again time.Duration // of one after a change
	rows  []row
}

// row is one line of the report.
type row struct {
	what   string
	value  string
	figure string // what it should be
	missed bool
}

// side is one of two that are compared.
type side struct {
	before  string // run before each round, and not measured; may be empty
	command string
}

// sideBySide runs ours and theirs in turn, after one round that is not counted,
// so that both see the same machine.
func (b *bench) sideBySide(ctx context.Context, ours, theirs side) (us, them []workbench.Sample, err error) {
	for round := range rounds + 1 {
		for _, one := range []struct {
			side
			into *[]workbench.Sample
		}{{ours, &us}, {theirs, &them}} {
			if one.before != "" {
				if _, err := b.Command(ctx, one.before); err != nil {
					return nil, nil, err
				}
			}
			s, err := b.Command(ctx, one.command)
			if err != nil {
				return nil, nil, err
			}
			if round > 0 {
				*one.into = append(*one.into, s)
			}
		}
	}
	return us, them, nil
}

func (b *bench) note(what, value, figure string, missed bool) {
	b.rows = append(b.rows, row{what, value, figure, missed})
}

// noteTime notes a time that has no figure of its own.
func (b *bench) noteTime(what string, took time.Duration) {
	b.note(what, fmt.Sprintf("%.2f s", took.Seconds()), "", false)
}

// noteRatio notes how often theirs fits into ours.
func (b *bench) noteRatio(ours, theirs time.Duration, most float64) {
	ratio := ours.Seconds() / theirs.Seconds()
	b.note("  ratio", fmt.Sprintf("%.2f", ratio), fmt.Sprintf("at most %.2f", most), ratio > most)
}

func (b *bench) noteBytes(what string, bytes, most int64) {
	b.note(what, fmt.Sprintf("%.2f MiB", float64(bytes)/(1<<20)), fmt.Sprintf("at most %d MiB", most>>20), bytes > most)
}

// report prints the table; a figure that is missed is an error.
func (b *bench) report() error {
	fmt.Printf("\n%-44s %22s   %s\n", "what", "measured", "to reach")
	missed := 0
	for _, r := range b.rows {
		mark := ""
		if r.missed {
			mark = "   MISSED"
			missed++
		}
		fmt.Printf("%-44s %22s   %s%s\n", r.what, r.value, r.figure, mark)
	}
	if missed > 0 {
		return fmt.Errorf("%d figures missed", missed)
	}
	return nil
}
