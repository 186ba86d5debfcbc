package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/debian"
	"github.com/proa-os/proa/machine/workshop"
)

func (d *demo) makeRoot(ctx context.Context) error {
	say("mmdebstrap makes it once, in about a minute; then it is kept")
	root, err := debian.Root(ctx, debian.Config{Dir: filepath.Join(d.checkout, ".build")})
	if err != nil {
		return err
	}
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	say("%s: %d MB", filepath.Base(root), info.Size()/1e6)
	if err := os.CopyFS(filepath.Join(d.folder, "image"), os.DirFS(filepath.Join(d.checkout, "images", "debian"))); err != nil {
		return err
	}
	return os.Symlink(root, filepath.Join(d.folder, "image", "root.tar"))
}

func (d *demo) makeRepository(ctx context.Context) error {
	if _, err := d.proa(ctx, "key", "new", "-o", "keys"); err != nil {
		return err
	}
	if _, err := d.proa(ctx, "repo", "init", "repo", "--keys", "keys"); err != nil {
		return err
	}
	say("images/debian/recipe.yaml will carry repo/metadata/root.json: what its machines trust")
	trusted, err := os.ReadFile(filepath.Join(d.folder, "repo", "metadata", "root.json"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.folder, "image", "root.json"), trusted, 0o644); err != nil {
		return err
	}
	recipe := filepath.Join(d.folder, "image", "recipe.yaml")
	text, err := os.ReadFile(recipe)
	if err != nil {
		return err
	}
	const usual = "http://10.0.2.2:8437"
	return os.WriteFile(recipe, []byte(strings.Replace(string(text), usual, d.repository, 1)), 0o644)
}

// buildReleases builds 1.0.0 and 1.1.0, which differ in what their service
// says, and 1.2.0, where it has nothing to say and cannot start.
func (d *demo) buildReleases(ctx context.Context) error {
	if err := d.addGuestProgram(ctx); err != nil {
		return err
	}
	message := filepath.Join(d.folder, "image", "release", "usr", "share", "hello", "message")
	if err := os.MkdirAll(filepath.Dir(message), 0o755); err != nil {
		return err
	}
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		if version == "1.2.0" {
			if err := os.Remove(message); err != nil {
				return err
			}
		} else if err := os.WriteFile(message, fmt.Appendf(nil, "hello from %s\n", version), 0o644); err != nil {
			return err
		}
		out, err := d.proa(ctx, "build", "image", "-o", "out/"+version, "--version", version)
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(out, "\n")
		say("%s", first)
	}
	return nil
}

// addGuestProgram puts the guest's end of this program's channel into the
// image: it runs the commands that the demo shows.
func (d *demo) addGuestProgram(ctx context.Context) error {
	const source = "machine/guest/proa-guest"
	overlay := filepath.Join(d.folder, "image", "release")
	if err := workshop.Compile(ctx, filepath.Join(overlay, "usr", "bin"), source); err != nil {
		return err
	}
	unit, err := os.ReadFile(filepath.Join(d.checkout, source, "proa-guest.service"))
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

func (d *demo) verifyRelease(ctx context.Context) error {
	out, err := d.proa(ctx, "verify", "out/1.0.0")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		say("%s", strings.TrimSpace(line))
	}
	return nil
}

func (d *demo) publish(ctx context.Context, version string) error {
	_, err := d.proa(ctx, "repo", "publish", "out/"+version, "--repo", "repo", "--keys", "keys", "--channel", "stable")
	return err
}

func (d *demo) serve(ctx context.Context) error {
	if err := d.publish(ctx, "1.0.0"); err != nil {
		return err
	}
	return d.startServer()
}

