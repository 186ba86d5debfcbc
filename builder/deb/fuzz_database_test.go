package deb_test

import (
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// FuzzDatabase is about a database that a base image brings. What can be read
// can be added to, and read again.
func FuzzDatabase(f *testing.F) {
	stanza := "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMulti-Arch: same\nProvides: v (= 1)\nBreaks: b (<< 1)\nConflicts: c\nReplaces: c\nDescription: x\n y\n"
	f.Add(stanza, "/.\n/usr\n/usr/f\n", "/usr/f a\n")
	f.Add(stanza+"\nPackage: b\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: amd64\nConffiles:\n /etc/b 0\n", "/etc/b\n", "/x a:all/noawait\n/y b\n")
	f.Fuzz(func(t *testing.T, status, list, triggers string) {
		into := tree.New()
		for name, text := range map[string]string{"status": status, "info/a:all.list": list, "info/b.list": list, "triggers/File": triggers} {
			n := &tree.Node{Mode: 0o644, Source: "base"}
			if text != "" {
				n.Content = tree.Content{At: strings.NewReader(text), Size: int64(len(text))}
			}
			if err := into.Put("var/lib/dpkg/"+name, n); err != nil {
				t.Fatal(err)
			}
		}
		control := "Package: b\nVersion: 2\nArchitecture: amd64\nMaintainer: x\nDescription: x\nReplaces: a\n"
		p := packages.Payload{About: packages.About{
			Format: packages.Deb, Name: "b", Version: "2", Arch: "amd64", Record: map[string][]byte{"control": []byte(control), "list": []byte("/.\n/usr\n/usr/f\n")},
		}}
		if _, err := deb.MakeRoom(into, []packages.Payload{p}); err != nil {
			return
		}
		if err := deb.WriteDatabase(into, []packages.Payload{p}); err != nil {
			t.Fatalf("what room was made for cannot be recorded: %v", err)
		}
		if _, err := deb.MakeRoom(into, []packages.Payload{p}); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
