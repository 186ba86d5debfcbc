package repository

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/proa-os/proa/signing"
)

func TestAWholePackHasEveryReleaseOrThoseThatAreNamed(t *testing.T) {
	w := makeExportWorld(t)
	all := must[*Pack](t)(PackWhole(t.Context(), w.Dir, start))
	one := must[*Pack](t)(PackWhole(t.Context(), w.Dir, start, "1.1.0"))
	for name, pack := range map[string]*Pack{"3 [boat 1.1.0 boat 1.0.0 ship 2.0.0]": all, "1 [boat 1.1.0]": one} {
		var got []string
		for _, r := range pack.Releases {
			got = append(got, r.Product+" "+string(r.Version))
		}
		if text := fmt.Sprint(len(got), " ", got); text != name {
			t.Errorf("packed %s, want %s", text, name)
		}
	}
	if _, err := PackWhole(t.Context(), w.Dir, start, "9.9.9"); !errors.Is(err, ErrNoRelease) {
		t.Errorf("an unknown version: %v", err)
	}
	// Whatever is left of older metadata is of no use to a host.
	for _, f := range all.Files {
		if strings.HasSuffix(f.Name, ".targets.json") && f.Name != fmt.Sprintf("metadata/%d.targets.json", all.meta.Version(signing.RoleTargets)) {
			t.Errorf("has %s", f.Name)
		}
	}
}
