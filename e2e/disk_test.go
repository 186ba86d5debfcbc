package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/gpt"
)

// What is done to a disk while its machine is off. Files of the boot partition
// go through mtools, which share no code with proa.

// find is where a partition is on the host's disk.
func (h *host) find(role partitions.Role) partitions.Partition {
	h.t.Helper()
	f, err := os.Open(h.machine.Disk())
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.ReadDisk(f)
	if err != nil {
		h.t.Fatal(err)
	}
	p, ok := table.Find(role)
	if !ok {
		h.t.Fatalf("no partition %s", role)
	}
	return p
}

// mtools runs a program of mtools on the boot partition.
func (h *host) mtools(program string, args ...string) []byte {
	h.t.Helper()
	image := fmt.Sprintf("%s@@%d", h.machine.Disk(), h.find(partitions.RoleESP).Start)
	cmd := exec.Command(program, append([]string{"-i", image}, args...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("%v: %v: %s", cmd.Args, err, complaints.Bytes())
	}
	return out
}

// wantCommitted checks which slot the loader's configuration names.
func (h *host) wantCommitted(slot partitions.Slot) {
	h.t.Helper()
	content := h.mtools("mtype", "::/"+esp.LoaderConfPath)
	oneShot, counted := "default proa-"+slot.String()+".efi\n", "default *-"+slot.String()+"[.+]??*\n"
	if !bytes.HasPrefix(content, []byte(oneShot)) && !bytes.HasPrefix(content, []byte(counted)) {
		h.t.Fatalf("loader.conf does not name slot %s:\n%s", slot, content)
	}
}

// replaceUKI puts other bytes under the name of a slot's UKI.
func (h *host) replaceUKI(slot partitions.Slot, change func(content []byte) []byte) {
	h.t.Helper()
	name := "::/" + esp.UKIPath(slot)
	changed := filepath.Join(h.t.TempDir(), "uki.efi")
	if err := os.WriteFile(changed, change(h.mtools("mtype", name)), 0o644); err != nil {
		h.t.Fatal(err)
	}
	h.mtools("mcopy", "-o", changed, name)
}

// overwrite writes into a partition.
func (h *host) overwrite(role partitions.Role, at int64, content []byte) {
	h.t.Helper()
	p := h.find(role)
	f, err := os.OpenFile(h.machine.Disk(), os.O_WRONLY, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, p.Start+at); err != nil {
		h.t.Fatal(err)
	}
}

// locate finds a block of content in a partition.
func (h *host) locate(role partitions.Role, content []byte) int64 {
	h.t.Helper()
	p := h.find(role)
	f, err := os.Open(h.machine.Disk())
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	all, err := io.ReadAll(io.NewSectionReader(f, p.Start, p.Size))
	if err != nil {
		h.t.Fatal(err)
	}
	at := bytes.Index(all, content)
	if at < 0 {
		h.t.Fatalf("partition %s does not hold what was looked for", role)
	}
	return int64(at)
}
