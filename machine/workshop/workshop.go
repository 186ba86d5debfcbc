// Package workshop makes, from a checkout of proa, what its tests and its demo
// build images from: compiled programs and the root of the appliance.
package workshop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/proa-os/proa/machine/appliance"
	"github.com/proa-os/proa/machine/debian"
)

// Compile builds programs, given by their folders relative to the checkout such
// as "cmd/proa", as they are released. Each appears in folder under the last
// part of its name.
func Compile(ctx context.Context, folder string, programs ...string) error {
	cache, err := debian.CheckoutDir()
	if err != nil {
		return err
	}
	script := filepath.Join(filepath.Dir(cache), "testdata", "compile")
	if out, err := exec.CommandContext(ctx, script, append([]string{folder}, programs...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %v: %w\n%s", programs, err, out)
	}
	return nil
}

// Appliance makes the root of the appliance as the tar archive folder/appliance.tar,
// and returns its path. The first time on a machine it makes the Debian root,
// which takes a minute, and tells standard error.
func Appliance(ctx context.Context, folder string) (string, error) {
	return makeAppliance(ctx, folder, "appliance.tar", appliance.Config{}, nil)
}

// EncryptedAppliance is Appliance for a /var that is encrypted:
// folder/encrypted.tar, of another Debian root.
func EncryptedAppliance(ctx context.Context, folder string) (string, error) {
	packages := append(debian.DefaultPackages(), appliance.PackagesOfEncryption()...)
	return makeAppliance(ctx, folder, "encrypted.tar", appliance.Config{Encryption: true}, packages)
}

func makeAppliance(ctx context.Context, folder, name string, config appliance.Config, packages []string) (string, error) {
	cache, err := debian.CheckoutDir()
	if err != nil {
		return "", err
	}
	root, err := debian.Root(ctx, debian.Config{Packages: packages, Dir: cache, Log: os.Stderr})
	if err != nil {
		return "", err
	}
	if err := Compile(ctx, folder, "machine/appliance/init"); err != nil {
		return "", err
	}
	path := filepath.Join(folder, name)
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	config.Debian, config.Init = root, filepath.Join(folder, "init")
	err = appliance.WriteRoot(out, config)
	return path, errors.Join(err, out.Close())
}
