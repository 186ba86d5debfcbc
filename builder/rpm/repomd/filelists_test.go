package repomd

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
)

// It would take hours to look for each file among all before it.
func TestAPackageThatHasManyWantedFilesIsRead(t *testing.T) {
	const count = 300_000
	wanted := map[string]string{}
	var list strings.Builder
	for i := range count {
		path := fmt.Sprintf("/a/long/folder/so/that/comparing/takes/time/%d", i)
		wanted[path] = path
		fmt.Fprintf(&list, "<file>%s</file>", path)
	}
	one := `<package pkgid="a">` + list.String() + `</package>`
	r := &Repository{Packages: make([]packages.Package, 1), byID: map[string]int{"a": 0}}
	in := io.MultiReader(strings.NewReader("<filelists>"), strings.NewReader(one), strings.NewReader(one), strings.NewReader("</filelists>"))
	if err := r.parseFilelists(in, wanted); err != nil || len(r.Packages[0].Files) != count {
		t.Errorf("%d files, %v", len(r.Packages[0].Files), err)
	}
}
