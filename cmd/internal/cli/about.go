package cli

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Version is set by the linker: -X …/cmd/internal/cli.Version=1.2.3.
var Version = "unknown"

// AddVersion gives root the --version flag, in cobra's words: a template of our own
// would make the linker keep every method of every type, two megabytes of the agent.
func AddVersion(root *cobra.Command) {
	root.Version = fmt.Sprintf("%s (%s, %s/%s)", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && Version == "unknown" && info.Main.Version != "" {
		return info.Main.Version
	}
	return Version
}

// NewManCommand returns the command that writes a manual page for every
// command of its root.
func NewManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a folder",
		Args:  ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return doc.GenManTree(cmd.Root(), &doc.GenManHeader{Section: "1", Source: version()}, args[0])
		},
	}
}

// ExactArgs is cobra's, with an error that is one of usage.
func ExactArgs(n int) cobra.PositionalArgs { return usageArgs(cobra.ExactArgs(n)) }

// MaximumArgs is cobra's MaximumNArgs, with an error that is one of usage.
func MaximumArgs(n int) cobra.PositionalArgs { return usageArgs(cobra.MaximumNArgs(n)) }

// MinimumArgs is cobra.MinimumNArgs with the usage hint.
func MinimumArgs(n int) cobra.PositionalArgs { return usageArgs(cobra.MinimumNArgs(n)) }

// RangeArgs is cobra's, with an error that is one of usage.
func RangeArgs(least, most int) cobra.PositionalArgs { return usageArgs(cobra.RangeArgs(least, most)) }

// NoArgs is cobra's, with an error that is one of usage.
func NoArgs(cmd *cobra.Command, args []string) error { return usageArgs(cobra.NoArgs)(cmd, args) }

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return Usage(cmd, err)
		}
		for i, arg := range args {
			if arg == "" {
				return Usage(cmd, fmt.Errorf("argument %d is empty", i+1))
			}
		}
		return nil
	}
}
