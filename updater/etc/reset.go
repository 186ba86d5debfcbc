package etc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/durable"
)

// ResetMost bounds the list for proa-init, in bytes.
const ResetMost = 1 << 20

// RequestReset asks the next boot to take back the changes at the paths and
// below them ("etc/hosts"); none withdraws the request. The list is in folder,
// each path ended by a NUL.
func RequestReset(folder string, paths []string) error {
	name := filepath.Join(folder, resetFile)
	if len(paths) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return durable.SyncFolder(folder)
	}
	list := []byte{}
	for _, p := range slices.Sorted(slices.Values(paths)) {
		if err := CheckPath(p); err != nil {
			return err
		}
		list = append(append(list, strings.TrimPrefix(p, "etc/")...), 0)
	}
	if len(list) > ResetMost {
		return fmt.Errorf("a list of %d bytes to take back: want at most %d; name folders instead", len(list), ResetMost)
	}
	return durable.WriteFile(name, list, 0o600)
}

// CheckPath refuses what is no clean path below etc.
func CheckPath(p string) error {
	rest, ok := strings.CutPrefix(p, "etc/")
	if !ok || rest == "" || path.Clean(p) != p || strings.ContainsRune(p, 0) {
		return fmt.Errorf("path %.200q: want a clean path below /etc", "/"+p)
	}
	return nil
}

// readReset is what the next boot takes back.
func readReset(folder string) ([]string, error) {
	name := filepath.Join(folder, resetFile)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > ResetMost {
		return nil, fmt.Errorf("%s of %d bytes: want at most %d", name, info.Size(), ResetMost)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var paths []string
	for p := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		paths = append(paths, "etc/"+p)
	}
	return paths, nil
}
