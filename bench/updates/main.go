// Command updates measures what an update costs a host: proa side by side with
// the tools that others use, in one run, on real pairs of releases that it makes
// from Debian packages. Arguments choose pairs:
//
//	go run ./bench/updates                 all of them, an hour or two on 2 cores
//	go run ./bench/updates security config two of them
//	go run ./bench/updates -only proa,casync point
//	go run ./bench/updates -docs docs/explanation
//
// The last writes table and plot into that folder, too: download-little.md and
// download-little.svg. What was measured of the same programs is kept, and not
// measured again: remove .build/bench-kept/figures for that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/machine/debian"
)

// options say what to measure. All may be missing.
type options struct {
	docs     string        // folder to write table and plot into
	only     string        // steps, with commas
	programs string        // folder of the programs to measure
	limit    time.Duration // of one step on one pair
	pairs    []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.docs, "docs", "", "folder to write table and plot into")
	flag.StringVar(&o.only, "only", "", "methods to measure, with commas: "+stepNames())
	flag.StringVar(&o.programs, "programs", "", "folder of the programs to measure, the checkout's bin if not given")
	flag.DurationVar(&o.limit, "limit", 15*time.Minute, "how long one method may take on one pair, before it is left out")
	flag.Parse()
	o.pairs = flag.Args()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	chosen, err := chooseSteps(o.only)
	if err != nil {
		return err
	}
	for _, name := range o.pairs {
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
	if o.programs == "" {
		o.programs = filepath.Join(filepath.Dir(cache), "bin")
	}
	w := workshop{
		bench:    workbench.Bench{Folder: folder, Kept: filepath.Join(cache, "bench-kept"), Programs: o.programs},
		releases: map[string]string{},
		limit:    o.limit,
	}
	if w.kept, err = keptResults(w.bench); err != nil {
		return err
	}
	report, problem := w.measure(ctx, o.pairs, chosen)
	// What was measured until then is worth writing down.
	if o.docs != "" {
		if err := report.write(o.docs); err != nil {
			return errors.Join(problem, err)
		}
	}
	if problem != nil {
		return problem
	}
	return report.missed()
}

// measure does the chosen steps on the chosen pairs, all if there are none, and
// tells what is known of all.
func (w *workshop) measure(ctx context.Context, chosen []string, steps []step) (report, error) {
	var all report
	for _, p := range pairs {
		isChosen := len(chosen) == 0 || slices.Contains(chosen, p.name)
		now := steps
		if !isChosen {
			now = nil
		}
		done, err := w.pair(ctx, p, now)
		if len(done.figures) > 0 {
			all = append(all, done)
			if isChosen {
				done.print(os.Stdout)
			}
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return all, nil
}

// pair does some steps on a pair that were not done before, and tells what is known
// of all.
func (w *workshop) pair(ctx context.Context, p pair, chosen []step) (outcome, error) {
	done := outcome{pair: p}
	var t *trial
	defer func() {
		if t != nil {
			t.remove()
		}
	}()
	for _, s := range steps {
		r, known, err := w.kept.read(p, s)
		if err != nil {
			return done, err
		}
		isChosen := slices.ContainsFunc(chosen, func(c step) bool { return c.name == s.name })
		if !known && !isChosen {
			continue
		}
		// What was left out may have more time or memory by now.
		if isChosen && (!known || r.LeftOut != "") {
			if t == nil {
				progress(p, "making the releases")
				if t, err = w.prepare(ctx, p); err != nil {
					return done, err
				}
			}
			progress(p, s.name)
			if r, err = t.measure(ctx, s, w.limit); err != nil {
				return done, err
			}
			if err := w.kept.write(p, s, r); err != nil {
				return done, err
			}
		}
		done.add(r)
	}
	return done, nil
}

// progress says what is being done.
func progress(p pair, what string) {
	fmt.Fprintf(os.Stderr, "bench: %s %s: %s\n", time.Now().Format(time.TimeOnly), p.name, what)
}
