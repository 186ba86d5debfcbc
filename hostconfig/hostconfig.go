// Package hostconfig configures a machine once, by a file of its owner: Ignition
// or cloud-config, whichever door it comes through (package doors).
//
// Parse makes a plan of the file and finds everything that is wrong with it.
// Prepare holds the plan against a root file system and finds everything that
// cannot be done there; it writes nothing. Work.Do writes: what is to be written
// is kept first, so that a power cut in the middle is followed by the rest at the
// next boot (Resume), and the record of it comes last.
//
// Nothing is fetched and nothing is run.
package hostconfig

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/proa-os/proa/hostconfig/cloudconfig"
	"github.com/proa-os/proa/hostconfig/ignition"
	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// MostSize is the most that a configuration may have, in bytes.
const MostSize = 1 << 20

// Parse reads a configuration, whose name is used in faults. Its language shows:
// Ignition begins with a brace, cloud-config with its own comment. The error is
// a *strictyaml.Faults with everything that is wrong.
func Parse(name string, data []byte) (*plan.Plan, error) {
	refuse := func(format string, args ...any) (*plan.Plan, error) {
		return nil, &strictyaml.Faults{Name: name, Items: []strictyaml.Fault{{
			Position: strictyaml.Position{Line: 1, Column: 1}, Message: fmt.Sprintf(format, args...)}}}
	}
	if len(data) > MostSize {
		return refuse("the configuration has %d bytes: want at most %d", len(data), MostSize)
	}
	text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	line, _, _ := strings.Cut(string(text[:min(len(text), 128)]), "\n")
	line = strings.TrimRight(line, " \t\r")
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")):
		return ignition.Parse(name, text)
	case line == cloudconfig.Header:
		return cloudconfig.Parse(name, text)
	case len(bytes.TrimSpace(text)) == 0:
		return refuse("the configuration is empty")
	case strings.HasPrefix(line, "#!"):
		return refuse("a script: nothing is run; want Ignition or cloud-config")
	case bytes.HasPrefix(text, []byte{0x1f, 0x8b}):
		return refuse("it is compressed: want it unpacked")
	case strings.HasPrefix(strings.ToLower(line), "content-type:"), strings.HasPrefix(line, "#include"), strings.HasPrefix(line, "## template:"):
		return refuse("%.40q: want one cloud-config, without parts, includes and templates", line)
	}
	return refuse("want Ignition, which begins with {, or cloud-config, whose first line is %s", cloudconfig.Header)
}
