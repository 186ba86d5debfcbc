package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/proa-os/proa/builder/initrd"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/pcrpolicy"
	"github.com/proa-os/proa/regular"
)

// What the build reads out of a tree at the most, in bytes.
const (
	kernelMost = 256 << 20
	moduleMost = 64 << 20
	textMost   = 1 << 20
)

// treeFiles shows a tree to the initrd's maker.
type treeFiles struct{ tree *tree.Tree }

func (f treeFiles) ReadFile(path string) ([]byte, error) { return f.tree.ReadFile(path, moduleMost) }
func (f treeFiles) List(path string) ([]string, error)   { return f.tree.Children(path) }

// makeInitrd finds the kernel and begins to pack the modules that its platform needs.
func (b *build) makeInitrd(context.Context) error {
	files := treeFiles{b.tree}
	var err error
	if b.kernelPath, b.kernelRelease, err = initrd.FindKernel(files); err != nil {
		return err
	}
	b.initrd = begin(b, func() ([]byte, error) {
		step := b.Progress.Step("make initrd", 0)
		packed, _, err := initrd.Build(initrd.Config{
			Files:         files,
			KernelRelease: b.kernelRelease,
			Platform:      string(b.Recipe.Platform),
			Modules:       b.Recipe.Kernel.Modules,
			Encryption:    b.Recipe.VarEncryption == manifests.VarTPM2,
			Init:          b.Init,
		})
		step.Done(err)
		return packed, err
	})
	return nil
}

// assembleUKI joins kernel, initrd and command line. The root hash stands in
// the command line, so whoever signs this file signs the root.
func (b *build) assembleUKI(ctx context.Context) error {
	stub, err := b.bootFile("linux" + b.Arch.EFISuffix() + ".efi.stub")
	if err != nil {
		return err
	}
	kernel, err := b.tree.ReadFile(b.kernelPath, kernelMost)
	if err != nil {
		return err
	}
	line, err := b.commandLine()
	if err != nil {
		return err
	}
	packed, err := b.initrd.wait(ctx)
	if err != nil {
		return fmt.Errorf("make initrd: %w", err)
	}
	pcrKey, err := b.pcrKey()
	if err != nil {
		return err
	}
	image, err := uki.Assemble(uki.Config{
		Stub:        stub,
		Kernel:      kernel,
		Initrd:      packed,
		CommandLine: line,
		OSRelease:   b.osRelease(),
		Uname:       b.kernelRelease,
		SBAT:        b.sbat(),
		PCRKey:      pcrKey,
	})
	if err != nil {
		return err
	}
	b.uki = image
	if err := os.WriteFile(b.path(manifests.UKIFile), image, 0o644); err != nil {
		return err
	}
	b.digest(ctx, manifests.UKIFile)
	return nil
}

// sbat is the product's line of .sbat. A release that hosts may not go back behind
// is a new generation of the product.
func (b *build) sbat() []byte {
	return fmt.Appendf(nil, "proa.%[1]s,%[2]d,%[1]s,kernel-image,%[3]s,https://github.com/proa-os/proa\n", b.Recipe.Product, b.Recipe.SecurityEpoch+1, b.Version)
}

// pcrKey is the public key of policies for what a TPM measures, if the recipe
// names one.
func (b *build) pcrKey() ([]byte, error) {
	name := b.Recipe.SecureBoot.PCRKey
	if name == "" {
		return nil, nil
	}
	text, err := regular.Read(b.inFolder(name), pcrpolicy.KeyMost)
	if err == nil {
		_, err = pcrpolicy.ParseKey(text)
	}
	if err != nil {
		return nil, fmt.Errorf("secureBoot.pcrKey: %w", err)
	}
	b.inputs.addFile("key "+name, text)
	return text, nil
}

// commandLine is what the kernel is told: where its root is, to leave mounting
// to proa-init, to reset rather than hang after a panic, and what the recipe
// adds.
func (b *build) commandLine() (string, error) {
	boot := cmdline.Boot{Root: b.hashes.Root(), EtcLost: b.Recipe.Etc == manifests.EtcTransient, VarTPM2: b.Recipe.VarEncryption == manifests.VarTPM2}
	words := []string{boot.String(), "ro", "panic=10", "systemd.gpt_auto=0", "systemd.verity=0"}
	return cmdline.Join(append(words, b.Recipe.Kernel.CommandLine...))
}

// osRelease is the tree's os-release, which gives the boot menu its title, with
// the release's identity (os-release(5), IMAGE_ID and IMAGE_VERSION).
func (b *build) osRelease() []byte {
	text, err := b.tree.ReadFile("etc/os-release", textMost)
	if err != nil {
		text, err = b.tree.ReadFile("usr/lib/os-release", textMost)
	}
	if err != nil {
		text = fmt.Appendf(nil, "ID=%s\nPRETTY_NAME=\"%s %s\"\nVERSION_ID=%s\n", b.Recipe.Product, b.Recipe.Product, b.Version, b.Version)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasPrefix(line, "IMAGE_ID=") && !strings.HasPrefix(line, "IMAGE_VERSION=") {
			kept = append(kept, line)
		}
	}
	return fmt.Appendf(nil, "%s\nIMAGE_ID=%s\nIMAGE_VERSION=%s\n", strings.Join(kept, "\n"), b.Recipe.Product, b.Version)
}

const bootFolder = "usr/lib/systemd/boot/efi"

// ErrNoLoader says that neither the tree nor this machine has systemd-boot.
var ErrNoLoader = errors.New("systemd's boot loader and stub are neither in the sources nor on this machine")

// bootFile reads a part of systemd-boot: from the tree, so that the sources
// decide, else from this machine.
func (b *build) bootFile(name string) ([]byte, error) {
	data, err := b.tree.ReadFile(bootFolder+"/"+name, textMost)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	data, err = os.ReadFile("/" + bootFolder + "/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s/%s: %w", bootFolder, name, ErrNoLoader)
	}
	b.inputs.addFile("/"+bootFolder+"/"+name, data)
	return data, err
}
