package rehearsal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/proa-os/proa/hostconfig"
	"github.com/proa-os/proa/manifests/strictyaml"
)

func TestTheOwnersConfigurationIsKeptAndAddedTo(t *testing.T) {
	t.Parallel()
	const ignition = `{"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core", "uid": 1001}]},
 "storage": {"files": [{"path": "/etc/hello", "mode": 384, "contents": {"source": "data:,hello%0A"}}], "links": [{"path": "/etc/l", "target": "/run/x"}]}}`
	const block = `#cloud-config
fqdn: edge-7.example.org
users:
  - name: core
    uid: 1001
    no_create_home: true
    gecos: "1001"
write_files:
  - path: /etc/hello
    permissions: 0600
    content: |
      hello
`
	for name, c := range map[string]struct {
		owner string
		keeps string // the path of a file of the owner's
	}{
		"none":                      {"", ""},
		"ignition":                  {ignition, "/etc/hello"},
		"ignition without files":    {`{"ignition": {"version": "3.0.0"}, "storage": {"files": null}}`, ""},
		"cloud-config":              {block, "/etc/hello"},
		"cloud-config in one line":  {"#cloud-config\n{users: [{name: core, uid: 1001}], write_files: [{path: /etc/hello, content: \"a, b: c\\n\"}]}\n", "/etc/hello"},
		"cloud-config without them": {"#cloud-config\nhostname: edge-7\nwrite_files:\n", ""},
		"empty cloud-config":        {"#cloud-config\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner := []byte(c.owner)
			if c.owner == "" {
				owner = nil
			}
			files := map[string]addedFile{"/" + ourDropIn: {0o644, []byte("channel: beta\n")}}
			addChecks(files, []Check{{"gateway", "test -e /run/gateway"}})
			all, err := withFiles(owner, files)
			if err != nil {
				t.Fatal(err)
			}
			got, err := hostconfig.Parse("all", all)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]string{}
			for _, f := range got.Files {
				found[f.Path] = string(f.Contents)
				if f.Path == "/etc/proa/health.d/zz-gateway" && *f.Mode != 0o755 || f.Path == "/etc/hello" && strings.Contains(c.owner, "00") && f.Mode != nil && *f.Mode != 0o600 && name != "cloud-config in one line" {
					t.Errorf("%s has mode %o", f.Path, *f.Mode)
				}
			}
			if found["/"+ourDropIn] != "channel: beta\n" || found["/etc/proa/health.d/zz-gateway"] != "#!/bin/sh\ntest -e /run/gateway\n" {
				t.Errorf("files: %q", found)
			}
			want, err := hostconfig.Parse("owner", owner)
			if owner == nil {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Files) != len(want.Files)+2 || len(got.Links) != len(want.Links) || got.Hostname.Value != want.Hostname.Value || len(got.Users) != len(want.Users) {
				t.Errorf("got %+v\nof %+v", got, want)
			}
			for _, f := range want.Files {
				if found[f.Path] != string(f.Contents) {
					t.Errorf("%s holds %q, want %q", f.Path, found[f.Path], f.Contents)
				}
			}
			for i, u := range want.Users {
				if have := got.Users[i]; have.Name != u.Name || *have.UID != *u.UID || have.NoHome != u.NoHome || u.Comment != nil && *have.Comment != *u.Comment {
					t.Errorf("user %+v, want %+v", have, u)
				}
			}
			if _, kept := found[c.keeps]; c.keeps != "" && !kept {
				t.Errorf("%s is gone", c.keeps)
			}
		})
	}
}

func TestAConfigurationThatCannotBeAddedToIsRefused(t *testing.T) {
	t.Parallel()
	files := map[string]addedFile{"/" + ourDropIn: {0o644, []byte("x")}}
	for _, c := range []struct{ owner, want string }{
		{`{"ignition": {"version": "3.4.0"}, "storage": []}`, "storage: "},
		{`{"ignition": {"version": "3.4.0"}, "storage": {"files": {}}}`, "storage.files: "},
		{`{"ignition"`, "configuration:1:"},
		{"#cloud-config\n- a\n", "configuration:2:1: "},
		{"#cloud-config\nwrite_files: x\n", "write_files: want a list"},
		{"#cloud-config\nwrite_files: [{path: /" + ourDropIn + ", content: x}]\n", "twice"},
		{"#!/bin/sh\n", "configuration"},
	} {
		if _, err := withFiles([]byte(c.owner), files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.owner, err, c.want)
		}
	}
}

func TestATextStaysATextInYAML(t *testing.T) {
	t.Parallel()
	node, err := strictyaml.Nodes("x", []byte(`{a: "true", b: true, c: 'x, y', d: 007, e: , f: [1, "1"]}`))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeYAML(&out, node); err != nil {
		t.Fatal(err)
	}
	if want := `{"a": "true", "b": true, "c": "x, y", "d": 007, "e": null, "f": [1, "1"]}`; out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}

func FuzzWithFiles(f *testing.F) {
	f.Add([]byte(`{"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/a"}]}}`))
	f.Add([]byte("#cloud-config\nwrite_files:\n - {path: /etc/a, content: \"x\\n\", permissions: 0600}\nusers: [{name: a, uid: 7}]\n"))
	f.Fuzz(func(t *testing.T, owner []byte) {
		before, err := hostconfig.Parse("owner", owner)
		if err != nil {
			return
		}
		all, err := withFiles(owner, map[string]addedFile{"/" + ourDropIn: {0o644, []byte("x")}})
		if err != nil {
			return // the owner has the same path, or one below it
		}
		after, err := hostconfig.Parse("all", all)
		if err != nil || len(after.Files) != len(before.Files)+1 || len(after.Users) != len(before.Users) {
			t.Errorf("%q became %q: %v", owner, all, err)
		}
	})
}
