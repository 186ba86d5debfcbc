package cache

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFileThatWasReplacedIsNotTakenForTheOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var f files
	defer f.close()
	read := func(was os.FileInfo) (string, error) {
		file, release, err := f.open(path, was)
		if err != nil {
			return "", err
		}
		defer release()
		data := make([]byte, 3)
		_, err = file.ReadAt(data, 0)
		return string(data), err
	}
	put := func(content string) os.FileInfo {
		if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path + ".new")
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	old := put("old")
	if got, err := read(old); got != "old" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	second := put("new")
	for want, was := range map[string]os.FileInfo{"old": old, "new": second} {
		if got, err := read(was); got != want || err != nil {
			t.Errorf("%q, %v: want %q", got, err, want)
		}
	}
	put("3rd")
	f.mu.Lock()
	for _, o := range f.known {
		if o.is == inodeOf(second) {
			f.forget(o)
		}
	}
	f.mu.Unlock()
	if got, err := read(second); err == nil {
		t.Errorf("%q of another file was read", got)
	}
}
