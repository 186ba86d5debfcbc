// Command proa builds releases of an operating system, checks them, and
// publishes them for hosts.
package main

import (
	"os"

	"github.com/proa-os/proa/builder/configure/sandbox"
	"github.com/proa-os/proa/cmd/internal/cli"
)

func main() {
	sandbox.Main() // returns unless this is the program's own sandbox
	os.Exit(cli.Main(newRootCommand()))
}
