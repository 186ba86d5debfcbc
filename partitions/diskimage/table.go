package diskimage

import (
	"context"

	diskfsgpt "github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/proa-os/proa/partitions"
)

// writeTable writes the protective MBR and both copies of the table.
func (w *writer) writeTable(context.Context) error {
	layout := w.config.Layout
	table := diskfsgpt.Table{
		LogicalSectorSize:  partitions.SectorSize,
		PhysicalSectorSize: partitions.SectorSize,
		GUID:               layout.DiskGUID.String(),
		ProtectiveMBR:      true,
	}
	for _, p := range layout.Partitions {
		table.Partitions = append(table.Partitions, &diskfsgpt.Partition{
			Index: p.Number,
			Start: uint64(p.Start / partitions.SectorSize),
			End:   uint64((p.Start+p.Size)/partitions.SectorSize - 1),
			Size:  uint64(p.Size),
			Type:  diskfsgpt.Type(p.Type.String()),
			Name:  string(p.Role),
			GUID:  p.GUID.String(),
		})
	}
	m := newMemory(layout.DiskSize)
	if err := table.Write(m, layout.DiskSize); err != nil {
		return err
	}
	return m.writeTo(w.file, 0)
}
