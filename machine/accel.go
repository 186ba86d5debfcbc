package machine

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// KVM is the Config.Accel of a host whose processor helps.
const KVM = "kvm"

// probePatience is how long a probe waits for the firmware, which takes two
// seconds where KVM works.
const probePatience = 30 * time.Second

// FindAccel is KVM where a machine of an architecture can use it, else DefaultAccel.
// That /dev/kvm is there says little: it can be shut to this process, and under
// another hypervisor it can be one on which firmware does not start. So the firmware
// is started on an empty disk, until it says that it found nothing to boot. Without
// an error why is what was in the way of KVM.
func FindAccel(ctx context.Context, arch string) (accel, why string, err error) {
	if arch == "" {
		arch = "amd64"
	}
	if arch != runtime.GOARCH {
		return DefaultAccel, "this host is " + runtime.GOARCH, nil
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return DefaultAccel, err.Error(), nil
	}
	device.Close()
	dir, err := os.MkdirTemp("", "proa-kvm-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "empty.raw")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		return "", "", err
	}
	m, err := New(Config{Disk: disk, Dir: dir, Arch: arch, Accel: KVM})
	if err != nil {
		return "", "", err
	}
	return m.probe(ctx)
}

func (m *Machine) probe(ctx context.Context) (accel, why string, err error) {
	b, err := m.Boot(ctx)
	if err != nil {
		return "", "", err
	}
	defer b.PowerCut()
	for deadline := time.Now().Add(probePatience); time.Now().Before(deadline); {
		if strings.Contains(b.Console(1000), "BdsDxe") {
			return KVM, "", nil
		}
		if b.Ended() {
			if _, err = b.Wait(ctx); ctx.Err() != nil {
				return "", "", ctx.Err()
			}
			why = "its firmware ended"
			if err != nil {
				why, _, _ = strings.Cut(err.Error(), "\n")
			}
			return DefaultAccel, why, nil
		}
		select {
		case <-ctx.Done():
			return "", "", ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return DefaultAccel, "its firmware does not start", nil
}
