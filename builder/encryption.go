package builder

import (
	"fmt"
	"path"
	"strings"

	"github.com/proa-os/proa/manifests"
)

// What proa-init runs, in the image, to make and open an encrypted /var, and
// the libraries that systemd's tools load by name when they talk to a TPM.
var (
	encryptionPrograms  = []string{"cryptsetup", "systemd-cryptenroll", "systemd-cryptsetup", "mkfs.ext4"}
	encryptionLibraries = []string{"libtss2-esys.so.0", "libtss2-mu.so.0", "libtss2-rc.so.0", "libtss2-tcti-device.so.0"}

	programFolders = []string{"usr/bin", "usr/sbin", "usr/lib/systemd", "bin", "sbin", "lib/systemd"}
	libraryFolders = []string{"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "lib"}
)

// checkEncryption refuses a tree that could not do what the recipe's
// varEncryption asks for: its machines would find out at their first boot.
func (b *build) checkEncryption() error {
	if b.Recipe.VarEncryption != manifests.VarTPM2 {
		return nil
	}
	var missing []string
	for _, want := range []struct{ names, folders []string }{
		{encryptionPrograms, programFolders}, {encryptionLibraries, libraryFolders},
	} {
		for _, name := range want.names {
			if !b.isInOneOf(want.folders, name) {
				missing = append(missing, name)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("varEncryption: the sources have no %s (on Debian: packages cryptsetup-bin, systemd, e2fsprogs, libtss2-esys-3.0.2-0, libtss2-mu0, libtss2-rc0, libtss2-tcti-device0)", strings.Join(missing, ", "))
	}
	return nil
}

func (b *build) isInOneOf(folders []string, name string) bool {
	for _, folder := range folders {
		if _, ok := b.tree.Resolve(path.Join(folder, name)); ok {
			return true
		}
	}
	return false
}
