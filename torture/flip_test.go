package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// TestEveryFlippedBitIsFound flips single bits of a slot that does not run, in
// its root image and in its hash tree: the agent finds each, and so does the
// reference tool. In the end the agent mends all of them at once.
func TestEveryFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	inOtherSlot(t, f)
	random := rand.New(rand.NewPCG(seed, 5))
	data, tree := f.host.Offset(partitions.RoleRootA), f.host.Offset(partitions.RoleVerityA)
	// The super block is not used: the command line says what it does.
	const superBlock = 4096
	flips := sizeOf(40, 1000)
	for n := range flips {
		at := data + random.Int64N(int64(len(f.old.Image)))
		if n%4 == 0 {
			// Behind the top block are the hashes of the data blocks.
			at = tree + superBlock + 4096 + random.Int64N(int64(f.old.Root.Blocks)*32)
		}
		bit := byte(1) << random.IntN(8)
		flip(t, f, at, bit)
		report.add("flips", 1)
		r := f.run(t, "repair", "--check")
		if r.code != 1 || !strings.Contains(r.output, "damaged") {
			report.add("flips: not found", 1)
			t.Errorf("bit %#x of byte %d: exit code %d\n%s", bit, at, r.code, r.output)
		} else {
			report.add("flips: found", 1)
		}
		if n%10 == 0 {
			if out, err := veritysetup(t, f); err == nil {
				t.Errorf("bit %#x of byte %d: veritysetup does not find it\n%s", bit, at, out)
			}
			report.add("flips: also found by veritysetup", 1)
		}
		flip(t, f, at, bit)
	}
	if r := f.run(t, "repair", "--check"); r.code != 0 {
		t.Errorf("without a flip: exit code %d\n%s", r.code, r.output)
	}
	if out, err := veritysetup(t, f); err != nil {
		t.Errorf("without a flip: veritysetup: %v\n%s", err, out)
	}
	for range 30 {
		flip(t, f, data+random.Int64N(int64(len(f.old.Image))), 1)
	}
	f.must(t, "repair")
	if err := oldWhole(t, f); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

func flip(t *testing.T, f *fleet, at int64, bit byte) {
	t.Helper()
	disk, err := os.OpenFile(f.host.Path("disk.raw"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	var b [1]byte
	if _, err := disk.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bit
	if _, err := disk.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// veritysetup verifies slot a with the reference tool.
func veritysetup(t *testing.T, f *fleet) (string, error) {
	t.Helper()
	var paths []string
	for _, role := range []partitions.Role{partitions.RoleRootA, partitions.RoleVerityA} {
		path := filepath.Join(t.TempDir(), string(role))
		dd := exec.Command("dd", "if="+f.host.Path("disk.raw"), "of="+path, "bs=4096", "status=none",
			"skip="+strconv.FormatInt(f.host.Offset(role)/4096, 10), "count=256")
		if out, err := dd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", dd.Args, err, out)
		}
		paths = append(paths, path)
	}
	cmd := exec.Command("veritysetup", "verify", paths[0], paths[1], fmt.Sprintf("%x", f.old.Root.Hash))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
