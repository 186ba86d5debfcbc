// Command proa builds releases of an operating system, checks them, and
// publishes them for hosts.
package main

import (
	"os"

	"github.com/proa-os/proa/cmd/internal/cli"
)

func main() {
	os.Exit(cli.Main(newRootCommand()))
}
