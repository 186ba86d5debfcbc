// Command demo runs proa's main job before one's eyes: it builds three releases
// of a real Debian system, boots the first in QEMU, updates it to the second,
// and shows that the third, whose health check fails, goes back by itself.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()

	d, err := newDemo()
	if err == nil {
		err = d.run(ctx)
		d.close(err != nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}
