package regular_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/regular"
)

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	if err := errors.Join(
		os.WriteFile(at("file"), []byte("12345"), 0o600),
		os.Symlink("file", at("link")),
		os.Mkdir(at("folder"), 0o755),
		syscall.Mkfifo(at("fifo"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for name, open := range map[string]func(string) (*os.File, fs.FileInfo, error){"Open": regular.Open, "OpenDisk": regular.OpenDisk} {
		for _, path := range []string{at("file"), at("link")} {
			file, info, err := open(path)
			if err != nil || info.Size() != 5 || !info.Mode().IsRegular() {
				t.Fatalf("%s %s: %v, %v", name, path, info, err)
			}
			file.Close()
		}
		for _, path := range []string{at("folder"), at("fifo"), "/dev/null"} {
			if _, _, err := open(path); !errors.Is(err, regular.ErrKind) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s %s: %v", name, path, err)
			}
		}
		if _, _, err := open(at("socket")); err == nil {
			t.Errorf("%s opened a socket", name)
		}
		if _, _, err := open(at("absent")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is not there: %v", name, err)
		}
	}
}

func TestReadingIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := regular.Read(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if data, err := regular.Read(path, 4); err == nil || data != nil || !strings.Contains(err.Error(), path+": want at most 4 bytes") {
		t.Errorf("%q, %v", data, err)
	}
	// Its size is said to be 0.
	if _, err := regular.Read("/proc/self/status", 10); err == nil {
		t.Error("a file of the kernel was read whole")
	}
}