func (d *demo) bootFirst(ctx context.Context) error {
	disk := filepath.Join(d.folder, "machine.raw")
	if err := machine.Clone(disk, filepath.Join(d.folder, "out", "1.0.0", "disk.raw")); err != nil {
		return err
	}
	var err error
	d.machine, err = machine.New(machine.Config{
		Disk:   disk,
		Dir:    filepath.Join(d.folder, "machine"),
		Memory: machine.MemoryDebian,
		CPUs:   2,
	})
	if err != nil {
		return err
	}
	say("QEMU with OVMF, systemd-boot, the kernel image, proa-init, dm-verity, systemd; emulated, without KVM")
	if err := d.powerOn(ctx, "1.0.0", "a", "committed"); err != nil {
		return err
	}
	if _, err := d.guest(ctx, 0, "findmnt -n -o SOURCE,FSTYPE,OPTIONS / && cat /run/hello"); err != nil {
		return err
	}
	_, err = d.guest(ctx, 0, "proa-agent status")
	return err
}

func (d *demo) updateToGood(ctx context.Context) error {
	if err := d.publish(ctx, "1.1.0"); err != nil {
		return err
	}
	if _, err := d.guest(ctx, 10, "proa-agent check"); err != nil {
		return err
	}
	_, err := d.guest(ctx, 0, "proa-agent update --quiet")
	return err
}

func (d *demo) bootGood(ctx context.Context) error {
	if err := d.reboot(ctx); err != nil {
		return err
	}
	if err := d.powerOn(ctx, "1.1.0", "b", "committed"); err != nil {
		return err
	}
	say("committed %.0f s after power-on", time.Since(d.boot.Start).Seconds())
	if _, err := d.guest(ctx, 0, "cat /run/hello"); err != nil {
		return err
	}
	_, err := d.guest(ctx, 0, "proa-agent status")
	return err
}

func (d *demo) updateToBad(ctx context.Context) error {
	if err := d.publish(ctx, "1.2.0"); err != nil {
		return err
	}
	_, err := d.guest(ctx, 0, "proa-agent update --quiet")
	return err
}

func (d *demo) bootBad(ctx context.Context) error {
	if err := d.reboot(ctx); err != nil {
		return err
	}
	if err := d.powerOn(ctx, "1.2.0", "a", "trial"); err != nil {
		return err
	}
	say("1.2.0 runs, on trial; nobody does anything now")
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	reason, err := d.boot.Wait(ctx)
	if err != nil {
		return err
	}
	say("%.0f s after power-on the machine went down by itself: %s", time.Since(d.boot.Start).Seconds(), reason)
	return nil
}

func (d *demo) bootBack(ctx context.Context) error {
	if err := d.powerOn(ctx, "1.1.0", "b", "committed"); err != nil {
		return err
	}
	if _, err := d.guest(ctx, 5, "proa-agent status"); err != nil {
		return err
	}
	_, err := d.guest(ctx, 3, "proa-agent update --quiet")
	return err
}

// powerOn boots the machine and waits until it runs the given release from the
// given slot with the given standing.
func (d *demo) powerOn(ctx context.Context, version, slot, standing string) error {
	var err error
	if d.boot, err = d.machine.Boot(ctx); err != nil {
		return err
	}
	if err := d.boot.WaitReady(ctx); err != nil {
		return err
	}
	say("the guest answers %.0f s after power-on", time.Since(d.boot.Start).Seconds())
	return d.waitFor(ctx, version, slot, standing)
}

// waitFor asks the agent until the guest stands as told.
func (d *demo) waitFor(ctx context.Context, version, slot, standing string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var last string
	for {
		result, err := d.boot.Run(ctx, "proa-agent status --offline --json")
		if err != nil {
			return fmt.Errorf("waiting for %s in slot %s, %s: %w; the last status was: %s", version, slot, standing, err, last)
		}
		last = result.Stdout + result.Stderr
		var status struct {
			Running struct{ Version, Slot, Standing string }
		}
		if err := json.Unmarshal([]byte(result.Stdout), &status); err == nil {
			if r := status.Running; r.Version == version && r.Slot == slot && r.Standing == standing {
				return nil
			}
		}
		time.Sleep(time.Second)
	}
}
