package workshop

import (
	"context"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/machine/debian"
)

// AddGuest puts the guest's end of package machine's channel into an overlay
// folder, for images with systemd: /usr/bin/proa-guest and the unit that starts
// it.
func AddGuest(ctx context.Context, overlay string) error {
	const source = "machine/guest/proa-guest"
	if err := Compile(ctx, filepath.Join(overlay, "usr", "bin"), source); err != nil {
		return err
	}
	cache, err := debian.CheckoutDir()
	if err != nil {
		return err
	}
	unit, err := os.ReadFile(filepath.Join(filepath.Dir(cache), source, "proa-guest.service"))
	if err != nil {
		return err
	}
	units := filepath.Join(overlay, "usr", "lib", "systemd", "system")
	wants := filepath.Join(units, "multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(units, "proa-guest.service"), unit, 0o644); err != nil {
		return err
	}
	return os.Symlink("../proa-guest.service", filepath.Join(wants, "proa-guest.service"))
}
