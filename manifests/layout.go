package manifests

import (
	"errors"
	"fmt"
)

// Layout says what the disks of a product look like: the content of layout.json,
// which is an artifact of the release. Package partitions makes the table of it. A
// disk may have larger slots, and has whatever it is long enough for as var.
type Layout struct {
	Schema int    `json:"schema"` // 1
	Seed   string `json:"seed"`   // every GUID is derived from it
	ESP    int64  `json:"esp"`    // bytes of the boot partition
	Root   int64  `json:"root"`   // bytes of each root partition
	Verity int64  `json:"verity"` // bytes of each hash tree's partition
	Var    int64  `json:"var"`    // bytes of the partition for /var, at the least
}

// ParseLayout reads a layout.json. It checks that the sizes are those of a disk; whether
// a release fits, whoever lays it out finds.
func ParseLayout(data []byte) (Layout, error) {
	var l Layout
	err := parseStrict(data, &l, &l.Schema, 1)
	if err == nil {
		err = l.check()
	}
	if err != nil {
		return Layout{}, fmt.Errorf("layout: %w", err)
	}
	return l, nil
}

func (l Layout) check() error {
	const most = 1 << 49 // numbers of JSON have 15 digits
	if l.Seed == "" || len(l.Seed) > SeedMost {
		return fmt.Errorf("seed of %d bytes: want 1 to %d", len(l.Seed), SeedMost)
	}
	for _, size := range []int64{l.ESP, l.Root, l.Verity, l.Var} {
		if size <= 0 || size > most {
			return errors.New("a size is missing, or no partition's")
		}
	}
	return nil
}
