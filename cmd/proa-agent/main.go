// Command proa-agent keeps a host up to date: it installs the release that the
// host's channel names into the slot that does not run, tries it, and goes back
// by itself when it does not prove healthy.
package main

import (
	"os"
	"runtime/debug"

	"github.com/proa-os/proa/cmd/internal/cli"
)

// memoryLimit is what the garbage collector keeps the agent under, in bytes:
// hosts are small, and an update is never urgent enough to push a service out.
const memoryLimit = 40 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	os.Exit(cli.Main(newRootCommand()))
}
