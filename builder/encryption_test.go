package builder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
)

func TestSourcesThatCannotEncryptVarAreRefusedByName(t *testing.T) {
	refused := func(recipe string, files ...string) string {
		t.Helper()
		c := config(t, recipe)
		c.Recipe.VarEncryption = manifests.VarTPM2
		for _, name := range files {
			path := filepath.Join(c.Folder, "tools", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Build(t.Context(), c)
		if err == nil {
			t.Fatal("the build went on")
		}
		return err.Error()
	}
	const all = "complete tree: varEncryption: the sources have no cryptsetup, systemd-cryptenroll, systemd-cryptsetup, libtss2-esys.so.0, libtss2-mu.so.0, libtss2-rc.so.0, libtss2-tcti-device.so.0 ("
	if got := refused(""); !strings.HasPrefix(got, all) {
		t.Errorf("without any: %s", got)
	}
	tools := []string{"usr/sbin/cryptsetup", "usr/bin/systemd-cryptenroll", "usr/lib/systemd/systemd-cryptsetup", "usr/lib64/libtss2-esys.so.0", "usr/lib64/libtss2-mu.so.0", "usr/lib64/libtss2-rc.so.0"}
	if got := refused("  - dir: tools\n", tools...); !strings.Contains(got, "the sources have no libtss2-tcti-device.so.0 (") {
		t.Errorf("without one: %s", got)
	}
	// With all of them it is the kernel that lacks something.
	if got := refused("  - dir: tools\n", append(tools, "usr/lib64/libtss2-tcti-device.so.0")...); !strings.Contains(got, "has no module dm_crypt, which platform qemu needs: encrypted disks") {
		t.Errorf("with all of them: %s", got)
	}
}
