package initrd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// driver is a module that a platform wants.
type driver struct {
	names    []string // alternatives, the first that the kernel has is taken
	required bool     // otherwise it is left out of a kernel without it
	why      string
}

func need(why string, names ...string) driver   { return driver{names, true, why} }
func option(why string, names ...string) driver { return driver{names, false, why} }

// What every machine needs to reach its root file system, and what makes it
// faster or safer where the kernel has it. There is no modprobe in the initrd:
// what the kernel would ask for by itself must be listed.
var everywhere = []driver{
	need("dm-verity's and ext4's hash", "sha256_generic", "sha256"),
	option("hashing with SSSE3, AVX or SHA instructions", "sha256_ssse3"),
	option("hashing with ARMv8 instructions", "sha2_ce", "sha256_arm64"),
	option("checksums of erofs and ext4 on kernels where they are no library", "crc32c_generic"),
	option("the same with SSE 4.2", "crc32c_intel"),
	option("the same with ARMv8 instructions", "crc32_ce"),
	need("device-mapper", "dm_mod"),
	need("the verified root", "dm_verity"),
	need("the root file system", "erofs"),
	need("/etc", "overlay"),
	need("/var", "ext4"),
	option("the boot loader's variables", "efivarfs"),
	option("live systems from the network, whose root is a file", "loop"),
	option("resets a machine that hangs, where the hardware cannot", "softdog"),
}

// What an encrypted /var needs.
var encryption = []driver{
	need("encrypted disks", "dm_crypt"),
	need("their cipher's mode", "xts"),
	need("their cipher", "aes_generic", "aes", "libaes"),
	option("the same with AES instructions", "aesni_intel"),
	option("the same with ARMv8 instructions", "aes_ce_blk", "aes_neon_bs"),
	option("TPMs that firmware gives an interface", "tpm_crb"),
	option("TPMs on a bus of their own", "tpm_tis"),
	option("the TPMs of Arm's firmware", "tpm_ftpm_tee"),
}

var virtio = []driver{
	need("virtio devices on PCI", "virtio_pci"),
	option("virtio devices without PCI (microvm, some arm64 machines)", "virtio_mmio"),
	need("virtio disks", "virtio_blk"),
	option("virtio disks on a SCSI bus", "virtio_scsi"),
	option("SCSI disks", "sd_mod"),
	option("optical drives, for live media", "sr_mod"),
	option("QEMU's watchdog", "i6300esb"),
}

// platforms are the drivers of each kind of machine.
var platforms = map[string][]driver{
	"qemu": slices.Concat(everywhere, virtio),

	// Any machine with UEFI: disks that a PC, a server or a cloud boots from.
	"uefi-generic": slices.Concat(everywhere, virtio, []driver{
		option("NVMe disks, Amazon EC2", "nvme"),
		option("NVMe disks behind Intel's volume management", "vmd"),
		option("SATA disks", "ahci"),
		option("IDE disks, Hyper-V generation 1 and older PCs", "ata_piix"),
		option("IDE disks of other makers", "ata_generic"),
		option("USB 3 ports", "xhci_pci"),
		option("USB 2 ports", "ehci_pci"),
		option("USB sticks and disks", "usb_storage"),
		option("fast USB disks", "uas"),
		option("SD cards and eMMC on PCI", "sdhci_pci"),
		option("SD cards and eMMC on ACPI", "sdhci_acpi"),
		option("SD cards and eMMC as disks", "mmc_block"),
		option("RAID controllers of servers, Broadcom", "megaraid_sas"),
		option("SAS controllers of servers, Broadcom", "mpt3sas"),
		option("RAID controllers of servers, Microchip", "smartpqi"),
		option("Hyper-V and Azure: the bus", "hv_vmbus"),
		option("Hyper-V and Azure: PCI, for NVMe", "pci_hyperv"),
		option("Hyper-V and Azure: disks", "hv_storvsc"),
		option("VMware disks", "vmw_pvscsi"),
		option("Xen disks", "xen_blkfront"),
		option("Intel's watchdog", "iTCO_wdt"),
		option("AMD's watchdog", "sp5100_tco"),
		option("ACPI's watchdog", "wdat_wdt"),
		option("the watchdog of arm64 servers", "sbsa_gwdt"),
	}),
}

// Platforms are the names that Config.Platform accepts, sorted.
func Platforms() []string { return slices.Sorted(maps.Keys(platforms)) }

func platform(name string) ([]driver, error) {
	drivers, ok := platforms[name]
	if !ok {
		return nil, fmt.Errorf("platform %q: want one of %s", name, strings.Join(Platforms(), ", "))
	}
	return drivers, nil
}
