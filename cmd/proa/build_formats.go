package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/formats"
	"github.com/proa-os/proa/manifests"
)

// builtRelease is the result of a build as JSON: the release, and what it was
// converted to.
type builtRelease struct {
	manifests.Release
	Formats []formats.Result `json:"formats,omitempty"`
}

// chooseFormats reads --format, and looks before a build whether anything is in
// the way of what comes after it.
func (o buildOptions) chooseFormats(cmd *cobra.Command) ([]formats.Format, error) {
	var wanted []formats.Format
	for _, name := range o.formats {
		format, err := formats.Parse(name)
		if err != nil {
			return nil, cli.Usage(cmd, err)
		}
		if err := format.Check(); err != nil {
			return nil, convertHint(o.output, err)
		}
		path := filepath.Clean(o.output) + format.Suffix()
		if _, err := os.Lstat(path); !o.force && !errors.Is(err, fs.ErrNotExist) {
			return nil, convertHint(o.output, fmt.Errorf("%s: %w", path, formats.ErrExists))
		}
		wanted = append(wanted, format)
	}
	return wanted, nil
}

// convert converts the release that was built.
func (o buildOptions) convert(cmd *cobra.Command, release string, wanted []formats.Format) ([]formats.Result, error) {
	var all []formats.Result
	for _, format := range wanted {
		result, err := convertOptions{force: o.force}.convert(cmd, release, format)
		if err != nil {
			return nil, err
		}
		all = append(all, result)
	}
	return all, nil
}
