package bootdisk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func TestEveryMountHasAPointOfItsOwn(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	first, err := mountPoint(run)
	if err != nil {
		t.Fatal(err)
	}
	second, err := mountPoint(run)
	if err != nil || first == second {
		t.Errorf("%s, %s, %v", first, second, err)
	}
	CleanMounts(run)
	for _, folder := range []string{first, second} {
		if _, err := os.Stat(folder); err != nil {
			t.Errorf("that of a process that lives: %v", err)
		}
	}
}

func TestMountPointsOfTheDeadAreCleaned(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	run := t.TempDir()
	dead := mountPrefix + strconv.Itoa(gone.Process.Pid)
	living := mountPrefix + strconv.Itoa(os.Getppid())
	for _, name := range []string{dead, dead + "-1", living, living + "-1", "esp-x-1", "agent"} {
		if err := os.Mkdir(filepath.Join(run, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	CleanMounts(run)
	left, err := os.ReadDir(run)
	if err != nil || len(left) != 4 {
		t.Errorf("%v, %v", left, err)
	}
}
