package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// Fault is an entry that is not what its name says.
type Fault struct {
	Item
	Fault string `json:"fault"`
}

// Verify reads everything that the cache keeps and says what is damaged. It
// does not change the cache. Partial downloads are checked when they have
// ended, not here.
func (c *Cache) Verify(ctx context.Context, report progress.Reporter) (checked int, faults []Fault, err error) {
	items, err := c.List(ctx)
	if err != nil {
		return 0, nil, err
	}
	var total int64
	for _, item := range items {
		if item.What != Partial {
			total += item.Size
		}
	}
	step := report.Step("verify cache", total)
	defer func() { step.Done(err) }()
	for _, item := range items {
		if item.What == Partial {
			continue
		}
		fault, err := c.verify(ctx, item, step)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // replaced or pruned meanwhile
		case err != nil:
			return checked, faults, fmt.Errorf("verifying the cache: %w", err)
		case fault != "":
			faults = append(faults, Fault{item, fault})
		}
		checked++
	}
	return checked, faults, nil
}

// Remove removes what Verify has found to be damaged, so that it is brought or
// unpacked anew. Like Prune, it waits for others.
func (c *Cache) Remove(ctx context.Context, faults []Fault, waiting func()) error {
	bad := map[string]bool{}
	for _, f := range faults {
		bad[f.path] = true
	}
	_, err := c.prune(ctx, waiting, func(items []Item) []Item {
		var chosen []Item
		for _, item := range items {
			if bad[item.path] {
				chosen = append(chosen, item)
			}
		}
		return chosen
	})
	return err
}

func (c *Cache) verify(ctx context.Context, item Item, step progress.Step) (fault string, err error) {
	file, err := os.Open(item.path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if item.What == ABlob {
		return hashes(ctx, progress.Reader(file, step), item.Digest, "content differs from its digest")
	}
	u, err := c.load(item.path, item.Digest, item.Kind, false)
	if errors.Is(err, errDamaged) {
		return "index is damaged", nil
	}
	if err != nil {
		return "", err
	}
	for _, n := range filesOf(u.Entries) {
		content := io.NewSectionReader(file, n.Content.Offset, n.Content.Size)
		fault, err := hashes(ctx, progress.Reader(content, step), n.Content.Sums.SHA256, "contents are damaged")
		if fault != "" || err != nil {
			return fault, err
		}
	}
	return "", nil
}

func hashes(ctx context.Context, r io.Reader, want manifests.Digest, fault string) (string, error) {
	sum := sha256.New()
	if err := copyTo(ctx, sum, r); err != nil {
		return "", err
	}
	if manifests.Digest(sum.Sum(nil)) != want {
		return fault, nil
	}
	return "", nil
}
