package diskimage

import (
	"bytes"
	"io"
	"path"
	"strings"
	"testing"

	diskfs "github.com/diskfs/go-diskfs"
	diskfsgpt "github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/proa-os/proa/partitions/esp"
)

// TestGoDiskfsReadsTheDiskImage has the table and the boot partition read by code that
// shares nothing with ours, file by file.
func TestGoDiskfsReadsTheDiskImage(t *testing.T) {
	config := testConfig(t, 64*mib)
	disk, err := diskfs.Open(writeImage(t, config), diskfs.WithOpenMode(diskfs.ReadOnly))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	table, err := disk.GetPartitionTable()
	if err != nil {
		t.Fatal(err)
	}
	found, ok := table.(*diskfsgpt.Table)
	if !ok {
		t.Fatalf("a table of type %s", table.Type())
	}
	if !strings.EqualFold(found.GUID, config.Layout.DiskGUID.String()) {
		t.Errorf("the disk's GUID is %s: want %s", found.GUID, config.Layout.DiskGUID)
	}
	for _, want := range config.Layout.Partitions {
		got := found.Partitions[want.Number-1]
		if int64(got.Start)*512 != want.Start || int64(got.End-got.Start+1)*512 != want.Size || got.Name != string(want.Role) ||
			!strings.EqualFold(string(got.Type), want.Type.String()) || !strings.EqualFold(got.GUID, want.GUID.String()) {
			t.Errorf("partition %d is %+v: want %+v", want.Number, got, want)
		}
	}
	files, err := disk.GetFilesystem(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range config.espFiles() {
		file, err := files.OpenFile(path.Join("/", name), 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		content, err := io.ReadAll(file)
		expected := make([]byte, want.Size)
		want.Reader.ReadAt(expected, 0)
		if err != nil || !bytes.Equal(content, expected) {
			t.Errorf("%s has %d bytes, %v: want its %d", name, len(content), err, want.Size)
		}
	}
	if _, err := files.OpenFile("/"+esp.LoaderPath("arm64"), 0); err == nil {
		t.Error("it finds files that are not there")
	}
}
