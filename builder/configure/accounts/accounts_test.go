package accounts_test

import (
	"testing"

	"github.com/proa-os/proa/builder/configure/accounts"
	"github.com/proa-os/proa/builder/configure/configuretest"
)

func TestLinesThatWereThereStay(t *testing.T) {
	files := map[string]string{
		"etc/passwd": "root:*:0:0:root:/root:/bin/sh\n+::::::\nnot a line\nold:x:70000:1::/:/bin/sh", "etc/group": "root:*:0:someone\n",
	}
	into := configuretest.Tree(t, files)
	if n, ok := into.Lookup("etc/passwd"); ok {
		n.Mode = 0o600
	}
	a, err := accounts.Load(into)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []accounts.User{{Name: "root"}, {Name: "a:b"}, {Name: "ok", Comment: "a:b"}, {Name: "ok", Home: "a\nb"}, {Name: "-x"}, {Name: ""}} {
		if err := a.AddUser(bad, 1); err == nil {
			t.Errorf("user %q is accepted", bad.Name)
		}
	}
	if err := a.Store(into, "test"); err != nil {
		t.Fatal(err)
	}
	if got, _ := into.ReadFile("etc/passwd", 1<<20); string(got) != files["etc/passwd"] {
		t.Errorf("without a change: %q", got)
	}
	if err := a.AddUser(accounts.User{Name: "new", UID: 5, GID: 6, Home: "/", Shell: "/bin/sh", Password: "!"}, 20454); err != nil {
		t.Fatal(err)
	}
	if err := a.AddGroup(accounts.Group{Name: "shadow", GID: 42, Password: "!"}); err != nil {
		t.Fatal(err)
	}
	a.Hide(20454)
	for range 2 {
		if err := a.AddMember("new", "root", false); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Store(into, "test"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"etc/passwd":  "root:x:0:0:root:/root:/bin/sh\n+::::::\nnot a line\nold:x:70000:1::/:/bin/sh\nnew:x:5:6::/:/bin/sh\n",
		"etc/group":   "root:x:0:someone,new\nshadow:x:42:\n",
		"etc/shadow":  "new:!:20454::::::\nroot:*:20454:0:99999:7:::\n",
		"etc/gshadow": "shadow:!::\nroot:*::someone,new\n",
	} {
		if got, err := into.ReadFile(path, 1<<20); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v: want %q", path, got, err, want)
		}
	}
	if n, _ := into.Lookup("etc/shadow"); n.Mode != 0o640 || n.GID != 42 {
		t.Errorf("etc/shadow: mode %o of group %d", n.Mode, n.GID)
	}
	if n, _ := into.Lookup("etc/passwd"); n.Mode != 0o600 {
		t.Errorf("etc/passwd: mode %o", n.Mode)
	}
}
