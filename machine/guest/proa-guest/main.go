// Command proa-guest answers package machine's commands inside a test image.
// Images with systemd start it by proa-guest.service; the appliance has the
// same code in its PID 1. Never put it into an image that serves anybody: it
// gives a root shell to whoever runs the virtual machine.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/proa-os/proa/machine/guest"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	port, err := guest.OpenPort(ctx)
	if err != nil {
		return err
	}
	defer port.Close()
	return guest.Serve(ctx, port)
}
