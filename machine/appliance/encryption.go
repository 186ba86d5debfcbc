package appliance

// packagesOfEncryption bring what programsOfEncryption are, where Debian's
// minimal system does not.
var packagesOfEncryption = []string{
	"cryptsetup-bin", "libtss2-esys-3.0.2-0", "libtss2-mu0", "libtss2-rc0", "libtss2-tcti-device0",
}

// PackagesOfEncryption are the packages that a Debian root must have, besides
// those of every appliance, for Config.Encryption.
func PackagesOfEncryption() []string { return append([]string(nil), packagesOfEncryption...) }

// programsOfEncryption make and open an encrypted /var. systemd's load the
// libraries at its end by name.
var programsOfEncryption = []string{
	"usr/sbin/cryptsetup",
	"usr/bin/systemd-cryptenroll",
	"usr/lib/systemd/systemd-cryptsetup",
	"usr/lib/x86_64-linux-gnu/cryptsetup/libcryptsetup-token-systemd-tpm2.so",
	"usr/lib/x86_64-linux-gnu/libtss2-esys.so.0",
	"usr/lib/x86_64-linux-gnu/libtss2-mu.so.0",
	"usr/lib/x86_64-linux-gnu/libtss2-rc.so.0",
	"usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0",
}

var modulesOfEncryption = []string{"dm-crypt", "xts", "ecb", "aesni-intel", "tpm_crb", "tpm_tis"}
