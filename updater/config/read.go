package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/proa-os/proa/manifests/strictyaml"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater/demands"
)

// mostSize is the longest file, in bytes, that is read.
const mostSize = 256 << 10

// Effective is a configuration as it applies.
type Effective struct {
	Settings Settings
	Files    []string          // what was read, in this order
	From     map[string]string // the file that each key comes from; a key with its default is missing
}

// ErrNone says that there is no configuration at all.
var ErrNone = errors.New("no configuration")

// Load reads the settings that apply on a host; see Read.
func Load(paths ...string) (Settings, error) {
	effective, err := Read(paths...)
	if err != nil {
		return Settings{}, err
	}
	return effective.Settings, nil
}

// Read reads agent.yaml at each path and after it the drop-ins beside it:
// agent.d/*.yaml, by name. All of them may be missing. What is read later
// wins, key by key. A drop-in hides one of the same name beside an earlier path.
// The error has all faults of all files, with lines and columns (FaultsOf); of
// an Effective only Files then means something.
func Read(paths ...string) (Effective, error) {
	files, err := list(paths)
	if err != nil {
		return Effective{}, err
	}
	effective, err := ReadFiles(files...)
	switch {
	case err != nil:
		return effective, err
	case len(effective.Files) == 0:
		return effective, fmt.Errorf("%w: none of %v is there", ErrNone, paths)
	case effective.Settings.Repository == "":
		return effective, fmt.Errorf("no repository is configured in any of %v", effective.Files)
	}
	return effective, nil
}

// list is the files that Read reads.
func list(paths []string) ([]string, error) {
	dropIns := make([][]string, len(paths))
	hidden := map[string]bool{}
	for i, path := range slices.Backward(paths) {
		folder := strings.TrimSuffix(path, filepath.Ext(path)) + ".d"
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			name := entry.Name()
			if filepath.Ext(name) != ".yaml" || strings.HasPrefix(name, ".") || hidden[name] {
				continue
			}
			dropIns[i] = append(dropIns[i], filepath.Join(folder, name))
		}
		for _, entry := range entries {
			hidden[entry.Name()] = true
		}
	}
	var files []string
	for i, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			files = append(files, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files = append(files, dropIns[i]...)
	}
	return files, nil
}

// ReadFiles reads exactly these files, in this order, all of which must be
// there; they need not name a repository.
func ReadFiles(paths ...string) (Effective, error) {
	r := reader{
		effective: Effective{Settings: Defaults(), Files: []string{}, From: map[string]string{}},
		documents: map[string]*strictyaml.Document{},
	}
	for _, path := range paths {
		r.read(path)
	}
	if len(r.failures) == 0 {
		r.checkTogether()
	}
	if err := errors.Join(r.failures...); err != nil {
		return Effective{Files: r.effective.Files}, err
	}
	return r.effective, nil
}

type reader struct {
	effective Effective
	documents map[string]*strictyaml.Document // by path; without those that say nothing
	failures  []error
}

func (r *reader) read(path string) {
	data, err := content(path)
	if err != nil {
		r.failures = append(r.failures, err)
		return
	}
	r.effective.Files = append(r.effective.Files, path)
	if saysNothing(data) {
		return
	}
	before := r.effective.Settings.Demands
	r.effective.Settings.Demands = demands.Demands{} // a file that has any replaces them all
	document := strictyaml.Decode(path, data, &r.effective.Settings)
	if !document.Has("demands") {
		r.effective.Settings.Demands = before
	}
	r.effective.Settings.checkFile(document)
	if err := document.Err(); err != nil {
		r.failures = append(r.failures, err)
	}
	r.documents[path] = document
	for _, key := range Keys() {
		if document.Has(key) {
			r.effective.From[key] = path
		}
	}
}

// checkTogether reports what does not fit together, in the file that set the
// one key or, where that has its default, the other.
func (r *reader) checkTogether() {
	s := &r.effective.Settings
	if _, set := r.effective.From["jitter"]; !set {
		s.Jitter = min(s.Jitter, s.Poll)
	}
	at := map[*strictyaml.Document]bool{}
	s.checkTogether(func(path, other, format string, args ...any) {
		key, _, _ := strings.Cut(path, "[")
		document := r.documents[r.effective.From[key]]
		if document == nil {
			path, document = other, r.documents[r.effective.From[other]]
		}
		document.Fault(path, format, args...)
		at[document] = true
	})
	for _, path := range r.effective.Files {
		if document := r.documents[path]; at[document] {
			r.failures = append(r.failures, document.Err())
			delete(at, document)
		}
	}
}

// content reads a file; one that leads to /dev/null is empty, as systemd has it.
func content(path string) ([]byte, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil && target == os.DevNull {
		return nil, nil
	}
	file, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > mostSize {
		return nil, fmt.Errorf("%s: %d bytes: want at most %d", path, info.Size(), mostSize)
	}
	return io.ReadAll(io.LimitReader(file, mostSize+1))
}

// saysNothing reports whether there are only comments and blank lines.
func saysNothing(data []byte) bool {
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// Keys are the names of all settings, in the order of Settings.
func Keys() []string {
	t := reflect.TypeFor[Settings]()
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}
