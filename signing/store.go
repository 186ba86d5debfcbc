package signing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/durable"
)

// store is the folder of what a host has come to trust: one file for each
// role and for each bin that it looked into, and the newest time seen. Each file is replaced in one durable step; a
// cut between two leaves a newer timestamp beside an older snapshot, which the
// next Refresh completes.
type store struct{ folder string }

const seenFile = "newest-time"

func openStore(folder string) (store, error) {
	if err := durable.MakeFolder(folder); err != nil {
		return store{}, err
	}
	return store{folder}, durable.Clean(folder)
}

// load is the stored metadata of role, or nil.
func (s store) load(role Role) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(s.folder, string(role)+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// save stores role's metadata, unless that is what is stored.
func (s store) save(role Role, data []byte) error {
	if old, err := s.load(role); err == nil && string(old) == string(data) {
		return nil
	}
	return durable.WriteFile(filepath.Join(s.folder, string(role)+".json"), data, 0o644)
}

// bins are the bins that are stored.
func (s store) bins() ([]Role, error) {
	entries, err := os.ReadDir(s.folder)
	var bins []Role
	for _, entry := range entries {
		role, ok := strings.CutSuffix(entry.Name(), ".json")
		if ok && !slices.Contains(Roles(), Role(role)) {
			bins = append(bins, Role(role))
		}
	}
	return bins, err
}

// remove removes the stored metadata of role.
func (s store) remove(role Role) error {
	return os.Remove(filepath.Join(s.folder, string(role)+".json"))
}

// seen is the newest time at which a refresh succeeded. A file that does not
// read as a time counts as none: it is written in one step, so only rot makes
// such a file, and a host must not need hands because of it.
func (s store) seen() (time.Time, error) {
	text, err := os.ReadFile(filepath.Join(s.folder, seenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
	if err != nil {
		return time.Time{}, nil
	}
	return at, nil
}

func (s store) saveSeen(at time.Time) error {
	text := at.UTC().Format(time.RFC3339) + "\n"
	return durable.WriteFile(filepath.Join(s.folder, seenFile), []byte(text), 0o644)
}
