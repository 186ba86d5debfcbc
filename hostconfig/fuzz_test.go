package hostconfig

import (
	"errors"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// FuzzParse reads anything as a configuration. What is accepted keeps the rules
// that carrying it out relies on, and can be held against an image without a
// panic and without a write.
func FuzzParse(f *testing.F) {
	for _, config := range []string{
		everything, user(`"uid":7`), storage(`"files":[{"path":"/etc/a","contents":{"source":"data:;base64,YQ=="}}]`),
		"#cloud-config\nusers: [{name: u, groups: 'a, b', sudo: ALL=(ALL) ALL}]\nwrite_files: [{path: /etc/a, encoding: b64, content: YQ==}]\n",
		"#cloud-config\nruncmd: [systemctl enable a.service]\ngroups: [g, {h: [u]}]\nfqdn: a.b\n",
	} {
		f.Add([]byte(config))
	}
	dir := newRoot(f, nil)
	before := listing(f, dir)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("c", data)
		var faults *strictyaml.Faults
		if err != nil {
			if !errors.As(err, &faults) || len(faults.Items) == 0 {
				t.Fatalf("an error without a fault: %v", err)
			}
			return
		}
		for _, f := range p.Files {
			if plan.CheckPath(f.Path) != nil || len(f.Contents) > plan.MostContents {
				t.Errorf("file %q of %d bytes", f.Path, len(f.Contents))
			}
		}
		for _, u := range p.Users {
			if plan.CheckAccount(u.Name) != nil || u.Comment != nil && strings.ContainsAny(*u.Comment, ":\n") || u.Password != nil && strings.ContainsAny(*u.Password, ":\n") {
				t.Errorf("user %+v", u)
			}
		}
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		work, err := Prepare(root, "c", p, nil, today)
		if _, err := root.Lstat(stateFolder); err == nil || !maps.Equal(listing(t, dir), before) {
			t.Error("something was written")
		}
		if err != nil && !errors.As(err, &faults) {
			t.Fatalf("an error without a fault: %v", err)
		}
		if err == nil {
			for _, e := range work.Changes {
				if !strings.HasPrefix(e.Path, "/etc/") && !strings.HasPrefix(e.Path, "/var/") || strings.Contains(e.Path, "/../") {
					t.Errorf("a change at %s", e.Path)
				}
			}
		}
	})
}
