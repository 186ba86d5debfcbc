package diskimage

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
)

// ESPConfig is what a boot partition is made of.
type ESPConfig struct {
	Size       int64  // bytes; see LeastESP and NeededESP
	SectorSize int64  // bytes of the disk's sectors: Linux mounts no FAT with smaller ones. 512 or 4096
	Seed       string // of the volume id
	Epoch      int64  // of every file; seconds since 1970

	// Files are by their path, such as "EFI/Linux/proa-a.efi". They must not be
	// empty.
	Files map[string]Source
}

// Piece is a part of a boot partition.
type Piece struct {
	Offset int64 // bytes from the start of the partition
	Source
}

// ESP lays out a boot partition, FAT32, whose files lie in one piece each, and
// gives what is to be written of it, by offset. What is in no piece may hold
// anything.
func ESP(c ESPConfig) ([]Piece, error) {
	for name, s := range c.Files {
		if err := checkESPFile(name, s); err != nil {
			return nil, err
		}
	}
	root, err := newTree(c.Files)
	if err != nil {
		return nil, err
	}
	g, err := newGeometry(c.Size, c.SectorSize)
	if err != nil {
		return nil, err
	}
	var chains []int64
	next := int64(2)
	root.walk(func(n *node) {
		size := n.content.Size
		if n.folder {
			size = int64(len(n.entries(c.Epoch)))
		}
		n.first = uint32(next)
		chains = append(chains, g.clustersFor(size))
		next += g.clustersFor(size)
	})
	if used := next - 2; used > g.clusters {
		return nil, fmt.Errorf("files of %d bytes do not fit into a boot partition of %d", used*g.clusterSize(), c.Size)
	}
	pieces := []Piece{{0, InMemory(g.head(c.Seed, chains))}}
	root.walk(func(n *node) {
		content := n.content
		if n.folder {
			entries := n.entries(c.Epoch)
			content = InMemory(append(entries, make([]byte, g.clustersFor(int64(len(entries)))*g.clusterSize()-int64(len(entries)))...))
		}
		pieces = append(pieces, Piece{g.offset(n.first), content})
	})
	return pieces, nil
}

// writeESP makes the boot partition.
func (w *writer) writeESP(ctx context.Context) error {
	place, _ := w.config.Layout.Find(partitions.RoleESP)
	pieces, err := ESP(ESPConfig{
		Size: place.Size, SectorSize: partitions.SectorSize, Seed: w.config.Seed, Epoch: w.config.Epoch, Files: w.config.espFiles(),
	})
	if err != nil {
		return err
	}
	for _, piece := range pieces {
		if err := copyAt(ctx, w.file, place.Start+piece.Offset, piece.Source, 0, piece.Size, w.step); err != nil {
			return err
		}
	}
	return nil
}

// checkESPFile wants content under a plain relative path of characters that
// every reader of FAT takes the same way.
func checkESPFile(name string, s Source) error {
	bad := func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"*+,:;<=>?[\]|~`, r)
	}
	if !fs.ValidPath(name) || name == "." || strings.ContainsFunc(name, bad) || len(name) > 200 || endsInDot(name) {
		return fmt.Errorf("file %.80q for the boot partition: want a relative path of plain characters", name)
	}
	if s.Size <= 0 || s.Size > 1<<32-1 || s.Reader == nil {
		return fmt.Errorf("file %s for the boot partition has %d bytes: want 1 to 4294967295", name, s.Size)
	}
	return nil
}

// endsInDot also finds names of nothing but dots, which FAT cannot have.
func endsInDot(path string) bool {
	for _, name := range strings.Split(path, "/") {
		if strings.HasSuffix(name, ".") {
			return true
		}
	}
	return false
}

// checkESPFile also wants that the file is not one of ours, nor there twice.
func (c Config) checkESPFile(name string, s Source) error {
	if err := checkESPFile(name, s); err != nil {
		return err
	}
	for other := range c.ESPFiles {
		if other != name && strings.EqualFold(other, name) || other == name && c.isOurs(name) {
			return fmt.Errorf("file %s for the boot partition: given twice", name)
		}
	}
	return nil
}

// isOurs reports whether Write itself makes the file.
func (c Config) isOurs(name string) bool {
	for _, ours := range []string{esp.LoaderPath(c.Arch), esp.UKIPath(partitions.SlotA), esp.UKIPath(partitions.SlotB), esp.LoaderConfPath} {
		if strings.EqualFold(ours, name) {
			return true
		}
	}
	return false
}
