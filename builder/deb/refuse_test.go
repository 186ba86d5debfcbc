package deb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/deb/debtest"
	"github.com/proa-os/proa/builder/tarball/tartest"
)

func TestPackagesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	good := tartest.Archive(tartest.Dir("./"), tartest.File("./f", "x"))
	data := debtest.Member{Name: "data.tar", Body: good}
	control := debtest.Control(debtest.Text)
	archive := func(members ...debtest.Member) []byte {
		return debtest.Archive(append([]debtest.Member{debtest.Version()}, members...)...)
	}
	whole := archive(control, data)
	big := slices.Clone(whole)
	copy(big[8+48:], "9999999999")
	negative := slices.Clone(whole)
	copy(negative[8+48:], "-1        ")
	noHeader := slices.Clone(whole)
	noHeader[8+58] = 'x'
	text := func(old, new string) []byte {
		return archive(debtest.Control(strings.Replace(debtest.Text, old, new, 1)), data)
	}
	member := func(name, body string) []byte { return archive(debtest.Control(debtest.Text, name, body), data) }
	raw := func(parts ...tartest.Part) []byte {
		return archive(debtest.Member{Name: "control.tar", Body: tartest.Archive(parts...)}, data)
	}
	for name, c := range map[string]struct {
		file []byte
		rule string
	}{
		"empty":                        {nil, "not a .deb file"},
		"not ar":                       {[]byte(strings.Repeat("no ", 100)), "not a .deb file"},
		"no members":                   {[]byte("!<arch>\n"), "want the members debian-binary"},
		"no data":                      {archive(control), "want the members debian-binary"},
		"no control":                   {archive(data), "want control.tar here"},
		"data, then control":           {archive(data, control), "want control.tar here"},
		"two controls":                 {archive(control, control, data), "want data.tar here"},
		"two data":                     {archive(control, data, data), "behind data.tar"},
		"no version":                   {debtest.Archive(control, data), "want debian-binary"},
		"format 3":                     {debtest.Archive(debtest.Member{Name: "debian-binary", Body: []byte("3.0\n")}, control, data), "want 2.0"},
		"format x":                     {debtest.Archive(debtest.Member{Name: "debian-binary", Body: []byte("2.x\n")}, control, data), "want 2.0"},
		"size beyond the end":          {big, "unexpected EOF"},
		"negative size":                {negative, "want a decimal number"},
		"no header":                    {noHeader, "want an ar header"},
		"name with a slash":            {archive(control, debtest.Member{Name: "a/../data.tar", Body: good}), "without slashes"},
		"bzip2 data":                   {archive(control, debtest.Member{Name: "data.tar.bz2", Body: good}), ".gz, .xz or .zst"},
		"xz that is plain":             {archive(control, debtest.Member{Name: "data.tar.xz", Body: good}), "is plain: want xz"},
		"plain that is gzip":           {archive(control, debtest.Member{Name: "data.tar", Body: tool(t, good, "gzip", "-c")}), "is gzip: want plain"},
		"control is no tar":            {archive(debtest.Member{Name: "control.tar", Body: make([]byte, 3)}, data), "control.tar: "},
		"empty control":                {archive(debtest.Member{Name: "control.tar", Body: tartest.Archive()}, data), "no control file"},
		"control that is no stanza":    {archive(debtest.Control("what\n"), data), "want a field's name"},
		"control of two stanzas":       {archive(debtest.Control(debtest.Text+"\n"+debtest.Text), data), "a second stanza"},
		"a field twice":                {archive(debtest.Control(debtest.Text+"version: 2\n"), data), "appears twice"},
		"name with a path":             {text("Package: hostile", "Package: ../../etc"), "package name"},
		"no version field":             {text("Version: 1\n", ""), "version"},
		"version with a path":          {text("Version: 1", "Version: 1/2"), "version"},
		"no architecture":              {text("Architecture: amd64\n", ""), "architecture"},
		"bad relation":                 {text("Maintainer", "Depends: a (1)\nMaintainer"), "Depends"},
		"alternatives in Conflicts":    {text("Maintainer", "Conflicts: a | b\nMaintainer"), "no alternatives"},
		"range in Provides":            {text("Maintainer", "Provides: a (>= 1)\nMaintainer"), "want = or no version"},
		"control member out":           {raw(tartest.File("../postinst", "x")), "want letters"},
		"control member below":         {raw(tartest.File("./a/postinst", "x")), "want letters"},
		"control member list":          {member("list", "/etc/shadow\n"), "not list"},
		"control member twice":         {member("control", debtest.Text), "twice"},
		"control member is a link":     {raw(tartest.Symlink("./control", "/etc/passwd")), "want files only"},
		"control member is a device":   {raw(tartest.Raw(tartest.Fields{Name: "control", Type: '3'})), "want files only"},
		"relative conffile":            {member("conffiles", "etc/x\n"), "absolute path"},
		"conffile that climbs":         {member("conffiles", "/etc/../x\n"), "absolute path"},
		"control that expands":         {archive(debtest.Member{Name: "control.tar.gz", Body: tool(t, tartest.Archive(tartest.File("control", strings.Repeat("x", 6<<20))), "gzip", "-c")}, data), "200-fold"},
		"control of 17 MiB":            {raw(tartest.File("control", debtest.Text), tartest.File("md5sums", strings.Repeat("x", 17<<20))), "more than 16777216 bytes"},
		"data that expands":            {archive(control, debtest.Member{Name: "data.tar.xz", Body: tool(t, tartest.Archive(tartest.File("f", strings.Repeat("\x00", 6<<20))), "xz", "-c")}), "200-fold"},
		"a sparse file that is a bomb": {archive(control, debtest.Member{Name: "data.tar", Body: tartest.Archive(tartest.PAX("s", "ab", "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.name", "s", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,2", "GNU.sparse.size", fmt.Sprint(1<<40)))}), "sparse file"},
	} {
		if lines, err := laid(t, write(t, c.file)); err == nil || !strings.Contains(err.Error(), c.rule) {
			t.Errorf("%s: error %v: want %q in it; tree %q", name, err, c.rule, lines)
		}
	}
	for cut := range len(whole) {
		if cut%97 != 0 && cut != len(whole)-1 {
			continue
		}
		if _, err := laid(t, write(t, whole[:cut])); err == nil {
			t.Errorf("cut after %d of %d bytes, it is accepted", cut, len(whole))
		}
	}
	if _, err := laid(t, write(t, archive(debtest.Member{Name: "_signature", Body: []byte("x")}, control, data, debtest.Member{Name: "more", Body: nil}))); err == nil {
		t.Error("a member behind data.tar is accepted")
	}
	if _, err := laid(t, write(t, archive(debtest.Member{Name: "_signature", Body: []byte("x")}, control, data))); err != nil {
		t.Errorf("a member that does not count is refused: %v", err)
	}
	if _, err := deb.Read(t.Context(), newStore(t), t.TempDir(), "s"); err == nil || !strings.Contains(err.Error(), "want a regular file") {
		t.Errorf("a folder: error %v", err)
	}
}
