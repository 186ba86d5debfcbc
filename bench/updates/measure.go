package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/durable"
)

// result is what a step measured on a pair.
type result struct {
	Size    int64 // of the new root image, bytes
	Figures []figure
	Index   int64            // of ours alone: bytes of the chunk index
	Plan    time.Duration    // what planning takes
	Copy    workbench.Sample // of dd, which writes as much
	Load    float64
	LeftOut string // why there are no figures
}

// leftOut is an error that ends a step, and not the run.
type leftOut string

func (l leftOut) Error() string { return string(l) }

// measure runs a step, for so long at most, and leaves nothing of it.
func (t *trial) measure(ctx context.Context, s step, limit time.Duration) (result, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	figures, err := s.run(t, limited)
	if ctx.Err() == nil && limited.Err() != nil {
		err = leftOut(fmt.Sprintf("it takes more than %s", limit))
	}
	r := result{Size: t.size}
	var why leftOut
	switch {
	case errors.As(err, &why):
		r.LeftOut = fmt.Sprintf("%s: %s", s.name, why)
	case err != nil:
		return result{}, fmt.Errorf("%s: %w", s.name, err)
	default:
		r.Figures, r.Index, r.Plan = figures, t.index, t.plan
		if len(t.copies) > 0 {
			r.Copy = workbench.Middle(t.copies)
		}
	}
	t.index, t.plan, t.copies = 0, 0, nil
	if r.Load, err = load(); err != nil {
		return result{}, err
	}
	return r, t.clean()
}

// clean removes all but the releases and their trees.
func (t *trial) clean() error {
	entries, err := os.ReadDir(t.bench.Folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !slices.Contains([]string{"old", "new", "old.tree", "new.tree"}, entry.Name()) {
			if err := os.RemoveAll(t.bench.Path(entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// kept is the folder of the results of the programs that are measured: a run that was
// cut goes on where it was, and other programs begin anew.
type kept string

func keptResults(b workbench.Bench) (kept, error) {
	self, err := os.Executable() // how others are called, and what pairs are
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, path := range []string{self, filepath.Join(b.Programs, "proa"), filepath.Join(b.Programs, "proa-agent"), filepath.Join(b.Programs, "proa-init")} {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		of := sha256.Sum256(data)
		sum.Write(of[:])
	}
	folder := filepath.Join(b.Kept, "figures", fmt.Sprintf("%x", sum.Sum(nil)[:6]))
	return kept(folder), os.MkdirAll(folder, 0o755)
}

func (k kept) path(p pair, s step) string {
	return filepath.Join(string(k), p.name+"-"+s.name+".json")
}

// read gives what was measured, if it was.
func (k kept) read(p pair, s step) (r result, found bool, err error) {
	data, err := os.ReadFile(k.path(p, s))
	if errors.Is(err, fs.ErrNotExist) {
		return result{}, false, nil
	}
	if err != nil {
		return result{}, false, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return result{}, false, fmt.Errorf("%s: %w", k.path(p, s), err)
	}
	return r, true, nil
}

func (k kept) write(p pair, s step, r result) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return durable.WriteFile(k.path(p, s), append(data, '\n'), 0o644)
}
