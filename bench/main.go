// Command bench measures proa side by side with the reference tools, in one
// run, and prints medians and ratios with the figure that each should reach.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/proa-os/proa/machine/debian"
)

const rounds = 5

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
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

	b := &bench{folder: folder, programs: filepath.Join(filepath.Dir(cache), "bin")}
	for _, part := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"making a Debian root of more than 500 MB (kept in .build)", func(ctx context.Context) error { return b.makeRoot(ctx, cache) }},
		{"building, against mkfs.erofs and veritysetup", b.building},
		{"publishing", b.publishing},
		{"updating, against zstd", b.updating},
		{"sizes", b.sizes},
	} {
		fmt.Printf("bench: %s\n", part.title)
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.title, err)
		}
	}
	return b.report()
}
