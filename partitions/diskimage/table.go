package diskimage

import (
	"context"
	"os"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
)

// writeTable writes the protective MBR and both copies of the table.
func (w *writer) writeTable(context.Context) error {
	return gpt.Write(unsynced{w.file}, w.config.Layout, partitions.SectorSize)
}

// unsynced is a file of which nobody sees anything before it is complete.
type unsynced struct{ *os.File }

// Sync does nothing.
func (unsynced) Sync() error { return nil }
