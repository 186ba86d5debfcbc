package testhost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// tables are the first and the last MiB of a disk, as sgdisk has written them.
type tables struct{ head, tail []byte }

var (
	tablesLock sync.Mutex
	tablesOf   = map[string]tables{}
)

// sgdisk makes the tables of an empty disk of size bytes, once for each set of
// arguments: it waits for a second, and for every disk of the machine.
func sgdisk(t testing.TB, size int64, args []string) (head, tail []byte) {
	t.Helper()
	tablesLock.Lock()
	defer tablesLock.Unlock()
	key := fmt.Sprint(size, args)
	if made, ok := tablesOf[key]; ok {
		return made.head, made.tail
	}
	path := filepath.Join(t.TempDir(), "disk.raw")
	disk, err := os.Create(path)
	check(t, err)
	defer disk.Close()
	check(t, disk.Truncate(size))
	if out, err := exec.Command("sgdisk", append(args, path)...).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	made := tables{make([]byte, mib), make([]byte, mib)}
	_, err = disk.ReadAt(made.head, 0)
	check(t, err)
	_, err = disk.ReadAt(made.tail, size-mib)
	check(t, err)
	tablesOf[key] = made
	return made.head, made.tail
}
