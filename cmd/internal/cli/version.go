package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// About is what a program was built from, as 'version --json' prints it.
type About struct {
	Program  string    `json:"program"`
	Version  string    `json:"version"`
	Commit   string    `json:"commit,omitempty"`     // in Git, as hexadecimal; empty when built outside of a checkout
	Time     time.Time `json:"commitTime,omitzero"`  // of Commit
	Modified bool      `json:"modified,omitempty"`   // the checkout had changes that are not in Commit
	Go       string    `json:"go"`                   // the compiler's version
	Platform string    `json:"platform"`             // system/architecture
	Flags    []string  `json:"buildFlags,omitempty"` // name=value, as the compiler noted them
	Modules  []Module  `json:"modules"`              // sorted by path
}

// Module is a library that is in a program.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum,omitempty"` // as go.sum has it
}

// NewVersionCommand returns the command that says what its root was built from.
func NewVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is, and what it was built from",
		Long: `Say which version this is and what it was built from: commit, compiler and, with
--json, every module with its checksum. The same commit and compiler give the
same program, in whatever folder it is built.`,
		Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			about := aboutOf(cmd.Root().Name())
			if JSON(cmd) {
				return PrintJSON(cmd.OutOrStdout(), about)
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), about)
			return err
		},
	}
}

func aboutOf(program string) About {
	a := About{Program: program, Version: version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Modules: []Module{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return a
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			a.Commit = s.Value
		case "vcs.time":
			if at, err := time.Parse(time.RFC3339, s.Value); err == nil {
				a.Time = at
			}
		case "vcs.modified":
			a.Modified = s.Value == "true"
		default:
			if strings.HasPrefix(s.Key, "-") || strings.HasPrefix(s.Key, "CGO_") {
				a.Flags = append(a.Flags, s.Key+"="+s.Value)
			}
		}
	}
	for _, m := range info.Deps {
		a.Modules = append(a.Modules, Module{m.Path, m.Version, m.Sum})
	}
	return a
}

// String is a for people, in lines.
func (a About) String() string {
	commit := "not known: built outside of a checkout"
	if a.Commit != "" {
		commit = a.Commit
		if !a.Time.IsZero() {
			commit += " of " + a.Time.UTC().Format("2006-01-02 15:04 UTC")
		}
		if a.Modified {
			commit += ", with changes"
		}
	}
	return fmt.Sprintf("%s %s\ncommit    %s\ncompiler  %s for %s\nmodules   %d; --json lists them\n", a.Program, a.Version, commit, a.Go, a.Platform, len(a.Modules))
}
