package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// layer is a layer of /etc with some files in it, and what is beside it.
func layer(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range []string{"upper/hosts", "upper/ssh/sshd_config", "upper/ssh/keys/a", "outside"} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..", filepath.Join(folder, "upper/up")); err != nil {
		t.Fatal(err)
	}
	return folder
}

func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			names = append(names, path[len(folder)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestOnlyWhatIsOnTheListIsTakenBack(t *testing.T) {
	all := []string{"outside", "upper/hosts", "upper/ssh/keys/a", "upper/ssh/sshd_config", "upper/up"}
	for _, c := range []struct {
		list string
		want []string
		ok   bool
	}{
		{"hosts\x00ssh/keys\x00", []string{"outside", "upper/ssh/sshd_config", "upper/up"}, true},
		{"ssh\x00up\x00", []string{"outside", "upper/hosts"}, true},
		{"nothing\x00", all, true},
		{"../outside\x00", all, false},
		{"up/outside\x00hosts\x00", []string{"outside", "upper/ssh/keys/a", "upper/ssh/sshd_config", "upper/up"}, false},
		{"/hosts\x00", all, false},
		{"", all, false},
		{".\x00", all, false},
	} {
		folder := layer(t)
		if err := os.WriteFile(filepath.Join(folder, "reset"), []byte(c.list), 0o600); err != nil {
			t.Fatal(err)
		}
		err := takeBack(folder)
		if got := files(t, folder); !slices.Equal(got, c.want) || (err == nil) != c.ok {
			t.Errorf("list %q leaves %v, %v: want %v", c.list, got, err, c.want)
		}
		if err := takeBack(folder); err != nil {
			t.Errorf("list %q: without a list: %v", c.list, err)
		}
	}
}

func TestAListThatIsNoFileIsLeftAlone(t *testing.T) {
	folder := layer(t)
	name := filepath.Join(folder, "reset")
	if err := os.Symlink("upper/hosts", name); err != nil {
		t.Fatal(err)
	}
	if err := takeBack(folder); err == nil {
		t.Error("a link was taken for a list")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, resetMost+1); err != nil {
		t.Fatal(err)
	}
	if err := takeBack(folder); err == nil || len(files(t, folder)) != 6 {
		t.Errorf("a list without end: %v, left %v", err, files(t, folder))
	}
}
