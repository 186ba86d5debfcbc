// Command updates measures what an update costs a host: proa side by side with
// the tools that others use, in one run, on real pairs of releases that it makes
// from Debian packages. Arguments choose pairs:
//
//	go run ./bench/updates                 all of them, an hour or so on 2 cores
//	go run ./bench/updates security config two of them
//	go run ./bench/updates -only proa,casync point
//	go run ./bench/updates -docs docs/explanation
//
// The last writes table and plot into that folder, too: download-little.md and
// download-little.svg.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/machine/debian"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	docs := flag.String("docs", "", "folder to write table and plot into")
	only := flag.String("only", "", "methods to measure, with commas: "+stepNames())
	flag.Parse()
	if err := run(ctx, *docs, *only, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, docs, only string, chosen []string) error {
	steps, err := chooseSteps(only)
	if err != nil {
		return err
	}
	for _, name := range chosen {
		if !slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name }) {
			return fmt.Errorf("no pair %q", name)
		}
	}
	cache, err := debian.CheckoutDir()
	if err != nil {
		return err
	}
	folder := filepath.Join(cache, "bench-updates")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	w := workshop{
		bench:    workbench.Bench{Folder: folder, Kept: filepath.Join(cache, "bench-kept"), Programs: filepath.Join(filepath.Dir(cache), "bin")},
		releases: map[string]string{},
	}
	var report report
	for _, p := range pairs {
		if len(chosen) > 0 && !slices.Contains(chosen, p.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s: making the releases\n", p.name)
		t, err := w.prepare(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		done, err := t.measure(ctx, steps)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		done.print(os.Stdout)
		report = append(report, done)
		// A pair is some gigabytes.
		if err := os.RemoveAll(t.bench.Folder); err != nil {
			return err
		}
	}
	if docs != "" {
		if err := report.write(docs); err != nil {
			return err
		}
	}
	return report.missed()
}
