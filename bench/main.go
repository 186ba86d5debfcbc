// Command bench measures proa side by side with the reference tools, in one
// run, and prints medians and ratios with the figure that each should reach.
// Arguments choose parts of it; one that builds on others wants them named, too:
//
//	go run ./bench                everything, half an hour on 2 cores
//	go run ./bench root image     building from a container image
//	go run ./bench packages mkosi building from packages, against mkosi
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/machine/debian"
)

const rounds = 5

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// part is some of the figures.
type part struct {
	name  string
	title string
	run   func(context.Context) error
}

func run(ctx context.Context, chosen []string) error {
	cache, err := debian.CheckoutDir()
	if err != nil {
		return err
	}
	folder := filepath.Join(cache, "bench")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(folder)

	b := &bench{Bench: workbench.Bench{Folder: folder, Kept: filepath.Join(cache, "bench-kept"), Programs: filepath.Join(filepath.Dir(cache), "bin")}}
	parts := []part{
		{"root", "making a Debian root of more than 500 MB (kept in .build)", func(ctx context.Context) error { return b.makeRoot(ctx, cache) }},
		{"build", "building, against mkfs.erofs and veritysetup", b.building},
		{"image", "building from a container image, against gunzip and mkfs.erofs", b.imaging},
		{"packages", "building from packages, in full and after a change", b.packaging},
		{"mkosi", "making a root with mkosi", b.mkosi},
		{"solve", "choosing 1,000 packages of 50,000", b.solving},
		{"publish", "publishing", b.publishing},
		{"repository", "publishing into repositories of 1 to 1,000 releases, and checking the largest", b.repositories},
		{"update", "updating, against zstd", b.updating},
		{"memory", "updating to images of 200 MB and 4 GB", b.memory},
		{"sizes", "sizes", b.sizes},
	}
	for _, name := range chosen {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("no part %q", name)
		}
	}
	for _, p := range parts {
		if len(chosen) > 0 && !slices.Contains(chosen, p.name) {
			continue
		}
		fmt.Printf("bench: %s\n", p.title)
		if err := p.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
	}
	return b.report()
}
