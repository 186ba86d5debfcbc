package formats

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of a boot set.
const (
	pxeUKI    = "live.efi"  // for firmware that boots from the network by itself, by PXE or HTTP
	pxeKernel = "vmlinuz"   // for other boot loaders, such as iPXE
	pxeInitrd = "initrd"    // likewise
	pxeScript = "boot.ipxe" // says to iPXE how to start these two
)

func bootSet() []string { return []string{pxeUKI, pxeKernel, pxeInitrd, pxeScript} }

// isBootSet reports whether a folder holds a boot set and nothing else.
func isBootSet(folder string) bool {
	entries, err := os.ReadDir(folder)
	return err == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return !e.Type().IsRegular() || !slices.Contains(bootSet(), e.Name())
	})
}

// iPXE finds the files beside the script. With an EFI stub, the kernel learns the
// initrd's name from its command line.
const ipxeScript = `#!ipxe
# Starts @NAME@ as a live system. Words for it go behind the others of the kernel.
kernel vmlinuz initrd=initrd @LINE@
initrd initrd
boot
`

// writePXE makes a folder to serve to machines that boot from the network. There
// is no medium that the root could be on, so it is in the initrd.
func (c *conversion) writePXE(ctx context.Context) error {
	parts, err := c.assembleLive(ctx, true)
	if err != nil {
		return err
	}
	image, err := c.assembleSigned(parts)
	if err != nil {
		return err
	}
	if err := os.Mkdir(c.made, 0o755); err != nil {
		return err
	}
	script := strings.NewReplacer("@NAME@", c.release.name(), "@LINE@", parts.CommandLine).Replace(ipxeScript)
	for name, content := range map[string][]byte{pxeUKI: image, pxeKernel: parts.Kernel, pxeInitrd: parts.Initrd, pxeScript: []byte(script)} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.made, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
