package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench is the workbench and what was measured on it.
type bench struct {
	folder   string
	kept     string // what stays from one run to the next: downloads
	programs string
	root     string        // tar archive
	full     time.Duration // of a build from packages
	again    time.Duration // of one after a change
	rows     []row
}

// row is one line of the report.
type row struct {
	what   string
	value  string
	figure string // what it should be
	missed bool
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.folder}, parts...)...)
}

// sample is one run of one command.
type sample struct {
	took time.Duration
	peak int64 // bytes of memory: the largest process of the command
}

// command runs a shell command under time(1), whose own memory is small. That
// matters: Linux counts what a child had of its parent before exec.
func (b *bench) command(ctx context.Context, command string) (sample, error) {
	report := b.path("time")
	cmd := exec.CommandContext(ctx, "/usr/bin/time", "-f", "%M", "-o", report, "sh", "-c", command)
	cmd.Dir = b.folder
	cmd.Env = append(cmd.Environ(), "PATH="+b.programs+":/usr/sbin:/sbin:"+pathOf(cmd), "PROA_CACHE="+b.cache())
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s", command, err, output.String())
	}
	took := time.Since(began)
	text, err := exec.Command("tail", "-n", "1", report).Output()
	if err != nil {
		return sample{}, err
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return sample{took, kib << 10}, err
}

func pathOf(cmd *exec.Cmd) string {
	for _, v := range cmd.Environ() {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			return value
		}
	}
	return "/usr/bin:/bin"
}

// side is one of two that are compared.
type side struct {
	before  string // run before each round, and not measured; may be empty
	command string
}

// sideBySide runs ours and theirs in turn, after one round that is not counted,
// so that both see the same machine.
func (b *bench) sideBySide(ctx context.Context, ours, theirs side) (us, them []sample, err error) {
	for round := range rounds + 1 {
		for _, one := range []struct {
			side
			into *[]sample
		}{{ours, &us}, {theirs, &them}} {
			if one.before != "" {
				if _, err := b.command(ctx, one.before); err != nil {
					return nil, nil, err
				}
			}
			s, err := b.command(ctx, one.command)
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

func median(samples []sample) time.Duration {
	times := make([]time.Duration, len(samples))
	for i, s := range samples {
		times[i] = s.took
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func peak(samples []sample) int64 {
	most := int64(0)
	for _, s := range samples {
		most = max(most, s.peak)
	}
	return most
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
