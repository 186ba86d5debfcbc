// Package proa has no code of its own: its test guards the arrows between the
// rooms of the house.
package proa

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/proa-os/proa/"

// rooms says for each top-level folder which others its packages may import.
// Packages may always import their own folder's.
var rooms = map[string][]string{
	"manifests":  {},
	"deltas":     {"manifests", "partitions", "progress", "durable", "regular"},
	"progress":   {},
	"durable":    {},
	"regular":    {},
	"fetch":      {"manifests", "regular", "progress"},
	"partitions": {"progress"},
	"signing":    {"manifests", "durable", "regular"},
	"repository": {"manifests", "deltas", "partitions", "signing", "fetch", "durable", "regular", "progress"},
	"builder":    {"manifests", "partitions", "signing", "fetch", "durable", "regular", "progress"},
	"updater":    {"manifests", "deltas", "partitions", "signing", "fetch", "durable", "regular", "progress"},
	"formats":    {"manifests", "partitions", "builder", "durable", "regular", "progress"},
	"hostconfig": {"manifests", "regular"},
	"installer":  {"manifests", "partitions", "signing", "updater", "fetch", "regular", "progress"},
	"machine":    {},
	"rehearsal":  {"manifests", "partitions", "repository", "builder", "updater", "installer", "hostconfig", "machine", "progress"},
	"cmd":        {"manifests", "deltas", "partitions", "signing", "repository", "builder", "formats", "updater", "installer", "hostconfig", "machine", "rehearsal", "fetch", "durable", "regular", "progress"},
	"demo":       {"machine"},
	"bench":      {"machine", "manifests", "partitions", "signing", "durable"},
	"e2e":        {"manifests", "partitions", "machine"},
	"docs":       {}, // its test follows the links of the site
	"packaging":  {}, // its tests run what makes packages
	"torture":    {}, // what judges shares no code with what it judges; its tests drive machines
}

// owners says which packages alone may import a library.
var owners = map[string][]string{
	"github.com/theupdateframework/go-tuf":   {"signing"},
	"github.com/secure-systems-lab":          {"signing"},
	"github.com/foxboron/go-uefi":            {"signing/secureboot"},
	"github.com/in-toto/attestation":         {"builder/provenance"},
	"github.com/google/go-containerregistry": {"builder/oci", "repository/ociregistry"},
	"github.com/sigstore/sigstore":           {"builder/oci"},
	"github.com/diskfs/go-diskfs":            {}, // tests read with it what we write
	"github.com/erofs/go-erofs":              {"builder/erofs"},
	"github.com/sassoftware/go-rpmutils":     {"builder/rpm"},
	"github.com/knqyf263/go-rpmdb":           {}, // tests read with it what we write
	"modernc.org/sqlite":                     {"builder/rpm"},
	"github.com/ProtonMail/go-crypto":        {"builder/openpgp"},
	"github.com/go-air/gini":                 {"builder/packages/solver"},
	"github.com/spdx/tools-golang":           {"builder/sbom"},
	"github.com/google/licensecheck":         {"builder/inventory"},
	"github.com/cavaliergopher/grab":         {"fetch"},
	"github.com/spf13/cobra":                 {"cmd"},
	"github.com/coreos/go-systemd":           {"updater/notify"},
	"github.com/godbus/dbus":                 {"updater/bus", "updater/logind", "updater/hooks"},
	"github.com/prometheus":                  {}, // tests read with it what we write
	"github.com/vbauerster/mpb":              {"cmd/internal/cli"},
	"github.com/goccy/go-yaml":               {"manifests/strictyaml"},
	"github.com/invopop/jsonschema":          {"manifests/schema"},
	"github.com/ulikunitz/xz":                {}, // writes fixtures of tests
	"github.com/therootcompany/xz":           {"builder/content"},
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestTheArrowsBetweenTheRoomsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		folder := strings.TrimPrefix(p.ImportPath, module)
		room, _, _ := strings.Cut(folder, "/")
		allowed, known := rooms[room]
		if !known {
			t.Errorf("%s: the house has no room %q; add it here and to docs/explanation/architecture.md", p.ImportPath, room)
		}
		for _, imported := range p.Imports {
			if other, ours := strings.CutPrefix(imported, module); ours {
				otherRoom, _, _ := strings.Cut(other, "/")
				if otherRoom != room && !slices.Contains(allowed, otherRoom) {
					t.Errorf("%s imports %s: %s may import %v", folder, other, room, allowed)
				}
			}
			for library, owners := range owners {
				if within(imported, library) && !slices.ContainsFunc(owners, func(owner string) bool { return within(folder, owner) }) {
					t.Errorf("%s imports %s, which is for %v alone", folder, imported, owners)
				}
			}
		}
	}
}

func TestTheProgramsOfTheHostStaySmall(t *testing.T) {
	for _, p := range packages(t) {
		var forbidden []string
		switch strings.TrimPrefix(p.ImportPath, module) {
		case "cmd/proa-init":
			forbidden = []string{"net/http", "github.com/spf13/cobra", "github.com/klauspost/compress", "github.com/goccy/go-yaml"}
		case "cmd/proa-agent":
			forbidden = []string{module + "builder", "github.com/google/go-containerregistry/pkg/v1", module + "partitions/diskimage", "github.com/erofs/go-erofs", "github.com/invopop/jsonschema"}
		default:
			continue
		}
		for _, dep := range p.Deps {
			for _, f := range forbidden {
				if within(dep, f) {
					t.Errorf("%s links %s", p.ImportPath, dep)
				}
			}
		}
	}
}

func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for in := json.NewDecoder(bytes.NewReader(out)); in.More(); {
		var p pkg
		if err := in.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.ImportPath+"/" != module {
			all = append(all, p)
		}
	}
	if len(all) < 20 {
		t.Fatalf("go list names %d packages", len(all))
	}
	return all
}
