package workbench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

const hostFile = `disk: %[1]s/disk.raw
esp: %[1]s/esp
efivars: %[1]s/efivars
run: %[1]s/run
boot: %[1]s/boot.json
cmdline: %[1]s/cmdline
bootId: %[1]s/boot_id
image: %[1]s/image.json
trustRoot: %[1]s/root.json
state: %[1]s/state
config: [%[1]s/agent.yaml]
healthDirs: []
resetFile: %[1]s/reset
`

// Host is what release 1.0.0 of product "bench" looks like to its agent when it
// runs, of plain files and folders: host in the bench's folder.
type Host struct {
	Release    string // the folder of the release, in the bench's folder; required
	Repository string // the folder of the repository that it trusts, in the bench's folder; required
	URL        string // of the repository; required
}

// Make makes the files that stay as they are; Reset makes the others.
func (h Host) Make(ctx context.Context, b *Bench) error {
	release := struct {
		Root struct {
			Hash, Salt string
			Blocks     int64
		}
	}{}
	if err := ReadJSON(b.Path(h.Release, "release.json"), &release); err != nil {
		return err
	}
	host := b.Path("host")
	files := map[string]string{
		"host.yaml":  fmt.Sprintf(hostFile, host),
		"cmdline":    fmt.Sprintf("proa.roothash=%s proa.salt=%s proa.blocks=%d\n", release.Root.Hash, release.Root.Salt, release.Root.Blocks),
		"boot.json":  fmt.Sprintf(`{"slot":"a","rootHash":%q,"disk":"%s/disk.raw"}`, release.Root.Hash, host),
		"boot_id":    "6f1f6a4e-0000-4000-8000-000000000001\n",
		"image.json": `{"schema":1,"product":"bench","version":"1.0.0","arch":"amd64","epoch":315532800,"securityEpoch":0}`,
		"agent.yaml": fmt.Sprintf("repository: %s\nchannel: stable\n", h.URL),
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Join(host, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(host, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	_, err := b.Command(ctx, "cp "+filepath.Join(h.Repository, "metadata", "1.root.json")+" host/root.json")
	return err
}

// Reset takes the host to before the update, with nothing in the other slot.
func (h Host) Reset(ctx context.Context, b *Bench) error {
	_, err := b.Command(ctx, "release="+h.Release+`
set -e
rm -rf host/esp host/efivars host/run host/state
mkdir -p host/esp/EFI/Linux host/esp/EFI/BOOT host/esp/loader host/efivars host/run host/state
printf '\006\0\0\0p\0r\0o\0a\0-\0a\0.\0e\0f\0i\0\0\0' >host/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
cp "$release/uki.efi" host/esp/EFI/Linux/proa-a.efi
cp --sparse=always "$release/disk.raw" host/disk.raw
offset=$(sgdisk -i 1 host/disk.raw | awk '/First sector/ {print $3 * 512}')
mcopy -n -i host/disk.raw@@$offset ::/loader/loader.conf host/esp/loader/loader.conf
mcopy -n -i host/disk.raw@@$offset ::/EFI/BOOT/BOOTX64.EFI host/esp/EFI/BOOT/BOOTX64.EFI
sync host/disk.raw`)
	return err
}
