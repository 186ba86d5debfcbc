package testhost

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
)

// UseUKI gives the release another kernel image, before it is published.
func (r *Release) UseUKI(t testing.TB, image []byte) {
	t.Helper()
	r.UKI = image
	for n := range r.Release.Artifacts {
		if a := &r.Release.Artifacts[n]; a.Name == manifests.UKIFile {
			a.Size, a.Digest = int64(len(image)), manifests.DigestOf(image)
		}
	}
	r.encode(t)
}

// AddVar gives the host's disk a var partition with a content of whole MiB.
func (h *Host) AddVar(t testing.TB, content []byte) {
	t.Helper()
	last := h.places[len(h.places)-1]
	p := place{role: partitions.RoleVar, kind: partitions.TypeVar, start: last.start + last.size, size: int64(len(content) / mib)}
	h.places = append(h.places, p)
	path := h.Path("disk.raw")
	check(t, os.Truncate(path, (p.start+p.size+1)*mib))
	out, err := exec.Command("sgdisk", "-e", "-a", "1", "-n", fmt.Sprintf("0:%d:+%dM", p.start*mib/512, p.size),
		"-t", fmt.Sprintf("%d:%s", len(h.places), p.kind), "-c", fmt.Sprintf("%d:%s", len(h.places), p.role), path).CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	disk, err := os.OpenFile(path, os.O_WRONLY, 0)
	check(t, err)
	defer disk.Close()
	_, err = disk.WriteAt(content, p.start*mib)
	check(t, err)
}
